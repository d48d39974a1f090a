import { PlatformError } from "../../core/errors.ts";
import type { AuthorizeKey } from "../gateway/exchange.ts";
import { keyArn, mayCall } from "./access.ts";
import { allowsScope, type KeyRing } from "./keys.ts";

/** Checks keys on routes that ask for one: it needs the scope `invoke` for the function behind the route. */
export function newRouteKeyCheck(parts: {
  readonly keys: Pick<KeyRing, "findByToken">;
  /** Twelve digits. */
  readonly account: string;
}): AuthorizeKey {
  const { keys, account } = parts;
  return async (token, target) => {
    const key = await keys.findByToken(token);
    if (!key) throw new PlatformError("Unauthenticated", "the key is unknown, wrong, expired or revoked");
    const isAllowed = target
      ? mayCall(key, account, target.record, {
          qualifier: target.qualifier,
          action: "lambda:InvokeFunction",
          urlAuthType: undefined,
        })
      : allowsScope(key, "invoke");
    if (!isAllowed) {
      throw new PlatformError(
        "Forbidden",
        `key ${key.id} may not call this route: it needs the scope invoke for its function`,
      );
    }
    return { accessKey: key.id, accountId: account, userArn: keyArn(key, account), userId: key.id };
  };
}
