/**
 * Faults that tests put into a running daemon, to prove that nothing accepted is lost. Never set otherwise.
 *
 * `die:POINT:N` kills the process, as `kill -9` does, the Nth time it comes by POINT; `acknowledge-early` answers
 * writes before they are committed, so that a test of durability can be seen to fail.
 */
export type Fault =
  | { readonly kind: "die"; readonly point: string; readonly nth: number }
  | { readonly kind: "acknowledge-early" };

/** Undefined if it is none. */
export function parseFault(text: string): Fault | undefined {
  if (text === "acknowledge-early") return { kind: "acknowledge-early" };
  const [, point, nth] = /^die:([a-zA-Z-]+(?::[a-zA-Z-]+)?):([1-9]\d{0,6})$/.exec(text) ?? [];
  return point === undefined ? undefined : { kind: "die", point, nth: Number(nth) };
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
