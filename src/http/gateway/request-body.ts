import type { IncomingMessage } from "node:http";
import { PlatformError } from "../../core/errors.ts";
import type { HttpRequest, HttpResponse } from "../message.ts";
import { PlainRequest } from "../plain/plain-request.ts";
import type { RequestHead } from "./request-headers.ts";

/** A client that sends nothing for so long in the middle of a body is cut off. */
const BODY_STALL_MS_MAX = 30_000;

export function hasBody(head: RequestHead): boolean {
  return head.isChunked || (head.contentLength ?? 0) > 0;
}

/**
 * Reads a whole body; undefined if there is none, or an empty one.
 *
 * @throws PlatformError `PayloadTooLarge`, at once where the length is announced; `CallerGone`.
 */
export async function readBody(
  request: HttpRequest,
  response: HttpResponse,
  head: RequestHead,
  bytesMax: number,
): Promise<Buffer | undefined> {
  if (!hasBody(head)) return undefined;
  if ((head.contentLength ?? 0) > bytesMax) throw tooLarge(bytesMax);
  if (request instanceof PlainRequest) return request.body;
  if (head.wantsContinue) response.writeContinue();
  // Once the parser is through with what the socket gave it, a small body is nearly always there.
  await undefined;
  if (request.complete) {
    const body: Buffer | null = request.read();
    if (body && body.byteLength > bytesMax) throw tooLarge(bytesMax);
    return body ?? undefined;
  }
  return await collect(request, bytesMax);
}

function collect(request: IncomingMessage, bytesMax: number): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    // The server destroys a socket on its timeout; each byte that moves sets it anew.
    request.socket.setTimeout(BODY_STALL_MS_MAX);

    function settle(): void {
      request.socket.setTimeout(0);
      request.off("data", onData).off("end", onEnd).off("close", onClose);
    }
    function onData(chunk: Buffer): void {
      bytes += chunk.byteLength;
      if (bytes > bytesMax) {
        settle();
        reject(tooLarge(bytesMax));
        return;
      }
      chunks.push(chunk);
    }
    function onEnd(): void {
      settle();
      resolve(bytes === 0 ? undefined : Buffer.concat(chunks));
    }
    function onClose(): void {
      settle();
      reject(callerGone());
    }
    request.on("data", onData).on("end", onEnd).on("close", onClose);
    // It may have ended before anybody listened.
    if (request.destroyed && !request.complete) onClose();
  });
}

/** A body as it comes, with backpressure; does not touch the connection when its reader stops early. */
export async function* streamBody(
  request: HttpRequest,
  response: HttpResponse,
  head: RequestHead,
): AsyncGenerator<Uint8Array> {
  if (request instanceof PlainRequest) {
    if (request.body) yield request.body;
    return;
  }
  if (head.wantsContinue) response.writeContinue();
  try {
    yield* request.iterator({ destroyOnReturn: false });
  } catch {
    // The only way in which reading a request fails is that its connection is gone.
    throw callerGone();
  }
}

export function callerGone(): PlatformError {
  return new PlatformError("CallerGone", "the caller went away before the answer");
}

function tooLarge(bytesMax: number): PlatformError {
  return new PlatformError("PayloadTooLarge", `the request body is larger than ${bytesMax} bytes`);
}
