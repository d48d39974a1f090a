import type { IncomingHttpHeaders } from "node:http";

/** Which of CloudWatch's protocols a request speaks; protocol.ts has them. */
export type CloudWatchDialect = "json" | "query" | "cbor";

export function isCborPath(path: string): boolean {
  return path.startsWith("/service/");
}

export function dialectOf(headers: IncomingHttpHeaders, path: string): CloudWatchDialect {
  if (isCborPath(path)) return "cbor";
  const isForm = headers["content-type"]?.startsWith("application/x-www-form-urlencoded") ?? false;
  return isForm && headers["x-amz-target"] === undefined ? "query" : "json";
}
