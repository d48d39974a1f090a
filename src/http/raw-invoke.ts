/**
 * A raw invoke, as Lambda's Invoke has it: bytes in, bytes out, whatever way the function is written.
 *
 * - Handlers take the payload as their event; none at all is `{}`.
 * - Filters take it on stdin.
 * - Servers and lifecycle modules get `POST /` with the payload as body, and their response's body is the result.
 *   A status of 500 or more counts as a failed function, so that whoever invokes learns of it.
 */
import { PlatformError } from "../core/errors.ts";
import type { EntryKind } from "../core/function.ts";
import type { InvocationId } from "../core/ids.ts";
import type { CallInput, InvocationOutcome } from "../core/invocation.ts";

export interface RawResult {
  readonly payload: Uint8Array;
  /** Value of `X-Amz-Function-Error`. Lambda documents `Handled` as well and never sends it. */
  readonly functionError: "Unhandled" | undefined;
}

const NO_EVENT = Buffer.from("{}");
const SERVER_FAILED_STATUS = 500;

/** @throws PlatformError `InvalidPayload` if a handler's payload is not JSON. */
export function rawInput(kind: EntryKind, payload: Uint8Array, contentType: string | undefined): CallInput {
  switch (kind) {
    case "handler":
      if (payload.byteLength === 0)
        return { kind: "event", payload: NO_EVENT, contentType: "application/json" };
      parseJson(payload);
      return { kind: "event", payload, contentType: "application/json" };
    case "filter":
      return { kind: "event", payload, contentType: contentType ?? "application/octet-stream" };
    case "server":
    case "lifecycle":
      return {
        kind: "request",
        method: "POST",
        path: "/",
        rawHeaders: [
          "host",
          "localhost",
          "content-type",
          requestContentType(payload, contentType),
          "content-length",
          String(payload.byteLength),
        ],
        body: payload,
      };
  }
}

/** What the caller of Invoke gets, in Lambda's words for failures that are not the function's own. */
export function rawOutcome(outcome: InvocationOutcome, invocationId: InvocationId): RawResult {
  switch (outcome.kind) {
    case "returned": {
      const { head, payload } = outcome;
      const hasFailed = head?.kind === "http" && head.status >= SERVER_FAILED_STATUS;
      return { payload, functionError: hasFailed ? "Unhandled" : undefined };
    }
    case "threw":
      return { payload: outcome.payload, functionError: "Unhandled" };
    case "timed-out":
      return platformFailure("Sandbox.Timedout", timedOutMessage(outcome.afterMs), invocationId);
    case "crashed":
      return platformFailure(outcome.errorType, outcome.message, invocationId);
  }
}

/** Lambda's sentence, with its two decimals of a second. */
export function timedOutMessage(afterMs: number): string {
  return `Task timed out after ${(afterMs / 1000).toFixed(2)} seconds`;
}

function platformFailure(errorType: string, message: string, invocationId: InvocationId): RawResult {
  const error = { errorType, errorMessage: `RequestId: ${invocationId} Error: ${message}` };
  return { payload: Buffer.from(JSON.stringify(error)), functionError: "Unhandled" };
}

/** SDKs label every payload `application/octet-stream`, which would keep a server from parsing the JSON it is. */
function requestContentType(payload: Uint8Array, contentType: string | undefined): string {
  if (contentType !== undefined && contentType !== "application/octet-stream") return contentType;
  try {
    parseJson(payload);
    return "application/json";
  } catch {
    // Not JSON, which is as good for a server.
    return "application/octet-stream";
  }
}

function parseJson(payload: Uint8Array): void {
  try {
    JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString());
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    throw new PlatformError(
      "InvalidPayload",
      `Could not parse request body into json: Could not parse payload into json: ${detail}`,
      { cause },
    );
  }
}
