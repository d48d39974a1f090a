import { availableParallelism } from "node:os";
import type { Clock } from "../core/clock.ts";
import { isPlatformError, PlatformError } from "../core/errors.ts";
import type { FunctionRecord, Version } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import { INIT_MS_MAX, INSTANCES_PER_FUNCTION_DEFAULT, STREAMED_RESPONSE_BYTES_MAX } from "../core/limits.ts";
import type { Log } from "../core/log.ts";
import { formatRelease, type ReleaseRef } from "../core/project.ts";
import { inBackground, Scope } from "../core/scope.ts";
import type { CallMeter, CallMeters } from "../records/metrics/metrics.ts";
import type { Functions } from "../registry/functions.ts";
import type { Target } from "../registry/target.ts";
import { Admission } from "./admission.ts";
import type { Grants } from "./grants.ts";
import type { KnownHabits } from "./habits.ts";
import { HostCpu } from "./host-cpu.ts";
import type { Instance } from "./instance.ts";
import { InvocationRun, type RunOwner } from "./invocation-run.ts";
import type { InvocationRequest, InvocationResult, Invocations, Tunnel } from "./invocations.ts";
import { KeepAlive, type KeepAlivePolicy } from "./keep-alive.ts";
import { Pool } from "./pool.ts";
import { poolKey, poolRelease } from "./pool-key.ts";
import { ReadySandboxes } from "./ready-sandboxes.ts";
import { Refusals } from "./refusals.ts";
import { ReleasesInUse } from "./releases-in-use.ts";
import { Semaphore } from "./semaphore.ts";
import { StandBack } from "./stand-back.ts";
import { type StarterParts, type StartFailed, startInstance } from "./starter.ts";

export interface InvokerParts extends StarterParts {
  readonly clock: Clock;
  readonly policy: KeepAlivePolicy;
  /** What sandboxes that are ready for any function may take together; none are kept without it. */
  readonly readyMibMax?: number | undefined;
  /** How much a response may have that is passed on while it is made; AWS's 200 MiB without it. */
  readonly streamBytesMax?: number | undefined;
  /** Without it no function may call this server. */
  readonly grants?: Grants | undefined;
  /** Told when the last instance of a release was let go. */
  readonly releaseUnused?: ((release: ReleaseRef) => void) | undefined;
  /** Without it nothing is counted. */
  readonly meters?: CallMeters | undefined;
  readonly log: Log;
}

/** Behind each other they would wait for the same things; more than these only wait for cores. */
const FORKS_AT_ONCE_MAX = 16;

/** As far as the host can: where it cannot, so many starts at once are slower, each and all. */
function isForked({ config }: Version): boolean {
  return config.entry.kind === "handler" && config.runtime.startsWith("python");
}

/**
 * Admit, acquire, hand over, await, release: the path of every invocation. Nothing here touches a disk, and what is
 * measured on the way (starts, services, waiting) is all that scaling is decided by.
 */
export class Invoker implements Invocations, AsyncDisposable {
  readonly #parts: InvokerParts;
  readonly #admission: Admission;
  readonly #refusals = new Refusals();
  /** By `poolKey`: a deploy gives a new revision, and thereby a new pool. */
  readonly #pools = new Map<string, Pool>();
  readonly #releases = new ReleasesInUse((release) => this.#retireRelease(release));
  /** More starts at once than cores only make the first one as slow as the last. */
  readonly #starts = new Semaphore(Math.max(2, availableParallelism()));
  /** What is forked waits for the kernel more than it works. */
  readonly #forks = new Semaphore(FORKS_AT_ONCE_MAX);
  readonly #cpu = new HostCpu();
  readonly #standBack: StandBack;
  readonly #ready: ReadySandboxes;
  readonly #keepAlive: KeepAlive;
  readonly #runs: RunOwner;
  readonly #stopping = new AbortController();
  readonly #scope = new Scope();
  /** Rejects if a background part dies. */
  readonly failed: Promise<never>;
  #running = 0;
  #drained: (() => void) | undefined;

  constructor(parts: InvokerParts) {
    this.#parts = parts;
    this.#admission = new Admission(parts.policy.concurrencyMax);
    this.#standBack = new StandBack({
      pools: this.#pools,
      cpu: this.#cpu,
      now: () => performance.now(),
      crowded: (isCrowded) => parts.driver.crowded?.(isCrowded),
    });
    this.#ready = this.#scope.own(new ReadySandboxes({ ...parts, readyMibMax: parts.readyMibMax ?? 0 }));
    this.#keepAlive = new KeepAlive({
      ...parts,
      pools: this.#pools,
      warm: (pool) => pool.warm(this.#stopping.signal),
    });
    this.#runs = {
      identity: parts.identity,
      streamBytesMax: parts.streamBytesMax ?? STREAMED_RESPONSE_BYTES_MAX,
      waitMsMin: parts.initMsMax ?? INIT_MS_MAX,
      refuse: (target, error, reject) => this.#refuse(target, error, reject),
      failedStart: (target, request, failure) => this.#recordFailedStart(target, request, failure),
      left: (target, meter) => this.#leave(target, meter),
    };
    const keepingAlive = inBackground((signal) => this.#keepAlive.run({ signal }));
    this.failed = this.#scope.own(keepingAlive).failed;
  }

  invoke(
    target: Target,
    request: InvocationRequest,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<InvocationResult> {
    return new Promise((resolve, reject) => {
      let meter: CallMeter | undefined;
      try {
        meter = this.#enter(target);
      } catch (error) {
        this.#refuse(target, error, reject);
        return;
      }
      const place = { pool: this.#poolOf(target), signal };
      new InvocationRun(this.#runs, { target, request, meter, resolve, reject }, place).start();
    });
  }

  async tunnel(target: Target, tunnel: Tunnel, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const meter = this.#enter(target);
    try {
      const instance = await this.#poolOf(target).acquire(this.#runs.waitMsMin, signal);
      const startedAt = performance.now();
      await instance.tunnel(tunnel);
      meter?.ended("returned", performance.now() - startedAt, undefined);
    } catch (error) {
      if (isPlatformError(error, "TooManyInvocations")) meter?.throttled();
      throw error;
    } finally {
      this.#leave(target, meter);
    }
  }

  /**
   * Makes sure that an instance of the target is up, or so many. Resolves with what the first start took in ms (0 if one
   * was there).
   *
   * @throws StartFailed with the outcome that a caller would have got; PlatformError if the host is at fault.
   */
  async warm(
    target: Target,
    { signal, instances = 1 }: { readonly signal: AbortSignal; readonly instances?: number },
  ): Promise<number> {
    const pool = this.#poolOf(target);
    const tookMs = await pool.warm(signal);
    // The first tells whether it starts at all.
    await pool.fillTo(Math.min(instances, pool.instancesMax));
    return tookMs;
  }

  /**
   * Keeps at least so many instances of the target's version up; 0 leaves it to the usual rule again. Resolves when they
   * are up; rejects with why one could not be started. What goes later is not started again by itself.
   */
  async keepStarted(target: Target, instances: number): Promise<void> {
    if (instances === 0) {
      const pool = this.#pools.get(poolKey(target));
      if (pool) pool.instancesMin = 0;
      return;
    }
    this.#stopping.signal.throwIfAborted();
    const pool = this.#poolOf(target);
    pool.instancesMin = instances;
    pool.instancesMax = Math.max(pool.instancesMax, instances);
    await pool.fill();
  }

  /** How many instances of the target's version are up. */
  startedOf(target: Target): number {
    return this.#pools.get(poolKey(target))?.started ?? 0;
  }

  /** Has sandboxes ready for the functions that are there since before the start. */
  async prepareFor(functions: Pick<Functions, "list">): Promise<void> {
    await this.#ready.expectAll(functions).catch((error: unknown) => {
      this.#parts.log.warn("cannot tell for which functions to prepare", { error });
    });
  }

  /** After a change of the function: what no new call can lead to any more is let go. `undefined`: it was deleted. */
  functionChanged(name: FunctionName, record: FunctionRecord | undefined): void {
    this.#ready.functionChanged(name, record);
    if (record === undefined) this.#admission.forget(name);
    for (const pool of this.#pools.values()) {
      if (pool.version.functionName !== name) continue;
      if (record === undefined || isSuperseded(pool.version, record)) pool.retire();
    }
  }

  releaseLive(live: ReleaseRef): void {
    this.#releases.keep(live);
  }

  /** Calls that run in it, and what they call in turn, go on; once none does, its instances are let go. */
  releaseLetGo(old: ReleaseRef): void {
    this.#releases.letGo(old);
  }

  /** Instances of one function, or of all. */
  counts(name?: FunctionName): { idle: number; busy: number; starting: number; waiting: number } {
    const sum = { idle: 0, busy: 0, starting: 0, waiting: 0 };
    for (const pool of this.#pools.values()) {
      if (name !== undefined && pool.version.functionName !== name) continue;
      const counts = pool.counts;
      sum.idle += counts.idle;
      sum.busy += counts.busy;
      sum.starting += counts.starting;
      sum.waiting += counts.waiting;
    }
    return sum;
  }

  /** Instances of one function, or of all, that are up, and the most memory that one of them has taken. */
  usage(name?: string): { readonly instances: number; readonly memoryMib: number } {
    const usage = { instances: 0, memoryMib: 0 };
    for (const pool of this.#pools.values()) {
      if (name !== undefined && pool.version.functionName !== name) continue;
      usage.instances += pool.started;
      usage.memoryMib = Math.max(usage.memoryMib, pool.memoryMibMax);
    }
    return usage;
  }

  /** Takes no new calls; those that run end, at the latest by their function's timeout; then all instances stop. */
  async [Symbol.asyncDispose](): Promise<void> {
    const reason = new PlatformError("ShuttingDown", "the daemon is stopping; try again in a moment");
    this.#stopping.abort(reason);
    this.#refusals[Symbol.dispose]();
    this.#standBack[Symbol.dispose]();
    if (this.#running > 0) await new Promise<void>((resolve) => (this.#drained = resolve));
    await this.#scope[Symbol.asyncDispose]();
    await Promise.all([...this.#pools.values()].map((pool) => pool.stop(reason)));
  }

  /** @throws PlatformError `ShuttingDown`, `TooManyInvocations`; otherwise `#leave` must follow. */
  #enter(target: Target): CallMeter | undefined {
    this.#stopping.signal.throwIfAborted();
    const meter = this.#meterOf(target);
    if (!target.isCopy) this.#admit(target.record, meter);
    this.#running += 1;
    this.#standBack.wake();
    meter?.entered();
    if (target.release) this.#releases.enter(target.release);
    return meter;
  }

  /** Of those who were not let in. */
  #refuse(target: Target, error: unknown, reject: (error: unknown) => void): void {
    if (isPlatformError(error, "TooManyInvocations")) {
      this.#refusals.pace(target.record.name, () => reject(error));
    } else reject(error);
  }

  #leave(target: Target, meter: CallMeter | undefined): void {
    meter?.left();
    if (!target.isCopy) this.#admission.leave(target.record.name);
    if (target.release) this.#releases.leave(target.release);
    this.#running -= 1;
    if (this.#running === 0) this.#drained?.();
  }

  #meterOf({ record, version, qualifier, countedAs }: Target): CallMeter | undefined {
    const liveVersion = liveVersionOf(record, version);
    return this.#parts.meters?.of(record.name, countedAs ?? qualifier, version.label, liveVersion);
  }

  #admit(record: FunctionRecord, meter: CallMeter | undefined): void {
    try {
      this.#admission.enter(record);
    } catch (error) {
      meter?.throttled();
      throw error;
    }
  }

  /** The call that no instance could be started for is an invocation like any other, with a log to be found by its id. */
  #recordFailedStart(target: Target, request: InvocationRequest, failure: StartFailed): InvocationResult {
    const { record, version } = target;
    const { outcome } = failure;
    const recorder = this.#parts.records.begin({
      functionName: record.name,
      version: version.label,
      liveVersion: liveVersionOf(record, version),
      sandboxId: failure.sandboxId,
      invocationId: request.invocationId,
      memoryMib: version.config.memoryMib,
      initMs: undefined,
      wantsTail: request.wantsTail,
    });
    if (outcome.kind === "threw") recorder.line("stderr", new TextDecoder().decode(outcome.payload));
    if (outcome.kind === "crashed") recorder.line("stderr", outcome.message);
    recorder.end({
      outcome: outcome.kind,
      errorType: outcome.kind === "threw" || outcome.kind === "crashed" ? outcome.errorType : undefined,
      durationMs: failure.afterMs,
      memoryPeakMib: 0,
    });
    const { sandboxId, afterMs } = failure;
    return { outcome, durationMs: afterMs, sandboxId, initMs: undefined, logTail: recorder.tail() };
  }

  #poolOf(target: Target): Pool {
    const { version, record } = target;
    const key = poolKey(target);
    const found = this.#pools.get(key);
    if (found) {
      found.instancesMax = Math.max(instancesMax(record, version), found.instancesMin);
      return found;
    }
    this.#dropEmptyPools();
    const pool = new Pool({
      cpu: this.#cpu,
      version,
      release: poolRelease(target),
      before: this.#habitsOf(version),
      start: (pool, isNeeded) => this.#start(pool, liveVersionOf(record, version), isNeeded),
    });
    pool.instancesMax = instancesMax(record, version);
    this.#pools.set(key, pool);
    return pool;
  }

  /** Of the version that this one takes the place of, or another of its function: most are much like it. */
  #habitsOf({ functionName }: Version): KnownHabits | undefined {
    let habits: KnownHabits | undefined;
    for (const pool of this.#pools.values()) {
      if (pool.version.functionName === functionName && pool.habits.serviceMs !== undefined)
        habits = pool.habits;
    }
    return habits;
  }

  async #start(
    pool: Pool,
    liveVersion: number | undefined,
    isNeeded: () => boolean,
  ): Promise<Instance | undefined> {
    const starts = isForked(pool.version) ? this.#forks : this.#starts;
    return await starts.run(async () => {
      if (!isNeeded()) return undefined;
      this.#makeRoom();
      const grant = await this.#parts.grants?.issue(pool.version, pool.release);
      const isKept = pool.started < pool.instancesMin;
      const starting = startInstance(
        { ...this.#parts, ready: this.#ready },
        pool.version,
        {
          liveVersion,
          takesEarly: (instance) => pool.takesEarly(instance),
          freed: (instance) => pool.freed(instance),
          left: (instance) => pool.left(instance),
          hosts: grant?.hosts,
          environment: { ...grant?.environment, ...(isKept && KEPT_ENVIRONMENT) },
        },
        { signal: this.#stopping.signal },
      );
      try {
        const instance = await starting;
        // Not when it takes no more calls: those that it has may call this server still.
        if (grant) void instance.gone.then(() => grant.revoke());
        return instance;
      } catch (error) {
        grant?.revoke();
        throw error;
      }
    });
  }

  #retireRelease(release: ReleaseRef): void {
    for (const [key, pool] of this.#pools) {
      if (!pool.release || formatRelease(pool.release) !== formatRelease(release)) continue;
      pool.retire();
      // Should the release be called again, that is a new pool.
      this.#pools.delete(key);
    }
    this.#parts.releaseUnused?.(release);
  }

  #makeRoom(): void {
    let started = 0;
    for (const pool of this.#pools.values()) started += pool.started;
    if (started < this.#parts.policy.instancesMax) return;
    const least = this.#keepAlive.leastWorth();
    if (!least) {
      const { busy } = this.counts();
      throw new PlatformError(
        "TooManyInvocations",
        `this host runs ${busy} instances and may run ${this.#parts.policy.instancesMax}; try again, or raise instances_max`,
        { reason: "ConcurrentInvocationLimitExceeded", retryAfterMs: 1_000 },
      );
    }
    least.retire();
  }

  /** Pools are cheap, but revisions come and go for ever. */
  #dropEmptyPools(): void {
    if (this.#pools.size < POOLS_BEFORE_CLEANING) return;
    for (const [key, pool] of this.#pools) {
      if (pool.isEmpty && pool.instancesMin === 0) this.#pools.delete(key);
    }
  }
}

const POOLS_BEFORE_CLEANING = 1_000;
/** AWS's word for an instance that was there before its first call. */
const KEPT_ENVIRONMENT = { AWS_LAMBDA_INITIALIZATION_TYPE: "provisioned-concurrency" };

function liveVersionOf(record: FunctionRecord, version: Version): number | undefined {
  return version.label === "$LATEST" ? record.liveVersion : undefined;
}

function isSuperseded(version: Version, record: FunctionRecord): boolean {
  return version.label === "$LATEST" && version.revisionId !== record.latest.revisionId;
}

function instancesMax(record: FunctionRecord, version: Version): number {
  if (record.concurrencyMax === undefined) return INSTANCES_PER_FUNCTION_DEFAULT;
  return Math.max(1, Math.ceil(record.concurrencyMax / version.config.slotsPerInstance));
}
