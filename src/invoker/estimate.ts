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
    // The first measurement says more than the guess; later ones count one fifth each.
    this.#ms = this.#count === 0 ? ms : this.#ms + (ms - this.#ms) / 5;
    this.#count += 1;
  }
}
