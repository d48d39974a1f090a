import type { IncomingMessage, ServerResponse } from "node:http";
import type { Call, InvocationOutcome, ResponseHead, ResponseSink } from "../../core/invocation.ts";
import { RESPONSE_BYTES_MAX } from "../../core/limits.ts";
import {
  HEADER,
  INTEGRATION_RESPONSE,
  knownErrorType,
  platformError,
  receive,
  refuse,
} from "./runtime-api-wire.ts";

/** Where the body of a `response` goes. */
export interface Receiver {
  readonly bytesMax: number;
  take(chunk: Uint8Array): Promise<void> | void;
  isStreamed(): boolean;
  /** The body is whole. */
  finish(): InvocationOutcome;
}

/**
 * What a streamed response begins with; undefined for a plain payload. Rust and Node say so in a header; Go never does
 * and sends everything in chunks, so the content type must tell.
 */
export function streamHead(request: IncomingMessage): ResponseHead | undefined {
  const contentType = request.headers["content-type"] ?? "application/octet-stream";
  const isStream =
    request.headers[HEADER.mode] === "streaming" ||
    contentType.startsWith(INTEGRATION_RESPONSE) ||
    (contentType === "application/octet-stream" && request.headers["transfer-encoding"] !== undefined);
  return isStream ? { kind: "raw", contentType } : undefined;
}

/** A stream goes on to the caller if the caller takes one; all else is collected. */
export function receiverFor(call: Call, head: ResponseHead | undefined, signal: AbortSignal): Receiver {
  if (!head || !call.sink) return collect(head);
  return { ...passOn(call.sink, head, signal), bytesMax: call.streamBytesMax };
}

function collect(head: ResponseHead | undefined): Receiver {
  const chunks: Uint8Array[] = [];
  return {
    bytesMax: RESPONSE_BYTES_MAX,
    take(chunk) {
      chunks.push(chunk);
    },
    isStreamed: () => false,
    finish() {
      const [only] = chunks;
      const payload = only && chunks.length === 1 ? only : Buffer.concat(chunks);
      return { kind: "returned", payload, head, isStreamed: false };
    },
  };
}

function passOn(sink: ResponseSink, head: ResponseHead, signal: AbortSignal): Omit<Receiver, "bytesMax"> {
  let hasStarted = false;
  const start = () => {
    if (!hasStarted) sink.start(head);
    hasStarted = true;
  };
  return {
    async take(chunk) {
      // A caller that has given up must not be written to any more.
      if (signal.aborted) return;
      start();
      if (!sink.write(chunk)) await sink.drained();
    },
    isStreamed: () => hasStarted,
    finish() {
      if (!signal.aborted) start();
      return { kind: "returned", payload: new Uint8Array(), head, isStreamed: hasStarted };
    },
  };
}

/**
 * The error of a response that went wrong after its first byte. Trailers are read on every response: aws-lambda-go
 * announces them on every one and sets them when it fails.
 */
export function failureInTrailers(
  request: IncomingMessage,
  isStreamed: boolean,
): InvocationOutcome | undefined {
  const type = request.trailers[HEADER.errorType];
  const body = request.trailers[HEADER.errorBody];
  if (type === undefined && body === undefined) return undefined;
  const errorType = knownErrorType(type);
  const payload = body
    ? Buffer.from(body, "base64")
    : platformError(errorType, "the runtime ended its response with an error and no description");
  return { kind: "threw", payload, errorType, isStreamed };
}

/** The body of an `error` call; answers 413 itself where that is due. */
export async function readError(
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Uint8Array | "too-large" | "truncated"> {
  const chunks: Uint8Array[] = [];
  const end = await receive(
    request,
    RESPONSE_BYTES_MAX,
    (chunk) => void chunks.push(chunk),
    () => refuseSize(response, RESPONSE_BYTES_MAX),
  );
  return end === "complete" ? Buffer.concat(chunks) : end;
}

export function refuseSize(response: ServerResponse, bytesMax: number): void {
  const message = `Exceeded maximum allowed payload size (${bytesMax} bytes).`;
  refuse(response, 413, "RequestEntityTooLarge", message);
}

export function tooLarge(bytesMax: number, isStreamed: boolean): InvocationOutcome {
  const message = `Response payload size exceeded maximum allowed payload size (${bytesMax} bytes).`;
  return platformOutcome("Function.ResponseSizeTooLarge", message, isStreamed);
}

export function platformOutcome(errorType: string, message: string, isStreamed: boolean): InvocationOutcome {
  return { kind: "threw", payload: platformError(errorType, message), errorType, isStreamed };
}
