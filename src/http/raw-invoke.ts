/**
 * What a raw invoke, as Lambda's Invoke has it, gives a function: bytes in, whatever way it is written. What comes back
 * is `invoker/raw-outcome.ts`.
 *
 * - Handlers take the payload as their event; none at all is `{}`.
 * - Filters take it on stdin.
 * - Servers and lifecycle modules get `POST /` with the payload as body.
 */
import { PlatformError } from "../core/errors.ts";
import type { QueuedRequest } from "../core/event.ts";
import type { EntryKind } from "../core/function.ts";
import type { EventInput } from "../core/invocation.ts";

const NO_EVENT = Buffer.from("{}");

/** @throws PlatformError `InvalidPayload` if a handler's payload is not JSON. */
export function rawInput(
  kind: EntryKind,
  payload: Uint8Array,
  contentType: string | undefined,
): EventInput | QueuedRequest {
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
