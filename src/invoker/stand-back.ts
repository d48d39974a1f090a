import type { HostCpu } from "./host-cpu.ts";
import type { Instance } from "./instance.ts";
import type { Pool } from "./pool.ts";
import { whoStandsBack } from "./stand-back-rule.ts";

export interface StandBackParts {
  readonly pools: ReadonlyMap<string, Pool>;
  readonly cpu: Pick<HostCpu, "isBusy">;
  /** Monotonic ms. */
  readonly now: () => number;
  /** Somebody stands back from now on, or nobody does any longer. */
  readonly crowded: (isCrowded: boolean) => void;
}

/** Long enough to tell what somebody takes, and short enough that nobody is kept waiting for long. */
const LOOK_MS = 100;
/** Without a call for so many looks there is nothing to look at until the next one. */
const LOOKS_WITHOUT_CALLS_MAX = 10;
/** Of the last look; the rest is what it was before. */
const NEWEST_SHARE = 0.5;
/** Of one version: the others take about as much. */
const LOOKED_AT_MAX = 8;

/** What an instance had taken when it was looked at last, and when that was, both in ms. */
interface Seen {
  readonly takenMs: number;
  readonly at: number;
}

interface Taker {
  cores: number;
  instances: Instance[];
}

/**
 * Keeps a function that takes much of the processor from making others wait for it: while the cores of this host are busy,
 * the instances of those that take the most run only when no others want to (`stand-back-rule.ts`, decision 0042). Looks now
 * and then, only while there are calls, and does nothing for a function that is alone.
 */
export class StandBack implements Disposable {
  readonly #parts: StandBackParts;
  readonly #seen = new WeakMap<Instance, Seen>();
  readonly #cores = new Map<string, number>();
  readonly #behind = new Set<Instance>();
  #timer: NodeJS.Timeout | undefined;
  #lookedAt = 0;
  #looksWithoutCalls = 0;

  constructor(parts: StandBackParts) {
    this.#parts = parts;
  }

  /** There is a call. */
  wake(): void {
    this.#looksWithoutCalls = 0;
    if (this.#timer !== undefined) return;
    this.#lookedAt = this.#parts.now();
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    this.#looksWithoutCalls += 1;
    const lastLookAt = this.#lookedAt;
    this.#lookedAt = this.#parts.now();
    const isBusy = this.#parts.cpu.isBusy(this.#lookedAt);
    const takers = isBusy ? this.#takers(lastLookAt) : new Map<string, Taker>();
    for (const name of this.#cores.keys()) if (!takers.has(name)) this.#cores.delete(name);
    for (const [name, { cores }] of takers) {
      const before = this.#cores.get(name) ?? cores;
      this.#cores.set(name, before + (cores - before) * NEWEST_SHARE);
    }
    this.#putBehind(takers);
    if (this.#looksWithoutCalls > LOOKS_WITHOUT_CALLS_MAX && this.#behind.size === 0) this[Symbol.dispose]();
  }

  #putBehind(takers: ReadonlyMap<string, Taker>): void {
    const names = whoStandsBack([...this.#cores].map(([name, cores]) => ({ name, cores })));
    const behind = new Set([...names].flatMap((name) => takers.get(name)?.instances ?? []));
    const wasCrowded = this.#behind.size > 0;
    for (const instance of this.#behind) {
      if (behind.has(instance)) continue;
      instance.cpu?.stepForward();
      this.#behind.delete(instance);
    }
    for (const instance of behind) {
      if (this.#behind.has(instance)) continue;
      instance.cpu?.standBack();
      this.#behind.add(instance);
    }
    const isCrowded = this.#behind.size > 0;
    if (isCrowded !== wasCrowded) this.#parts.crowded(isCrowded);
  }

  /** By function, who had work since that moment. */
  #takers(since: number): Map<string, Taker> {
    const takers = new Map<string, Taker>();
    for (const pool of this.#parts.pools.values()) {
      const working = pool.workingSince(since);
      if (working.length === 0) continue;
      const looked = working.slice(0, LOOKED_AT_MAX);
      const cores = looked.reduce((sum, instance) => sum + this.#coresOf(instance), 0);
      const name = pool.version.functionName;
      const taker = takers.get(name) ?? { cores: 0, instances: [] };
      taker.cores += (cores * working.length) / looked.length;
      taker.instances.push(...working);
      takers.set(name, taker);
    }
    return takers;
  }

  /** Since it was looked at last; nothing if this is the first time. */
  #coresOf(instance: Instance): number {
    const takenMs = instance.cpu?.usedMs() ?? 0;
    const at = this.#lookedAt;
    const before = this.#seen.get(instance);
    this.#seen.set(instance, { takenMs, at });
    return before && at > before.at ? (takenMs - before.takenMs) / (at - before.at) : 0;
  }
}
