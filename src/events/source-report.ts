import type { Clock } from "../core/clock.ts";
import type { SourceActivity, SourceCounts, SourceStatus } from "../core/source.ts";

/** Keeps what is to be known of a source while it is polled. */
export class SourceReport {
  readonly #clock: Pick<Clock, "now">;
  #activity: SourceActivity = "starting";
  #running = 0;
  #lastResult: SourceStatus["lastResult"];
  #counts = { batches: 0, done: 0, failed: 0, filtered: 0, givenUp: 0, repeated: 0 };

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  is(activity: SourceActivity): void {
    this.#activity = activity;
  }

  /** In AWS's words, where it has some. */
  said(text: string): void {
    this.#lastResult = { text, isProblem: false, at: this.#clock.now() };
  }

  problem(text: string): void {
    this.#lastResult = { text: `PROBLEM: ${text}`, isProblem: true, at: this.#clock.now() };
  }

  began(): void {
    this.#running += 1;
  }

  ended(): void {
    this.#running -= 1;
  }

  count(what: keyof SourceCounts, by = 1): void {
    this.#counts = { ...this.#counts, [what]: this.#counts[what] + by };
  }

  status(): SourceStatus {
    return {
      activity: this.#activity,
      running: this.#running,
      lastResult: this.#lastResult,
      counts: this.#counts,
    };
  }
}
