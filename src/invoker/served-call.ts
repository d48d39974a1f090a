import type { Call, InvocationOutcome, ResponseHead, ResponseSink } from "../core/invocation.ts";
import type { ChannelFailure } from "../protocol/protocol.ts";
import type { InvocationRecorder } from "../records/records.ts";

/** What is known of a call once the program has begun it. */
export interface Begun {
  /** Monotonic ms. */
  readonly startedAt: number;
  readonly recorder: InvocationRecorder;
  /** Set if this call had to wait for the program's start. */
  readonly initMs: number | undefined;
  /** What initialisation has used up of this call's time. */
  readonly spentMs: number;
  /** When its time is up (monotonic ms). */
  readonly dueAt: number;
}

/** One call in the hands of an instance: begun at most once, and settled once: by its answer, its timeout or a crash. */
export class ServedCall {
  /** As it is handed over: what it sends is watched. */
  readonly call: Call;
  readonly outcome: Promise<InvocationOutcome>;
  readonly #sink: WatchedSink | undefined;
  readonly #settled = Promise.withResolvers<InvocationOutcome>();
  /** When it was given to the program (monotonic ms), which need not begin it at once. */
  readonly handedAt = performance.now();
  isSettled = false;
  begun: Begun | undefined;

  constructor(call: Call) {
    this.#sink = call.sink && new WatchedSink(call.sink);
    this.call = this.#sink ? { ...call, sink: this.#sink } : call;
    this.outcome = this.#settled.promise;
  }

  get isStreamed(): boolean {
    return this.#sink?.hasStarted ?? false;
  }

  settle(outcome: InvocationOutcome): void {
    this.isSettled = true;
    this.#settled.resolve(outcome);
  }

  refuse(error: unknown): void {
    this.isSettled = true;
    this.#settled.reject(error);
  }

  /** The program has gone: settles the call as crashed, unless an answer is still arriving. False in that case. */
  crash(failure: ChannelFailure): boolean {
    if (this.#sink?.takesBytes()) return false;
    this.settle({ kind: "crashed", ...failure, isStreamed: this.isStreamed });
    return true;
  }
}

/** Remembers whether a response has begun, and whether it goes on. */
class WatchedSink implements ResponseSink {
  readonly #sink: ResponseSink;
  #wasWritten = false;
  #draining = 0;
  hasStarted = false;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  /** Whether anything has moved since this was last asked. */
  takesBytes(): boolean {
    const moved = this.#wasWritten || this.#draining > 0;
    this.#wasWritten = false;
    return moved;
  }

  start(head: ResponseHead): void {
    this.hasStarted = true;
    this.#wasWritten = true;
    this.#sink.start(head);
  }

  write(chunk: Uint8Array): boolean {
    this.#wasWritten = true;
    return this.#sink.write(chunk);
  }

  async drained(): Promise<void> {
    this.#draining += 1;
    await this.#sink.drained();
    this.#draining -= 1;
  }
}
