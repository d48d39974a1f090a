/** Functions that requests name outside of their path: in the query, or by what they ask for. */
import { PlatformError } from "../../../core/errors.ts";
import { FUNCTION_NAME_RULE, type FunctionName, parseFunctionName } from "../../../core/ids.ts";
import type { Functions } from "../../../registry/functions.ts";
import type { ControlRequest } from "../route.ts";

/** Of `?function=`, if it is there. @throws PlatformError `InvalidName`, `Forbidden`. */
export function askedFunction(request: ControlRequest): FunctionName | undefined {
  const text = request.query.get("function");
  if (text === null || text === "") return undefined;
  const name = parseFunctionName(text);
  if (!name) {
    throw new PlatformError(
      "InvalidName",
      `function: expected ${FUNCTION_NAME_RULE}, got ${JSON.stringify(text.slice(0, 80))}`,
    );
  }
  refuseOthers(request, name);
  return name;
}

/**
 * Of a function that is not there an empty list would be no answer; of one that is gone, what it has left behind is.
 *
 * @throws PlatformError `FunctionNotFound` if nothing was found and there is no such function.
 */
export async function requireFunction(
  functions: Pick<Functions, "get">,
  name: FunctionName | undefined,
  found: number,
): Promise<void> {
  if (name !== undefined && found === 0) await functions.get(name);
}

/** @throws PlatformError `Forbidden` for a function that the key is not good for. */
export function refuseOthers({ caller, route }: ControlRequest, name: string): void {
  if (caller.mayUse(name)) return;
  throw new PlatformError(
    "Forbidden",
    `key ${caller.key?.id} is not authorized to perform ${route.name} on function ${name}`,
  );
}
