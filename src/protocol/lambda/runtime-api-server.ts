/**
 * The Lambda Runtime API, version 2018-06-01, as the program in one sandbox finds it at `AWS_LAMBDA_RUNTIME_API`:
 *
 *   GET  /2018-06-01/runtime/invocation/next            long poll, as long as it takes: an event and its headers
 *   POST /2018-06-01/runtime/invocation/{id}/response   202; the body is the result
 *   POST /2018-06-01/runtime/invocation/{id}/error      202; the body is the error as JSON
 *   POST /2018-06-01/runtime/init/error                 202; instead of the first `next`
 *   GET  /2018-06-01/ping                               200
 *
 * Extensions are served here, too (extension-host.ts).
 *
 * An invocation is over when the program asks for `next` again. Calls in the wrong state get 403, unknown ids 400.
 * https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
 *
 * The client is hostile code. What it can spend here is bounded by its connections (and by its function's timeout); it
 * shares this server with nobody, so slow requests hurt only itself and need no timers of ours.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { HEADERS_MAX } from "../../core/limits.ts";
import type { ExtensionHost } from "./extension-host.ts";
import type { RuntimeApiSession } from "./runtime-api-session.ts";
import { jsonText, refuse } from "./runtime-api-wire.ts";

/** Clients may describe an error in a header of up to 64 KiB (`Lambda-Runtime-Function-XRay-Error-Cause`). */
const HEADER_BYTES_MAX = 80 * 1024;
const CONNECTIONS_MAX = 64;

const INVOCATION_PATH = /^\/2018-06-01\/runtime\/invocation\/([^/]+)\/(response|error)$/;

/** A server without a listener: it serves the connections it is given. */
export class RuntimeApiServer implements AsyncDisposable {
  readonly #session: RuntimeApiSession;
  readonly #extensions: ExtensionHost;
  readonly #server: Server;
  readonly #sockets = new Set<Duplex>();

  constructor(session: RuntimeApiSession, extensions: ExtensionHost) {
    this.#session = session;
    this.#extensions = extensions;
    this.#server = createServer(
      // A handler may work for minutes between `next` and `response`; the connection must wait for it.
      { maxHeaderSize: HEADER_BYTES_MAX, keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 },
      (request, response) => this.#route(request, response),
    );
    this.#server.maxHeadersCount = HEADERS_MAX;
    this.#server.on("clientError", refuseMalformed);
  }

  accept(socket: Duplex): void {
    if (this.#sockets.size >= CONNECTIONS_MAX) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    // A client that ends its side too early still gets to read what was wrong.
    socket.allowHalfOpen = true;
    socket.once("close", () => this.#sockets.delete(socket));
    this.#server.emit("connection", socket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
  }

  #route(request: IncomingMessage, response: ServerResponse): void {
    // Whoever asked may be gone before our answer is: nobody is left to be told.
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    const path = request.url?.split("?", 1)[0] ?? "";
    const invocation = INVOCATION_PATH.exec(path);
    if (invocation?.[1] && request.method === "POST") {
      const answer = invocation[2] === "response" ? "respond" : "fail";
      void this.#session[answer](invocation[1], request, response);
      return;
    }
    if (this.#extensions.route(request, response, path)) return;
    switch (`${request.method} ${path}`) {
      case "GET /2018-06-01/runtime/invocation/next":
        request.resume();
        this.#session.next(response);
        break;
      case "POST /2018-06-01/runtime/init/error":
        void this.#session.failInit(request, response);
        break;
      case "GET /2018-06-01/runtime/restore/next":
        this.#session.refuse("RestoreReady", request, response);
        break;
      case "POST /2018-06-01/runtime/restore/error":
        this.#session.refuse("RestoreError", request, response);
        break;
      case "GET /2018-06-01/ping":
        request.resume();
        response.end("pong");
        break;
      default:
        request.resume();
        refuse(response, 404, "NotFound", `the Runtime API has no ${request.method} ${path}`);
    }
  }
}

/** For what the HTTP parser refuses; a body that ends early is the one case that the API has words for. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const isTruncated = error.code === "HPE_INVALID_EOF_STATE";
  const text = jsonText({
    errorMessage: isTruncated ? "the request ended before its body did" : "not an HTTP/1.1 request",
    errorType: isTruncated ? "TruncatedHTTPRequest" : "InvalidRequest",
  });
  socket.end(
    "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n" +
      `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}
