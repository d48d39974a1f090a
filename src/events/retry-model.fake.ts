/**
 * What Lambda's rules make of an event, written down once more and independently of the queue: a list of what its
 * attempts come to in, the times and the end out. Without jitter.
 */
export type Script = "returns" | "throws" | "is throttled" | "fails to start";

export interface ModelSettings {
  readonly retriesMax: number;
  readonly ageMsMax: number;
}

export interface ModelHistory {
  /** When each attempt begins, ms after the event was accepted. */
  readonly attemptsAt: readonly number[];
  readonly state: "done" | "failed" | "expired";
  readonly condition: "Success" | "RetriesExhausted" | "EventAgeExceeded";
  /** When it ends. */
  readonly endedAt: number;
  /** Calls that were made. */
  readonly calls: number;
}

const MINUTE = 60_000;

/** The last of `scripts` goes on for ever. */
export function modelHistory(scripts: readonly [Script, ...Script[]], settings: ModelSettings): ModelHistory {
  const attemptsAt: number[] = [];
  let now = 0;
  let errors = 0;
  let inARow = 0;
  let calls = 0;
  for (let index = 0; ; index++) {
    const script = scripts[Math.min(index, scripts.length - 1)];
    attemptsAt.push(now);
    const end = (state: ModelHistory["state"], condition: ModelHistory["condition"]) => ({
      attemptsAt,
      state,
      condition,
      endedAt: now,
      calls,
    });
    let wait: number;
    if (script === "returns") {
      calls++;
      return end("done", "Success");
    }
    if (script === "throws") {
      calls++;
      errors++;
      inARow = 0;
      if (errors === settings.retriesMax + 1) return end("failed", "RetriesExhausted");
      wait = errors === 1 ? MINUTE : 2 * MINUTE;
    } else {
      inARow++;
      wait = [1, 2, 4, 8, 16, 32, 64, 128, 256][inARow - 1] ?? 300;
      wait *= 1_000;
    }
    if (now + wait > settings.ageMsMax) return end("expired", "EventAgeExceeded");
    now += wait;
  }
}
