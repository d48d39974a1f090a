import { Estimate } from "./estimate.ts";
import { Median } from "./median.ts";

/** What starts and calls usually take, in ms; undefined where it is not known. */
export interface KnownHabits {
  readonly startMs: number | undefined;
  readonly serviceMs: number | undefined;
}

/** A call that takes less is over before anybody could have done something else meanwhile. */
const QUICK_MS_MAX = 1;
/** A call that takes less costs as much here as in its instance. */
const TINY_MS_MAX = 0.1;
/** Where the mean is this much, some calls take so long that others should not stand behind them. */
const QUICK_MEAN_MS_MAX = 10;
/** What a start costs before the first one has been measured. */
const START_GUESS_MS = 60;

/**
 * What starts and calls of one version take, as measured. A new version is taken to be like the one before until its first call
 * has ended, or has not ended in time.
 */
export class Habits {
  readonly #startMs: Estimate;
  readonly #serviceMs = new Estimate(0);
  readonly #usualMs = new Median();
  readonly #startMsBefore: number | undefined;
  #serviceMsBefore: number | undefined;

  constructor(before: KnownHabits | undefined) {
    this.#startMsBefore = before?.startMs;
    this.#serviceMsBefore = before?.serviceMs;
    this.#startMs = new Estimate(before?.startMs ?? START_GUESS_MS);
  }

  get startMs(): number {
    return this.#startMs.ms;
  }

  /** The mean; undefined as long as nothing is known. */
  get serviceMs(): number | undefined {
    return this.#serviceMs.isMeasured ? this.#serviceMs.ms : this.#serviceMsBefore;
  }

  /** For the version after this one. */
  get known(): KnownHabits {
    const startMs = this.#startMs.isMeasured ? this.#startMs.ms : this.#startMsBefore;
    return { startMs, serviceMs: this.serviceMs };
  }

  /** Whether calls are so short that one may stand behind another; measured of this version only. */
  get isQuick(): boolean {
    const { value: usualMs } = this.#usualMs;
    return usualMs !== undefined && usualMs < QUICK_MS_MAX && this.#serviceMs.ms < QUICK_MEAN_MS_MAX;
  }

  get isTiny(): boolean {
    return (this.#usualMs.value ?? TINY_MS_MAX) < TINY_MS_MAX;
  }

  /** `doubted` is called if no call ends for as long as it would have taken before: nothing is known then. */
  started(tookMs: number, doubted: () => void): void {
    this.#startMs.add(tookMs);
    if (this.#serviceMs.isMeasured || this.#serviceMsBefore === undefined) return;
    const doubt = () => {
      this.#serviceMsBefore = undefined;
      if (!this.#serviceMs.isMeasured) doubted();
    };
    // A start more: waiting that long costs as much as the start that it saves.
    setTimeout(doubt, this.#serviceMsBefore + this.#startMs.ms).unref();
  }

  served(durationMs: number): void {
    this.#serviceMs.add(durationMs);
    this.#usualMs.add(durationMs);
  }
}
