import { PlatformError } from "../../core/errors.ts";
import type { FunctionName } from "../../core/ids.ts";
import type { Lane } from "../event-queue.ts";
import { PendingEvents } from "../pending-events.ts";

/** How many events may wait and run, of one function and in all. */
export interface EventLimits {
  readonly perFunctionMax: number;
  readonly totalMax: number;
}

/**
 * What is known of open events without asking the database: which wait, how many of each function there are, whose
 * claims run until when, and who wants to hear of changes. This process alone changes events, so it is never wrong;
 * it is built from the database at the start.
 */
export class EventIndex {
  readonly pending = new PendingEvents();
  readonly #limits: EventLimits;
  readonly #counts = new Map<FunctionName, { queued: number; running: number }>();
  readonly #claims = new Map<number, Claim>();
  readonly #watchers = new Map<number, Set<() => void>>();
  #total = 0;
  /** Accepted, but not on disk yet. */
  #arriving = 0;
  #changed = Promise.withResolvers<void>();

  constructor(limits: EventLimits) {
    this.#limits = limits;
  }

  /** @throws PlatformError `TooManyEvents`. Otherwise the place is kept until `arrived` or `refused`. */
  reserve(name: FunctionName): void {
    const waiting = this.#of(name).queued;
    if (waiting >= this.#limits.perFunctionMax) {
      throw tooMany(`${waiting} events wait for ${name}, which is as many as may`);
    }
    if (this.#total + this.#arriving >= this.#limits.totalMax) {
      throw tooMany(`${this.#total} events wait, which is as many as may`);
    }
    this.#of(name).queued += 1;
    this.#arriving += 1;
  }

  release(name: FunctionName): void {
    this.#arriving -= 1;
    this.#count(name, "queued", -1);
  }

  /** An event that `reserve` made place for is on disk. */
  arrived(lane: Lane, sequence: number, now: number): void {
    this.#arriving -= 1;
    this.#total += 1;
    this.pending.add(lane, sequence, now, now);
    this.notify();
  }

  /** An event that was queued by other ways is on disk. */
  queued(name: FunctionName, lane: Lane, sequence: number, dueAt: number, now: number): void {
    this.#count(name, "queued", 1);
    this.#total += 1;
    this.pending.putBack(lane, sequence, dueAt, now);
    this.notify();
  }

  claimed(name: FunctionName, sequence: number, claim: Claim): void {
    this.#count(name, "queued", -1);
    this.#count(name, "running", 1);
    this.#claims.set(sequence, claim);
  }

  /** A running event is queued again. */
  putBack(name: FunctionName, lane: Lane, sequence: number, dueAt: number, now: number): void {
    this.#claims.delete(sequence);
    this.#count(name, "running", -1);
    this.#count(name, "queued", 1);
    this.pending.putBack(lane, sequence, dueAt, now);
    this.notify();
    this.tell(sequence);
  }

  /** An event that was open is no more. */
  ended(name: FunctionName, sequence: number): void {
    const wasRunning = this.#claims.delete(sequence);
    this.#count(name, wasRunning ? "running" : "queued", -1);
    this.#total -= 1;
    this.tell(sequence);
  }

  holds(sequence: number, attempt: number): boolean {
    return this.#claims.get(sequence)?.attempt === attempt;
  }

  prolong(sequence: number, untilAt: number): void {
    const claim = this.#claims.get(sequence);
    if (claim) claim.untilAt = untilAt;
  }

  /** Claims that nobody has prolonged in time, of a clock that nobody can put forward. */
  lapsed(moment: number): { readonly sequence: number; readonly attempt: number; readonly lane: Lane }[] {
    const found: { sequence: number; attempt: number; lane: Lane }[] = [];
    for (const [sequence, { untilAt, attempt, lane }] of this.#claims) {
      if (untilAt < moment) found.push({ sequence, attempt, lane });
    }
    return found;
  }

  counts(name?: FunctionName): { readonly queued: number; readonly running: number } {
    if (name === undefined) return { queued: this.#total - this.#claims.size, running: this.#claims.size };
    return { ...(this.#counts.get(name) ?? { queued: 0, running: 0 }) };
  }

  /** Resolves at the next call of `notify`. */
  async change(signal: AbortSignal): Promise<void> {
    await untilAborted(this.#changed.promise, signal);
  }

  notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  /** Resolves when that event changes. */
  async changeOf(sequence: number, signal: AbortSignal): Promise<void> {
    const told = Promise.withResolvers<void>();
    const watchers = this.#watchers.get(sequence) ?? new Set();
    watchers.add(told.resolve);
    this.#watchers.set(sequence, watchers);
    try {
      await untilAborted(told.promise, signal);
    } finally {
      watchers.delete(told.resolve);
      if (watchers.size === 0 && this.#watchers.get(sequence) === watchers) this.#watchers.delete(sequence);
    }
  }

  tell(sequence: number): void {
    const watchers = this.#watchers.get(sequence);
    this.#watchers.delete(sequence);
    for (const told of watchers ?? []) told();
  }

  #of(name: FunctionName): { queued: number; running: number } {
    let counts = this.#counts.get(name);
    if (!counts) {
      counts = { queued: 0, running: 0 };
      this.#counts.set(name, counts);
    }
    return counts;
  }

  #count(name: FunctionName, what: "queued" | "running", by: number): void {
    const counts = this.#of(name);
    counts[what] += by;
    if (counts.queued <= 0 && counts.running <= 0) this.#counts.delete(name);
  }
}

interface Claim {
  readonly attempt: number;
  readonly lane: Lane;
  /** On the monotonic clock. */
  untilAt: number;
}

const RETRY_AFTER_MS = 5_000;

function tooMany(what: string): PlatformError {
  return new PlatformError("TooManyEvents", `${what}; try again later, or raise the function's concurrency`, {
    reason: "EventQueueLimitExceeded",
    retryAfterMs: RETRY_AFTER_MS,
  });
}

/** @throws `signal.reason` */
async function untilAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
