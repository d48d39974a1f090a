/** Finds out which operation of CloudWatch is meant, and performs it. Loaded with the first request. */
import { PlatformError } from "../../../core/errors.ts";
import type { ControlParts } from "../parts.ts";
import { emptyReply, type Handler, type Reply } from "../route.ts";
import { LOGS_OPERATIONS } from "./logs.ts";

export function cloudWatchHandler(parts: ControlParts): Handler {
  return async (request): Promise<Reply> => {
    const [service, operation = ""] = String(request.headers["x-amz-target"] ?? "").split(".");
    const perform =
      service === "Logs_20140328" && Object.hasOwn(LOGS_OPERATIONS, operation)
        ? LOGS_OPERATIONS[operation]
        : undefined;
    if (!perform) {
      const asked = operation === "" ? "a request without X-Amz-Target" : operation;
      throw new PlatformError("RouteNotFound", `${asked} is not supported by lambdad`);
    }
    const value = await perform(parts, request, parseJson(request.bytes));
    if (value === undefined) return emptyReply(200);
    const body = Buffer.from(JSON.stringify(value));
    return { kind: "bytes", status: 200, contentType: "application/x-amz-json-1.1", body };
  };
}

function parseJson(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return {};
  try {
    return JSON.parse(Buffer.from(bytes).toString());
  } catch (cause) {
    throw new PlatformError("InvalidPayload", "the body is not JSON", { cause });
  }
}
