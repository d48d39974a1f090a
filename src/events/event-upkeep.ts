import type { Clock } from "../core/clock.ts";
import { isPlatformError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { EventLedger } from "../store/event-queue.ts";

export interface EventUpkeepParts {
  readonly ledger: Pick<EventLedger, "prune">;
  /** How long what is done or cancelled is kept, with its result. */
  readonly resultsMs: number;
  readonly deadLettersMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

const ROUND_MS = 60_000;
/** Between batches, so that accepting events never waits for more than one. */
const BATCH_MS = 20;

/** Removes what has been kept long enough, in small steps, until `signal` aborts. */
export async function runEventUpkeep(
  parts: EventUpkeepParts,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const { ledger, clock, log } = parts;
  const sleep = (ms: number) => clock.sleep(ms, { signal }).catch(() => undefined);
  while (!signal.aborted) {
    try {
      const now = clock.now();
      const kept = { endedBefore: now - parts.resultsMs, deadLettersBefore: now - parts.deadLettersMs };
      const isMore = await ledger.prune(kept);
      await sleep(isMore ? BATCH_MS : ROUND_MS);
    } catch (error) {
      // The disk is full or fails: removing has time.
      if (!isPlatformError(error)) throw error;
      log.warn("old events cannot be removed; trying again", { error });
      await sleep(ROUND_MS);
    }
  }
}
