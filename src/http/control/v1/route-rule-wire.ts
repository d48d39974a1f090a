/** What a route asks of its callers, as our own API spells it: who may call, from which origins, how often. */
import { createPublicKey } from "node:crypto";
import * as z from "zod";
import { PlatformError } from "../../../core/errors.ts";
import type { Authorizer, CorsRules, JwtAuthorizer, JwtKeys, RateLimit } from "../../../core/route.ts";

/** Encrypts the secret that tokens of an issuer are signed with. */
export type SealSecret = (issuer: string, secret: string) => Promise<string>;

const KEYS_MAX = 100;
const HEADER_NAMES_MAX = 100;
const ORIGINS_MAX = 100;
const RATE_MAX = 1_000_000;
/** HS256 wants as many bytes as its hash has (RFC 7518 section 3.2). */
const SECRET_BYTES_MIN = 32;

const Token = z.string().regex(/^(?:\*|[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128})$/, "expected a name or *");

export const Auth = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("none") }),
  z.strictObject({ type: z.literal("key") }),
  z.strictObject({
    type: z.literal("jwt"),
    issuer: z.string().min(1).max(512),
    audience: z.array(z.string().min(1).max(512)).min(1).max(50),
    scopes: z
      .array(z.string().min(1).max(128).regex(/^\S+$/, "expected a scope without spaces"))
      .max(50)
      .default([]),
    /** One of these; where none is given on a change, what there was for the same issuer. */
    jwksUrl: z.string().max(2048).optional(),
    jwks: z
      .strictObject({ keys: z.array(z.record(z.string(), z.unknown())).min(1).max(KEYS_MAX) })
      .optional(),
    publicKey: z.string().max(16_384).optional(),
    secret: z.string().max(4096).optional(),
  }),
]);

export const Cors = z.strictObject({
  origins: z.array(z.string().max(300)).min(1).max(ORIGINS_MAX),
  methods: z.array(Token).max(HEADER_NAMES_MAX).default(["*"]),
  headers: z.array(Token).max(HEADER_NAMES_MAX).default(["*"]),
  exposed: z.array(Token).max(HEADER_NAMES_MAX).default([]),
  credentials: z.boolean().default(false),
  maxAgeS: z.int().min(0).max(86_400).optional(),
});

export const Limit = z.strictObject({
  perSecond: z.number().positive().max(RATE_MAX),
  burst: z.int().min(1).max(RATE_MAX).optional(),
  per: z.enum(["route", "ip"]).default("route"),
});

/** `keep`: whatever keys the route has for that issuer. */
export type GivenAuthorizer = Authorizer | (Omit<JwtAuthorizer, "keys"> & { readonly keys: "keep" });

/** @throws PlatformError `InvalidRequest`. */
export async function authorizerOf(auth: z.output<typeof Auth>, seal: SealSecret): Promise<GivenAuthorizer> {
  if (auth.type !== "jwt") return { kind: auth.type };
  const { issuer, audience, scopes } = auth;
  return { kind: "jwt", issuer, audience, scopes, keys: await keysOf(auth, seal) };
}

async function keysOf(
  { issuer, jwksUrl, jwks, publicKey, secret }: Extract<z.output<typeof Auth>, { type: "jwt" }>,
  seal: SealSecret,
): Promise<JwtKeys | "keep"> {
  const given = [jwksUrl, jwks, publicKey, secret].filter((one) => one !== undefined);
  if (given.length > 1) throw invalid("auth: expected one of jwksUrl, jwks, publicKey and secret");
  if (jwksUrl !== undefined) return { kind: "url", url: checkedUrl(jwksUrl) };
  if (jwks) return { kind: "set", keys: jwks.keys.map(checkedKey) };
  if (publicKey !== undefined) return { kind: "set", keys: [keyOfPem(publicKey)] };
  if (secret === undefined) return "keep";
  if (Buffer.byteLength(secret) < SECRET_BYTES_MIN) {
    throw invalid(`auth.secret: expected at least ${SECRET_BYTES_MIN} bytes, as HS256 asks for`);
  }
  return { kind: "secret", sealed: await seal(issuer, secret) };
}

/** Puts the keys that there were where none are given. @throws PlatformError `InvalidRequest` if there were none. */
export function completedAuthorizer(given: GivenAuthorizer, before: Authorizer | undefined): Authorizer {
  if (given.kind !== "jwt") return given;
  const { keys } = given;
  if (keys !== "keep") return { ...given, keys };
  if (before?.kind === "jwt" && before.issuer === given.issuer) return { ...given, keys: before.keys };
  throw invalid("auth: expected the keys of the issuer: jwksUrl, jwks, publicKey or secret");
}

function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "";
  if (isPlain) return url.href;
  throw invalid(
    `auth.jwksUrl: expected an address like https://issuer/.well-known/jwks.json, got ${JSON.stringify(text.slice(0, 100))}`,
  );
}

/** Only what verifies, and can be read: a private key, or one that also signs, does not belong here. */
function checkedKey(key: Record<string, unknown>, index: number): Record<string, unknown> {
  const place = `auth.jwks.keys.${index}`;
  if (key.kty === "oct") throw invalid(`${place}: a shared secret is given as secret`);
  if ("d" in key) throw invalid(`${place}: this is a private key; give the public one`);
  try {
    createPublicKey({ key, format: "jwk" });
    return key;
  } catch (cause) {
    throw invalid(`${place}: not a public key in the format of a JSON Web Key`, cause);
  }
}

function keyOfPem(pem: string): Record<string, unknown> {
  if (/PRIVATE KEY/.test(pem)) throw invalid("auth.publicKey: this is a private key; give the public one");
  try {
    return { ...createPublicKey(pem).export({ format: "jwk" }) };
  } catch (cause) {
    throw invalid("auth.publicKey: expected a public key or a certificate in PEM", cause);
  }
}

/** @throws PlatformError `InvalidRequest`. */
export function corsOf({ credentials, origins, maxAgeS, ...rest }: z.output<typeof Cors>): CorsRules {
  for (const origin of origins) {
    if (origin === "*" || (URL.canParse(origin) && new URL(origin).origin === origin)) continue;
    throw invalid(
      `cors.origins: expected * or origins like https://app.example.com, got ${JSON.stringify(origin)}`,
    );
  }
  if (credentials && origins.includes("*")) {
    throw invalid("cors.credentials: not with the origin *, which browsers refuse; name the origins");
  }
  return { ...rest, origins, allowsCredentials: credentials, maxAgeS };
}

export function limitOf({ perSecond, burst, per }: z.output<typeof Limit>): RateLimit {
  return { perSecond, burst: burst ?? Math.max(1, Math.ceil(perSecond)), per };
}

/** Never a secret, not even a sealed one. */
export function authShape(authorizer: Authorizer): Record<string, unknown> {
  if (authorizer.kind !== "jwt") return { type: authorizer.kind };
  const { issuer, audience, scopes, keys } = authorizer;
  return {
    type: "jwt",
    issuer,
    audience,
    scopes,
    jwksUrl: keys.kind === "url" ? keys.url : undefined,
    jwks: keys.kind === "set" ? { keys: keys.keys } : undefined,
    hasSecret: keys.kind === "secret" ? true : undefined,
  };
}

export function corsShape(cors: CorsRules | undefined): Record<string, unknown> | undefined {
  if (!cors) return undefined;
  const { allowsCredentials, ...rest } = cors;
  return { ...rest, credentials: allowsCredentials };
}

function invalid(message: string, cause?: unknown): PlatformError {
  return new PlatformError("InvalidRequest", message, { cause });
}
