import { randomBytes } from "node:crypto";
import type { HookProvider } from "./hook.ts";

const SECRET_LENGTH_MAX = 512;
const KEY_BYTES = 32;
const STANDARD_SECRET = /^whsec_[A-Za-z0-9+/]{22,128}={0,2}$/;

/** Whether it is written as Standard Webhooks writes one: `whsec_` and the base64 of the key. */
export function isStandardSecret(secret: string): boolean {
  return STANDARD_SECRET.test(secret);
}

/** One for the owner to give to the sender; undefined where the sender gives its own. */
export function newHookSecret(provider: HookProvider): string | undefined {
  switch (provider) {
    case "stripe":
    case "slack":
      return undefined;
    case "standard":
      return `whsec_${randomBytes(KEY_BYTES).toString("base64")}`;
    case "github":
    case "gitlab":
    case "hmac":
      return randomBytes(KEY_BYTES).toString("base64url");
  }
}

/** What is wrong with a secret that was brought along. Never says it. */
export function secretProblem(provider: HookProvider, secret: string): string | undefined {
  if (secret === "") return "it is empty";
  if (secret.length > SECRET_LENGTH_MAX) return `it is longer than ${SECRET_LENGTH_MAX} characters`;
  if (!/^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/.test(secret)) {
    return "it has line breaks, spaces at an end, or characters that are not ASCII";
  }
  if (provider === "standard" && !isStandardSecret(secret)) {
    return "Standard Webhooks has secrets of whsec_ and base64";
  }
  return undefined;
}
