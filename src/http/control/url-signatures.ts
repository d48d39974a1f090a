import type { Clock } from "../../core/clock.ts";
import { PlatformError } from "../../core/errors.ts";
import type { VerifySignature } from "../gateway/exchange.ts";
import { allowsScope, type KeyRing } from "./keys.ts";
import { newSignatureVerifier, parseSignature, sha256Hex } from "./sigv4.ts";

/**
 * Checks requests to function URLs with AuthType AWS_IAM against the keys of this installation. A key needs the scope
 * `invoke`, for all functions: the request does not say which function is behind the URL.
 */
export function newUrlSignatureCheck(parts: {
  readonly keys: Pick<KeyRing, "findUsable">;
  /** Twelve digits. */
  readonly account: string;
  readonly clock: Clock;
}): VerifySignature {
  const verifier = newSignatureVerifier();
  return async ({ method, path, query, rawHeaders, body }) => {
    const request = { method, target: query === "" ? path : `${path}?${query}`, rawHeaders };
    const signature = parseSignature(request, parts.clock.now());
    if (!signature) {
      throw new PlatformError("Unauthenticated", "this function URL asks for an AWS Signature Version 4");
    }
    const usable = await parts.keys.findUsable(signature.keyId);
    if (!usable) throw new PlatformError("Unauthenticated", "the key is unknown, wrong, expired or revoked");
    verifier.verify(request, signature, usable.secret, sha256Hex(body));
    const { key } = usable;
    if (!allowsScope(key, "invoke") || key.functions !== "*") {
      throw new PlatformError(
        "Forbidden",
        `key ${key.id} may not call function URLs: it needs the scope invoke on all functions`,
      );
    }
    return {
      accessKey: key.id,
      accountId: parts.account,
      userArn: `arn:aws:iam::${parts.account}:user/${key.id}`,
      userId: key.id,
    };
  };
}
