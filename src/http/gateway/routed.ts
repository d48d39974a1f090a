/**
 * Requests to hosts that have routes: finds the route, and calls what it leads to. Loaded with the first of them.
 *
 *   path in normal form ─► route ─► preflight? ─► who calls ─► how often ─► function, as its action says
 */
import { assert } from "../../core/assert.ts";
import { PlatformError } from "../../core/errors.ts";
import { newRouteId } from "../../core/ids.ts";
import type { Release } from "../../core/release.ts";
import {
  type CallAction,
  type HttpRoute,
  type ResponseAction,
  type RouteMethod,
  routeKeyText,
} from "../../core/route.ts";
import { type FoundRoute, newRouteMatcher } from "../../core/route-matcher.ts";
import { parseRequestPath, parseRoutePath, type RequestPath } from "../../core/route-path.ts";
import { resolveWithin } from "../../registry/siblings.ts";
import type { Target } from "../../registry/target.ts";
import { discardRest } from "../discard-rest.ts";
import type { HttpResponse } from "../message.ts";
import { callFunction } from "./call.ts";
import { sideOf } from "./canary-side.ts";
import { corsHeaders, isPreflight, preflightHeaders, preflightMethod } from "./cors.ts";
import {
  type Addressed,
  type Arrival,
  type GatewayRoutes,
  provenanceOf,
  type ServingParts,
  sourceIpOf,
} from "./exchange.ts";
import type { HandlerFormat, RoutedFacts } from "./http-event.ts";
import { mappedFormat } from "./mapped-event.ts";
import { FORMAT_V1 } from "./payload-v1.ts";
import { FORMAT_V2 } from "./payload-v2.ts";
import { resolveRequested } from "./release-of-request.ts";
import type { RequestHead } from "./request-headers.ts";
import { isBodiless } from "./response-headers.ts";
import { admitByRoute, type RouteCaller } from "./route-guard.ts";
import { type DirectRoute, type RoutedRequest, routeByPath } from "./routing.ts";

/**
 * Answers the request, or gives where else it leads.
 *
 * @throws PlatformError `InvalidRequest` for a path that could be read in two ways, `RouteNotFound`, `MethodNotAllowed`;
 * `FunctionNotFound` and the like for what the route leads to; those of `callFunction`.
 */
export async function serveRouted(
  parts: ServingParts,
  arrival: Arrival,
  routed: RoutedRequest,
): Promise<DirectRoute | undefined> {
  const { request, response, head, added, invocationId } = arrival;
  const method = request.method ?? "GET";
  const path = parseRequestPath(routed.path);
  if (isPreflight(method, head) && answerPreflight(arrival, routed, path)) return undefined;
  const found = findRoute(routed, method, path, added);
  if (!found) return orElse(routed);

  const { route } = found;
  const { action, cors } = route;
  // Before anything that may fail: a page may read why it was refused.
  if (cors) added.push(...corsHeaders(cors, head));
  const drawn = action.kind === "function" ? await targetOfRoute(parts, action, head) : undefined;
  const target = drawn && sideOf(drawn, head, request);
  const admitted = await admitByRoute(routesOf(parts), route, arrival, target, sourceIpOf(request));
  if (action.kind === "response") {
    discardRest(request);
    sendFixed(response, action, added);
    return undefined;
  }
  assert(target, "a route that calls a function has one");
  const address = addressFor(action, routed, path);
  await callFunction(parts, {
    request,
    response,
    invocationId,
    head: admitted.head,
    route: address,
    target,
    apiId: route.host ?? "default",
    format: formatOf(action),
    routed: factsOf(found, routesOf(parts), admitted),
    isAsync: action.isAsync,
    reply: { added, replacesCors: cors !== undefined },
    provenance: provenanceOf(request, head, address, invocationId),
    signed: undefined,
    isBuffered: false,
  });
  return undefined;
}

/**
 * Answers a preflight if the route of the request that is to follow has rules for it. Who may call is not asked: browsers
 * send no credentials with it.
 */
function answerPreflight(
  { request, response, head, added }: Arrival,
  { routes }: RoutedRequest,
  path: RequestPath,
): boolean {
  const method = preflightMethod(head) ?? "";
  const { own, anyHost } = routes;
  const found = own?.find(method, path, new Set()) ?? anyHost?.find(method, path, new Set());
  const cors = found?.route.cors;
  if (!cors) return false;
  discardRest(request);
  response.writeHead(204, [...added, ...corsHeaders(cors, head), ...preflightHeaders(cors, head)]);
  response.end();
  return true;
}

/** A request to a release: its own routes, whatever host they are for, then its functions by their path. */
export function routedIn(
  { project, routes }: Release,
  { path, query, host }: { readonly path: string; readonly query: string; readonly host: string },
): RoutedRequest {
  const own = newRouteMatcher(
    routes.map((route) => ({ ...route, id: newRouteId(), project, createdAt: 0, modifiedAt: 0 })),
  );
  const orElse = () => routeByPath(path, query, host);
  return { kind: "routed", routes: { own, anyHost: undefined }, path, query, host, orElse };
}

/** An upgraded connection that a route leads to a function. */
export interface AdmittedUpgrade {
  readonly kind: "admitted";
  /** As the function is to see it. */
  readonly head: RequestHead;
  readonly address: Addressed;
  readonly target: Target;
}

/** The same for an upgrade, of which only the beginning is a request. @throws PlatformError as `serveRouted`. */
export async function admitUpgrade(
  parts: ServingParts,
  method: string,
  head: RequestHead,
  ip: string,
  routed: RoutedRequest,
): Promise<AdmittedUpgrade | DirectRoute> {
  const path = parseRequestPath(routed.path);
  const found = findRoute(routed, method, path, []);
  if (!found) return orElse(routed);
  const { action } = found.route;
  if (action.kind === "response" || action.isAsync) {
    throw new PlatformError("InvalidRequest", "what this route answers with cannot be upgraded");
  }
  const target = await targetOfRoute(parts, action, head);
  const admitted = await admitByRoute(routesOf(parts), found.route, { head, added: [] }, target, ip);
  return { kind: "admitted", head: admitted.head, address: addressFor(action, routed, path), target };
}

/** Undefined if no route has the path. Methods that are allowed go into `added`. */
export function findRoute(
  routed: RoutedRequest,
  method: string,
  path: RequestPath,
  added: string[],
): FoundRoute | undefined {
  const { own, anyHost } = routed.routes;
  const allowed = new Set<RouteMethod>();
  // However it is spelled, what begins with _ is ours, and never somebody's catch-all.
  const isOurs = path.segments[0]?.startsWith("_");
  const found = isOurs
    ? undefined
    : (own?.find(method, path, allowed) ?? anyHost?.find(method, path, allowed));
  if (found) return found;
  if (allowed.size > 0) {
    const methods = [...allowed].sort().join(", ");
    added.push("allow", methods);
    throw new PlatformError("MethodNotAllowed", `${method} is not allowed here, but ${methods}`);
  }
  if (!isOurs) return undefined;
  throw new PlatformError("RouteNotFound", `there is nothing at ${routed.path.slice(0, 80)}`);
}

function orElse(routed: RoutedRequest): DirectRoute {
  if (routed.orElse) return routed.orElse();
  throw new PlatformError("RouteNotFound", `no route for ${routed.path.slice(0, 80)}`);
}

/** @throws PlatformError `FunctionNotFound`, `AliasNotFound`, `VersionNotFound`. */
async function targetOfRoute(
  parts: ServingParts,
  { functionName, qualifier }: CallAction,
  { release }: Pick<RequestHead, "release">,
): Promise<Target> {
  if (release !== undefined || parts.caller)
    return await resolveRequested(parts, release, functionName, qualifier);
  const { functions, caller } = parts;
  // Instances of a release call within it. Others cannot choose: a route says what it leads to.
  return (
    (caller ? undefined : functions.resolveCached(functionName, qualifier)) ??
    (await resolveWithin(functions, caller, functionName, qualifier))
  );
}

/** The address as the function is to see it. */
export function addressFor(
  { stripPrefix }: CallAction,
  { path, query, host }: RoutedRequest,
  { raw, ending }: RequestPath,
): Addressed {
  if (stripPrefix === undefined) return { path, query, host };
  const cut = parseRoutePath(stripPrefix).length;
  const rest = raw.slice(cut).join("/");
  const prefix = `/${raw.slice(0, cut).join("/")}`;
  return { path: `/${rest}${rest === "" ? "" : ending}`, query, host, prefix };
}

/** The length is that of the body, also where the method or the status keeps it from being sent. */
function sendFixed(response: HttpResponse, action: ResponseAction, added: readonly string[]): void {
  const { status, headers, body } = action;
  const length = isBodiless(status) ? [] : ["content-length", String(Buffer.byteLength(body))];
  response.writeHead(status, [...headers, ...length, ...added]);
  response.end(isBodiless(status) ? undefined : body);
}

function formatOf({ payload, event }: CallAction): HandlerFormat {
  if (event !== undefined) return mappedFormat(event);
  return payload === "1.0" ? FORMAT_V1 : FORMAT_V2;
}

function routesOf({ routes }: ServingParts): GatewayRoutes {
  assert(routes, "there is a table of routes where a route was found");
  return routes;
}

function factsOf(
  { route, parameters }: FoundRoute,
  { account }: GatewayRoutes,
  { caller, jwt }: RouteCaller,
): RoutedFacts {
  return {
    key: routeKeyText(route),
    resource: route.path,
    parameters,
    stageVariables: stageVariablesOf(route),
    accountId: account,
    caller,
    jwt,
  };
}

function stageVariablesOf({ action }: HttpRoute): [string, string][] {
  return action.kind === "function" ? Object.entries(action.stageVariables) : [];
}
