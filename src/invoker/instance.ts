import type { Version } from "../core/function.ts";
import type { InvocationId, SandboxId } from "../core/ids.ts";
import { type Call, describeExit, type InvocationOutcome } from "../core/invocation.ts";
import type { Log } from "../core/log.ts";
import { type Channel, type ChannelFailure, NotBegun, type ShutdownReason } from "../protocol/protocol.ts";
import type { LineOrigin, LogStream, Records } from "../records/records.ts";
import type { Sandbox, SandboxCpu } from "../sandbox/driver.ts";
import { CallsInHand } from "./calls-in-hand.ts";
import { type InstanceState, moveTo } from "./instance-state.ts";
import { errorTypeOf, InstanceTelemetry } from "./instance-telemetry.ts";
import type { Tunnel } from "./invocations.ts";
import { turnRead, whenTurnRead } from "./loop-turn.ts";
import { readLines, readTelemetry, requestIdOf } from "./output.ts";
import { type Begun, ServedCall, type ServedFor, type ServingInstance } from "./served-call.ts";

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

/** After a program has gone, what it had sent may still be on its way to us through its socket. */
const LAST_WORDS_MS = 25;

/** From this duration on, asking the system what a call has used costs nothing beside the call (7 µs). */
const EXACT_PEAK_FROM_MS = 100;

/**
 * A sandbox that serves one version, and the calls it has now. Decides how each call ends: by its answer, its timeout or
 * the exit of the program, whichever is first. A call that timed out or crashed ends the instance too: nothing that was
 * interrupted is ever used again.
 */
export class Instance implements AsyncDisposable {
  readonly #parts: InstanceParts;
  readonly #origin: LineOrigin;
  readonly #calls = new CallsInHand({
    timeOut: (served) => {
      const afterMs = this.version.config.timeoutMs;
      served.settle({ kind: "timed-out", afterMs, isStreamed: served.isStreamed });
    },
    recall: (invocationId) => this.#parts.channel.recall?.(invocationId),
  });
  readonly #serving: ServingInstance = {
    begin: (served) => void this.#begin(served),
    ended: (served, outcome) => this.#ended(served, outcome),
    refused: (served, error) => this.#refused(served, error),
    turned: (served) => this.#turned(served),
  };
  readonly #gone = Promise.withResolvers<void>();
  readonly #stopped = new AbortController();
  /** Told when the program has gone; kept here, since a promise that lives as long as the instance keeps all who wait. */
  readonly #awaitsIdle = new Set<(isIdle: boolean) => void>();
  #state: InstanceState = "starting";
  #claimed = 0;
  #freezing: "no" | "frozen" | "paged-out" = "no";
  #initMs: number | undefined;
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

  /** Resolves when nothing of it is left. */
  get gone(): Promise<void> {
    return this.#gone.promise;
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

  /** Whether a call may be handed over behind the one that it serves. */
  get hasRoomAhead(): boolean {
    const { aheadMax = 0 } = this.#parts.channel;
    return this.#state === "busy" && this.version.config.slotsPerInstance === 1 && this.#claimed <= aheadMax;
  }

  /** Calls that it has or that are about to come. */
  get claimed(): number {
    return this.#claimed;
  }

  /** What it has cost this host at most so far; 0 where the host cannot tell. */
  get memoryMib(): number {
    return this.#parts.sandbox.memoryPeakMib();
  }

  /**
   * What it has used at most so far, an interpreter that it shares with others included, as on Lambda. Since that does not
   * count towards its limit, it may hold more than the limit, and has then used all of it.
   */
  memoryUsedMib(of?: "now"): number {
    return Math.min(this.#parts.sandbox.memoryUsedMib(of), this.version.config.memoryMib);
  }

  /**
   * Stops an idle program where it stands; the next claim lets it go on. As on Lambda, what a handler leaves running stands
   * still between calls; servers, lifecycle modules and extensions may have something to do then.
   */
  freeze(): void {
    const { entry, layers } = this.version.config;
    const { freezer } = this.#parts.sandbox;
    if (this.#freezing !== "no" || !this.isIdle || !freezer) return;
    if (entry.kind !== "handler" || layers.length > 0) return;
    freezer.freeze();
    this.#freezing = "frozen";
  }

  /** Gives the memory of a frozen program to where it is kept compressed, if this host has that. */
  pageOut(): void {
    if (this.#freezing !== "frozen") return;
    this.#freezing = "paged-out";
    this.#parts.sandbox.freezer?.pageOut?.();
  }

  #thaw(): void {
    this.#parts.sandbox.freezer?.thaw();
    this.#freezing = "no";
  }

  /** What its sandbox takes of the processor, where the host can tell. */
  get cpu(): SandboxCpu | undefined {
    return this.#parts.sandbox.cpu;
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
    if (this.#claimed > 0) this.#state = moveTo(this.#state, "busy");
  }

  /** Reserves a slot for a call that `run` or `tunnel` then makes. */
  claim(): void {
    this.#claimed += 1;
    if (this.#freezing !== "no") this.#thaw();
    if (this.#state === "idle") this.#state = moveTo(this.#state, "busy");
  }

  /** Gives back a slot that nobody used. */
  unclaim(): void {
    this.#release();
  }

  /**
   * Serves one call in a claimed slot. Tells the caller its outcome as soon as it is known; `NotBegun` if it was handed over
   * ahead and the program never came to it.
   */
  serve(call: Call, wantsTail: boolean, caller: ServedFor): void {
    const { channel } = this.#parts;
    const served = new ServedCall(call, wantsTail, caller, this.#serving);
    if (!channel.aheadMax) this.#begin(served);
    if (channel.hand) channel.hand(served.call, served, this.#stopped.signal);
    else this.#invoke(served);
    if (!served.begunAs) this.#calls.standsBehind(served);
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
    this.#calls[Symbol.dispose]();
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

  #invoke(served: ServedCall): void {
    const invoked = this.#parts.channel.invoke(served.call, {
      signal: this.#stopped.signal,
      begun: () => served.begun(),
    });
    invoked.then(
      (outcome) => served.settled(outcome),
      (error) => served.refused(error),
    );
  }

  /** The program begins with the call: from now on its time runs, and what is printed is its. */
  #begin(served: ServedCall): Begun {
    if (served.begunAs) return served.begunAs;
    const { call, wantsTail } = served;
    const { memoryMib } = this.version.config;
    const initMs = this.#initMs;
    const spentMs = this.#spentMs;
    const leftMs = this.timeLeftMs;
    this.#initMs = undefined;
    this.#spentMs = 0;
    const { invocationId } = call;
    const { functionName, version, liveVersion, sandboxId, systemLevel } = this.#origin;
    const recorder = this.#parts.records.begin({
      functionName,
      version,
      liveVersion,
      sandboxId,
      systemLevel,
      invocationId,
      memoryMib,
      initMs,
      wantsTail,
    });
    this.#telemetry.started(call);
    const startedAt = performance.now();
    served.begunAs = { startedAt, recorder, initMs, spentMs, dueAt: startedAt + leftMs };
    this.#calls.begin(served, served.begunAs.dueAt);
    return served.begunAs;
  }

  #refused(served: ServedCall, error: unknown): void {
    if (!served.begunAs) {
      this.#calls.leave(served);
      this.#release();
      served.caller.failed(new NotBegun());
      return;
    }
    if (this.#stopped.signal.aborted) {
      served.crash({ errorType: "Sandbox.Failure", message: "the instance was stopped" });
      return;
    }
    this.#parts.log.warn("an instance broke its protocol", { sandboxId: this.id, error });
    const message = error instanceof Error ? error.message : String(error);
    served.crash({ errorType: "Runtime.ProtocolError", message });
  }

  #ended(served: ServedCall, outcome: InvocationOutcome): void {
    const { startedAt, spentMs, initMs, dueAt } = this.#begin(served);
    const { call, wantsTail, caller } = served;
    const now = performance.now();
    const durationMs = now - startedAt + spentMs;
    this.#telemetry.done(call, outcome, durationMs);
    const result = { outcome, durationMs, sandboxId: this.id, initMs, logTail: "" };
    served.result = result;
    const idle = isLast(outcome, this.#parts.channel) ? false : this.#becomesIdle(dueAt);
    if (idle === true) {
      this.#release(now);
      // What it printed came through a pipe of its own, before its answer, but may be read after it.
      whenTurnRead(served);
    } else void this.#endLater(served, outcome, idle);
    if (!wantsTail) caller.ended(result);
  }

  async #endLater(
    served: ServedCall,
    outcome: InvocationOutcome,
    idle: boolean | Promise<boolean>,
  ): Promise<void> {
    const isFit: boolean = typeof idle === "boolean" ? idle : await idle;
    if (isFit) this.#release();
    else await this.#stopAfter(outcome);
    whenTurnRead(served);
  }

  #turned(served: ServedCall): void {
    const { call, begunAs, result } = served;
    if (!begunAs || !result) return;
    const { recorder } = begunAs;
    const { outcome, durationMs, initMs } = result;
    if (outcome.kind === "timed-out")
      recorder.line("platform", timedOutLine(call.invocationId, outcome.afterMs));
    // Behind a start, what was known of a sandbox that waited for its function says nothing.
    const isExact = initMs !== undefined || durationMs >= EXACT_PEAK_FROM_MS;
    const memoryPeakMib = this.memoryUsedMib(isExact ? "now" : undefined);
    recorder.end({ outcome: outcome.kind, errorType: errorTypeOf(outcome), durationMs, memoryPeakMib });
    this.#telemetry.reported(call, { outcome, durationMs, initMs, memoryPeakMib });
    this.#calls.leave(served);
    if (served.wantsTail) served.caller.ended({ ...result, logTail: recorder.tail() });
  }

  /** Where extensions are given time to end, the end of the call does not wait for them. */
  async #stopAfter(outcome: InvocationOutcome): Promise<void> {
    if (outcome.kind === "timed-out") this.#endsFor = "timeout";
    if (outcome.kind === "crashed") this.#endsFor = "failure";
    const stopped = this[Symbol.asyncDispose]();
    if (this.#parts.channel.shutDown === undefined) await stopped;
    else await Promise.race([stopped, turnRead()]);
  }

  /** False if it still works on the last call when that call's time is up (monotonic ms), or has gone. */
  #becomesIdle(dueAt: number): boolean | Promise<boolean> {
    const idle = this.#parts.channel.idle();
    if (idle === undefined) return this.#state !== "gone";
    return new Promise((resolve) => {
      const done = (isIdle: boolean) => {
        clearTimeout(timer);
        this.#awaitsIdle.delete(done);
        resolve(isIdle && this.#state !== "gone");
      };
      const timer = setTimeout(done, Math.max(0, dueAt - performance.now()), false);
      this.#awaitsIdle.add(done);
      idle.then(
        () => done(true),
        () => done(false),
      );
    });
  }

  #release(now = performance.now()): void {
    this.#claimed -= 1;
    this.#lastUsedAt = now;
    if (this.#claimed === 0) {
      if (this.#state === "retiring") {
        void this[Symbol.asyncDispose]();
        return;
      }
      if (this.#state === "busy") this.#state = moveTo(this.#state, "idle");
    }
    if (this.hasFreeSlot || this.hasRoomAhead) this.#parts.freed(this);
  }

  async #programLeft(failure: ChannelFailure): Promise<void> {
    this.#endsFor = "failure";
    for (const done of this.#awaitsIdle) done(false);
    // The channel of a program that serves one call tells itself what the exit means.
    let waiting = this.#parts.channel.isReusable ? this.#calls.begun() : [];
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

  /** Notes a line with the invocation it names, else with the one that runs if only one can, else with none. */
  #line(requestId: string | undefined, stream: LogStream, text: string): void {
    const named = requestId === undefined ? undefined : this.#calls.find(requestId);
    const isOneAtATime = this.version.config.slotsPerInstance === 1 || this.#calls.count === 1;
    const active = named ?? (isOneAtATime ? this.#calls.first : undefined);
    if (active?.begunAs) active.begunAs.recorder.line(stream, text);
    else this.#parts.records.line(this.#origin, stream, text);
  }
}

/** Whether the instance is of no use behind it. */
function isLast(outcome: InvocationOutcome, { isReusable }: Channel): boolean {
  return outcome.kind === "timed-out" || outcome.kind === "crashed" || !isReusable;
}

/** As Lambda logs it. */
function timedOutLine(invocationId: InvocationId, afterMs: number): string {
  return `${new Date().toISOString()} ${invocationId} Task timed out after ${(afterMs / 1_000).toFixed(2)} seconds`;
}
