import { randomBytes } from "node:crypto";
import type { Hook, HookSecret, RepoCredential } from "../core/hook.ts";
import type { HookId } from "../core/ids.ts";
import { HOOK_SECRETS_MAX } from "../core/limits.ts";

/** What the box that hooks use is for. */
export const HOOK_SECRETS = "hooks";

/** Keeps secrets so that whoever has the store alone does not have them. */
export interface SecretBox {
  /** `id` is bound to it. */
  seal(id: string, secret: string): string;
  /** Undefined if it was not sealed here for that id. */
  unseal(id: string, sealed: string): string | undefined;
}

/** The secrets that a signature may be made with now, newest first. */
export function usableSecrets(box: SecretBox, hook: Hook, now: number): string[] {
  return activeSecrets(hook, now).flatMap(({ id, sealed }) => box.unseal(boundTo(hook.id, id), sealed) ?? []);
}

export function activeSecrets({ secrets }: Hook, now: number): readonly HookSecret[] {
  return secrets.filter(({ expiresAt }) => expiresAt === undefined || expiresAt > now);
}

/**
 * The hook's secrets with a new one in front. The one that was in use stays good for a while; of those before it none
 * is left.
 */
export function withNewSecret(
  box: SecretBox,
  hook: Pick<Hook, "id" | "secrets">,
  secret: string,
  now: number,
  overlapMs: number,
): readonly HookSecret[] {
  const id = randomBytes(8).toString("hex");
  const made = { id, sealed: box.seal(boundTo(hook.id, id), secret), createdAt: now, expiresAt: undefined };
  const [current] = hook.secrets;
  if (!current || overlapMs === 0) return [made];
  return [made, { ...current, expiresAt: now + overlapMs }].slice(0, HOOK_SECRETS_MAX);
}

/** How a credential is given: for a token with the name of its user. */
export type GivenCredential =
  | { readonly kind: "token"; readonly user: string; readonly token: string }
  | { readonly kind: "ssh-key"; readonly key: string; readonly knownHosts: string | undefined };

export function sealCredential(box: SecretBox, hookId: HookId, given: GivenCredential): RepoCredential {
  const id = boundTo(hookId, "repository");
  if (given.kind === "token") {
    return { kind: "token", user: given.user, sealed: box.seal(id, given.token) };
  }
  return { kind: "ssh-key", sealed: box.seal(id, given.key), knownHosts: given.knownHosts };
}

/** Undefined if it was sealed elsewhere. */
export function openCredential(
  box: SecretBox,
  hookId: HookId,
  credential: RepoCredential,
): GivenCredential | undefined {
  const opened = box.unseal(boundTo(hookId, "repository"), credential.sealed);
  if (opened === undefined) return undefined;
  return credential.kind === "token"
    ? { kind: "token", user: credential.user, token: opened }
    : { kind: "ssh-key", key: opened, knownHosts: credential.knownHosts };
}

function boundTo(hookId: HookId, id: string): string {
  return `${hookId} ${id}`;
}
