import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { memoryShortageMib } from "./host-memory.ts";
import type { Instance } from "./instance.ts";
import { type FunctionFacts, KeepAliveRule } from "./keep-alive-rule.ts";
import type { Pool } from "./pool.ts";

export interface KeepAlivePolicy {
  /** An instance without work for this long is stopped. */
  readonly idleMsMax: number;
  /** What idle instances may take together (MiB); those that are worth least make room. Without it only time counts. */
  readonly idleMibMax?: number | undefined;
  /** An instance without work for this long is frozen; without it none is. */
  readonly freezeAfterMs?: number | undefined;
  /** So many instances may be there in all; the one that is worth least makes room for a new one. */
  readonly instancesMax: number;
  /** Calls that may run or wait at once, over all functions; without it there is no such limit. */
  readonly concurrencyMax?: number | undefined;
}

export interface KeepAliveParts {
  readonly clock: Clock;
  readonly log: Log;
  /** By revision and label. */
  readonly pools: ReadonlyMap<string, Pool>;
  readonly policy: KeepAlivePolicy;
  /** Starts an instance in a pool that has none; a failure is the next call's to see. */
  readonly warm: (pool: Pool) => Promise<unknown>;
}

const SWEEP_MS = 1_000;
/** What an instance takes where the host cannot tell. */
const GUESSED_MIB = 16;
/** What was frozen is paged out behind that, where the host has compressed memory to page out to. */
const PAGE_OUT_AFTER_MS = 30_000;

/** Lets go of idle instances that are not worth their memory, and freezes those that stay. */
export class KeepAlive {
  readonly #parts: KeepAliveParts;
  readonly #rule: KeepAliveRule;

  constructor(parts: KeepAliveParts) {
    this.#parts = parts;
    const { idleMsMax, idleMibMax = Number.POSITIVE_INFINITY } = parts.policy;
    this.#rule = new KeepAliveRule({ idleMsMax, idleMibMax });
  }

  /** Works until `signal` aborts. */
  async run({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { clock } = this.#parts;
    while (!signal.aborted) {
      this.#sweep(await memoryShortageMib());
      await clock.sleep(SWEEP_MS, { signal }).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
    }
  }

  /** Of all idle instances; undefined if there is none. */
  leastWorth(): Instance | undefined {
    return this.#rule.leastWorth(this.#facts());
  }

  #sweep(shortMib: number): void {
    const { clock, policy, pools, log } = this.#parts;
    const now = clock.monotonic();
    const { letGo, start } = this.#rule.sweep(now, this.#facts(), shortMib);
    for (const instance of letGo) instance.retire();
    for (const key of start) {
      const pool = pools.get(key);
      if (!pool) continue;
      // Nobody waits for it, so nobody is there to be told.
      void this.#parts.warm(pool).catch((error: unknown) => {
        log.debug("an instance could not be started ahead", { function: pool.version.functionName, error });
      });
    }
    if (policy.freezeAfterMs === undefined) return;
    for (const pool of pools.values()) {
      for (const instance of pool.idleInstances()) {
        const idleMs = now - instance.lastUsedAt;
        if (idleMs >= policy.freezeAfterMs) instance.freeze();
        if (idleMs >= policy.freezeAfterMs + PAGE_OUT_AFTER_MS) instance.pageOut();
      }
    }
  }

  *#facts(): Iterable<FunctionFacts<Instance>> {
    for (const [key, pool] of this.#parts.pools) {
      const { busy, starting } = pool.counts;
      yield {
        key,
        uses: pool.uses,
        startMs: pool.startCostMs,
        isBusy: busy > 0 || starting > 0,
        idle: pool.idleInstances().map((instance) => ({
          instance,
          lastUsedAt: instance.lastUsedAt,
          sizeMib: instance.memoryMib || GUESSED_MIB,
        })),
      };
    }
  }
}
