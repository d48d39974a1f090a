import type { Clock } from "../../core/clock.ts";
import { PlatformError } from "../../core/errors.ts";
import type { UrlPermissions, VerifySignature } from "../gateway/exchange.ts";
import { keyArn, mayCall } from "./access.ts";
import type { KeyRing } from "./keys.ts";
import { hasSessionToken, isChunked, newSignatureVerifier, parseSignature, sha256Hex } from "./sigv4.ts";

/**
 * Checks requests to function URLs with AuthType AWS_IAM against the keys of this installation. A key needs the scope
 * `invoke` for the function behind the URL, by its own pattern or by the function's resource policy.
 */
export function newUrlSignatureCheck(parts: {
  readonly keys: Pick<KeyRing, "findUsable">;
  /** Twelve digits. */
  readonly account: string;
  readonly urlPermissions: UrlPermissions;
  readonly clock: Clock;
}): VerifySignature {
  const verifier = newSignatureVerifier();
  return async ({ method, path, query, rawHeaders, body, target }) => {
    const request = { method, target: query === "" ? path : `${path}?${query}`, rawHeaders };
    const signature = parseSignature(request, parts.clock.now());
    if (!signature) {
      throw new PlatformError("Unauthenticated", "this function URL asks for an AWS Signature Version 4");
    }
    if (isChunked(signature)) {
      throw new PlatformError(
        "SignatureInvalid",
        "a function URL takes no body in signed chunks; sign the whole body",
      );
    }
    const usable = await parts.keys.findUsable(signature.keyId);
    if (!usable || !hasSessionToken(usable, signature))
      throw new PlatformError("Unauthenticated", "the key is unknown, wrong, expired or revoked");
    verifier.verify(request, signature, usable.secret, sha256Hex(body));
    const { key } = usable;
    const { record, qualifier } = target;
    const byUrl = { qualifier, urlAuthType: "AWS_IAM" } as const;
    const isAllowed =
      mayCall(key, parts.account, record, { ...byUrl, action: "lambda:InvokeFunctionUrl" }) &&
      (parts.urlPermissions !== "both" ||
        mayCall(key, parts.account, record, { ...byUrl, action: "lambda:InvokeFunction" }));
    if (!isAllowed) {
      throw new PlatformError(
        "Forbidden",
        `key ${key.id} may not call this function URL: it needs the scope invoke for its function, or a statement in the function's policy`,
      );
    }
    return {
      accessKey: key.id,
      accountId: parts.account,
      userArn: keyArn(key, parts.account),
      userId: key.id,
    };
  };
}
