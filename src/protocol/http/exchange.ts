import { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import { PlatformError } from "../../core/errors.ts";
import type { Call, InvocationOutcome, RequestInput, ResponseHead } from "../../core/invocation.ts";
import { RESPONSE_BYTES_MAX } from "../../core/limits.ts";
import type { Connection } from "./connections.ts";
import { filterHeaders, withoutHopByHop } from "./hop-by-hop.ts";

/** How one attempt to have a request answered went. */
export type ExchangeResult =
  | { readonly kind: "answered"; readonly outcome: InvocationOutcome }
  /** The program closed the connection or did not speak HTTP. */
  | {
      readonly kind: "broken";
      readonly reason: string;
      readonly hasBegun: boolean;
      readonly isStreamed: boolean;
    };

/**
 * Sends a request on a connection and receives the response: to the sink if the call has one, else into memory.
 *
 * @throws PlatformError `InvalidRequest` for what cannot be sent, `CallerGone` when the caller's body ends early.
 * @throws `signal.reason` when aborted. The connection must be discarded after any throw and any broken result.
 */
export function exchange(
  connection: Connection,
  call: Pick<Call, "sink">,
  input: RequestInput,
  { signal }: { readonly signal: AbortSignal },
): Promise<ExchangeResult> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const body = new RequestBody(input.body);
    const response = new Response(call.sink);
    const abort = () => {
      response.abandon();
      void connection.client.destroy().catch(() => undefined);
      end(() => reject(signal.reason));
    };
    const end = (settle: () => void) => {
      signal.removeEventListener("abort", abort);
      settle();
    };
    signal.addEventListener("abort", abort, { once: true });
    response.onEnd = (outcome) => end(() => resolve({ kind: "answered", outcome }));
    response.onError = (error) =>
      end(() => {
        const fault = callersFault(error, body);
        if (fault) reject(fault);
        else resolve(response.broken(error));
      });
    connection.client.dispatch(
      {
        path: input.path,
        method: input.method,
        headers: requestHeaders(input),
        body: body.source,
      },
      response,
    );
  });
}

/** A body of bytes gets its length from undici; a stream keeps the length that the caller announced. */
function requestHeaders(input: RequestInput): string[] {
  const headers = withoutHopByHop(input.rawHeaders);
  const isStream = input.body !== undefined && !(input.body instanceof Uint8Array);
  return isStream ? headers : filterHeaders(headers, (name) => name !== "content-length");
}

/** The caller's body, and what went wrong on the caller's side of it. */
class RequestBody {
  readonly source: Uint8Array | Readable | null;
  error: unknown;

  constructor(body: RequestInput["body"]) {
    if (body === undefined || body instanceof Uint8Array) this.source = body ?? null;
    else this.source = Readable.from(this.#watched(body), { objectMode: false });
  }

  async *#watched(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      yield* body;
    } catch (error) {
      this.error = error ?? new Error("the request body broke off");
      throw error;
    }
  }
}

/** Errors of undici that mean that the request cannot be sent, to whomever. */
const UNSENDABLE = new Set([
  "UND_ERR_INVALID_ARG",
  "UND_ERR_NOT_SUPPORTED",
  "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH",
]);

function callersFault(error: Error, body: RequestBody): PlatformError | undefined {
  if (body.error !== undefined) {
    return new PlatformError("CallerGone", "the request ended before its body did", { cause: body.error });
  }
  if (!("code" in error) || !UNSENDABLE.has(String(error.code))) return undefined;
  return new PlatformError("InvalidRequest", `the request cannot be passed on: ${error.message}`, {
    cause: error,
  });
}

const SPLITS_HEADERS = /[\r\n\0]/;

class Response implements Dispatcher.DispatchHandler {
  readonly #sink: Call["sink"];
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;
  #head: ResponseHead | undefined;
  #isAbandoned = false;
  #isOver = false;
  onEnd: (outcome: InvocationOutcome) => void = () => undefined;
  onError: (error: Error) => void = () => undefined;

  constructor(sink: Call["sink"]) {
    this.#sink = sink;
  }

  /** From now on nothing goes to the sink. */
  abandon(): void {
    this.#isAbandoned = true;
  }

  broken(error: Error): ExchangeResult {
    const hasBegun = this.#head !== undefined;
    return {
      kind: "broken",
      reason: error.message,
      hasBegun,
      isStreamed: hasBegun && this.#sink !== undefined,
    };
  }

  onRequestStart(): void {
    // Nothing to do: undici demands it.
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    // 103 and other interim answers have no place in an outcome.
    if (status < 200 || this.#isAbandoned) return;
    const rawHeaders = rawTexts(controller.rawHeaders);
    if (rawHeaders.some((text) => SPLITS_HEADERS.test(text))) {
      controller.abort(new Error("a header of the response has a line end or NUL in it"));
      return;
    }
    this.#head = { kind: "http", status, rawHeaders: withoutHopByHop(rawHeaders) };
    this.#sink?.start(this.#head);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#isAbandoned) return;
    if (this.#sink) {
      if (this.#sink.write(chunk)) return;
      controller.pause();
      void this.#sink.drained().then(() => controller.resume());
      return;
    }
    this.#bytes += chunk.length;
    if (this.#bytes <= RESPONSE_BYTES_MAX) {
      this.#chunks.push(chunk);
      return;
    }
    this.#isOver = true;
    this.onEnd(responseTooLarge());
    controller.abort(new Error("the response is too large"));
  }

  onResponseEnd(): void {
    const [only] = this.#chunks;
    this.onEnd({
      kind: "returned",
      payload: only && this.#chunks.length === 1 ? only : Buffer.concat(this.#chunks),
      head: this.#head,
      isStreamed: this.#sink !== undefined,
    });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (!this.#isAbandoned && !this.#isOver) this.onError(error);
  }
}

function rawTexts(raw: Dispatcher.DispatchController["rawHeaders"]): string[] {
  if (!Array.isArray(raw)) return [];
  return raw.map((text) => (typeof text === "string" ? text : text.toString("latin1")));
}

function responseTooLarge(): InvocationOutcome {
  const errorType = "Function.ResponseSizeTooLarge";
  const errorMessage = `Response payload size exceeded maximum allowed payload size (${RESPONSE_BYTES_MAX} bytes).`;
  const payload = Buffer.from(JSON.stringify({ errorType, errorMessage }));
  return { kind: "threw", payload, errorType, isStreamed: false };
}
