import type { FunctionName, RouteId } from "./ids.ts";
import type { Json } from "./json.ts";
import type { ProjectName } from "./project.ts";

/** Methods that a route may name; `ANY` stands for all. */
export const ROUTE_METHODS = ["ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"] as const;

export type RouteMethod = (typeof ROUTE_METHODS)[number];

/** What requests a route is for. No two routes have the same method, host and shape of path (route-path.ts). */
export interface RouteKey {
  /** Lower case, without port; undefined: every host that means nothing else. */
  readonly host: string | undefined;
  readonly method: RouteMethod;
  /** `/stock/{symbol}`, `/files/{proxy+}`; in normal form. */
  readonly path: string;
}

/** Where HTTP requests of the gateway lead, by method, host and path. */
export interface HttpRoute extends RouteKey {
  readonly id: RouteId;
  readonly action: RouteAction;
  readonly authorizer: Authorizer;
  /** Undefined: the function speaks for itself, preflights included. */
  readonly cors: CorsRules | undefined;
  readonly limit: RateLimit | undefined;
  readonly description: string;
  /** Set where it belongs to a project: it changes with that only. */
  readonly project?: ProjectName | undefined;
  readonly createdAt: number;
  readonly modifiedAt: number;
}

export type RouteAction = CallAction | ResponseAction;

export interface CallAction {
  readonly kind: "function";
  readonly functionName: FunctionName;
  /** Alias, number or `$LATEST`; looked up anew for each request. */
  readonly qualifier: string | undefined;
  /** How a handler is handed the request. */
  readonly payload: PayloadFormat;
  /** The request becomes an event, and is answered 202. */
  readonly isAsync: boolean;
  /** Cut off the path that the function sees; literal segments that the route begins with. */
  readonly stripPrefix: string | undefined;
  readonly stageVariables: Readonly<Record<string, string>>;
  /** What a handler gets in place of the request (route-event.ts). */
  readonly event: Json | undefined;
}

export const PAYLOAD_FORMATS = ["1.0", "2.0"] as const;

export type PayloadFormat = (typeof PAYLOAD_FORMATS)[number];

/** The same answer to everybody, without a function. */
export interface ResponseAction {
  readonly kind: "response";
  readonly status: number;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly body: string;
}

/** Who may call. */
export type Authorizer =
  | { readonly kind: "none" }
  /** A key of this installation with the scope `invoke` for the function. */
  | { readonly kind: "key" }
  | JwtAuthorizer;

export interface JwtAuthorizer {
  readonly kind: "jwt";
  readonly issuer: string;
  /** A token must be for at least one of them. */
  readonly audience: readonly string[];
  /** A token must have at least one of them, if there are any. */
  readonly scopes: readonly string[];
  readonly keys: JwtKeys;
}

export type JwtKeys =
  /** A JSON Web Key Set that is fetched. */
  | { readonly kind: "url"; readonly url: string }
  | { readonly kind: "set"; readonly keys: readonly Readonly<Record<string, unknown>>[] }
  /** For HS256, encrypted under the master key. */
  | { readonly kind: "secret"; readonly sealed: string };

/** What browsers are told about requests from other origins. */
export interface CorsRules {
  readonly origins: readonly string[];
  readonly methods: readonly string[];
  readonly headers: readonly string[];
  readonly exposed: readonly string[];
  readonly allowsCredentials: boolean;
  readonly maxAgeS: number | undefined;
}

/** A token bucket. */
export interface RateLimit {
  /** Tokens that come per second. */
  readonly perSecond: number;
  /** Tokens that there may be at once. */
  readonly burst: number;
  /** `route`: all callers share one bucket; `ip`: each address has its own. */
  readonly per: "route" | "ip";
}

/** `GET /stock/{symbol}`, AWS's route key. */
export function routeKeyText({ method, path }: Pick<RouteKey, "method" | "path">): string {
  return `${method} ${path}`;
}

/** With its host, for people. */
export function routeText(key: RouteKey): string {
  return `${routeKeyText(key)} on ${key.host ?? "any host"}`;
}
