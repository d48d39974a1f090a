import { PlatformError } from "../../../core/errors.ts";
import type { FunctionConfig } from "../../../core/function.ts";
import { allowsFunction, allowsScope } from "../keys.ts";
import type { Caller } from "../route.ts";

/**
 * Nobody may give a function more than they have: who lets it invoke others must be allowed to invoke those.
 *
 * @throws PlatformError `Forbidden`; `InvalidRequest` where the function could not reach this server anyway.
 */
export function checkMayInvoke(
  caller: Caller,
  before: readonly string[] | undefined,
  { mayInvoke = [], network }: Pick<FunctionConfig, "mayInvoke" | "network">,
): void {
  if (mayInvoke.length > 0 && network !== "host") {
    throw new PlatformError(
      "InvalidRequest",
      `mayInvoke: this server is on the host's loopback, which a function with network ${network} does not reach; give network host`,
    );
  }
  const added = mayInvoke.filter((pattern) => !before?.includes(pattern));
  const { key } = caller;
  // A star of the pattern is matched like any other character, by a star of the key only: so the key covers all of it.
  const beyond = added.find(
    (pattern) => !key || !allowsScope(key, "invoke") || !allowsFunction(key, pattern),
  );
  if (beyond === undefined) return;
  throw new PlatformError(
    "Forbidden",
    `key ${key?.id} may not let a function invoke ${beyond}: it needs the scope invoke for that itself`,
  );
}
