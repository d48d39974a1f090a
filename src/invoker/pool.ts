import { availableParallelism } from "node:os";
import { PlatformError } from "../core/errors.ts";
import type { Version } from "../core/function.ts";
import { WAITING_CALLS_MAX } from "../core/limits.ts";
import type { ReleaseRef } from "../core/project.ts";
import { Habits, type KnownHabits } from "./habits.ts";
import type { HostCpu } from "./host-cpu.ts";
import type { Instance } from "./instance.ts";
import { isAnotherInstanceWorthIt } from "./scale-rule.ts";
import { StartFailed } from "./starter.ts";

export interface PoolParts {
  readonly version: Version;
  /** The release that its instances belong to alone. */
  readonly release?: ReleaseRef | undefined;
  readonly cpu: Pick<HostCpu, "isBusy">;
  /**
   * Starts one instance of the version; waits for its turn among all starts of the host. Undefined if it was needed no longer
   * by then.
   */
  readonly start: (pool: Pool, isNeeded: () => boolean) => Promise<Instance | undefined>;
  /** What starts and calls took in the version before, which serve until there are measurements. */
  readonly before?: KnownHabits | undefined;
}

export interface PlaceWanted {
  /** It has waited before, and goes to the head of the line. */
  readonly isFirst?: boolean;
  /** Whether it may be handed over while another call is served. */
  readonly mayStandBehind?: boolean;
  /** Whether it may be handed over to an instance that is starting, which begins it when it is ready. */
  readonly mayComeEarly?: boolean;
  /** Nobody waits for its answer: it stands behind all calls that somebody waits for. */
  readonly isUnattended?: boolean;
}

interface Waiter {
  readonly mayStandBehind: boolean;
  readonly mayComeEarly: boolean;
  readonly isUnattended: boolean;
  readonly since: number;
  readonly resolve: (instance: Instance) => void;
  readonly reject: (error: unknown) => void;
}

const CORES = availableParallelism();
/** How far to look for a place behind another call; further ones are no better. */
const BUSY_LOOKED_AT_MAX = 8;

/** How much longer than its time a call waits while an instance is being started: whatever the start comes to is its answer. */
const START_MORE_MS = 10_000;
/** Filters of images that wait for the next call. */
const SPARES = 2;

/**
 * The instances of one version, and the calls that wait for one. Decides at each arrival, from what it has measured:
 * whoever frees first takes the head of the queue, and another instance is started only if that is worth it.
 */
export class Pool {
  readonly version: Version;
  /** As many instances as there may be of this version; the function's limit may change under way. */
  instancesMax = 1;
  /** As many instances as stay when there is nothing to do for them; see `fill`. */
  instancesMin = 0;
  readonly #parts: PoolParts;
  /** The one used last at the end: it is the warmest, and the others may go. */
  readonly #ready: Instance[] = [];
  readonly #instances = new Set<Instance>();
  /** Those of them that are starting, and have their first call already. */
  readonly #early = new Set<Instance>();
  readonly #wereEarly = new WeakSet<Instance>();
  readonly #waiting: Waiter[] = [];
  readonly #habits: Habits;
  #uses = 0;
  #starting = 0;
  #sufferedMs = 0;
  #isRetired = false;

  constructor(parts: PoolParts) {
    this.#parts = parts;
    this.version = parts.version;
    this.#habits = new Habits(parts.before);
  }

  /** What starts and calls take, as far as it is known. */
  get habits(): KnownHabits {
    return this.#habits.known;
  }

  get counts(): {
    readonly idle: number;
    readonly busy: number;
    readonly starting: number;
    readonly waiting: number;
  } {
    let idle = 0;
    for (const instance of this.#instances) if (instance.isIdle) idle += 1;
    return {
      idle,
      busy: this.#instances.size - idle,
      starting: this.#startingFree,
      waiting: this.#waiting.length,
    };
  }

  get release(): ReleaseRef | undefined {
    return this.#parts.release;
  }

  /** Nothing runs, starts or waits here. */
  get isEmpty(): boolean {
    return this.#instances.size === 0 && this.#starting === 0 && this.#waiting.length === 0;
  }

  get startCostMs(): number {
    return this.#habits.startMs;
  }

  /** Instances that are up, whether they have work or not. */
  get started(): number {
    return this.#instances.size - this.#early.size;
  }

  /** The most memory that one of its instances has used. */
  get memoryMibMax(): number {
    let most = 0;
    for (const instance of this.#instances) most = Math.max(most, instance.memoryUsedMib());
    return most;
  }

  /** Instances that have work, or had some since that moment. */
  workingSince(at: number): Instance[] {
    return [...this.#instances].filter((instance) => !instance.isIdle || instance.lastUsedAt >= at);
  }

  /** Idle instances that may go, the one used last at the end. */
  idleInstances(): Instance[] {
    const spare = Math.max(0, this.started - this.instancesMin);
    return this.#ready.filter((instance) => instance.isIdle).slice(0, spare);
  }

  /** Starts what is missing of `instancesMin`. Rejects with why a start failed, once all have ended. */
  async fill(): Promise<void> {
    await this.fillTo(this.instancesMin);
  }

  /** Has so many instances up, for now. Rejects as `fill` does. */
  async fillTo(instances: number): Promise<void> {
    const missing = this.#isRetired ? 0 : instances - this.#instances.size - this.#startingFree;
    const failures = await Promise.all(Array.from({ length: Math.max(0, missing) }, () => this.#startOne()));
    const failure = failures.find((error) => error !== undefined);
    if (failure !== undefined) throw failure;
  }

  /**
   * An instance with a slot claimed for the caller: at once where one is free.
   *
   * @throws StartFailed if the function cannot be initialised.
   * @throws PlatformError `TooManyInvocations` if too many wait or this one has waited `waitMsMax` and no start is about to end
   * its waiting; else what the start threw.
   * @throws `signal.reason` if aborted while waiting.
   */
  acquire(
    waitMsMax: number,
    signal: AbortSignal,
    { isFirst = false, mayStandBehind = true, mayComeEarly = false, isUnattended = false }: PlaceWanted = {},
  ): Instance | Promise<Instance> {
    const mayGoAhead = mayStandBehind && !isFirst && this.#isQuick && this.#waiting.length === 0;
    const behind = mayGoAhead && this.#hasEnoughBusy ? this.#takeAhead() : undefined;
    const taken = behind ?? this.#takeFree() ?? (mayGoAhead ? this.#takeAhead() : undefined);
    if (taken) return taken;
    if (this.#waiting.length >= WAITING_CALLS_MAX) {
      throw new PlatformError(
        "TooManyInvocations",
        `${this.version.functionName} has ${WAITING_CALLS_MAX} calls waiting already; try again, or raise its concurrency`,
        { reason: "ConcurrentInvocationLimitExceeded", retryAfterMs: 1_000 },
      );
    }
    const turn = this.#waitInLine(waitMsMax, signal, { isFirst, mayStandBehind, mayComeEarly, isUnattended });
    this.#startIfWorthIt();
    return turn;
  }

  /** Makes sure that one instance is there; resolves with what its start took, 0 if there was one. */
  async warm(signal: AbortSignal): Promise<number> {
    if (this.started > 0) return 0;
    const startedAt = performance.now();
    const instance = await this.acquire(Number.POSITIVE_INFINITY, signal);
    instance.unclaim();
    return performance.now() - startedAt;
  }

  /** Calls that were served so far. */
  get uses(): number {
    return this.#uses;
  }

  /** A call has been served: what it took helps to decide about the next one. */
  served(durationMs: number): void {
    this.#uses += 1;
    this.#habits.served(durationMs);
    this.#keepSpares();
  }

  /** From a start: whoever waits first may give the instance his call, which it begins as soon as it is ready. */
  takesEarly(instance: Instance): void {
    const [waiter] = this.#waiting;
    if (!waiter?.mayComeEarly || this.version.config.slotsPerInstance > 1) return;
    this.#waiting.shift();
    this.#sufferedMs += performance.now() - waiter.since;
    this.#instances.add(instance);
    this.#early.add(instance);
    this.#wereEarly.add(instance);
    instance.claim();
    waiter.resolve(instance);
  }

  /** From the instance: a slot is free, or there is room behind the call that it serves. */
  freed(instance: Instance): void {
    while (this.#waiting[0] && this.#hasPlaceFor(this.#waiting[0], instance)) {
      const waiter = this.#waiting.shift();
      if (!waiter) break;
      this.#sufferedMs += performance.now() - waiter.since;
      instance.claim();
      waiter.resolve(instance);
    }
    if (this.#waiting.length > 0) {
      this.#startIfWorthIt();
      return;
    }
    this.#sufferedMs = 0;
    if (!instance.hasFreeSlot) return;
    if (this.#isRetired) instance.retire();
    else if (!this.#ready.includes(instance)) this.#ready.push(instance);
  }

  /** From the instance: it takes no more calls. */
  left(instance: Instance): void {
    this.#instances.delete(instance);
    this.#early.delete(instance);
    const at = this.#ready.indexOf(instance);
    if (at >= 0) this.#ready.splice(at, 1);
    this.#startIfWorthIt();
  }

  /** Serves those who wait, takes nobody new if it can be helped, and lets go of each instance that has nothing to do. */
  retire(): void {
    this.#isRetired = true;
    this.instancesMin = 0;
    for (const instance of [...this.#ready]) if (instance.isIdle) instance.retire();
  }

  /** Stops everything now. */
  async stop(reason: PlatformError): Promise<void> {
    this.#isRetired = true;
    for (const waiter of this.#waiting.splice(0)) waiter.reject(reason);
    await Promise.all([...this.#instances].map((instance) => instance[Symbol.asyncDispose]()));
  }

  #takeFree(): Instance | undefined {
    while (true) {
      const instance = this.#ready.at(-1);
      if (!instance) return undefined;
      if (!instance.hasFreeSlot) {
        this.#ready.pop();
        continue;
      }
      instance.claim();
      if (!instance.hasFreeSlot) this.#ready.pop();
      return instance;
    }
  }

  /**
   * A place behind a call that is being served, in the instance with the fewest: for calls so short that the program
   * would only fall asleep between two of them.
   */
  #takeAhead(): Instance | undefined {
    let best: Instance | undefined;
    let looked = 0;
    for (const instance of this.#instances) {
      if (!instance.hasRoomAhead) continue;
      if (instance.claimed < (best?.claimed ?? Number.POSITIVE_INFINITY)) best = instance;
      looked += 1;
      if (looked >= BUSY_LOOKED_AT_MAX) break;
    }
    best?.claim();
    return best;
  }

  get #isQuick(): boolean {
    return this.#habits.isQuick;
  }

  /**
   * As many as there are cores: to wake another one costs more than a quick call that it would save from waiting. Where calls
   * are so quick that to hand them over is as much work, this process needs a core for that.
   */
  get #hasEnoughBusy(): boolean {
    return (
      this.#instances.size - this.#ready.length >= (this.#habits.isTiny ? Math.max(1, CORES - 1) : CORES)
    );
  }

  #hasPlaceFor(waiter: Waiter, instance: Instance): boolean {
    return instance.hasFreeSlot || (waiter.mayStandBehind && this.#isQuick && instance.hasRoomAhead);
  }

  #waitInLine(waitMsMax: number, signal: AbortSignal, place: Required<PlaceWanted>): Promise<Instance> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        mayStandBehind: place.mayStandBehind,
        mayComeEarly: place.mayComeEarly,
        isUnattended: place.isUnattended,
        since: performance.now(),
        resolve: (instance) => {
          done();
          resolve(instance);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      };
      const leave = (error: unknown) => {
        const at = this.#waiting.indexOf(waiter);
        if (at < 0) return;
        this.#waiting.splice(at, 1);
        waiter.reject(error);
      };
      const aborted = () => leave(signal.reason);
      const waitedFor = (waitedMs: number) => leave(waitedTooLong(this.version, waitedMs));
      const overdue = () => {
        if (this.#waiting.indexOf(waiter) >= this.#startingFree) return waitedFor(waitMsMax);
        timer = setTimeout(() => waitedFor(waitMsMax + START_MORE_MS), START_MORE_MS);
      };
      let timer = Number.isFinite(waitMsMax) ? setTimeout(overdue, waitMsMax) : undefined;
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", aborted);
      };
      if (signal.aborted) {
        done();
        reject(signal.reason);
        return;
      }
      signal.addEventListener("abort", aborted, { once: true });
      this.#waiting.splice(this.#placeFor(place), 0, waiter);
    });
  }

  /** In the order of arrival: first calls that somebody waits for, then the others. */
  #placeFor({ isFirst, isUnattended }: Required<PlaceWanted>): number {
    // There are none where the last is none.
    const hasUnattended = this.#waiting.at(-1)?.isUnattended ?? false;
    const attended = hasUnattended
      ? this.#waiting.findIndex((waiter) => waiter.isUnattended)
      : this.#waiting.length;
    if (isFirst) return isUnattended ? attended : 0;
    return isUnattended ? this.#waiting.length : attended;
  }

  /**
   * Each call uses a filter up. Where an engine has to start the next one, which takes some hundred milliseconds of CPU,
   * that is done once a call is over: beside it, it would be in its way.
   */
  #keepSpares(): void {
    const { code, config } = this.version;
    if (config.entry.kind !== "filter" || code.image === undefined || this.#isRetired) return;
    while (
      this.#ready.length + this.#starting - this.#waiting.length < SPARES &&
      this.#instances.size + this.#starting < this.instancesMax
    ) {
      void this.#startOne();
    }
  }

  #startIfWorthIt(): void {
    const { version } = this;
    while (
      this.#waiting.length > 0 &&
      this.#instances.size + this.#startingFree < this.instancesMax &&
      isAnotherInstanceWorthIt({
        waiting: this.#waiting.length,
        serving: this.#instances.size,
        starting: this.#startingFree,
        slotsPerInstance: version.config.slotsPerInstance,
        isReusable: version.config.entry.kind !== "filter",
        serviceMs: this.#habits.serviceMs,
        startMs: this.#habits.startMs,
        sufferedMs: this.#sufferedMs,
        cores: CORES,
        isCpuBusy: () => this.#parts.cpu.isBusy(),
      })
    ) {
      this.#sufferedMs = 0;
      void this.#startForCalls();
    }
  }

  /** For a call that waits; by the time of its turn others may have served it. Resolves as `#startOne`. */
  async #startForCalls(): Promise<unknown> {
    return await this.#startOne(() => this.#waiting.length > 0);
  }

  /** Starts that nobody has been promised yet. */
  get #startingFree(): number {
    return this.#starting - this.#early.size;
  }

  /** Resolves with why it failed, or with undefined. */
  async #startOne(isNeeded = () => true): Promise<unknown> {
    this.#starting += 1;
    const startedAt = performance.now();
    try {
      const instance = await this.#parts.start(this, isNeeded);
      this.#starting -= 1;
      if (!instance) {
        this.#startIfWorthIt();
        return undefined;
      }
      this.#habits.started(performance.now() - startedAt, () => this.#startIfWorthIt());
      this.#early.delete(instance);
      // One that has served its first call since may have left again.
      if (!this.#wereEarly.has(instance)) this.#instances.add(instance);
      this.freed(instance);
      return undefined;
    } catch (error) {
      this.#starting -= 1;
      this.#startFailed(error);
      return error;
    }
  }

  /**
   * Whoever waits for this start gets its failure. If the function itself is at fault and nothing serves, so does everybody
   * else in line: the same code would only fail again for each of them.
   */
  #startFailed(error: unknown): void {
    const isHopeless = error instanceof StartFailed && this.#instances.size === 0;
    const losers = this.#waiting.splice(0, isHopeless ? this.#waiting.length : 1);
    for (const waiter of losers) waiter.reject(error);
    this.#startIfWorthIt();
  }
}

function waitedTooLong(version: Version, waitMsMax: number): PlatformError {
  return new PlatformError(
    "TooManyInvocations",
    `${version.functionName} had no free instance for ${Math.round(waitMsMax)} ms; try again, or raise its concurrency`,
    { reason: "ConcurrentInvocationLimitExceeded", retryAfterMs: 1_000 },
  );
}
