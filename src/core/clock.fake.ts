import type { Clock } from "./clock.ts";

/** Time that goes on only when it is told to. */
export interface FakeClock extends Clock {
  /** Goes on, waking what sleeps in its order, and lets what was woken do its work. */
  advance(ms: number): Promise<void>;
  /** Changes the time on the wall alone, as an administrator does. */
  jump(ms: number): void;
}

interface Sleeper {
  readonly wakesAt: number;
  wake(): void;
}

export function fakeClock(at = Date.UTC(2027, 0, 1)): FakeClock {
  let elapsed = 0;
  let wall = at;
  const sleepers = new Set<Sleeper>();
  return {
    now: () => wall + elapsed,
    monotonic: () => elapsed,
    sleep(ms, { signal }) {
      return new Promise((resolve, reject) => {
        const sleeper: Sleeper = {
          wakesAt: elapsed + ms,
          wake() {
            sleepers.delete(sleeper);
            signal.removeEventListener("abort", stop);
            resolve();
          },
        };
        const stop = () => {
          sleepers.delete(sleeper);
          reject(signal.reason);
        };
        if (signal.aborted) return stop();
        signal.addEventListener("abort", stop, { once: true });
        sleepers.add(sleeper);
      });
    },
    async advance(ms) {
      await settle();
      const end = elapsed + ms;
      for (;;) {
        const next = [...sleepers].sort((a, b) => a.wakesAt - b.wakesAt)[0];
        if (!next || next.wakesAt > end) break;
        elapsed = Math.max(elapsed, next.wakesAt);
        next.wake();
        await settle();
      }
      elapsed = end;
    },
    jump(ms) {
      wall += ms;
    },
  };
}

/** Lets everything that waits for nothing but its turn have it. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

const TURNS = 5;
