/** Follows the median of what it is told: unlike a mean, it does not heed the few that were held up by something else. */
export class Median {
  #value: number | undefined;

  get value(): number | undefined {
    return this.#value;
  }

  /** Each measurement moves it by a twentieth towards itself, however far away that is. */
  add(value: number): void {
    if (this.#value === undefined) this.#value = value;
    else if (value > this.#value) this.#value *= 1 + STEP;
    else this.#value *= 1 - STEP;
  }
}

const STEP = 0.05;
