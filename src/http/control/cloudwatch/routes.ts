/**
 * CloudWatch as people's tools call it (`aws logs tail`, `sam logs`, `aws cloudwatch`), and what they ask CloudFormation: one
 * address for all operations. Which one is meant stands in `X-Amz-Target` (JSON), in a form (`Action`), or in the path (CBOR).
 */
import type { Route } from "../route.ts";

const REQUEST_BYTES_MAX = 1024 * 1024;

/** Operations that change something ask for more than the route's scope themselves. */
export const CLOUDWATCH_ROUTES: readonly Route[] = [
  route("cloudWatch", "/"),
  route("cloudWatchCbor", "/service/{service}/operation/{operation}"),
];

function route(name: string, path: string): Route {
  return {
    name,
    dialect: "cloudwatch",
    method: "POST",
    path,
    access: "read",
    subject: "none",
    body: { kind: "bytes", bytesMax: REQUEST_BYTES_MAX },
  };
}
