import type { Clock } from "../../core/clock.ts";
import { PlatformError } from "../../core/errors.ts";
import type { Route } from "./route.ts";

/**
 * Bounds the calls of AWS's operations but those that invoke, over all keys: AWS answers about 15 a second. A second's
 * worth may come at once. Without a limit everything is let through.
 */
export function newRequestRate(
  perSecondMax: number | undefined,
  clock: Pick<Clock, "monotonic">,
): (route: Route) => void {
  if (perSecondMax === undefined) return () => undefined;
  let room = perSecondMax;
  let at = clock.monotonic();
  return ({ dialect, access }) => {
    if (dialect !== "aws" || access === "invoke") return;
    const now = clock.monotonic();
    room = Math.min(perSecondMax, room + ((now - at) / 1_000) * perSecondMax);
    at = now;
    if (room < 1) {
      const retryAfterMs = ((1 - room) / perSecondMax) * 1_000;
      throw new PlatformError("TooManyInvocations", "Rate exceeded", {
        reason: "CallerRateLimitExceeded",
        retryAfterMs,
      });
    }
    room -= 1;
  };
}
