/** What `lambda route add` and `update` send, of their options. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { CliError, usageError } from "./cli-error.ts";
import type { Command } from "./command.ts";
import { qualifiedName } from "./names.ts";
import { messageOf } from "./settings.ts";
import { readSecret } from "./stdin-secret.ts";
import { countOption, spanOption } from "./units.ts";

export interface RouteOptions {
  readonly host?: string;
  readonly function?: string;
  readonly async?: boolean;
  readonly payload?: string;
  readonly event?: string | false;
  readonly stripPrefix?: string | false;
  readonly stageVariable?: readonly string[];
  readonly respond?: string;
  readonly header?: readonly string[];
  readonly body?: string;
  readonly auth?: string;
  readonly jwtIssuer?: string;
  readonly jwtAudience?: readonly string[];
  readonly jwtScope?: readonly string[];
  readonly jwtKeys?: string;
  readonly secretFromStdin?: boolean;
  readonly cors?: readonly string[] | false;
  readonly corsMethod?: readonly string[];
  readonly corsHeader?: readonly string[];
  readonly corsExpose?: readonly string[];
  readonly corsCredentials?: boolean;
  readonly corsMaxAge?: string;
  readonly limit?: string | false;
  readonly burst?: string;
  readonly limitPer?: string;
  readonly description?: string;
}

/** The members that were given. @throws CliError `Usage`, `FileUnusable` */
export async function routeBody(
  command: Command,
  options: Omit<RouteOptions, "host">,
): Promise<Record<string, unknown>> {
  const { stripPrefix, stageVariable, description } = options;
  return {
    ...functionMembers(options.function),
    ...(options.payload !== undefined && { payload: options.payload }),
    ...(await eventMember(command, options.event)),
    ...(options.async !== undefined && { async: options.async }),
    ...(stripPrefix !== undefined && { stripPrefix: stripPrefix === false ? null : stripPrefix }),
    ...(stageVariable !== undefined && { stageVariables: pairs("--stage-variable", stageVariable, "=") }),
    ...(await responseMember(command, options)),
    ...(await authMember(command, options)),
    ...corsMember(options),
    ...limitMember(options),
    ...(description !== undefined && { description }),
  };
}

function functionMembers(text: string | undefined): Record<string, unknown> {
  if (text === undefined) return {};
  const { name, qualifier } = qualifiedName(text);
  return { function: name, qualifier: qualifier ?? null };
}

async function eventMember(
  command: Command,
  event: string | false | undefined,
): Promise<Record<string, unknown>> {
  if (event === undefined) return {};
  if (event === false) return { event: null };
  const text = await textOption(command, "--event", event);
  try {
    return { event: JSON.parse(text) };
  } catch (error) {
    throw usageError(`--event: expected JSON, or @FILE with it: ${messageOf(error)}`);
  }
}

async function responseMember(
  command: Command,
  { respond, header, body }: RouteOptions,
): Promise<Record<string, unknown>> {
  if (respond === undefined) {
    if (header !== undefined) throw usageError("--header: only with --respond");
    if (body !== undefined) throw usageError("--body: only with --respond");
    return {};
  }
  return {
    response: {
      status: countOption("--respond", respond, 200),
      ...(header !== undefined && { headers: pairs("--header", header, ":") }),
      ...(body !== undefined && { body: await textOption(command, "--body", body) }),
    },
  };
}

const SECRET_EXAMPLE =
  'printf %s "$SECRET" | lambda route add "GET /me" … --jwt-issuer I --secret-from-stdin';

async function authMember(command: Command, options: RouteOptions): Promise<Record<string, unknown>> {
  const { jwtIssuer, jwtAudience, jwtScope, jwtKeys, secretFromStdin } = options;
  const isJwt = [jwtIssuer, jwtAudience, jwtScope, jwtKeys, secretFromStdin].some((one) => one !== undefined);
  const type = options.auth ?? (isJwt ? "jwt" : undefined);
  if (type === undefined) return {};
  if (type !== "jwt") {
    if (isJwt) throw usageError(`--jwt-…: not with --auth ${type}`);
    return { auth: { type } };
  }
  if (jwtIssuer === undefined) throw usageError("--jwt-issuer: expected who issues the tokens");
  if (jwtAudience === undefined) throw usageError("--jwt-audience: expected whom the tokens are for");
  if (jwtKeys !== undefined && secretFromStdin) {
    throw usageError("--jwt-keys and --secret-from-stdin: expected one of them");
  }
  const keys = secretFromStdin
    ? { secret: await readSecret(command, SECRET_EXAMPLE) }
    : jwtKeys === undefined
      ? {}
      : await keysOption(command, jwtKeys);
  return { auth: { type, issuer: jwtIssuer, audience: jwtAudience, scopes: jwtScope ?? [], ...keys } };
}

/** An address, or `@file` with a key set in JSON or a public key in PEM. */
async function keysOption(command: Command, text: string): Promise<Record<string, unknown>> {
  if (/^https?:\/\//.test(text)) return { jwksUrl: text };
  if (!text.startsWith("@")) {
    throw usageError(`--jwt-keys: expected an address or @FILE, got ${JSON.stringify(text)}`);
  }
  const content = await textOption(command, "--jwt-keys", text);
  if (content.includes("-----BEGIN")) return { publicKey: content };
  try {
    return { jwks: JSON.parse(content) };
  } catch {
    throw usageError(`--jwt-keys: ${text.slice(1)} has neither a key set in JSON nor a public key in PEM`);
  }
}

function corsMember(options: RouteOptions): Record<string, unknown> {
  const { cors, corsMethod, corsHeader, corsExpose, corsCredentials, corsMaxAge } = options;
  if (cors === undefined || cors === false) {
    const given = { corsMethod, corsHeader, corsExpose, corsCredentials, corsMaxAge };
    if (Object.values(given).some((one) => one !== undefined)) {
      throw usageError("--cors-…: only with --cors and the origins that may call");
    }
    return cors === false ? { cors: null } : {};
  }
  return {
    cors: {
      origins: cors,
      ...(corsMethod !== undefined && { methods: corsMethod.map((method) => method.toUpperCase()) }),
      ...(corsHeader !== undefined && { headers: corsHeader }),
      ...(corsExpose !== undefined && { exposed: corsExpose }),
      ...(corsCredentials && { credentials: true }),
      ...(corsMaxAge !== undefined && {
        maxAgeS: Math.round(spanOption("--cors-max-age", corsMaxAge) / 1000),
      }),
    },
  };
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600 };

/** `10/s`, `100/m`, `5/h`. */
function limitMember({ limit, burst, limitPer }: RouteOptions): Record<string, unknown> {
  if (limit === undefined || limit === false) {
    if (burst !== undefined || limitPer !== undefined) {
      throw usageError("--burst and --limit-per: only with --limit");
    }
    return limit === false ? { limit: null } : {};
  }
  const [, count, unit] = /^(\d+(?:\.\d+)?)\/(s|m|h)$/.exec(limit) ?? [];
  const seconds = SECONDS[unit ?? ""];
  if (count === undefined || seconds === undefined || Number(count) === 0) {
    throw usageError(`--limit: expected a rate like 10/s, 100/m or 5/h, got ${JSON.stringify(limit)}`);
  }
  return {
    limit: {
      perSecond: Number(count) / seconds,
      burst: burst === undefined ? Math.ceil(Number(count)) : countOption("--burst", burst, 1),
      ...(limitPer !== undefined && { per: limitPer }),
    },
  };
}

/** `NAME=VALUE`, or `Name: value` as curl has it. */
function pairs(option: string, texts: readonly string[], divider: "=" | ":"): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf(divider);
      if (at > 0) return [text.slice(0, at).trim(), text.slice(at + 1).trim()];
      const expected = divider === "=" ? "NAME=VALUE" : '"Name: value"';
      throw usageError(`${option}: expected ${expected}, got ${JSON.stringify(text)}`);
    }),
  );
}

/** Text, or `@file`. */
async function textOption({ host }: Command, option: string, text: string): Promise<string> {
  if (!text.startsWith("@")) return text;
  const file = resolve(host.workingDir, text.slice(1));
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw CliError.local("FileUnusable", `${option}: cannot read ${file}: ${messageOf(error)}`);
  }
}
