import type { Clock } from "../core/clock.ts";
import { isPlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import { RECORDING_KEEP_MS_DEFAULT } from "../core/limits.ts";
import type { Log } from "../core/log.ts";
import type { Recordings } from "../records/recordings/recordings.ts";
import type { Functions } from "../registry/functions.ts";

const EVERY_MS = 600_000;

export interface UpkeepParts {
  readonly functions: Pick<Functions, "get">;
  readonly recordings: Pick<Recordings, "functionNames" | "expire" | "forget">;
  readonly clock: Clock;
  readonly log: Log;
}

/** Removes recordings that are too old, and those of functions that are no more, until `signal` aborts. */
export async function runRecordingUpkeep(
  parts: UpkeepParts,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    await parts.clock.sleep(EVERY_MS, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    if (signal.aborted) return;
    await tidyRecordings(parts, signal).catch((error: unknown) => {
      parts.log.error("cannot remove old recordings; trying again later", { error });
    });
  }
}

export async function tidyRecordings(parts: UpkeepParts, signal: AbortSignal): Promise<void> {
  const { recordings, clock } = parts;
  for (const name of await recordings.functionNames()) {
    if (signal.aborted) return;
    const record = await findFunction(parts, name);
    // A call that outlived its function may have been recorded after the others went.
    if (!record) await recordings.forget(name);
    else {
      const keepMs = record.settings.recording?.keepMs ?? RECORDING_KEEP_MS_DEFAULT;
      await recordings.expire(name, clock.now() - keepMs);
    }
  }
}

async function findFunction(
  { functions }: UpkeepParts,
  name: FunctionName,
): Promise<FunctionRecord | undefined> {
  try {
    return await functions.get(name);
  } catch (error) {
    if (isPlatformError(error, "FunctionNotFound")) return undefined;
    throw error;
  }
}
