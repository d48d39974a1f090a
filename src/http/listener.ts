/**
 * The strict edge of everything that listens: node:http with every limit set.
 *
 * Framing that can be read in two ways (Content-Length with Transfer-Encoding, two lengths, bare line feeds, folded
 * headers …) is answered 400 and the connection ends, as RFC 9112 section 6.3 asks, so that a proxy in front and we
 * never disagree about where a request ends.
 */
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from "node:http";
import net, { type AddressInfo, type ListenOptions, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type ErrorCode, PlatformError } from "../core/errors.ts";
import { newInvocationId } from "../core/ids.ts";
import { CONNECTIONS_MAX, HEADER_BYTES_MAX, HEADERS_MAX } from "../core/limits.ts";
import type { Log } from "../core/log.ts";
import { endWithError, errorBody, sendError, sendErrorBody } from "./error-response.ts";
import type { HttpRequest, HttpResponse } from "./message.ts";
import { nodeHttp } from "./node-http.ts";
import { PerIpLimit } from "./per-ip-limit.ts";
import { PlainConnection } from "./plain/plain-connection.ts";
import type { PlainRequest } from "./plain/plain-request.ts";
import { KEEP_ALIVE_S, type PlainResponse } from "./plain/plain-response.ts";
import { SharedReading } from "./plain/shared-reading.ts";

const HEADERS_MS_MAX = 10_000;
const CHECK_INTERVAL_MS = 2_000;
const CONNECTIONS_PER_IP_MAX = 200;
const REFUSAL_LOG_INTERVAL_MS = 10_000;

export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;
export type PlainHandler = (request: PlainRequest, response: PlainResponse) => void | Promise<void>;
/** Owns the socket from then on. `head` is what came after the request. */
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void | Promise<void>;

export interface ListenParts {
  /** Name or address, IPv6 without brackets. */
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
  /** Which setting changes the address, for error messages: `--gateway or LAMBDAD_GATEWAY`. */
  readonly setting: string;
  readonly log: Log;
  /** For a whole request to arrive. */
  readonly requestMsMax: number;
  /** How long running requests may go on once the listener is disposed. */
  readonly drainMs: number;
  /** A rejection, or a throw, is answered 500. */
  readonly handler: RequestHandler;
  /** Takes requests that came whole, whose reading costs less than node:http's; without it `handler` gets all. */
  readonly plainHandler?: PlainHandler;
  /** Without it an upgrade is handled as an ordinary request. */
  readonly onUpgrade?: UpgradeHandler;
  /** True if the handler itself calls `writeContinue` before it reads a body; otherwise that is done at once. */
  readonly handlesContinue?: boolean;
}

export interface Listener extends AsyncDisposable {
  /** As bound: the real port, never 0. */
  readonly address: Address;
  /**
   * Accepts no more, closes idle connections, waits for running requests up to `drainMs`, then cuts them. Safe to
   * call twice.
   */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Address {
  readonly host: string;
  readonly port: number;
  /** `127.0.0.1:8080`, `[::1]:8080`. */
  readonly authority: string;
  /** `http://` and the authority. */
  readonly url: string;
}

/**
 * Starts a listener.
 *
 * @throws PlatformError `PortInUse`; `ConfigurationInvalid` if the address cannot be bound for another reason.
 */
export async function listen(parts: ListenParts): Promise<Listener> {
  const server = nodeHttp.createServer(serverOptions(parts));
  // One more than allowed, so that a request with too many is seen as such.
  server.maxHeadersCount = HEADERS_MAX + 1;
  server.maxConnections = CONNECTIONS_MAX;
  const refusals = refusalLog(parts.log);
  const upgraded = new Set<Duplex>();
  const plain = new Set<PlainConnection>();

  const admit = limitedPerIp(refusals);
  if (parts.plainHandler) readPlainFirst(server, admit, parts.plainHandler, parts.log, plain);
  else server.on("connection", admit);
  server.on("request", guarded(parts));
  if (parts.handlesContinue) server.on("checkContinue", guarded(parts));
  server.on("clientError", answerParseError);
  server.on("drop", (facts) => refusals("the listener is full", facts?.remoteAddress));
  if (parts.onUpgrade) server.on("upgrade", guardedUpgrade(parts.onUpgrade, parts.log, upgraded));

  await bind(server, parts);
  const address = addressOf(server, parts.host);
  // After the start an `error` event is a failed accept (no descriptors left); the listener goes on.
  server.on("error", (error) => parts.log.error("cannot accept a connection", { error }));

  let closed: Promise<void> | undefined;
  return {
    address,
    [Symbol.asyncDispose]() {
      closed ??= drain(server, { upgraded, plain }, parts.drainMs);
      return closed;
    },
  };
}

/** `HOST:PORT`, with brackets around an IPv6 address. */
export function authorityOf(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

const refused = new WeakSet<Socket>();

/**
 * Of a connection that ends after the answer to `request`: what was sent in one piece with it never reaches the handler.
 */
export function ignoreFurther(request: HttpRequest): void {
  refused.add(request.socket);
}

function serverOptions(parts: ListenParts): ServerOptions {
  return {
    insecureHTTPParser: false,
    maxHeaderSize: HEADER_BYTES_MAX,
    headersTimeout: Math.min(HEADERS_MS_MAX, parts.requestMsMax),
    requestTimeout: parts.requestMsMax,
    keepAliveTimeout: KEEP_ALIVE_S * 1_000,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    noDelay: true,
    // `problemOf` asks for it, so that what follows a request without one is not served either.
    requireHostHeader: false,
    // `Upgrade: h2c` is an offer that we decline by answering over HTTP/1.1.
    shouldUpgradeCallback: (request) =>
      parts.onUpgrade !== undefined && request.headers.upgrade?.toLowerCase() !== "h2c",
  };
}

/** Has connections read by `PlainConnection` until something comes that is node:http's. */
function readPlainFirst(
  server: Server,
  admit: (socket: Socket) => boolean,
  plainHandler: PlainHandler,
  log: Log,
  open: Set<PlainConnection>,
): void {
  // node:http's own, which takes a socket at any time (documented for the event `connection`).
  const nodeListeners = server.listeners("connection");
  server.removeAllListeners("connection");
  const handler = answering(plainHandler, log);
  server.on("connection", (accepted) => {
    const reading = new SharedReading(accepted);
    const { socket } = reading;
    if (!admit(socket)) return;
    const connection = new PlainConnection({
      reading,
      handler,
      handOver: (socket) => {
        open.delete(connection);
        for (const listener of nodeListeners) listener.call(server, socket);
      },
    });
    open.add(connection);
    socket.once("close", () => open.delete(connection));
  });
}

/** Answers for a handler that fails. */
function answering<Request extends HttpRequest, Response extends HttpResponse>(
  handler: (request: Request, response: Response) => void | Promise<void>,
  log: Log,
): (request: Request, response: Response) => void {
  const fail = (response: Response, error: unknown) => {
    const requestId = newInvocationId();
    sendError(response, error, { log, requestId, headers: ["x-amzn-requestid", requestId] });
  };
  return (request, response) => {
    try {
      const handled = handler(request, response);
      if (handled instanceof Promise) handled.catch((error: unknown) => fail(response, error));
    } catch (error) {
      fail(response, error);
    }
  };
}

/** Refuses what the parser lets through though it is ambiguous or too much, and answers for a handler that fails. */
function guarded(parts: ListenParts): RequestHandler {
  const handler = answering(parts.handler, parts.log);
  return (request, response) => {
    if (refused.has(request.socket)) return;
    const problem = problemOf(request);
    if (problem) {
      ignoreFurther(request);
      refuse(response, problem);
      return;
    }
    handler(request, response);
  };
}

interface Refusal {
  readonly status: number;
  readonly code: ErrorCode;
  readonly message: string;
}

const UNREADABLE = refusal(400, "not a valid HTTP/1.1 request");
const AMBIGUOUS_FRAMING = refusal(
  400,
  "ambiguous length: send one Content-Length, or one Transfer-Encoding: chunked",
);
const AMBIGUOUS_HOST = refusal(400, "ambiguous address: send one Host header");
const TOO_MANY_HEADERS = refusal(
  431,
  `headers too large: at most ${HEADERS_MAX} headers and ${HEADER_BYTES_MAX} bytes are accepted`,
);

const PARSE_FAILURES: Readonly<Record<string, Refusal>> = {
  HPE_HEADER_OVERFLOW: TOO_MANY_HEADERS,
  ERR_HTTP_REQUEST_TIMEOUT: refusal(408, "the request took too long to arrive"),
};

function refusal(status: number, message: string): Refusal {
  return { status, code: "InvalidRequest", message };
}

/** What llhttp accepts and we do not: each can be read differently by a proxy in front of us. */
function problemOf(request: IncomingMessage): Refusal | undefined {
  const { rawHeaders } = request;
  if (rawHeaders.length > HEADERS_MAX * 2) return TOO_MANY_HEADERS;
  let hosts = 0;
  let lengths = 0;
  let encodings = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    // These lengths are rare among headers: nearly every one is passed over without a comparison of text.
    if (name.length === 4) hosts += name.toLowerCase() === "host" ? 1 : 0;
    else if (name.length === 14) lengths += name.toLowerCase() === "content-length" ? 1 : 0;
    else if (name.length === 17 && name.toLowerCase() === "transfer-encoding") {
      encodings++;
      // Another coding, or none, would leave the end of the body to be guessed.
      if (rawHeaders[i + 1]?.toLowerCase() !== "chunked" || request.httpVersion !== "1.1")
        return AMBIGUOUS_FRAMING;
    }
  }
  if (lengths + encodings > 1) return AMBIGUOUS_FRAMING;
  return hosts === 1 || (hosts === 0 && request.httpVersion === "1.0") ? undefined : AMBIGUOUS_HOST;
}

function refuse(response: ServerResponse, { status, code, message }: Refusal): void {
  const requestId = newInvocationId();
  const headers = ["x-amzn-requestid", requestId, "connection", "close"];
  sendErrorBody(response, status, errorBody(code, message, requestId), headers);
}

function guardedUpgrade(onUpgrade: UpgradeHandler, log: Log, upgraded: Set<Duplex>) {
  return (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    upgraded.add(socket);
    socket.once("close", () => upgraded.delete(socket));
    // Whoever reads the socket learns of its end by `close`; without a listener a reset would end the process.
    socket.on("error", () => undefined);
    const problem = problemOf(request);
    if (problem) {
      endWithError(socket, problem, newInvocationId());
      return;
    }
    const failed = (error: unknown) => {
      log.error("upgrade failed unexpectedly", { error });
      socket.destroy();
    };
    try {
      const handled = onUpgrade(request, socket, head);
      if (handled instanceof Promise) handled.catch(failed);
    } catch (error) {
      failed(error);
    }
  };
}

function answerParseError(error: NodeJS.ErrnoException, socket: Duplex): void {
  // An error page in the middle of a response would be taken for a part of it.
  if (error.code === "ECONNRESET" || hasBegunAnswer(socket)) {
    socket.destroy();
    return;
  }
  const failure = PARSE_FAILURES[error.code ?? ""] ?? UNREADABLE;
  endWithError(socket, failure, newInvocationId());
}

/** node:http keeps the response of a connection in `_httpMessage`; its own handler of parse errors asks the same. */
function hasBegunAnswer(socket: Duplex): boolean {
  const response = "_httpMessage" in socket ? socket._httpMessage : undefined;
  return response instanceof nodeHttp.ServerResponse && response.headersSent;
}

/** Ends connections of which one address has too many; false for these. */
function limitedPerIp(refused: (why: string, from: string | undefined) => void): (socket: Socket) => boolean {
  const limit = new PerIpLimit(CONNECTIONS_PER_IP_MAX);
  return (socket) => {
    const ip = socket.remoteAddress;
    if (ip === undefined) return true;
    if (limit.enter(ip)) {
      socket.once("close", () => limit.leave(ip));
      return true;
    }
    refused("too many connections from one address", ip);
    socket.destroy();
    return false;
  };
}

/** Logs refused connections, at most one line in ten seconds: a flood must not become a flood of lines. */
function refusalLog(log: Log): (why: string, from: string | undefined) => void {
  let unreported = 0;
  let lastAt = Number.NEGATIVE_INFINITY;
  return (why, from) => {
    unreported++;
    const now = performance.now();
    if (now - lastAt < REFUSAL_LOG_INTERVAL_MS) return;
    log.warn("connection refused", { why, from, count: unreported });
    unreported = 0;
    lastAt = now;
  };
}

async function bind(server: Server, parts: ListenParts): Promise<void> {
  const { host, port, setting } = parts;
  const wanted = authorityOf(host, port);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(placeOf(host, port), () => {
        server.off("error", reject);
        resolve();
      });
    });
  } catch (cause) {
    const reason = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    if (reason === "EADDRINUSE") {
      throw new PlatformError(
        "PortInUse",
        `cannot listen on ${wanted}: another program does; stop it, or set ${setting} to another HOST:PORT`,
        { cause },
      );
    }
    const remedy = reason === "EACCES" ? "ports below 1024 need privileges" : "is it this machine's address?";
    throw new PlatformError(
      "ConfigurationInvalid",
      `cannot listen on ${wanted} (${reason}): ${remedy} Set ${setting} to another HOST:PORT`,
      { cause },
    );
  }
}

/**
 * What to listen at. A host by name goes through the resolver, and node:net asks of all that comes back whether it is an IPv6
 * address of the link: the expression for that takes 20 ms to compile, a fifth of the daemon's start.
 */
function placeOf(host: string, port: number): ListenOptions {
  // Since Node 26.
  if (net.BoundSocket === undefined || !net.isIPv4(host)) return { host, port };
  return { handle: new net.BoundSocket({ host, port }) };
}

function addressOf(server: Server, host: string): Address {
  const bound = server.address();
  const port = isAddressInfo(bound) ? bound.port : 0;
  const authority = authorityOf(host, port);
  return { host, port, authority, url: `http://${authority}` };
}

function isAddressInfo(address: AddressInfo | string | null): address is AddressInfo {
  return typeof address === "object" && address !== null;
}

async function drain(
  server: Server,
  {
    upgraded,
    plain,
  }: { readonly upgraded: ReadonlySet<Duplex>; readonly plain: ReadonlySet<PlainConnection> },
  drainMs: number,
): Promise<void> {
  for (const connection of plain) connection.closeWhenIdle();
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // A connection becomes idle when its last answer is out; the server only closes those that are idle when asked.
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  const cut = setTimeout(() => {
    server.closeAllConnections();
    for (const socket of upgraded) socket.destroy();
    for (const connection of plain) connection.cut();
  }, drainMs);
  await closed;
  clearTimeout(cut);
  clearInterval(sweep);
}
