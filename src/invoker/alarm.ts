/**
 * One timer for many deadlines that hardly ever come: it is set for the first of them and then asks when the next one is.
 * A timer for each call would be set and cleared without ever ringing, which costs more than the call's own bookkeeping.
 */
export class Alarm implements Disposable {
  readonly #ring: (now: number) => number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #ringsAt = Number.POSITIVE_INFINITY;

  /** `ring` handles what is due at `now` (monotonic ms) and says when to ring next; undefined: when `setFor` says so. */
  constructor(ring: (now: number) => number | undefined) {
    this.#ring = ring;
  }

  /** Rings at that time (monotonic ms) at the latest. */
  setFor(at: number): void {
    if (at >= this.#ringsAt) return;
    this.#ringsAt = at;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#rang(), Math.max(0, Math.ceil(at - performance.now())));
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#ringsAt = Number.NEGATIVE_INFINITY;
  }

  #rang(): void {
    const at = this.#ringsAt;
    const now = performance.now();
    this.#ringsAt = Number.POSITIVE_INFINITY;
    // Node's timers count whole milliseconds of a clock that the loop reads now and then.
    const next = now < at ? at : this.#ring(now);
    if (next !== undefined) this.setFor(next);
  }
}
