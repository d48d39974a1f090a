/**
 * Which idle instances are worth their memory. Pure, and told all by whoever asks: the daemon asks it every second, and
 * `npm run bench -- simulate` about days of a load that was made up.
 */
import { IDLE_RANGE_MS, IdleHistogram } from "./idle-histogram.ts";

export interface KeepAliveSettings {
  /** An instance without work for this long goes, whatever it is worth. */
  readonly idleMsMax: number;
  /** What idle instances may take together. */
  readonly idleMibMax: number;
}

/** What is known about one version's instances at one moment. */
export interface FunctionFacts<T> {
  /** The same for the same version at all times. */
  readonly key: string;
  /** Calls so far. */
  readonly uses: number;
  /** What one start takes. */
  readonly startMs: number;
  readonly isBusy: boolean;
  /** Instances that may go. */
  readonly idle: readonly IdleFacts<T>[];
}

export interface IdleFacts<T> {
  readonly instance: T;
  /** Monotonic ms. */
  readonly lastUsedAt: number;
  readonly sizeMib: number;
}

interface Use {
  readonly lastUsedAt: number;
  /** Where the clock stood then. */
  readonly clock: number;
}

export interface KeepAliveDecision<T> {
  readonly letGo: readonly T[];
  /** Keys of versions that are likely to be called soon, and have nothing running. */
  readonly start: readonly string[];
}

interface Memory {
  uses: number;
  /** When the last of its calls had ended, as far as seen. */
  lastEndedAt: number;
  readonly idleTimes: IdleHistogram;
  /** The start that its idle times asked for was made, or is being made. */
  hasStarted: boolean;
}

/** Only for these is a start so dear that it is worth foreseeing the next call. */
const SLOW_START_MS = 50;
/** Between the end of a call and letting go of what is expected back only much later. */
const GRACE_MS = 10_000;
/** For less than that, leaving and coming back saves too little memory for the risk of being late. */
const ABSENCE_MS_MIN = 120_000;
/** Versions that are remembered; of more, those that were used longest ago are forgotten. */
const REMEMBERED_MAX = 10_000;

/**
 * Greedy-dual (as FaasCache, ASPLOS 2021): an instance is worth the clock at its last use plus calls × start time / size, and
 * the clock rises to what was let go, so that what is not used grows worthless by the side of what is. Memory decides, not
 * minutes; the idle time is only a bound. Slow starters are kept, and started again, by their own history.
 */
export class KeepAliveRule {
  readonly #settings: KeepAliveSettings;
  readonly #memories = new Map<string, Memory>();
  readonly #lastUses = new WeakMap<WeakKey, Use>();
  #clock = 0;

  constructor(settings: KeepAliveSettings) {
    this.#settings = settings;
  }

  /** `shortMib` is how much memory the host is short of, besides. */
  sweep<T extends WeakKey>(
    now: number,
    functions: Iterable<FunctionFacts<T>>,
    shortMib: number,
  ): KeepAliveDecision<T> {
    const letGo: T[] = [];
    const start: string[] = [];
    const kept: (IdleFacts<T> & { readonly worth: number })[] = [];
    for (const facts of functions) {
      const memory = this.#notice(now, facts);
      const window = facts.startMs > SLOW_START_MS ? memory.idleTimes.window() : undefined;
      const idleMs = now - memory.lastEndedAt;
      const isAwaitedLater = window !== undefined && isWorthLeaving(window) && idleMs < window.startAfterMs;
      if (window && isDue(window, idleMs) && !memory.hasStarted && facts.idle.length === 0 && !facts.isBusy) {
        memory.hasStarted = true;
        start.push(facts.key);
      }
      for (const idle of facts.idle) {
        const unusedMs = now - idle.lastUsedAt;
        // What was started for a call that is foreseen has not been used yet, and waits as long as that may come.
        const isAhead = window !== undefined && idle.lastUsedAt > memory.lastEndedAt;
        const isTooLong = isAhead ? idleMs >= window.endAfterMs : unusedMs >= this.#settings.idleMsMax;
        if (isTooLong || (isAwaitedLater && unusedMs > GRACE_MS)) letGo.push(idle.instance);
        else kept.push({ ...idle, worth: this.#worthOf(facts, idle) });
      }
    }
    return { letGo: [...letGo, ...this.#overBudget(kept, shortMib)], start };
  }

  /** The one that is worth least; undefined if none is idle. */
  leastWorth<T extends WeakKey>(functions: Iterable<FunctionFacts<T>>): T | undefined {
    let found: { readonly instance: T; readonly worth: number } | undefined;
    for (const facts of functions) {
      for (const idle of facts.idle) {
        const worth = this.#worthOf(facts, idle);
        if (!found || worth < found.worth) found = { instance: idle.instance, worth };
      }
    }
    if (found) this.#clock = Math.max(this.#clock, found.worth);
    return found?.instance;
  }

  #worthOf<T extends WeakKey>(facts: FunctionFacts<T>, one: IdleFacts<T>): number {
    const { instance, lastUsedAt, sizeMib } = one;
    let use = this.#lastUses.get(instance);
    if (use?.lastUsedAt !== lastUsedAt) {
      use = { lastUsedAt, clock: this.#clock };
      this.#lastUses.set(instance, use);
    }
    // Of several that are idle, each is only needed by a part of the calls.
    const uses = facts.uses / Math.max(1, facts.idle.length);
    return use.clock + (uses * facts.startMs) / Math.max(1, sizeMib);
  }

  #notice<T>(now: number, { key, uses, isBusy, idle }: FunctionFacts<T>): Memory {
    const lastUsedAt = idle.reduce((latest, one) => Math.max(latest, one.lastUsedAt), 0);
    let memory = this.#memories.get(key);
    if (!memory) {
      memory = {
        uses,
        lastEndedAt: lastUsedAt || now,
        idleTimes: new IdleHistogram(),
        hasStarted: false,
      };
      this.#remember(key, memory);
    }
    if (uses !== memory.uses) {
      memory.idleTimes.add(Math.max(0, now - memory.lastEndedAt));
      memory.uses = uses;
      memory.hasStarted = false;
      memory.lastEndedAt = isBusy ? now : Math.max(memory.lastEndedAt, lastUsedAt);
    } else if (isBusy) memory.lastEndedAt = now;
    return memory;
  }

  #remember(key: string, memory: Memory): void {
    this.#memories.set(key, memory);
    if (this.#memories.size <= REMEMBERED_MAX) return;
    const byAge = [...this.#memories].sort(([, a], [, b]) => a.lastEndedAt - b.lastEndedAt);
    for (const [old] of byAge.slice(0, REMEMBERED_MAX / 10)) this.#memories.delete(old);
  }

  #overBudget<T>(kept: (IdleFacts<T> & { readonly worth: number })[], shortMib: number): T[] {
    const usedMib = kept.reduce((sum, { sizeMib }) => sum + sizeMib, 0);
    let overMib = Math.max(usedMib - this.#settings.idleMibMax, shortMib);
    const letGo: T[] = [];
    if (overMib <= 0) return letGo;
    for (const { instance, worth, sizeMib } of kept.sort((a, b) => a.worth - b.worth)) {
      if (overMib <= 0) break;
      letGo.push(instance);
      overMib -= sizeMib;
      this.#clock = Math.max(this.#clock, worth);
    }
    return letGo;
  }
}

/** The call that is expected may come now. */
function isDue(
  window: { readonly startAfterMs: number; readonly endAfterMs: number },
  idleMs: number,
): boolean {
  return (
    isWorthLeaving(window) &&
    idleMs >= window.startAfterMs &&
    idleMs < Math.min(window.endAfterMs, IDLE_RANGE_MS)
  );
}

function isWorthLeaving({ startAfterMs }: { readonly startAfterMs: number }): boolean {
  return startAfterMs >= ABSENCE_MS_MIN;
}
