/** What clients of our own API send about hooks. */
import * as z from "zod";
import { PlatformError } from "../../../core/errors.ts";
import { HMAC_ALGORITHMS, HOOK_NAME_RULE, HOOK_PROVIDERS, isHookName } from "../../../core/hook.ts";
import { FUNCTION_NAME_RULE, parseFunctionName } from "../../../core/ids.ts";
import { HOOK_SECRET_OVERLAP_MS_DEFAULT } from "../../../core/limits.ts";
import {
  isBranchName,
  parseRepoAddress,
  parseRepoFolder,
  type RepoAddress,
} from "../../../core/repo-address.ts";
import type { NewHook } from "../../../registry/hook-book.ts";
import type { GivenCredential } from "../../../registry/hook-secrets.ts";
import { parse } from "./wire.ts";

const OVERLAP_MS_MAX = 30 * 24 * 3_600_000;
const KEY_LENGTH_MAX = 16_384;

const HeaderName = z.string().regex(/^[A-Za-z0-9-]{1,64}$/, "expected the name of a header");

const Deploy = z.strictObject({
  repo: z.string(),
  branch: z.string().default("main"),
  path: z.string().default(""),
  /** For HTTPS. */
  token: z.string().min(1).max(1_024).optional(),
  /** Whose the token is. */
  user: z.string().min(1).max(128).optional(),
  /** For SSH: a private key as OpenSSH writes it. */
  sshKey: z.string().min(1).max(KEY_LENGTH_MAX).optional(),
  /** Lines of a known_hosts file; without them the host's first key is believed. */
  knownHosts: z.string().min(1).max(KEY_LENGTH_MAX).optional(),
});

export const CreateHook = z.strictObject({
  name: z.string(),
  function: z.string(),
  qualifier: z
    .string()
    .regex(/^(\$LATEST|[a-zA-Z0-9-_]{1,128})$/, "expected a version, an alias or $LATEST")
    .optional(),
  provider: z.enum(HOOK_PROVIDERS),
  secret: z.string().optional(),
  signature: z
    .strictObject({
      header: HeaderName.default("x-signature-256"),
      algorithm: z.enum(HMAC_ALGORITHMS).default("sha256"),
      idHeader: HeaderName.optional(),
      timestampHeader: HeaderName.optional(),
    })
    .optional(),
  deploy: Deploy.optional(),
  isPaused: z.boolean().default(false),
  description: z.string().max(512).default(""),
});

export const RotateHook = z.strictObject({
  secret: z.string().optional(),
  overlapMs: z.int().min(0).max(OVERLAP_MS_MAX).default(HOOK_SECRET_OVERLAP_MS_DEFAULT),
});

/** @throws PlatformError `InvalidRequest`, `InvalidName`. */
export function parseCreateHook(body: unknown): NewHook {
  const given = parse(CreateHook, body, "body");
  const { name, provider, signature } = given;
  if (!isHookName(name)) {
    throw invalid(`name of a hook: expected ${HOOK_NAME_RULE}, got ${JSON.stringify(name)}`);
  }
  const functionName = parseFunctionName(given.function);
  if (!functionName) {
    throw new PlatformError(
      "InvalidName",
      `function: expected ${FUNCTION_NAME_RULE}, got ${JSON.stringify(given.function)}`,
    );
  }
  if (signature && provider !== "hmac") {
    throw invalid(`signature: only for provider hmac; ${provider} says itself how it signs`);
  }
  const deploy = given.deploy && parseDeploy(given.deploy);
  if (deploy && given.qualifier !== undefined) {
    throw invalid("qualifier: a hook that deploys makes new versions, and calls none; leave it out");
  }
  return {
    name,
    description: given.description,
    functionName,
    qualifier: given.qualifier,
    provider,
    hmac: provider === "hmac" ? hmacRule(signature) : undefined,
    secret: given.secret,
    isPaused: given.isPaused,
    deploy,
  };
}

/** @throws PlatformError `InvalidRequest`. */
export function parseRotateHook(body: unknown): z.output<typeof RotateHook> {
  return parse(RotateHook, body ?? {}, "body");
}

function hmacRule(signature: z.output<typeof CreateHook>["signature"]): NewHook["hmac"] {
  return {
    header: (signature?.header ?? "x-signature-256").toLowerCase(),
    algorithm: signature?.algorithm ?? "sha256",
    idHeader: signature?.idHeader?.toLowerCase(),
    timestampHeader: signature?.timestampHeader?.toLowerCase(),
  };
}

function parseDeploy(given: z.output<typeof Deploy>): NonNullable<NewHook["deploy"]> {
  const address = parseRepoAddress(given.repo);
  if ("problem" in address) throw invalid(`repo: ${address.problem}`);
  if (!isBranchName(given.branch)) {
    throw invalid(`branch: expected the name of a branch, got ${JSON.stringify(given.branch)}`);
  }
  const path = parseRepoFolder(given.path);
  if (path === undefined) {
    throw invalid(
      `path: expected a folder of the repository such as functions/site, got ${JSON.stringify(given.path)}`,
    );
  }
  return { repo: address.text, branch: given.branch, path, credential: credentialOf(given, address) };
}

function credentialOf(given: z.output<typeof Deploy>, address: RepoAddress): GivenCredential | undefined {
  const { token, user, sshKey, knownHosts } = given;
  if (user !== undefined && token === undefined) throw invalid("user: only with a token");
  if (token !== undefined) {
    if (address.kind !== "https")
      throw invalid(`token: only for a repository at https://, got ${address.text}`);
    if (!/^[\x21-\x7e]+$/.test(token) || !/^[^:\p{Cc}]+$/u.test(user ?? "git")) {
      throw invalid("token: expected printable characters without spaces; user: without a colon");
    }
    return { kind: "token", user: user ?? "git", token };
  }
  if (sshKey === undefined) {
    if (address.kind === "ssh") {
      throw invalid("sshKey: a repository over SSH is read with a key of its own, not with the daemon's");
    }
    if (knownHosts === undefined) return undefined;
    throw invalid("knownHosts: only with an sshKey");
  }
  if (address.kind !== "ssh") throw invalid(`sshKey: only for a repository over SSH, got ${address.text}`);
  if (!/^-----BEGIN [A-Z ]*PRIVATE KEY-----\r?\n/.test(sshKey)) {
    throw invalid("sshKey: expected a private key, which begins with -----BEGIN OPENSSH PRIVATE KEY-----");
  }
  return { kind: "ssh-key", key: sshKey, knownHosts };
}

function invalid(message: string): PlatformError {
  return new PlatformError("InvalidRequest", message);
}
