import type { Call, InvocationOutcome, ResponseHead, ResponseSink } from "../../core/invocation.ts";
import { RESPONSE_BYTES_MAX } from "../../core/limits.ts";
import { FRAME, type Frame, FrameError } from "./frames.ts";

/** Lambda's answer to a response over its limit (Runtime API facts: 413, `Function.ResponseSizeTooLarge`). */
const RESPONSE_TOO_LARGE = "Function.ResponseSizeTooLarge";

/** Whose answer it is: told once, with the outcome. */
export interface AnswerOwner {
  settle(outcome: InvocationOutcome): void;
}

/**
 * What a runtime sends for one call, turned into its outcome:
 *
 *   waiting ──RESPONSE, ERROR──────────────► answered ──IDLE──► over
 *      └──STREAM_HEAD──► streaming ──END, ERROR──▲
 *
 * Frames that do not fit throw FrameError. A stream over its limit is settled at once and read to its end for nothing.
 */
export class Answer {
  readonly sink: ResponseSink | undefined;
  readonly #bytesMax: number;
  readonly #owner: AnswerOwner;
  /** A stream that nobody reads while it is made; copied, since a million tiny pieces would cost more than their bytes. */
  #collected = NOTHING;
  #bytes = 0;
  #head: ResponseHead | undefined;
  #state: "waiting" | "streaming" | "answered" | "over" = "waiting";
  #isSettled = false;

  constructor({ sink, streamBytesMax }: Pick<Call, "sink" | "streamBytesMax">, owner: AnswerOwner) {
    this.sink = sink;
    this.#bytesMax = sink ? streamBytesMax : RESPONSE_BYTES_MAX;
    this.#owner = owner;
  }

  /** The outcome is known, though the runtime may still be busy with it. */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  get isOver(): boolean {
    return this.#state === "over";
  }

  /** From now on the caller listens no more: nothing is settled and nothing goes to the sink. */
  abandon(): void {
    this.#isSettled = true;
    this.#collected = NOTHING;
  }

  /** Settles with `outcome` unless there is one already. */
  fail(outcome: { readonly errorType: string; readonly message: string }): void {
    this.#end({ kind: "crashed", ...outcome, isStreamed: this.#isStreamed });
  }

  /** True when there is room for more; false when the sink has to drain first. @throws FrameError */
  take(frame: Frame): boolean {
    const { type, label, body } = frame;
    if (this.#state === "waiting" && type === FRAME.response) this.#respond(label, body);
    else if (this.#state === "waiting" && type === FRAME.streamHead) this.#startStream(label);
    else if (this.#state === "streaming" && type === FRAME.streamChunk) return this.#addChunk(body);
    else if (this.#state === "streaming" && type === FRAME.streamEnd) this.#endStream();
    else if (this.#isOpen && type === FRAME.error) this.#throw(cleanErrorType(label), body);
    else if (this.#state === "answered" && type === FRAME.idle) this.#state = "over";
    else throw new FrameError(`frame ${type} does not fit an answer that is ${this.#state}`);
    return true;
  }

  get #isOpen(): boolean {
    return this.#state === "waiting" || this.#state === "streaming";
  }

  get #isStreamed(): boolean {
    return this.#head !== undefined && this.sink !== undefined;
  }

  #respond(label: string, payload: Buffer): void {
    this.#state = "answered";
    if (payload.length > RESPONSE_BYTES_MAX) {
      this.#tooLarge(RESPONSE_BYTES_MAX);
      return;
    }
    const head = label === "" ? undefined : ({ kind: "raw", contentType: cleanContentType(label) } as const);
    this.#end({ kind: "returned", payload, head, isStreamed: false });
  }

  #throw(errorType: string, payload: Buffer): void {
    this.#state = "answered";
    this.#end({ kind: "threw", payload, errorType, isStreamed: this.#isStreamed });
  }

  #startStream(label: string): void {
    this.#state = "streaming";
    this.#head = { kind: "raw", contentType: cleanContentType(label) };
    if (!this.#isSettled) this.sink?.start(this.#head);
  }

  #addChunk(body: Buffer): boolean {
    if (this.#isSettled) return true;
    this.#bytes += body.length;
    if (this.#bytes > this.#bytesMax) {
      this.#tooLarge(this.#bytesMax);
      return true;
    }
    if (this.sink) return body.length === 0 || this.sink.write(body);
    this.#collect(body);
    return true;
  }

  #collect(body: Buffer): void {
    if (this.#bytes > this.#collected.length) {
      const larger = Buffer.allocUnsafe(
        Math.max(2 * this.#collected.length, this.#bytes, COLLECTED_BYTES_MIN),
      );
      this.#collected.copy(larger);
      this.#collected = larger;
    }
    body.copy(this.#collected, this.#bytes - body.length);
  }

  #endStream(): void {
    this.#state = "answered";
    const payload = this.#collected.subarray(0, this.sink ? 0 : this.#bytes);
    this.#end({ kind: "returned", payload, head: this.#head, isStreamed: this.#isStreamed });
  }

  #tooLarge(bytesMax: number): void {
    const errorMessage = `Response payload size exceeded maximum allowed payload size (${bytesMax} bytes).`;
    const payload = Buffer.from(JSON.stringify({ errorType: RESPONSE_TOO_LARGE, errorMessage }));
    this.#end({ kind: "threw", payload, errorType: RESPONSE_TOO_LARGE, isStreamed: this.#isStreamed });
  }

  #end(outcome: InvocationOutcome): void {
    this.#collected = NOTHING;
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#owner.settle(outcome);
  }
}

const NOTHING = Buffer.alloc(0);
const COLLECTED_BYTES_MIN = 4 * 1024;

const CONTENT_TYPE = /^[\x20-\x7e]{1,256}$/;

/** It becomes an HTTP header, so a function must not be able to end the line. */
function cleanContentType(label: string): string {
  return CONTENT_TYPE.test(label) ? label : "application/octet-stream";
}

/** It goes into logs and headers; any class name may be an error type, so only what is not printable is refused. */
export function cleanErrorType(label: string): string {
  return CONTENT_TYPE.test(label) ? label : "Runtime.Unknown";
}
