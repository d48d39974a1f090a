/** InvokeAsync, the operation that `Event` invocations have taken the place of. */
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, jsonReply, type Reply } from "../route.ts";
import { invokeEvent } from "./invoke.ts";

export async function invokeAsync(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  await invokeEvent(parts, request);
  return jsonReply(202, { Status: 202 });
}
