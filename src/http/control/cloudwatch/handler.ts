/** Finds out which operation of CloudWatch, or of another service at its address, is meant, and performs it. Loaded with the first request. */
import { PlatformError } from "../../../core/errors.ts";
import { STACK_OPERATIONS } from "../cloudformation/stacks.ts";
import type { ControlParts } from "../parts.ts";
import type { Handler } from "../route.ts";
import { LOGS_OPERATIONS } from "./logs.ts";
import { METRICS_OPERATIONS } from "./metrics.ts";
import { METRICS_SERVICE, readCall, replyTo, STACKS_SERVICE } from "./protocol.ts";

const SERVICES = new Map([
  ["Logs_20140328", LOGS_OPERATIONS],
  [METRICS_SERVICE, METRICS_OPERATIONS],
  [STACKS_SERVICE, STACK_OPERATIONS],
]);

export function cloudWatchHandler(parts: ControlParts): Handler {
  return async (request) => {
    const call = await readCall(request);
    const { service, operation, body } = call;
    const operations = SERVICES.get(service);
    const perform = operations && Object.hasOwn(operations, operation) ? operations[operation] : undefined;
    if (!perform) {
      const asked = operation === "" ? "a request without X-Amz-Target" : operation;
      throw new PlatformError("RouteNotFound", `${asked} is not supported by lambdad`);
    }
    return await replyTo(call, request, await perform(parts, request, body));
  };
}
