/** Calls a function with a request in the way it is written, and turns its outcome into the response. */
import { isUtf8 } from "node:buffer";
import { assert } from "../../core/assert.ts";
import { PlatformError } from "../../core/errors.ts";
import type { CallInput, InvocationOutcome, RequestInput, ResponseSink } from "../../core/invocation.ts";
import { EVENT_PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MAX } from "../../core/limits.ts";
import type { InvocationResult } from "../../invoker/invocations.ts";
import { rawOutcome } from "../../invoker/raw-outcome.ts";
import { discardRest } from "../discard-rest.ts";
import { errorBody, sendErrorBody, sendJson } from "../error-response.ts";
import { parseIdempotencyKey } from "../event-intake.ts";
import type { HttpResponse } from "../message.ts";
import { rawInput } from "../raw-invoke.ts";
import { type Exchange, type ServingParts, targetOf } from "./exchange.ts";
import { type Failure, failureOf, invalidResponse } from "./function-failure.ts";
import type { HttpEvent } from "./http-event.ts";
import { callerGone, hasBody, readBody, streamBody } from "./request-body.ts";
import { forwardedHeaders, headerOf, provenanceHeaders } from "./request-headers.ts";
import { BufferedResponse } from "./response-buffer.ts";
import { InvalidFunctionResponse, isBodiless } from "./response-headers.ts";
import { StreamedResponse, WRITE_STALL_MS_MAX } from "./response-sink.ts";

/** Smaller bodies are read before the call: a client that trickles must not occupy an instance. */
const STREAMED_BODY_BYTES_MIN = 64 * 1024;
/** What the kernel takes at once; a larger answer may have to wait for its reader. */
const UNWATCHED_ANSWER_BYTES_MAX = 64 * 1024;

/** Up to here, copying a body costs less than a second buffer to write. */
const ONE_WRITE_BYTES_MAX = 16 * 1024;

/** @throws PlatformError when the call did not run. */
export async function callFunction(parts: ServingParts, exchange: Exchange): Promise<void> {
  const { response, reply, target } = exchange;
  if (exchange.isAsync) {
    await acceptEvent(parts, exchange);
    return;
  }
  const body = bodyOf(exchange, PAYLOAD_BYTES_MAX);
  const input = inputOf(exchange, body instanceof Promise ? await body : body);
  const isFilter = target.version.config.entry.kind === "filter";
  const sink = isFilter ? undefined : new StreamedResponse(response, reply);
  const held = sink && exchange.isBuffered ? new BufferedResponse() : undefined;
  const { outcome } = await invoke(parts, exchange, {
    input,
    sink: held ?? sink,
    method: exchange.request.method,
  });
  if (response.destroyed) return;
  // A server may answer without having read all of a streamed body.
  discardRest(exchange.request);
  try {
    if (sink && outcome.kind === "returned") held?.release(sink);
    answer(exchange, outcome, sink);
  } catch (error) {
    if (!(error instanceof InvalidFunctionResponse)) throw error;
    fail(parts, exchange, invalidResponse(error, failureFacts(parts, exchange)));
    return;
  }
  if (outcome.kind !== "returned") fail(parts, exchange, failureOf(outcome, failureFacts(parts, exchange)));
}

/**
 * The Runtime Interface Emulator's endpoint: the body is the event, the result is the body. Unlike the emulator it
 * tells a failed function by `X-Amz-Function-Error`, as Lambda does.
 *
 * @throws PlatformError when the call did not run.
 */
export async function callRaw(parts: ServingParts, exchange: Exchange): Promise<void> {
  const { request, response, head, target, reply, invocationId } = exchange;
  if (request.method !== "POST") {
    throw new PlatformError("MethodNotAllowed", `a raw invocation is a POST, got ${request.method}`);
  }
  const type = headerOf(head, "x-amz-invocation-type") ?? "RequestResponse";
  if (type !== "RequestResponse") {
    throw new PlatformError(
      "UnsupportedMember",
      `X-Amz-Invocation-Type: expected RequestResponse here, got "${type}"; the control API takes the others`,
    );
  }
  const body = await readBody(request, response, head, PAYLOAD_BYTES_MAX);
  const input = rawInput(target.version.config.entry.kind, body ?? new Uint8Array(0), head.contentType);
  const wantsTail = headerOf(head, "x-amz-log-type")?.toLowerCase() === "tail";
  const clientContext = decodeClientContext(headerOf(head, "x-amz-client-context"));
  const { outcome, logTail } = await invoke(parts, exchange, {
    input,
    sink: undefined,
    wantsTail,
    clientContext,
  });
  const { payload, functionError } = rawOutcome(outcome, invocationId);
  const headers = ["content-type", "application/json", "x-amz-executed-version", target.version.label];
  if (functionError) headers.push("x-amz-function-error", functionError);
  if (wantsTail) headers.push("x-amz-log-result", Buffer.from(logTail).toString("base64"));
  sendWhole(response, 200, [...headers, ...reply.added], payload);
}

async function acceptEvent(parts: ServingParts, exchange: Exchange): Promise<void> {
  const { response, target, head, reply } = exchange;
  if (!parts.events) {
    throw new PlatformError(
      "UnsupportedMember",
      "Prefer: respond-async needs an event queue, which this server does not have; call without that header",
    );
  }
  const idempotencyKey = parseIdempotencyKey(headerOf(head, "idempotency-key"));
  await parts.events.turn();
  const body = bodyOf(exchange, EVENT_PAYLOAD_BYTES_MAX);
  const input = inputOf(exchange, body instanceof Promise ? await body : body);
  const { eventId, invocationId } = await parts.events.enqueue(target, {
    invocationId: exchange.invocationId,
    input,
    traceId: exchange.provenance.traceId,
    idempotencyKey,
    origin: "gateway",
  });
  const headers = ["preference-applied", "respond-async", "x-lambdad-event-id", eventId, ...reply.added];
  sendJson(response, 202, { eventId, invocationId }, headers);
}

interface Wanted {
  readonly input: CallInput;
  readonly sink: ResponseSink | undefined;
  readonly wantsTail?: boolean;
  readonly clientContext?: string | undefined;
  readonly method?: string | undefined;
}

function invoke(parts: ServingParts, exchange: Exchange, wanted: Wanted): Promise<InvocationResult> {
  const { request, target, invocationId } = exchange;
  const signal = parts.callers.signalOf(request.socket);
  // Also for the invoker's sake: an aborted call costs it nothing.
  if (signal.aborted) throw callerGone();
  return parts.invocations.invoke(
    target,
    {
      invocationId,
      input: wanted.input,
      traceId: exchange.provenance.traceId,
      clientContext: wanted.clientContext,
      wantsTail: wanted.wantsTail ?? false,
      sink: wanted.sink,
      method: wanted.method,
    },
    { signal },
  );
}

/** The body as the entry takes it: what is kept in memory is at most `bytesMax`, and only servers get a stream. */
function bodyOf(
  { request, response, head, target, signed, isAsync, format }: Exchange,
  bytesMax: number,
): AsyncIterable<Uint8Array> | Promise<Buffer | undefined> | Buffer | undefined {
  if (signed) return signed.body;
  if (!hasBody(head)) return undefined;
  const { kind } = target.version.config.entry;
  const takesStream = (kind === "server" || kind === "lifecycle") && !isAsync && !format.isForAll;
  if (takesStream && !isSmall(head.contentLength)) return streamBody(request, response, head);
  return readBody(request, response, head, bytesMax);
}

/** The request as the entry takes it. */
export function inputOf(exchange: InputFacts, body: RequestInput["body"]): CallInput {
  const { request, head, route, target, provenance, format } = exchange;
  const { kind } = target.version.config.entry;
  if ((kind === "server" || kind === "lifecycle") && !format.isForAll) {
    const rawHeaders = forwardedHeaders(head, provenance);
    return { kind: "request", method: request.method ?? "GET", path: targetOf(route), rawHeaders, body };
  }
  assert(body === undefined || Buffer.isBuffer(body), "only servers are given a stream");
  if (kind === "filter" && !format.isForAll) {
    const contentType = head.contentType ?? "application/octet-stream";
    return { kind: "event", payload: body ?? new Uint8Array(0), contentType };
  }
  const payload = format.eventOf(eventFacts(exchange, body));
  if (format.isForAll) return rawInput(kind, payload, "application/json");
  return { kind: "event", payload, contentType: "application/json" };
}

function eventFacts(exchange: InputFacts, body: Buffer | undefined): HttpEvent {
  const { request, head, route, invocationId, signed, provenance, routed } = exchange;
  return {
    invocationId,
    method: request.method ?? "GET",
    protocol: request.httpVersion === "1.0" ? "HTTP/1.0" : "HTTP/1.1",
    path: route.path,
    query: route.query,
    host: route.host,
    head,
    addedHeaders: provenanceHeaders(provenance),
    sourceIp: provenance.sourceIp,
    body,
    apiId: exchange.apiId,
    caller: signed?.caller ?? routed?.caller,
    routed,
    receivedAt: provenance.receivedAt,
  };
}

type InputFacts = Pick<
  Exchange,
  | "request"
  | "head"
  | "route"
  | "target"
  | "invocationId"
  | "signed"
  | "provenance"
  | "apiId"
  | "format"
  | "routed"
>;

function isSmall(contentLength: number | undefined): boolean {
  return contentLength !== undefined && contentLength <= STREAMED_BODY_BYTES_MIN;
}

/** Answers with what was returned, or ends what was streamed. @throws InvalidFunctionResponse. */
function answer(exchange: Exchange, outcome: InvocationOutcome, sink: StreamedResponse | undefined): void {
  const { response, reply, target } = exchange;
  if (outcome.kind !== "returned") return;
  const { payload, head } = outcome;
  if (sink && (outcome.isStreamed || head)) {
    if (!outcome.isStreamed && head) {
      sink.start(head);
      sink.writeShared(payload);
    }
    sink.end();
    if (sink.problem) throw sink.problem;
    return;
  }
  switch (target.version.config.entry.kind) {
    case "handler": {
      const { status, headers, body } = exchange.format.answerOf(payload, reply);
      sendWhole(response, status, headers, body);
      return;
    }
    case "filter": {
      const type = isUtf8(payload) ? "text/plain; charset=utf-8" : "application/octet-stream";
      sendWhole(response, 200, ["content-type", type, ...reply.added], payload);
      return;
    }
    case "server":
    case "lifecycle":
      throw new InvalidFunctionResponse("the response has no head");
  }
}

function sendWhole(
  response: HttpResponse,
  status: number,
  headers: string[],
  body: string | Uint8Array,
): void {
  const length = typeof body === "string" ? Buffer.byteLength(body) : body.byteLength;
  if (!isBodiless(status)) headers.push("content-length", String(length));
  if (length > UNWATCHED_ANSWER_BYTES_MAX) response.socket?.setTimeout(WRITE_STALL_MS_MAX);
  response.writeHead(status, headers);
  if (typeof body === "string" || length > ONE_WRITE_BYTES_MAX) response.end(body);
  // Text joins the head, so that both leave in one write; Latin-1 keeps every byte as it is.
  else response.end(latin1Of(body), "latin1");
}

function latin1Of(bytes: Uint8Array): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return buffer.toString("latin1");
}

/** A failed function, as a response; a response that has begun is cut, which is all that HTTP leaves. */
function fail(parts: ServingParts, exchange: Exchange, failure: Failure): void {
  const { response, invocationId, target, reply } = exchange;
  const { status, code, message, errorType } = failure;
  if (response.headersSent) {
    const facts = { invocationId, functionName: target.record.name, code };
    parts.log.warn("response cut off: the function failed in the middle of it", facts);
  }
  const body = errorBody(code, message, invocationId, errorType === undefined ? {} : { errorType });
  sendErrorBody(response, status, body, reply.added);
}

function failureFacts(parts: ServingParts, { target, invocationId }: Exchange) {
  return { functionName: target.record.name, invocationId, showsErrors: parts.showFunctionErrors };
}

function decodeClientContext(encoded: string | undefined): string | undefined {
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, "base64").toString();
  try {
    JSON.parse(text);
    return text;
  } catch (cause) {
    throw new PlatformError("InvalidRequest", "X-Amz-Client-Context: expected JSON in base64", { cause });
  }
}
