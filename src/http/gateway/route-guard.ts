/** Who may call by a route, and how often. */
import { PlatformError } from "../../core/errors.ts";
import type { HttpRoute } from "../../core/route.ts";
import type { Target } from "../../registry/target.ts";
import type { Arrival, GatewayRoutes } from "./exchange.ts";
import type { JwtFacts, SignedCaller } from "./http-event.ts";
import { RateLimits } from "./rate-limit.ts";
import { type RequestHead, withoutHeader } from "./request-headers.ts";

/** Whose request it is, as the function is told. */
export interface RouteCaller {
  /** Without the key; a token stays, as with AWS. */
  readonly head: RequestHead;
  readonly caller: SignedCaller | undefined;
  readonly jwt: JwtFacts | undefined;
}

/** Of this process. */
const limits = new RateLimits();

/**
 * `target` is undefined where the route answers by itself.
 *
 * @throws PlatformError `Unauthenticated`, `Forbidden`, `AuthorizerUnavailable`; `TooManyInvocations`, which only those who
 * may call get to see; `InvalidRequest` for credentials that could be read in two ways.
 */
export async function admitByRoute(
  routes: GatewayRoutes,
  { authorizer, limit }: HttpRoute,
  { head, added }: Pick<Arrival, "head" | "added">,
  target: Target | undefined,
  ip: string,
): Promise<RouteCaller> {
  const caller = await callerOf();
  if (limit) limits.take(limit, ip);
  return caller;

  async function callerOf(): Promise<RouteCaller> {
    switch (authorizer.kind) {
      case "none":
        return { head, caller: undefined, jwt: undefined };
      case "key": {
        const apiKey = onlyHeader(head, "x-api-key");
        const token = apiKey ?? bearerOf(head);
        if (token === undefined) {
          added.push("www-authenticate", "Bearer");
          throw missing("send a key: Authorization: Bearer ID.SECRET, or x-api-key: ID.SECRET");
        }
        const caller = await challenged(added, () => routes.authorizeKey(token, target));
        const hidden = apiKey === undefined ? "authorization" : "x-api-key";
        return { head: withoutHeader(head, hidden), caller, jwt: undefined };
      }
      case "jwt": {
        const token = bearerOf(head);
        if (token === undefined) {
          added.push("www-authenticate", "Bearer");
          throw missing("send a token: Authorization: Bearer TOKEN");
        }
        const jwt = await challenged(added, () => routes.verifyJwt(token, authorizer));
        return { head, caller: undefined, jwt };
      }
    }
  }
}

/** Says in the way of RFC 6750 what is wrong with what was sent. */
async function challenged<T>(added: string[], check: () => Promise<T>): Promise<T> {
  try {
    return await check();
  } catch (error) {
    if (error instanceof PlatformError) {
      if (error.code === "Unauthenticated") added.push("www-authenticate", 'Bearer error="invalid_token"');
      if (error.code === "Forbidden") added.push("www-authenticate", 'Bearer error="insufficient_scope"');
    }
    throw error;
  }
}

function bearerOf(head: RequestHead): string | undefined {
  const value = onlyHeader(head, "authorization");
  return value === undefined ? undefined : /^Bearer +(\S+) *$/i.exec(value)?.[1];
}

/** A function might read another one than we. @throws PlatformError `InvalidRequest` if there are several. */
function onlyHeader({ raw }: RequestHead, name: string): string | undefined {
  let found: string | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    if (raw[i]?.toLowerCase() !== name) continue;
    if (found !== undefined) throw new PlatformError("InvalidRequest", `more than one ${name} header`);
    found = raw[i + 1] ?? "";
  }
  return found;
}

function missing(what: string): PlatformError {
  return new PlatformError("Unauthenticated", `this route asks for credentials: ${what}`);
}
