import type { Clock } from "../core/clock.ts";
import type { Instance } from "./instance.ts";

export interface KeepAlivePolicy {
  /** An instance without work for this long is stopped. */
  readonly idleMsMax: number;
  /** So many instances may be there in all; the one idle longest makes room for a new one. */
  readonly instancesMax: number;
  /** Calls that may run or wait at once, over all functions; without it there is no such limit. */
  readonly concurrencyMax?: number | undefined;
}

const SWEEP_MS = 1_000;

/** Stops idle instances whose time is over, until `signal` aborts. */
export async function runKeepAlive(
  parts: { readonly clock: Clock; readonly idle: () => Iterable<Instance>; readonly policy: KeepAlivePolicy },
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    for (const instance of expired(parts.idle(), parts.clock.monotonic() - parts.policy.idleMsMax))
      instance.retire();
    await parts.clock.sleep(SWEEP_MS, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }
}

function expired(idle: Iterable<Instance>, lastUsedBefore: number): Instance[] {
  return [...idle].filter((instance) => instance.lastUsedAt <= lastUsedBefore);
}

/** The instance that has been idle longest; undefined if none is. */
export function idleLongest(idle: Iterable<Instance>): Instance | undefined {
  let oldest: Instance | undefined;
  for (const instance of idle) if (!oldest || instance.lastUsedAt < oldest.lastUsedAt) oldest = instance;
  return oldest;
}
