import { PlatformError } from "../../../core/errors.ts";
import type { FunctionName } from "../../../core/ids.ts";
import type { ControlRequest } from "../route.ts";

/** The function the path names, as the guard has read it. */
export function nameOf(request: ControlRequest): FunctionName {
  const name = request.reference?.name;
  if (!name) throw new PlatformError("InvalidName", "the path names no function");
  return name;
}
