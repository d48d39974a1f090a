/** An exponentially weighted mean: what something usually takes, leaning to what it took lately. */
export class Estimate {
  #ms: number;
  #count = 0;

  /** `guessMs` serves until there is a measurement. */
  constructor(guessMs: number) {
    this.#ms = guessMs;
  }

  get ms(): number {
    return this.#ms;
  }

  get isMeasured(): boolean {
    return this.#count > 0;
  }

  add(ms: number): void {
    // The first measurement says more than the guess; later ones count one fifth each. One that is far above the rest was
    // held up by something else, most likely: only when others follow is it what things take now.
    const most = Math.max(this.#ms, SMALLEST_MS) * RISE_MAX;
    this.#ms = this.#count === 0 ? ms : this.#ms + (Math.min(ms, most) - this.#ms) / 5;
    this.#count += 1;
  }
}

/** A measurement counts as no more than so many times the estimate, which so can grow by 2.4 with each. */
const RISE_MAX = 8;
/** What is less is as good as nothing. */
const SMALLEST_MS = 0.05;
