/**
 * Sandboxes that were started before anybody asked: isolated, with their runtime loaded and connected, and waiting. A start
 * takes one, has the version's code mounted in it and tells it what it is, which takes a millisecond or two where a start
 * from nothing takes thirty. One that has been given to a function is that function's until it ends (decision 0012).
 *
 * Nothing here is needed for a function to run: whatever cannot be had ready is started from nothing.
 */
import { availableParallelism } from "node:os";
import type { Clock } from "../core/clock.ts";
import type { FunctionConfig, FunctionRecord, Network, Version } from "../core/function.ts";
import { type FunctionName, newSandboxId } from "../core/ids.ts";
import { describeExit } from "../core/invocation.ts";
import { INIT_MS_MAX, PIDS_MAX } from "../core/limits.ts";
import type { Log } from "../core/log.ts";
import type { ProtocolAdapter, ReadyChannel, ReadyKind, ResolvedRuntime } from "../protocol/protocol.ts";
import type { Functions } from "../registry/functions.ts";
import type { Driver, ReadySandbox } from "../sandbox/driver.ts";
import { BASE_ENVIRONMENT } from "./environment.ts";
import { ReadyDemand } from "./ready-demand.ts";

export interface ReadyParts {
  readonly driver: Driver;
  readonly resolveRuntime: (config: FunctionConfig) => Promise<ResolvedRuntime>;
  readonly adapterOf: (config: FunctionConfig) => Promise<ProtocolAdapter>;
  /** What all of them together may take; 0 keeps none. */
  readonly readyMibMax: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** A sandbox that runs and waits to be told what it is. Whoever gets it disposes of both, or hands them on. */
export interface Ready {
  readonly ready: ReadySandbox;
  readonly channel: ReadyChannel;
}

interface Pool {
  readonly kind: ReadyKind;
  readonly runtime: ResolvedRuntime;
  readonly network: Network;
  readonly tmpMib: number;
  readonly demand: ReadyDemand;
  readonly waiting: Ready[];
  filling: number;
  /** Not again so soon after a failure. */
  notBefore: number;
  isForgotten: boolean;
}

/** As many kinds as are looked after; of more, those that nobody has asked for longest are forgotten. */
const KINDS_MAX = 32;
const PER_KIND_MAX = 16;
const FILLS_AT_ONCE_MAX = availableParallelism();
/** Not at once after one was taken: that is when its function wants the CPU. */
const REFILL_AFTER_MS = 25;
/** What one takes, until one has been measured. */
const GUESSED_MIB = 16;
const AFTER_FAILURE_MS = 60_000;
const SWEEP_MS = 10_000;
/** Enough to see which runtimes are in use. */
const FUNCTIONS_LOOKED_AT = 200;

export class ReadySandboxes implements AsyncDisposable {
  readonly #parts: ReadyParts;
  readonly #pools = new Map<string, Pool>();
  readonly #stopping = new AbortController();
  readonly #filling = new Set<Promise<void>>();
  #isOffered: boolean;
  #timer: NodeJS.Timeout | undefined;
  #dueAt = 0;

  constructor(parts: ReadyParts) {
    this.#parts = parts;
    this.#isOffered = parts.driver.startReady !== undefined && parts.readyMibMax > 0;
  }

  /** How many wait, and how many are being made. */
  get counts(): { readonly waiting: number; readonly filling: number } {
    let waiting = 0;
    let filling = 0;
    for (const pool of this.#pools.values()) {
      waiting += pool.waiting.length;
      filling += pool.filling;
    }
    return { waiting, filling };
  }

  /** To be told of each change: what is new is likely to be called soon. */
  functionChanged(_name: FunctionName, record: FunctionRecord | undefined): void {
    if (record) void this.#expect(record.latest);
  }

  /** After a restart there is nobody to tell of changes, but functions are there. */
  async expectAll(functions: Pick<Functions, "list">): Promise<void> {
    if (!this.#isOffered) return;
    for (const { latest } of await functions.list({ after: undefined, limit: FUNCTIONS_LOOKED_AT })) {
      await this.#expect(latest);
    }
  }

  /** Never fails, since nobody needs it. */
  async #expect(version: Version): Promise<void> {
    if (!this.#isOffered || version.code.image) return;
    try {
      const { config } = version;
      const [adapter, runtime] = await Promise.all([
        this.#parts.adapterOf(config),
        this.#parts.resolveRuntime(config),
      ]);
      const kind = adapter.readyKind?.(version);
      if (!kind) return;
      this.#poolOf(version, kind, runtime).demand.expected(this.#parts.clock.monotonic());
      this.#refillIn(REFILL_AFTER_MS);
    } catch (error) {
      this.#parts.log.debug("no ready sandbox can be had", { function: version.functionName, error });
    }
  }

  /** One that can become the version, at once or not at all. */
  take(version: Version, adapter: ProtocolAdapter, runtime: ResolvedRuntime): Ready | undefined {
    if (!this.#isOffered || version.code.image) return undefined;
    for (let kind = adapter.readyKind?.(version); kind; kind = kind.otherwise) {
      const pool = this.#poolOf(version, kind, runtime);
      pool.demand.asked(this.#parts.clock.monotonic());
      this.#refillIn(REFILL_AFTER_MS);
      const taken = pool.waiting.shift();
      if (taken) return taken;
    }
    return undefined;
  }

  /** To be told when an instance has started: by then it may be known that others of its kind suit it better. */
  started(version: Version, adapter: ProtocolAdapter): void {
    if (this.#isOffered && adapter.readyKind?.(version)?.otherwise) void this.#expect(version);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error("the daemon is stopping"));
    this.#isOffered = false;
    clearTimeout(this.#timer);
    await Promise.all(this.#filling);
    const left = [...this.#pools.values()].flatMap((pool) => pool.waiting.splice(0));
    await Promise.all(left.map(dispose));
  }

  #poolOf(version: Version, kind: ReadyKind, runtime: ResolvedRuntime): Pool {
    const { network, tmpMib } = version.config;
    const key = JSON.stringify([kind.key, runtime.interpreter, network, tmpMib]);
    let pool = this.#pools.get(key);
    if (!pool) {
      const demand = new ReadyDemand(this.#parts.clock.monotonic());
      pool = {
        kind,
        runtime,
        network,
        tmpMib,
        demand,
        waiting: [],
        filling: 0,
        notBefore: 0,
        isForgotten: false,
      };
      this.#pools.set(key, pool);
      this.#forgetKinds();
    }
    return pool;
  }

  #forgetKinds(): void {
    const byAge = [...this.#pools].sort(([, a], [, b]) => b.demand.lastAt - a.demand.lastAt);
    for (const [key, pool] of byAge.slice(KINDS_MAX)) {
      this.#pools.delete(key);
      pool.isForgotten = true;
      for (const ready of pool.waiting.splice(0)) void dispose(ready);
    }
  }

  #refillIn(ms: number): void {
    if (!this.#isOffered) return;
    const dueAt = performance.now() + ms;
    // What is asked for again and again must not put it off for ever.
    if (this.#timer && this.#dueAt <= dueAt) return;
    clearTimeout(this.#timer);
    this.#dueAt = dueAt;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#refill();
      if (this.#pools.size > 0) this.#refillIn(SWEEP_MS);
    }, ms).unref();
  }

  /** Brings every pool to what it wants: drops what is too much, and starts as many as may be started at once. */
  #refill(): void {
    const now = this.#parts.clock.monotonic();
    const byNeed = [...this.#pools.values()].sort((a, b) => b.demand.lastAt - a.demand.lastAt);
    for (const pool of byNeed) {
      const isKept = pool.kind.isKept?.() ?? true;
      const wanted = isKept ? Math.min(pool.demand.wanted(now), PER_KIND_MAX) : 0;
      for (const ready of pool.waiting.splice(wanted)) void dispose(ready);
      while (
        now >= pool.notBefore &&
        pool.waiting.length + pool.filling < wanted &&
        this.#filling.size < FILLS_AT_ONCE_MAX &&
        this.#hasRoomFor(pool, byNeed)
      ) {
        this.#fill(pool);
      }
    }
  }

  /** The ceiling holds for all; who was asked for later may take the place of who was asked for earlier. */
  #hasRoomFor(pool: Pool, byNeed: readonly Pool[]): boolean {
    const each = (of: Pool) => of.waiting[0]?.ready.sandbox.memoryPeakMib() || GUESSED_MIB;
    const used = byNeed.reduce((sum, of) => sum + each(of) * (of.waiting.length + of.filling), 0);
    if (used + each(pool) <= this.#parts.readyMibMax) return true;
    const poorest = byNeed.findLast((of) => of.waiting.length > 0 && of.demand.lastAt < pool.demand.lastAt);
    const dropped = poorest?.waiting.pop();
    if (dropped) void dispose(dropped);
    return dropped !== undefined;
  }

  #fill(pool: Pool): void {
    pool.filling += 1;
    const startedAt = this.#parts.clock.monotonic();
    const work = this.#startOne(pool)
      .then((ready) => {
        if (!ready) {
          this.#isOffered = false;
          return;
        }
        pool.demand.refilled(this.#parts.clock.monotonic() - startedAt);
        this.#put(pool, ready);
      })
      .catch((error: unknown) => {
        pool.notBefore = this.#parts.clock.monotonic() + AFTER_FAILURE_MS;
        if (!this.#stopping.signal.aborted) {
          this.#parts.log.warn("a sandbox could not be made ready; starts take longer", {
            kind: pool.kind.key,
            error,
          });
        }
      })
      .finally(() => {
        pool.filling -= 1;
        this.#filling.delete(work);
        this.#refillIn(0);
      });
    this.#filling.add(work);
  }

  async #startOne({ kind, runtime, network, tmpMib }: Pool): Promise<Ready | undefined> {
    const { signal } = this.#stopping;
    const channel = kind.open(runtime);
    let ready: ReadySandbox | undefined;
    try {
      ready = await this.#parts.driver.startReady?.(
        {
          id: newSandboxId(),
          runtimeDir: runtime.runtimeDir,
          toolDirs: runtime.toolDirs,
          memoryMib: kind.memoryMib,
          cpus: 1,
          pidsMax: PIDS_MAX,
          tmpMib,
          network,
          hasInput: channel.hasInput,
          hasPort: false,
          onRuntimeApiConnection: channel.onRuntimeApiConnection,
          launch: (places) => channel.launch(places, BASE_ENVIRONMENT),
        },
        { signal },
      );
      if (!ready) {
        await channel[Symbol.asyncDispose]();
        return undefined;
      }
      channel.attach(ready.sandbox);
      await becomesReady({ ready, channel }, signal);
      return { ready, channel };
    } catch (error) {
      await ready?.sandbox[Symbol.asyncDispose]();
      await channel[Symbol.asyncDispose]();
      throw error;
    }
  }

  #put(pool: Pool, made: Ready): void {
    if (this.#stopping.signal.aborted || pool.isForgotten) {
      void dispose(made);
      return;
    }
    pool.waiting.push(made);
    void made.ready.sandbox.exited.then(() => {
      const at = pool.waiting.indexOf(made);
      if (at < 0) return;
      pool.waiting.splice(at, 1);
      pool.notBefore = this.#parts.clock.monotonic() + AFTER_FAILURE_MS;
      void dispose(made);
    });
  }
}

/** @throws if the program leaves, takes too long, or nobody wants it any more. */
async function becomesReady({ ready, channel }: Ready, signal: AbortSignal): Promise<void> {
  const { promise: givenUp, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason);
  const timer = setTimeout(() => reject(new Error(`it was not ready in ${INIT_MS_MAX} ms`)), INIT_MS_MAX);
  signal.addEventListener("abort", stop, { once: true });
  const exited = ready.sandbox.exited.then((exit) => reject(new Error(describeExit(exit))));
  try {
    await Promise.race([channel.isWaiting, givenUp, exited.then(() => givenUp)]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

async function dispose({ ready, channel }: Ready): Promise<void> {
  await ready.sandbox[Symbol.asyncDispose]();
  await channel[Symbol.asyncDispose]();
}
