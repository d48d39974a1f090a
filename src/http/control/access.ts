/** What a key may call: what its own pattern covers, and what a function's resource policy allows it besides. */
import { isPlatformError } from "../../core/errors.ts";
import type { FunctionRecord } from "../../core/function.ts";
import type { FunctionName } from "../../core/ids.ts";
import { isPermitted, type PermissionRequest } from "../../core/permission.ts";
import type { Functions } from "../../registry/functions.ts";
import type { KeyRecord } from "../../store/store.ts";
import { allowsFunction, allowsScope } from "./keys.ts";

/** The ARNs that a key answers to in policies: its own, and its account's root, which stands for all keys. */
function callerArnsOf(key: Pick<KeyRecord, "id">, account: string): readonly string[] {
  return [`arn:aws:iam::${account}:root`, keyArn(key, account)];
}

export function keyArn(key: Pick<KeyRecord, "id">, account: string): string {
  return `arn:aws:iam::${account}:user/${key.id}`;
}

/**
 * Whether the key may make this call. Every key that calls needs the scope `invoke`; a policy widens its pattern, never
 * its scopes.
 */
export function mayCall(
  key: KeyRecord,
  account: string,
  record: FunctionRecord,
  call: { readonly qualifier: string | undefined } & Pick<PermissionRequest, "action" | "urlAuthType">,
): boolean {
  if (!allowsScope(key, "invoke")) return false;
  if (allowsFunction(key, record.name)) return true;
  const callerArns = callerArnsOf(key, account);
  return isPermitted(record.settings.policies, call.qualifier, { ...call, callerArns });
}

/** `mayCall` by the API, for a function that may not be there: it is not told from one that allows nothing. */
export async function mayInvoke(
  functions: Pick<Functions, "get" | "resolveCached">,
  account: string,
  key: KeyRecord,
  called: { readonly name: FunctionName; readonly qualifier: string | undefined },
): Promise<boolean> {
  try {
    const record =
      functions.resolveCached(called.name, undefined)?.record ?? (await functions.get(called.name));
    const { qualifier } = called;
    return mayCall(key, account, record, {
      qualifier,
      action: "lambda:InvokeFunction",
      urlAuthType: undefined,
    });
  } catch (error) {
    if (isPlatformError(error, "FunctionNotFound")) return false;
    throw error;
  }
}
