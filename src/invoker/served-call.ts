import type { Call, InvocationOutcome, ResponseHead, ResponseSink } from "../core/invocation.ts";
import type { CallKeeper, ChannelFailure } from "../protocol/protocol.ts";
import type { InvocationRecorder } from "../records/records.ts";
import type { InvocationResult } from "./invocations.ts";

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

/** Whose call it is: told once what became of it, by one or the other. */
export interface ServedFor {
  ended(result: InvocationResult): void;
  /** It has not been served. */
  failed(error: unknown): void;
}

/** The instance, as its calls know it. */
export interface ServingInstance {
  begin(served: ServedCall): void;
  /** Never within a call of the instance's. */
  ended(served: ServedCall, outcome: InvocationOutcome): void;
  refused(served: ServedCall, error: unknown): void;
  /** All that had arrived when it ended has been read. */
  turned(served: ServedCall): void;
}

/** One call in the hands of an instance: begun at most once, and settled once: by its answer, its timeout or a crash. */
export class ServedCall implements CallKeeper {
  /** As it is handed over: what it sends is watched. */
  readonly call: Call;
  readonly wantsTail: boolean;
  readonly caller: ServedFor;
  readonly #instance: ServingInstance;
  readonly #sink: WatchedSink | undefined;
  /** When it was given to the program (monotonic ms), if that did not begin it at once. */
  handedAt = 0;
  isSettled = false;
  begunAs: Begun | undefined;
  result: InvocationResult | undefined;

  constructor(call: Call, wantsTail: boolean, caller: ServedFor, instance: ServingInstance) {
    this.#sink = call.sink && new WatchedSink(call.sink);
    this.call = this.#sink ? withSink(call, this.#sink) : call;
    this.wantsTail = wantsTail;
    this.caller = caller;
    this.#instance = instance;
  }

  get isStreamed(): boolean {
    return this.#sink?.hasStarted ?? false;
  }

  begun(): void {
    this.#instance.begin(this);
  }

  /** From the channel, which is in nobody's call then. */
  settled(outcome: InvocationOutcome): void {
    if (this.isSettled) return;
    this.isSettled = true;
    this.#instance.ended(this, outcome);
  }

  /** From the channel, maybe because the instance has just been stopped. */
  refused(error: unknown): void {
    queueMicrotask(() => this.#instance.refused(this, error));
  }

  /** From the instance. */
  settle(outcome: InvocationOutcome): void {
    if (this.isSettled) return;
    this.isSettled = true;
    queueMicrotask(() => this.#instance.ended(this, outcome));
  }

  turned(): void {
    this.#instance.turned(this);
  }

  /** The program has gone: settles the call as crashed, unless an answer is still arriving. False in that case. */
  crash(failure: ChannelFailure): boolean {
    if (this.#sink?.takesBytes()) return false;
    this.settle({ kind: "crashed", ...failure, isStreamed: this.isStreamed });
    return true;
  }
}

/** Member by member, which costs a fraction of a spread. */
function withSink(call: Call, sink: ResponseSink): Call {
  const { invocationId, input, functionArn, deadlineAt, traceId, clientContext, streamBytesMax } = call;
  return { invocationId, input, functionArn, deadlineAt, traceId, clientContext, sink, streamBytesMax };
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
