import type { Clock } from "../../core/clock.ts";
import type { HookId } from "../../core/ids.ts";

/** So many at once, and then one in each span, have a line of their own in a hook's list. */
const AT_ONCE = 20;
const SPAN_MS = 2_000;

/**
 * Which refusals of a hook are written down. Anybody can send requests that are refused: those must not keep the disk
 * busy, so that of many only some are written, each with how many were left out before it.
 */
export function newRefusalRate(clock: Clock): (hookId: HookId) => { readonly leftOut: number } | undefined {
  const hooks = new Map<HookId, { room: number; at: number; leftOut: number }>();
  return (hookId) => {
    const now = clock.monotonic();
    const state = hooks.get(hookId) ?? { room: AT_ONCE, at: now, leftOut: 0 };
    hooks.set(hookId, state);
    const spans = Math.floor((now - state.at) / SPAN_MS);
    state.room = Math.min(AT_ONCE, state.room + spans);
    state.at += spans * SPAN_MS;
    if (state.room === 0) {
      state.leftOut += 1;
      return undefined;
    }
    const { leftOut } = state;
    state.room -= 1;
    state.leftOut = 0;
    return { leftOut };
  };
}
