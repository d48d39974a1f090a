import { setImmediate as nextTurn } from "node:timers/promises";
import type { Version } from "../core/function.ts";
import type { InvocationId, SandboxId } from "../core/ids.ts";
import {
  type Call,
  describeExit,
  type InvocationOutcome,
  type ResponseHead,
  type ResponseSink,
} from "../core/invocation.ts";
import type { Log } from "../core/log.ts";
import type { Channel, ChannelFailure, ShutdownReason } from "../protocol/protocol.ts";
import type { InvocationRecorder, LineOrigin, LogStream, Records } from "../records/records.ts";
import type { Sandbox } from "../sandbox/driver.ts";
import { type InstanceState, moveTo } from "./instance-state.ts";
import { errorTypeOf, InstanceTelemetry } from "./instance-telemetry.ts";
import type { InvocationResult, Tunnel } from "./invocations.ts";
import { readLines, readTelemetry, requestIdOf } from "./output.ts";

export interface InstanceParts {
  readonly version: Version;
  readonly liveVersion: number | undefined;
  readonly sandbox: Sandbox;
  readonly channel: Channel;
  readonly records: Records;
  readonly log: Log;
  /** A slot has become free. */
  readonly freed: (instance: Instance) => void;
  /** It takes no more calls; called once. */
  readonly left: (instance: Instance) => void;
}

interface ActiveCall {
  readonly recorder: InvocationRecorder;
  /** The program is gone: settles the call as crashed, unless an answer is still arriving. False in that case. */
  crash(failure: ChannelFailure): boolean;
}

/** After a program has gone, what it had sent may still be on its way to us through its socket. */
const LAST_WORDS_MS = 25;

/**
 * A sandbox that serves one version, and the calls it has now. Decides how each call ends: by its answer, its timeout or
 * the exit of the program, whichever is first. A call that timed out or crashed ends the instance too: nothing that was
 * interrupted is ever used again.
 */
export class Instance implements AsyncDisposable {
  readonly #parts: InstanceParts;
  readonly #origin: LineOrigin;
  readonly #active = new Map<InvocationId, ActiveCall>();
  readonly #gone = Promise.withResolvers<void>();
  readonly #stopped = new AbortController();
  /** Told when the program has gone; kept here, since a promise that lives as long as the instance keeps all who wait. */
  readonly #awaitsIdle = new Set<(isIdle: boolean) => void>();
  #state: InstanceState = "starting";
  #claimed = 0;
  #initMs: number | undefined;
  /** Set once the program has written anything, so that its lines are waited for from then on. */
  #prints = false;
  #lastUsedAt = performance.now();
  readonly #telemetry: InstanceTelemetry;
  /** What initialisation has used up of the first call's time. */
  #spentMs = 0;
  #endsFor: ShutdownReason = "spindown";

  constructor(parts: InstanceParts) {
    this.#parts = parts;
    const { version, sandbox } = parts;
    this.#origin = {
      functionName: version.functionName,
      version: version.label,
      liveVersion: parts.liveVersion,
      sandboxId: sandbox.id,
      systemLevel: version.config.logging.systemLevel,
    };
    this.#telemetry = new InstanceTelemetry(version, parts.channel.telemetry);
    readLines(sandbox.stderr, (line) => this.#plainLine("stderr", line));
    // A filter's stdout is its result; the channel reads it.
    if (version.config.entry.kind !== "filter") {
      readLines(sandbox.stdout, (line) => this.#plainLine("stdout", line));
    }
    readTelemetry(sandbox.telemetry, (text) => {
      this.#telemetry.line("function", text);
      this.#line(requestIdOf(text), "stdout", text);
    });
    void sandbox.exited.then((exit) =>
      this.#programLeft({ errorType: "Runtime.ExitError", message: describeExit(exit) }),
    );
    void parts.channel.failed?.then((failure) => this.#programLeft(failure));
  }

  get id(): SandboxId {
    return this.#parts.sandbox.id;
  }

  get version(): Version {
    return this.#parts.version;
  }

  get isGone(): boolean {
    return this.#state === "gone";
  }

  get isIdle(): boolean {
    return this.#state === "idle";
  }

  get hasFreeSlot(): boolean {
    return (
      (this.#state === "idle" || this.#state === "busy") &&
      this.#claimed < this.version.config.slotsPerInstance
    );
  }

  /** Monotonic ms of the last moment it had work. */
  get lastUsedAt(): number {
    return this.#lastUsedAt;
  }

  /** A line of the platform that belongs to no invocation. */
  platformLine(text: string): void {
    this.#parts.records.line(this.#origin, "platform", text);
  }

  get telemetry(): InstanceTelemetry {
    return this.#telemetry;
  }

  /** What the next call may take (ms). */
  get timeLeftMs(): number {
    return Math.max(0, this.version.config.timeoutMs - this.#spentMs);
  }

  /** The program is ready for its first call. `initMs` is undefined if that took its time from the call (`spentMs`). */
  started(initMs: number | undefined, spentMs = 0): void {
    this.#initMs = initMs;
    this.#spentMs = spentMs;
    this.#state = moveTo(this.#state, "idle");
  }

  /** Reserves a slot for a call that `run` or `tunnel` then makes. */
  claim(): void {
    this.#claimed += 1;
    if (this.#state === "idle") this.#state = moveTo(this.#state, "busy");
  }

  /** Gives back a slot that nobody used. */
  unclaim(): void {
    this.#release();
  }

  /** Serves one call in a claimed slot. Resolves with the outcome as soon as it is known. */
  async run(call: Call, wantsTail: boolean): Promise<InvocationResult> {
    const startedAt = performance.now();
    const initMs = this.#initMs;
    this.#initMs = undefined;
    const recorder = this.#parts.records.begin({
      ...this.#origin,
      invocationId: call.invocationId,
      memoryMib: this.version.config.memoryMib,
      initMs,
      wantsTail,
    });
    const spentMs = this.#spentMs;
    this.#telemetry.started(call);
    const served = this.#serve(call, recorder, this.timeLeftMs);
    this.#spentMs = 0;
    const outcome = await served;
    const durationMs = performance.now() - startedAt + spentMs;
    this.#telemetry.done(call, outcome, durationMs);
    const ended = this.#end(call, recorder, { outcome, durationMs, initMs });
    if (wantsTail) await ended;
    return { outcome, durationMs, sandboxId: this.id, initMs, logTail: wantsTail ? recorder.tail() : "" };
  }

  /** Passes an upgraded connection through in a claimed slot; resolves when it is over. */
  async tunnel(tunnel: Tunnel): Promise<void> {
    try {
      await this.#parts.channel.tunnel?.(tunnel.head, tunnel.client, tunnel.request);
    } finally {
      this.#release();
    }
  }

  /** Takes no new call; gone when the ones it has are through. */
  retire(): void {
    if (this.#state === "busy") {
      this.#state = moveTo(this.#state, "retiring");
      this.#parts.left(this);
    } else if (this.#state === "idle") {
      void this[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === "gone") return this.#gone.promise;
    const hadLeft = this.#state === "retiring";
    this.#state = moveTo(this.#state, "gone");
    this.#stopped.abort(new Error("the instance was stopped"));
    for (const done of this.#awaitsIdle) done(false);
    if (!hadLeft) this.#parts.left(this);
    try {
      await this.#parts.channel.shutDown?.(this.#endsFor);
      await this.#parts.sandbox[Symbol.asyncDispose]();
      await this.#parts.channel[Symbol.asyncDispose]();
    } catch (error) {
      this.#parts.log.error("an instance could not be stopped cleanly", { sandboxId: this.id, error });
    }
    this.#gone.resolve();
    return this.#gone.promise;
  }

  #serve(call: Call, recorder: InvocationRecorder, leftMs: number): Promise<InvocationOutcome> {
    const { channel } = this.#parts;
    const { timeoutMs } = this.version.config;
    return new Promise((resolve) => {
      const sink = call.sink && new WatchedSink(call.sink);
      const isStreamed = () => sink?.hasStarted ?? false;
      const settle = (outcome: InvocationOutcome) => {
        clearTimeout(timer);
        resolve(outcome);
      };
      const timer = setTimeout(() => {
        settle({ kind: "timed-out", afterMs: timeoutMs, isStreamed: isStreamed() });
      }, leftMs);
      const crash = (failure: ChannelFailure) => {
        if (sink?.takesBytes()) return false;
        settle({ kind: "crashed", ...failure, isStreamed: isStreamed() });
        return true;
      };
      this.#active.set(call.invocationId, { recorder, crash });
      channel
        .invoke(sink ? { ...call, sink } : call, { signal: this.#stopped.signal })
        .then(settle, (error) => {
          if (this.#stopped.signal.aborted) {
            settle({
              kind: "crashed",
              errorType: "Sandbox.Failure",
              message: "the instance was stopped",
              isStreamed: isStreamed(),
            });
            return;
          }
          this.#parts.log.warn("an instance broke its protocol", { sandboxId: this.id, error });
          const message = error instanceof Error ? error.message : String(error);
          settle({ kind: "crashed", errorType: "Runtime.ProtocolError", message, isStreamed: isStreamed() });
        });
    });
  }

  async #end(
    call: Call,
    recorder: InvocationRecorder,
    end: {
      readonly outcome: InvocationOutcome;
      readonly durationMs: number;
      readonly initMs: number | undefined;
    },
  ): Promise<void> {
    const { outcome, durationMs } = end;
    const isOver =
      outcome.kind === "timed-out" || outcome.kind === "crashed" || !this.#parts.channel.isReusable;
    let isFit = !isOver && this.#becomesIdle(call.deadlineAt);
    if (isFit instanceof Promise) isFit = await isFit;
    if (!isFit) await this.#stopAfter(outcome);
    // What it printed is on its way through a pipe of its own and belongs to this call.
    if (this.#prints) await nextTurn();
    if (outcome.kind === "timed-out")
      recorder.line("platform", timedOutLine(call.invocationId, outcome.afterMs));
    const memoryPeakMib = this.#parts.sandbox.memoryPeakMib();
    recorder.end({ outcome: outcome.kind, errorType: errorTypeOf(outcome), durationMs, memoryPeakMib });
    this.#telemetry.reported(call, { ...end, memoryPeakMib });
    this.#active.delete(call.invocationId);
    if (isFit) this.#release();
  }

  /** Where extensions are given time to end, the end of the call does not wait for them. */
  async #stopAfter(outcome: InvocationOutcome): Promise<void> {
    if (outcome.kind === "timed-out") this.#endsFor = "timeout";
    if (outcome.kind === "crashed") this.#endsFor = "failure";
    const stopped = this[Symbol.asyncDispose]();
    if (this.#parts.channel.shutDown === undefined) await stopped;
    else await Promise.race([stopped, nextTurn()]);
  }

  /** False if it still works on the last call when that call's time is up, or has gone. */
  #becomesIdle(deadlineAt: number): boolean | Promise<boolean> {
    const idle = this.#parts.channel.idle();
    if (idle === undefined) return this.#state !== "gone";
    return new Promise((resolve) => {
      const done = (isIdle: boolean) => {
        clearTimeout(timer);
        this.#awaitsIdle.delete(done);
        resolve(isIdle && this.#state !== "gone");
      };
      const timer = setTimeout(done, Math.max(0, deadlineAt - Date.now()), false);
      this.#awaitsIdle.add(done);
      idle.then(
        () => done(true),
        () => done(false),
      );
    });
  }

  #release(): void {
    this.#claimed -= 1;
    this.#lastUsedAt = performance.now();
    if (this.#claimed === 0) {
      if (this.#state === "retiring") {
        void this[Symbol.asyncDispose]();
        return;
      }
      if (this.#state === "busy") this.#state = moveTo(this.#state, "idle");
    }
    if (this.hasFreeSlot) this.#parts.freed(this);
  }

  async #programLeft(failure: ChannelFailure): Promise<void> {
    this.#endsFor = "failure";
    for (const done of this.#awaitsIdle) done(false);
    // The channel of a program that serves one call tells itself what the exit means.
    let waiting = this.#parts.channel.isReusable ? [...this.#active.values()] : [];
    while (waiting.length > 0 && this.#state !== "gone") {
      await new Promise((resolve) => setTimeout(resolve, LAST_WORDS_MS));
      waiting = waiting.filter((active) => !active.crash(failure));
    }
    if (this.#state !== "starting" && this.#parts.channel.isReusable) await this[Symbol.asyncDispose]();
  }

  #plainLine(stream: LogStream, text: string): void {
    const { channel } = this.#parts;
    const sorted = channel.sort ? channel.sort(text) : { source: "function" as const, text };
    if (!sorted) return;
    this.#telemetry.line(sorted.source, sorted.text);
    if (this.#telemetry.keeps(sorted.text)) this.#line(undefined, stream, sorted.text);
  }

  /** Notes a line with the invocation it names, else with the only one there is, else with none. */
  #line(requestId: string | undefined, stream: LogStream, text: string): void {
    this.#prints = true;
    const named = requestId === undefined ? undefined : this.#active.get(requestId as InvocationId);
    const [only] = this.#active.size === 1 ? this.#active.values() : [];
    const active = named ?? only;
    if (active) active.recorder.line(stream, text);
    else this.#parts.records.line(this.#origin, stream, text);
  }
}

/** As Lambda logs it. */
function timedOutLine(invocationId: InvocationId, afterMs: number): string {
  return `${new Date().toISOString()} ${invocationId} Task timed out after ${(afterMs / 1_000).toFixed(2)} seconds`;
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
