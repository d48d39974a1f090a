import { setTimeout as sleepFor } from "node:timers/promises";

/** Time, so that tests own it. `now` is wall time (ms since epoch); `monotonic` never jumps (ms). */
export interface Clock {
  now(): number;
  monotonic(): number;
  /** @throws `signal.reason` when aborted. */
  sleep(ms: number, options: { readonly signal: AbortSignal }): Promise<void>;
}

export const systemClock: Clock = {
  now: Date.now,
  monotonic: () => performance.now(),
  async sleep(ms, { signal }) {
    await sleepFor(ms, undefined, { signal }).catch((error: unknown) => {
      throw signal.aborted ? signal.reason : error;
    });
  },
};
