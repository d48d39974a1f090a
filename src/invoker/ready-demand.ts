/** How many sandboxes of one kind are worth keeping ready. Pure: whoever asks brings the time. */

/** Nobody has asked for so long: the sandboxes go. */
const FORGOTTEN_MS = 24 * 60 * 60_000;
/** After a start others often follow: a deploy that is tried out, a page that calls three functions. */
const BURST_MARGIN = 2;
const BURST_MS = 60_000;
const RATE_WINDOW_MS = 10_000;
/** A refill is measured as soon as there was one. */
const REFILL_GUESS_MS = 150;
const TAKES_REMEMBERED_MAX = 256;

/**
 * Learns from each start that asked for a ready sandbox. Wanted are as many as will be asked for while one is made, and a
 * margin for bursts that goes down to one when it gets quiet, and to none after a day.
 */
export class ReadyDemand {
  readonly #askedAt: number[] = [];
  #expectedAt: number;
  #refillMs = REFILL_GUESS_MS;

  constructor(now: number) {
    this.#expectedAt = now;
  }

  /** The last moment at which somebody asked, or was expected to. */
  get lastAt(): number {
    return Math.max(this.#expectedAt, this.#askedAt.at(-1) ?? 0);
  }

  /** A function of this kind was deployed, or is there since the start. */
  expected(now: number): void {
    this.#expectedAt = now;
  }

  asked(now: number): void {
    this.#askedAt.push(now);
    if (this.#askedAt.length > TAKES_REMEMBERED_MAX) this.#askedAt.shift();
  }

  refilled(tookMs: number): void {
    this.#refillMs += (tookMs - this.#refillMs) / 4;
  }

  wanted(now: number): number {
    if (now - this.lastAt > FORGOTTEN_MS) return 0;
    const recent = this.#askedAt.filter((at) => now - at < RATE_WINDOW_MS).length;
    const whileRefilling = Math.ceil((recent / RATE_WINDOW_MS) * this.#refillMs);
    const lastAsked = this.#askedAt.at(-1);
    const isBusy = lastAsked !== undefined && now - lastAsked < BURST_MS;
    return Math.max(1, whileRefilling + (isBusy ? BURST_MARGIN : 0));
  }
}
