/**
 *   starting ──► idle ◄──► busy
 *      │           │         │
 *      │           │         ▼
 *      │           │      retiring   (takes no new call, ends those it has)
 *      │           │         │
 *      └───────────┴────┬────┘
 *                       ▼
 *                     gone
 *
 * An instance whose sandbox exits by itself goes to `gone` from wherever it was.
 */
export type InstanceState = "starting" | "idle" | "busy" | "retiring" | "gone";

const NEXT: Readonly<Record<InstanceState, readonly InstanceState[]>> = {
  starting: ["idle", "gone"],
  idle: ["busy", "gone"],
  busy: ["idle", "retiring", "gone"],
  retiring: ["gone"],
  gone: [],
};

/** Returns `next`; a move the table above does not show is a bug in the pool, so it throws. */
export function moveTo(current: InstanceState, next: InstanceState): InstanceState {
  // Twice a call: the sentence is made only where it is needed.
  if (!NEXT[current].includes(next)) throw new Error(`an instance must not go from ${current} to ${next}`);
  return next;
}
