/**
 * The one place that turns errors into responses. What it does not know becomes 500 "internal error"; the detail goes
 * to the log only, so that nothing secret can leave with an error page.
 *
 * The gateway and our own API send `{"error":{"code","message","requestId"}}` (`sendError`); the AWS API shapes an
 * `ErrorAnswer` in its own way.
 */
import type { Duplex } from "node:stream";
import { type ErrorCode, errorFacts, isPlatformError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { HttpResponse } from "./message.ts";
import { nodeHttp } from "./node-http.ts";

/** What the caller may know of an error. */
export interface ErrorAnswer {
  readonly code: ErrorCode;
  readonly status: number;
  readonly message: string;
  /** Lambda's throttle reason. */
  readonly reason: string | undefined;
  /** Whole seconds, for `Retry-After`. */
  readonly retryAfterS: number | undefined;
}

export interface ErrorFacts {
  readonly log: Log;
  readonly requestId: string;
}

/** Header names and values in turn, as `writeHead` takes them. */
export type FlatHeaders = readonly string[];

const RETRY_AFTER_S_DEFAULT = 1;

/** Decides what the caller learns. Logs what only the operator should: unknown errors and faults of the platform. */
export function explainError(error: unknown, { log, requestId }: ErrorFacts): ErrorAnswer {
  if (!isPlatformError(error)) {
    log.error("request failed unexpectedly", { invocationId: requestId, error });
    return {
      code: "Internal",
      status: 500,
      message: "internal error",
      reason: undefined,
      retryAfterS: undefined,
    };
  }
  const { status, fault } = errorFacts(error.code);
  if (fault === "platform") log.warn("request failed", { invocationId: requestId, code: error.code, error });
  // An `Internal` is thrown with words for the log.
  const message = error.code === "Internal" ? "internal error" : error.message;
  return {
    code: error.code,
    status,
    message,
    reason: error.reason,
    retryAfterS: retryAfterS(status, error.retryAfterMs),
  };
}

/** Rounded up, so that a client that waits as told is not early. */
function retryAfterS(status: number, retryAfterMs: number | undefined): number | undefined {
  if (retryAfterMs !== undefined) return Math.max(1, Math.ceil(retryAfterMs / 1000));
  return status === 429 ? RETRY_AFTER_S_DEFAULT : undefined;
}

/**
 * Answers with the error. If a response has already begun, its connection is cut instead, since a client must not take
 * a part for the whole. `closes` ends the connection after the answer.
 */
export function sendError(
  response: HttpResponse,
  error: unknown,
  facts: ErrorFacts & { readonly closes?: boolean; readonly headers?: FlatHeaders },
): void {
  const answer = explainError(error, facts);
  const headers = [...(facts.headers ?? [])];
  if (answer.retryAfterS !== undefined) headers.push("retry-after", String(answer.retryAfterS));
  if (facts.closes) headers.push("connection", "close");
  sendErrorBody(response, answer.status, errorBody(answer.code, answer.message, facts.requestId), headers);
}

/** The JSON text of an error. `code` is an `ErrorCode`, or one of the gateway's words for a failed function. */
export function errorBody(
  code: string,
  message: string,
  requestId: string,
  more: Readonly<Record<string, unknown>> = {},
): string {
  return JSON.stringify({ error: { code, message, requestId, ...more } });
}

/** Sends a JSON text with the request id of an error body in `x-amzn-requestid`, unless the response has begun. */
export function sendErrorBody(
  response: HttpResponse,
  status: number,
  body: string,
  headers: FlatHeaders = [],
): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  sendText(response, status, "application/json", body, headers);
}

export function sendJson(
  response: HttpResponse,
  status: number,
  value: unknown,
  headers: FlatHeaders = [],
): void {
  sendText(response, status, "application/json", JSON.stringify(value), headers);
}

export function sendText(
  response: HttpResponse,
  status: number,
  contentType: string,
  text: string,
  headers: FlatHeaders = [],
): void {
  response.writeHead(status, [
    "content-type",
    contentType,
    "content-length",
    String(Buffer.byteLength(text)),
    ...headers,
  ]);
  response.end(text);
}

/** The same answer on a connection that has no response object (parse errors, upgrades), which then ends. */
export function endWithError(
  socket: Duplex,
  answer: Pick<ErrorAnswer, "status" | "message"> & { readonly code: string },
  requestId: string,
): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const body = errorBody(answer.code, answer.message, requestId);
  const head = [
    `HTTP/1.1 ${answer.status} ${nodeHttp.STATUS_CODES[answer.status] ?? "Error"}`,
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(body)}`,
    `x-amzn-requestid: ${requestId}`,
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`, () => socket.destroy());
}
