import { PlatformError } from "../../core/errors.ts";
import type { InvocationId } from "../../core/ids.ts";
import type { Log } from "../../core/log.ts";
import type { ReleaseRef } from "../../core/project.ts";
import type { Release } from "../../core/release.ts";
import type { Invocations } from "../../invoker/invocations.ts";
import type { Functions } from "../../registry/functions.ts";
import type { RoutesByHost } from "../../registry/route-table.ts";
import type { Target } from "../../registry/target.ts";
import type { EventIntake } from "../event-intake.ts";
import type { ReceiveHook } from "../hooks/hook-request.ts";
import type { HttpRequest, HttpResponse } from "../message.ts";
import type { Callers } from "./callers.ts";
import type { HandlerFormat, RoutedFacts, SignedCaller } from "./http-event.ts";
import type { VerifyJwt } from "./jwt.ts";
import { type Provenance, type RequestHead, withoutHeader } from "./request-headers.ts";
import type { ReplyHeaders } from "./response-headers.ts";

/** What the gateway works with. */
export interface GatewayPorts {
  readonly log: Log;
  readonly functions: Pick<Functions, "resolve" | "resolveCached" | "findByUrlId">;
  readonly invocations: Invocations;
  /** Whether callers may read what a function says of its errors; for listeners on loopback. */
  readonly showFunctionErrors: boolean;
  /** Takes calls that nobody waits for; without it `Prefer: respond-async` is refused. */
  readonly events: EventIntake | undefined;
  /** Checks requests to function URLs with AWS_IAM; without it they are refused. */
  readonly verifySignature: VerifySignature | undefined;
  readonly urlPermissions: UrlPermissions;
  /** Answers what comes to addresses below `/_hooks/`; without it there are none. */
  readonly receiveHook?: ReceiveHook | undefined;
  /** Releases of projects by their number. */
  readonly findRelease: (release: ReleaseRef) => Promise<Release | undefined>;
  /** Where routes lead; without it there are none. */
  readonly routes: GatewayRoutes | undefined;
}

export interface GatewayRoutes {
  readonly table: RoutesByHost;
  /** Twelve digits. */
  readonly account: string;
  readonly authorizeKey: AuthorizeKey;
  readonly verifyJwt: VerifyJwt;
}

/**
 * Checks a key `ID.SECRET`; `target` is what it is to call, if anything.
 *
 * @throws PlatformError `Unauthenticated`, `Forbidden`.
 */
export type AuthorizeKey = (token: string, target: Target | undefined) => Promise<SignedCaller>;

/** @throws PlatformError `SignatureInvalid`, `Unauthenticated`, `Forbidden`. */
export type VerifySignature = (request: {
  readonly method: string;
  readonly path: string;
  /** Without `?`. */
  readonly query: string;
  readonly rawHeaders: readonly string[];
  readonly body: Uint8Array;
  /** What the URL calls. */
  readonly target: Target;
}) => Promise<SignedCaller>;

/**
 * Which statements the resource policy of a function must have for calls by its URL: none (`off`), as AWS asked for until
 * October 2025 `lambda:InvokeFunctionUrl` (`required`), or since then `lambda:InvokeFunction` as well (`both`).
 */
export type UrlPermissions = "off" | "required" | "both";

/** A request whose headers have been read. */
export interface Arrival {
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly invocationId: InvocationId;
  readonly head: RequestHead;
  /** What every answer to it has: names and values in turn. It grows on the way. */
  readonly added: string[];
}

/** One request on its way to a function. */
export interface Exchange {
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly invocationId: InvocationId;
  readonly head: RequestHead;
  readonly route: Addressed;
  readonly target: Target;
  /** Id of the function URL, the function's name, or the host of a route. */
  readonly apiId: string;
  /** How a handler is handed the request, and what it returns is read. */
  readonly format: HandlerFormat;
  /** Of the route that it came by. */
  readonly routed: RoutedFacts | undefined;
  /** It becomes an event, and is answered 202. */
  readonly isAsync: boolean;
  readonly reply: ReplyHeaders;
  readonly provenance: Provenance;
  /** Set on a signed request, whose body has been read by then. */
  readonly signed: SignedRequest | undefined;
  /** The response is sent when the function has ended. */
  readonly isBuffered: boolean;
}

/** What a function is told of the address that led to it. */
export interface Addressed {
  readonly path: string;
  /** Without `?`; empty if there is none. */
  readonly query: string;
  readonly host: string;
  /** What was cut off the path. */
  readonly prefix?: string;
}

export interface SignedRequest {
  readonly caller: SignedCaller;
  readonly body: Buffer | undefined;
}

export interface ServingParts extends GatewayPorts {
  /** The release that requests come out of: that of the address that is listened on. */
  readonly caller?: ReleaseRef | undefined;
  readonly callers: Callers;
}

/** Our own words on where a request came from. */
export function provenanceOf(
  request: HttpRequest,
  head: RequestHead,
  route: Addressed,
  invocationId: InvocationId,
): Provenance {
  const receivedAt = Date.now();
  return {
    receivedAt,
    sourceIp: sourceIpOf(request),
    port: request.socket.localPort ?? 0,
    traceId: head.traceId ?? newTraceId(invocationId, receivedAt),
    prefix: route.prefix ?? "",
  };
}

/** Path and query as the function is to see them. */
export function targetOf(route: Addressed): string {
  return route.query === "" ? route.path : `${route.path}?${route.query}`;
}

/**
 * Checks who signed a request, and hides the signature from the function.
 *
 * @throws PlatformError of `VerifySignature`; `Forbidden` if signatures cannot be checked here.
 */
export async function verified(
  verify: VerifySignature | undefined,
  request: HttpRequest,
  head: RequestHead,
  route: Addressed,
  body: Buffer | undefined,
  target: Target,
): Promise<{ readonly head: RequestHead; readonly signed: SignedRequest }> {
  if (!verify) throw iamForbidden();
  const caller = await verify({
    method: request.method ?? "GET",
    path: route.path,
    query: route.query,
    rawHeaders: request.rawHeaders,
    body: body ?? new Uint8Array(0),
    target,
  });
  return { head: withoutHeader(head, "authorization"), signed: { caller, body } };
}

export function iamForbidden(): PlatformError {
  return new PlatformError(
    "Forbidden",
    "this function URL asks for AWS_IAM signatures, which this server does not check; give the URL AuthType NONE",
  );
}

export function sourceIpOf(request: HttpRequest): string {
  const address = request.socket.remoteAddress ?? "";
  return address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
}

/** The id's own digits are as good as new random ones. */
function newTraceId(invocationId: InvocationId, at: number): string {
  const second = Math.floor(at / 1_000);
  if (second !== rootOfSecond.second) rootOfSecond = { second, text: `Root=1-${second.toString(16)}-` };
  return `${rootOfSecond.text}${invocationId.slice(24)}${invocationId.slice(0, 8)}${invocationId.slice(9, 13)};Sampled=0`;
}

/** What trace ids begin with; made once a second. */
let rootOfSecond = { second: -1, text: "" };
