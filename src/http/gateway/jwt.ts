/**
 * JSON Web Tokens as AWS's HTTP API checks them: signature, issuer, audience (`aud`, or `client_id` where there is none),
 * `exp` (which must be there), `nbf`, scopes. Claims come out as text, arrays as `[a b]`.
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html
 *
 * Which algorithms may be used follows from the kind of keys and never from the token: a public key is never taken for
 * the secret of an HMAC.
 */
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  customFetch,
  errors,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from "jose";
import type { Clock } from "../../core/clock.ts";
import { PlatformError } from "../../core/errors.ts";
import type { JwtAuthorizer } from "../../core/route.ts";
import type { JwtFacts } from "./http-event.ts";

export interface JwtParts {
  /** Undefined if it was sealed under another master key. */
  readonly unseal: (issuer: string, sealed: string) => Promise<string | undefined>;
  readonly fetchKeys: FetchKeys;
  readonly clock: Clock;
}

/** Gets a JSON Web Key Set. Rejects if it cannot be had. */
export type FetchKeys = (url: string, options: { readonly signal: AbortSignal }) => Promise<Response>;

/** @throws PlatformError `Unauthenticated`, `Forbidden` for one without the scopes, `AuthorizerUnavailable`. */
export type VerifyJwt = (token: string, authorizer: JwtAuthorizer) => Promise<JwtFacts>;

const HMAC = ["HS256"];
const SIGNATURES = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  ...["ES256", "ES384", "ES512", "EdDSA", "Ed25519"],
];
const TOKEN_LENGTH_MAX = 8_192;
const CLOCK_TOLERANCE_S = 5;
const FETCH_MS_MAX = 5_000;
/** How long keys are used before they are fetched again; a key that is not known is looked for sooner. */
const KEYS_MS = 10 * 60_000;
/** Between two looks for a key that is not known. */
const LOOK_AGAIN_MS = 30_000;
/** Addresses whose keys are kept. */
const ADDRESSES_MAX = 1_000;

interface Keys {
  readonly getKey: JWTVerifyGetKey;
  readonly algorithms: string[];
}

export function newJwtVerifier({ unseal, fetchKeys, clock }: JwtParts): VerifyJwt {
  const known = new WeakMap<JwtAuthorizer, Promise<Keys>>();
  const remote = new Map<string, JWTVerifyGetKey>();

  function fetched(url: string): JWTVerifyGetKey {
    const before = remote.get(url);
    if (before) return before;
    if (remote.size >= ADDRESSES_MAX) remote.clear();
    const getKey = createRemoteJWKSet(new URL(url), {
      timeoutDuration: FETCH_MS_MAX,
      cooldownDuration: LOOK_AGAIN_MS,
      cacheMaxAge: KEYS_MS,
      [customFetch]: async (address, { signal }) => {
        try {
          return await fetchKeys(address, { signal });
        } catch (cause) {
          throw unavailable(url, cause);
        }
      },
    });
    remote.set(url, getKey);
    return getKey;
  }

  async function keysOf({ keys, issuer }: JwtAuthorizer): Promise<Keys> {
    switch (keys.kind) {
      case "url":
        return { getKey: fetched(keys.url), algorithms: SIGNATURES };
      case "set":
        return { getKey: createLocalJWKSet({ keys: [...keys.keys] }), algorithms: SIGNATURES };
      case "secret": {
        const secret = await unseal(issuer, keys.sealed);
        if (secret === undefined) {
          throw new PlatformError(
            "AuthorizerUnavailable",
            `the secret for tokens of ${issuer} was sealed under another master.key; restore that, or set the secret again`,
          );
        }
        const bytes = Buffer.from(secret);
        return { getKey: async () => bytes, algorithms: HMAC };
      }
    }
  }

  return async (token, authorizer) => {
    if (token.length > TOKEN_LENGTH_MAX) throw invalid("the token is too long");
    let keys = known.get(authorizer);
    if (!keys) {
      keys = keysOf(authorizer);
      known.set(authorizer, keys);
      keys.catch(() => known.delete(authorizer));
    }
    const { getKey, algorithms } = await keys;
    const payload = await verified(token, getKey, {
      algorithms,
      issuer: authorizer.issuer,
      requiredClaims: ["exp"],
      clockTolerance: CLOCK_TOLERANCE_S,
      currentDate: new Date(clock.now()),
    });
    checkAudience(payload, authorizer.audience);
    return { claims: claimsOf(payload), scopes: checkedScopes(payload, authorizer.scopes) };
  };
}

async function verified(
  token: string,
  getKey: JWTVerifyGetKey,
  options: Parameters<typeof jwtVerify>[2],
): Promise<JWTPayload> {
  try {
    return (await jwtVerify(token, getKey, options)).payload;
  } catch (error) {
    if (error instanceof PlatformError) throw error;
    if (error instanceof errors.JWTExpired) throw invalid("the token has expired");
    if (error instanceof errors.JWTClaimValidationFailed)
      throw invalid(`the token's ${error.claim} does not fit`);
    // A set that does not come, or is none.
    const isKeysFault = error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid;
    if (isKeysFault || (error instanceof errors.JOSEError && error.code === "ERR_JOSE_GENERIC"))
      throw unavailable("", error);
    // Also what is not ours to tell apart: a bad signature, an unknown key, another algorithm, no token at all.
    if (error instanceof errors.JOSEError || error instanceof TypeError)
      throw invalid("the token is not valid");
    throw error;
  }
}

/** Access tokens of Cognito name their client instead of an audience. */
function checkAudience({ aud, client_id: client }: JWTPayload, audience: readonly string[]): void {
  const given = aud === undefined ? [client] : Array.isArray(aud) ? aud : [aud];
  if (!given.some((one) => typeof one === "string" && audience.includes(one)))
    throw invalid("the token's aud does not fit");
}

/** Those of the token, if the route asks for any. */
function checkedScopes(payload: JWTPayload, wanted: readonly string[]): readonly string[] | undefined {
  if (wanted.length === 0) return undefined;
  const said = payload.scp ?? payload.scope;
  const scopes = typeof said === "string" ? said.split(" ") : Array.isArray(said) ? said.map(String) : [];
  if (scopes.some((scope) => wanted.includes(scope))) return scopes;
  throw new PlatformError("Forbidden", `the token has none of the scopes ${wanted.join(", ")}`);
}

function claimsOf(payload: JWTPayload): [string, string][] {
  return Object.entries(payload).map(([name, value]) => [name, claimText(value)]);
}

function claimText(value: unknown): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return `[${value.map(claimText).join(" ")}]`;
  return JSON.stringify(value) ?? "";
}

function invalid(why: string): PlatformError {
  return new PlatformError("Unauthenticated", why);
}

function unavailable(url: string, cause: unknown): PlatformError {
  return new PlatformError("AuthorizerUnavailable", `the keys that tokens are checked with cannot be had`, {
    cause: new Error(`cannot fetch keys ${url}`, { cause }),
  });
}
