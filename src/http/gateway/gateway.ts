/**
 * The gateway: function traffic, and nothing that could change anything.
 *
 *   listener ─► routing (host and path → function) ─► resolve (memory) ─► call (payload, invoke, response)
 *
 * Each request gets an invocation id, which is in its logs, in its events and in `x-amzn-requestid` of the answer.
 */
import { isPlatformError, PlatformError } from "../../core/errors.ts";
import { newInvocationId } from "../../core/ids.ts";
import { PAYLOAD_BYTES_MAX, TIMEOUT_MS_MAX } from "../../core/limits.ts";
import type { Release } from "../../core/release.ts";
import type { Target } from "../../registry/target.ts";
import { discardRest } from "../discard-rest.ts";
import { sendError, sendErrorBody, sendText } from "../error-response.ts";
import { answerHealth } from "../health.ts";
import { ignoreFurther, type Listener, listen } from "../listener.ts";
import type { HttpRequest, HttpResponse } from "../message.ts";
import { callFunction, callRaw } from "./call.ts";
import { Callers } from "./callers.ts";
import { sideOf } from "./canary-side.ts";
import { corsHeaders, isPreflight, preflightHeaders } from "./cors.ts";
import {
  type Addressed,
  type Arrival,
  type Exchange,
  type GatewayPorts,
  iamForbidden,
  provenanceOf,
  type ServingParts,
  verified,
} from "./exchange.ts";
import { checkOpenUrl, corsOf, resolveUrl } from "./function-url.ts";
import { FORMAT_V2 } from "./payload-v2.ts";
import { newReleaseAddresses, type ReleaseAddresses } from "./release-addresses.ts";
import { findInProject, mayBeProject, resolveRequested } from "./release-of-request.ts";
import { readBody } from "./request-body.ts";
import { headOf } from "./request-headers.ts";
import type { ReplyHeaders } from "./response-headers.ts";
import {
  type DirectRoute,
  newRouter,
  type Route,
  type RoutedRequest,
  type Router,
  routeByPath,
} from "./routing.ts";
import { serveUpgrade } from "./upgrade.ts";
import { urlRefusalOf } from "./url-refusal.ts";

export interface GatewayParts extends GatewayPorts {
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
  /** Which setting changes the address, for error messages. */
  readonly setting: string;
  /** Base domains below which each function has a host of its own, like `localhost`. */
  readonly domains: readonly string[];
  /** How long running calls may go on once the gateway is disposed. */
  readonly drainMs: number;
}

/** As `http/hooks/receive.ts` has it, which is loaded with the first delivery. */
const HOOKS_PATH = "/_hooks/";
/** A body may take as long as the longest call, and a little more. */
const REQUEST_MS_MAX = TIMEOUT_MS_MAX + 30_000;

export interface Gateway extends Listener {
  /** Where instances of a release reach it. */
  readonly releases: ReleaseAddresses;
}

const ALL_ADDRESSES = ["0.0.0.0", "::"];

/** @throws PlatformError of `listen`. */
export async function openGateway(parts: GatewayParts): Promise<Gateway> {
  const router = newRouter(parts.domains, parts.routes?.table);
  const callers = new Callers();
  const listenOn = (host: string, port: number, of: (request: HttpRequest) => ServingParts) =>
    listen({
      host,
      port,
      setting: parts.setting,
      log: parts.log,
      requestMsMax: REQUEST_MS_MAX,
      drainMs: parts.drainMs,
      handlesContinue: true,
      handler: (request, response) => serve(of(request), router, request, response),
      plainHandler: (request, response) => serve(of(request), router, request, response),
      onUpgrade: (request, socket, head) => serveUpgrade(of(request), router, request, socket, head),
    });
  const serving: ServingParts = { ...parts, callers };
  const isOnAll = ALL_ADDRESSES.includes(parts.host);
  const listener = await listenOn(parts.host, parts.port, (request) => {
    const caller = isOnAll ? releases.ofAddress(request.socket.localAddress) : undefined;
    return caller ? { ...serving, caller } : serving;
  });
  const releases = newReleaseAddresses({
    port: listener.address.port,
    isOnAll,
    listenOn(host, port, caller) {
      const within = { ...serving, caller };
      return listenOn(host, port, () => within);
    },
  });
  return {
    address: listener.address,
    releases,
    async [Symbol.asyncDispose]() {
      await Promise.all([listener[Symbol.asyncDispose](), releases[Symbol.asyncDispose]()]);
    },
  };
}

/** What goes wrong becomes the response. A promise more than has to be would cost a call as much as its routing. */
function serve(parts: ServingParts, router: Router, request: HttpRequest, response: HttpResponse): void {
  const invocationId = newInvocationId();
  const added = ["x-amzn-requestid", invocationId];
  const refuse = (error: unknown) => {
    if (response.destroyed || request.socket.destroyed) return;
    // Who sends what can be misread is not trusted with more on this connection.
    const closes = isPlatformError(error, "InvalidRequest");
    if (closes) ignoreFurther(request);
    discardRest(request);
    sendError(response, error, { log: parts.log, requestId: invocationId, headers: added, closes });
  };
  try {
    const head = headOf(request);
    const arrival = { request, response, invocationId, head, added };
    serveRoute(parts, arrival, router.route(request.url ?? "/", head.host)).catch(refuse);
  } catch (error) {
    refuse(error);
  }
}

function serveRoute(parts: ServingParts, arrival: Arrival, route: Route): Promise<void> {
  if (route.kind === "function") return serveFunction(parts, arrival, route);
  if (route.kind === "url") return serveUrl(parts, arrival, route);
  return route.kind === "own" ? serveOwn(parts, arrival, route.path) : serveRouted(parts, arrival, route);
}

async function serveRouted(parts: ServingParts, arrival: Arrival, route: RoutedRequest): Promise<void> {
  routedModule ??= await import("./routed.ts");
  const next = await routedModule.serveRouted(parts, arrival, route);
  if (next) await serveRoute(parts, arrival, next);
}

async function serveOwn(parts: ServingParts, arrival: Arrival, path: string): Promise<void> {
  const { request, response, head, invocationId } = arrival;
  if (parts.receiveHook && path.startsWith(HOOKS_PATH))
    await parts.receiveHook({ request, response, head, path, invocationId });
  else answerOwn(path, request, response);
}

/** What serves routes, loaded with the first request to a host that has any. */
let routedModule: typeof import("./routed.ts") | undefined;

type AddressOf<Kind extends DirectRoute["kind"]> = Extract<DirectRoute, { readonly kind: Kind }>;

/** Waits for nothing by itself: what most calls take must not cost a turn more. */
function serveFunction(parts: ServingParts, arrival: Arrival, route: AddressOf<"function">): Promise<void> {
  const isPlain = arrival.head.release === undefined && !parts.caller;
  const target = isPlain ? parts.functions.resolveCached(route.name, route.qualifier) : undefined;
  return target ? callAddressed(parts, arrival, route, target) : serveUnknown(parts, arrival, route);
}

/** A function that has to be looked up first, or that somebody may not call. */
async function serveUnknown(
  parts: ServingParts,
  arrival: Arrival,
  route: AddressOf<"function">,
): Promise<void> {
  const target = await targetOrProject(parts, arrival, route);
  // Otherwise it was a project's host, and the request has been answered as one to a function of it.
  if (target) await callAddressed(parts, arrival, route, target);
}

function callAddressed(
  parts: ServingParts,
  arrival: Arrival,
  route: AddressOf<"function">,
  target: Target,
): Promise<void> {
  const reply = { added: arrival.added, replacesCors: false };
  const exchange = exchangeOf(arrival, route, target, route.name, reply, false);
  return route.isRawInvoke ? callRaw(parts, exchange) : callFunction(parts, exchange);
}

async function serveUrl(parts: ServingParts, arrival: Arrival, route: AddressOf<"url">): Promise<void> {
  const { request, response, added } = arrival;
  try {
    await callUrl(parts, arrival, route);
  } catch (error) {
    const refusal = urlRefusalOf(error);
    if (!refusal) throw error;
    if (response.destroyed || request.socket.destroyed) return;
    discardRest(request);
    const headers = [...added, "x-amzn-errortype", refusal.errorType];
    sendErrorBody(response, refusal.status, refusal.body, headers);
  }
}

async function callUrl(parts: ServingParts, arrival: Arrival, route: AddressOf<"url">): Promise<void> {
  const { request, response, head, added } = arrival;
  const { target, url } = await resolveUrl(parts.functions, route.urlId);
  const cors = corsOf(url);
  if (cors) added.push(...corsHeaders(cors, head));
  if (cors && isPreflight(request.method, head)) {
    sendText(response, 200, "text/plain", "", [...added, ...preflightHeaders(cors, head)]);
    return;
  }
  const reply = { added, replacesCors: cors !== undefined };
  const isBuffered = url.invokeMode === "BUFFERED";
  const open = exchangeOf(arrival, route, target, route.urlId, reply, isBuffered);
  if (url.authType === "NONE") checkOpenUrl(parts.urlPermissions, target);
  await callFunction(parts, url.authType === "NONE" ? open : await signedExchange(parts, open));
}

/** The exchange of a request whose address names what it calls. */
function exchangeOf(
  { request, response, invocationId, head }: Arrival,
  route: Addressed,
  target: Target,
  apiId: string,
  reply: ReplyHeaders,
  isBuffered: boolean,
): Exchange {
  return {
    request,
    response,
    invocationId,
    head,
    route,
    target: target.canary ? sideOf(target, head, request) : target,
    apiId,
    format: FORMAT_V2,
    routed: undefined,
    isAsync: head.prefersAsync,
    reply,
    provenance: provenanceOf(request, head, route, invocationId),
    signed: undefined,
    isBuffered,
  };
}

/** What the address of a function leads to; undefined once it was served as that of a project. */
async function targetOrProject(
  parts: ServingParts,
  arrival: Arrival,
  route: Extract<DirectRoute, { readonly kind: "function" }>,
): Promise<Target | undefined> {
  try {
    return await resolveRequested(parts, arrival.head.release, route.name, route.qualifier);
  } catch (error) {
    const release = mayBeProject(error, route) ? await findInProject(parts, route) : undefined;
    if (!release) throw error;
    await serveProject(parts, arrival, route, release);
    return undefined;
  }
}

/** A request to `r12--PROJECT.DOMAIN`. */
async function serveProject(
  parts: ServingParts,
  arrival: Arrival,
  { path, query, host }: Extract<DirectRoute, { readonly kind: "function" }>,
  release: Release,
): Promise<void> {
  const within = { ...parts, caller: release };
  let inner: DirectRoute | undefined;
  if (release.routes.length > 0) {
    routedModule ??= await import("./routed.ts");
    const routed = routedModule.routedIn(release, { path, query, host });
    inner = await routedModule.serveRouted(within, arrival, routed);
    if (!inner) return;
  }
  inner ??= routeByPath(path, query, host);
  const names = release.functions.map(({ name }) => name);
  if (inner.kind === "function" && names.includes(inner.name)) {
    await serveFunction(within, arrival, inner);
    return;
  }
  throw new PlatformError(
    "RouteNotFound",
    `this is release ${release.number} of project ${release.project}; a function of it is at /NAME: ${names.join(", ")}`,
  );
}

/** The signature covers the body, so that is read first. */
async function signedExchange(parts: ServingParts, open: Exchange): Promise<Exchange> {
  if (!parts.verifySignature) throw iamForbidden();
  const { request, response, head, route, target } = open;
  const body = await readBody(request, response, head, PAYLOAD_BYTES_MAX);
  return { ...open, ...(await verified(parts.verifySignature, request, head, route, body, target)) };
}

const WELCOME = `This is the gateway of lambdad. It serves functions, each at

  http://NAME.localhost:PORT/any/path
  http://localhost:PORT/NAME/any/path

where NAME is a function's name, NAME:ALIAS or NAME:7 one of its versions.
"lambda list" shows the functions, "lambda deploy FOLDER" makes one.
`;

function answerOwn(path: string, request: HttpRequest, response: HttpResponse): void {
  if (path === "/_health") {
    answerHealth(request, response);
    return;
  }
  if (path === "/" && (request.method === "GET" || request.method === "HEAD")) {
    sendText(response, 200, "text/plain; charset=utf-8", WELCOME);
    return;
  }
  throw new PlatformError(
    "RouteNotFound",
    `there is nothing at ${request.method} ${path.slice(0, 80)}; a function is at /NAME`,
  );
}
