/**
 * How long a function usually lies idle: the hybrid histogram policy of Shahrad et al. (USENIX ATC 2020), without its
 * forecast for what the histogram does not hold. Idle time is from the end of one call to the next call.
 */

const BIN_MS = 60_000;
const BINS = 240;
/** What the histogram can hold; nothing is kept longer on its account. */
export const IDLE_RANGE_MS = BINS * BIN_MS;
const SAMPLES_MIN = 10;
const HEAD_SHARE = 0.05;
const TAIL_SHARE = 0.99;
const MARGIN = 0.1;
/** Counts that vary less show no pattern. */
const VARIATION_MIN = 2;
const OUTSIDE_SHARE_MAX = 0.5;

export interface IdleWindow {
  /** From the end of a call until it is worth being there again; 0 if it is worth staying. */
  readonly startAfterMs: number;
  /** From the end of a call until it is not worth being there any more. */
  readonly endAfterMs: number;
}

export class IdleHistogram {
  readonly #bins = new Uint32Array(BINS);
  #count = 0;
  #outside = 0;

  add(idleMs: number): void {
    const bin = Math.floor(idleMs / BIN_MS);
    if (bin >= BINS) {
      this.#outside += 1;
      return;
    }
    this.#bins[bin] = (this.#bins[bin] ?? 0) + 1;
    this.#count += 1;
  }

  /** Undefined while there is too little to go by, or no pattern in it. */
  window(): IdleWindow | undefined {
    const total = this.#count + this.#outside;
    if (this.#count < SAMPLES_MIN || this.#outside / total > OUTSIDE_SHARE_MAX) return undefined;
    if (this.#variation() < VARIATION_MIN) return undefined;
    const head = this.#percentile(HEAD_SHARE) * BIN_MS;
    const tail = (this.#percentile(TAIL_SHARE) + 1) * BIN_MS;
    return {
      startAfterMs: head * (1 - MARGIN),
      endAfterMs: Math.min(IDLE_RANGE_MS, tail * (1 + MARGIN)),
    };
  }

  /** Of the bins' counts: their standard deviation over their mean. */
  #variation(): number {
    const mean = this.#count / BINS;
    const squares = this.#bins.reduce((sum, count) => sum + (count - mean) ** 2, 0);
    return Math.sqrt(squares / BINS) / mean;
  }

  #percentile(share: number): number {
    const wanted = this.#count * share;
    let seen = 0;
    for (const [bin, count] of this.#bins.entries()) {
      seen += count;
      if (seen >= wanted && seen > 0) return bin;
    }
    return BINS - 1;
  }
}
