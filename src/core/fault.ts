/**
 * Faults that tests put into a running daemon, to prove that nothing accepted is lost. Never set otherwise.
 *
 * `die:POINT:N` kills the process, as `kill -9` does, the Nth time it comes by POINT; `acknowledge-early` answers
 * writes before they are committed, so that a test of durability can be seen to fail. `time-out:PERCENT:SEED` lets that
 * share of the store's calls do what they are asked for and then say that they could not; `time-out:PORT.METHOD:N` the
 * first N of one of them.
 */
export type Fault =
  | { readonly kind: "die"; readonly point: string; readonly nth: number }
  | { readonly kind: "acknowledge-early" }
  | { readonly kind: "time-out-share"; readonly percent: number; readonly seed: number }
  | { readonly kind: "time-out-first"; readonly call: string; readonly times: number };

/** Undefined if it is none. */
export function parseFault(text: string): Fault | undefined {
  if (text === "acknowledge-early") return { kind: "acknowledge-early" };
  const [, point, nth] = /^die:([a-zA-Z-]+(?::[a-zA-Z-]+)?):([1-9]\d{0,6})$/.exec(text) ?? [];
  if (point !== undefined) return { kind: "die", point, nth: Number(nth) };
  const [, percent, seed] = /^time-out:(\d{1,2}|100):(\d{1,10})$/.exec(text) ?? [];
  if (percent !== undefined) return { kind: "time-out-share", percent: Number(percent), seed: Number(seed) };
  const [, call, times] = /^time-out:([a-zA-Z]+\.[a-zA-Z]+):([1-9]\d{0,6})$/.exec(text) ?? [];
  return call === undefined ? undefined : { kind: "time-out-first", call, times: Number(times) };
}

/** Called at each named point; does nothing unless that point is armed. */
export type Failpoint = (name: string) => void;

/** `die` ends the process and does not return. */
export function newFailpoint(fault: Fault | undefined, die: () => void): Failpoint {
  if (fault?.kind !== "die") return () => undefined;
  let seen = 0;
  return (name) => {
    if (name !== fault.point) return;
    seen += 1;
    if (seen === fault.nth) die();
  };
}

/** Whether a call that has just worked is to say that it did not. */
export function newTimeOuts(fault: Fault | undefined): ((call: string) => boolean) | undefined {
  if (fault?.kind === "time-out-first") {
    let left = fault.times;
    return (call) => call === fault.call && left-- > 0;
  }
  if (fault?.kind !== "time-out-share") return undefined;
  let state = fault.seed >>> 0;
  return () => {
    // A linear congruence, so that a seed gives the same again.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32 < fault.percent / 100;
  };
}
