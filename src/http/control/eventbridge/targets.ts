/** What both services let call a function: its ARN, who may use it, and for how long a call may be late. */
import { PlatformError } from "../../../core/errors.ts";
import type { FunctionName } from "../../../core/ids.ts";
import { functionArn, parseFunctionReference } from "../aws/names.ts";
import { allowsScope } from "../keys.ts";
import type { ControlParts } from "../parts.ts";
import type { ControlRequest } from "../route.ts";

/** Seconds, as both services have them. */
export const EVENT_AGE_S_MIN = 60;
export const EVENT_AGE_S_MAX = 86_400;
export const RETRY_ATTEMPTS_MAX = 185;

export interface FunctionTarget {
  readonly functionName: FunctionName;
  readonly qualifier: string | undefined;
}

/** @throws PlatformError `UnsupportedMember` for what is no function; as `parseFunctionReference` does. */
export function parseTargetArn(arn: string, parts: ControlParts): FunctionTarget {
  if (!/^arn:[^:]+:lambda:/.test(arn)) {
    throw new PlatformError(
      "UnsupportedMember",
      `target ${JSON.stringify(arn)}: lambdad calls Lambda functions only, named by their ARN`,
    );
  }
  const { name, qualifier } = parseFunctionReference(arn, parts);
  if (!name) throw new PlatformError("FunctionNotFound", `Function not found: ${arn}`);
  return { functionName: name, qualifier };
}

export function targetArn({ functionName, qualifier }: FunctionTarget, parts: ControlParts): string {
  return functionArn(parts, functionName, qualifier);
}

/** @throws PlatformError `Forbidden` if the key is not good for all these functions. */
export function refuseOthers(
  { caller }: ControlRequest,
  functionNames: readonly string[],
  operation: string,
): void {
  const foreign = functionNames.find((name) => !caller.mayUse(name));
  if (foreign === undefined) return;
  throw new PlatformError(
    "Forbidden",
    `key ${caller.key?.id} is not authorized to perform ${operation} on function ${foreign}`,
  );
}

/** @throws PlatformError `Forbidden` if the key may only read. */
export function requireDeploy({ caller: { key } }: ControlRequest, operation: string): void {
  if (key && allowsScope(key, "deploy")) return;
  throw new PlatformError(
    "Forbidden",
    `key ${key?.id} is not authorized to perform ${operation}: it needs the scope deploy`,
  );
}
