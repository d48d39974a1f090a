import type { Clock } from "../core/clock.ts";
import { isPlatformError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { Records } from "../records/records.ts";
import type { Functions } from "../registry/functions.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const FUNCTIONS_PER_STEP = 500;

export interface RetentionParts {
  readonly functions: Pick<Functions, "list">;
  readonly records: Pick<Records, "expire">;
  readonly clock: Clock;
}

/** Removes log lines that are older than their function keeps them, every hour until `signal` aborts. */
export async function runLogRetention(
  parts: RetentionParts & { readonly log: Log },
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    await parts.clock.sleep(HOUR_MS, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    if (signal.aborted) return;
    await expireAll(parts, signal).catch((error: unknown) => {
      // The store cannot be read now: removing has time.
      if (!isPlatformError(error)) throw error;
      parts.log.warn("old log lines cannot be removed; trying again in an hour", { error });
    });
  }
}

export async function expireAll(
  { functions, records, clock }: RetentionParts,
  signal: AbortSignal,
): Promise<void> {
  let after: string | undefined;
  while (!signal.aborted) {
    const page = await functions.list({ after, limit: FUNCTIONS_PER_STEP });
    for (const { name, settings } of page) {
      const days = settings.logRetentionDays;
      if (days !== undefined) await records.expire(name, clock.now() - days * DAY_MS);
    }
    after = page.at(-1)?.name;
    if (page.length < FUNCTIONS_PER_STEP) return;
  }
}
