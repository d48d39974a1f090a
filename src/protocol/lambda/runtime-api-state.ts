/**
 * Where a runtime stands between its calls, in the Runtime API's own words (they appear in its 403 answers).
 *
 *   Started ──► Ready ──► Running ──┬─► InvocationResponse ──────┬─► ResponseSent ──► Ready …
 *      │                            └─► InvocationErrorResponse ─┘
 *      └──► InitError
 *
 * `next` while Ready or Running changes nothing: it is answered with the event that is or will be the current one.
 * The restore states of snapshots have no way in, so `restore/*` is always refused.
 */
export type RuntimeState =
  | "Started"
  | "InitError"
  | "Ready"
  | "Running"
  | "InvocationResponse"
  | "InvocationErrorResponse"
  | "ResponseSent";

/** What a call of the runtime asks to become. */
export type WantedState = RuntimeState | "RestoreReady" | "RestoreError";

const NEXT: Readonly<Record<RuntimeState, readonly WantedState[]>> = {
  Started: ["Ready", "InitError"],
  InitError: [],
  Ready: ["Ready", "Running"],
  Running: ["Ready", "InvocationResponse", "InvocationErrorResponse"],
  InvocationResponse: ["ResponseSent"],
  InvocationErrorResponse: ["ResponseSent"],
  ResponseSent: ["Ready"],
};

/** Whether the runtime may go there. A client is hostile code, so a wrong move is an answer and not a bug. */
export function mayMove(current: RuntimeState, wanted: WantedState): boolean {
  return NEXT[current].includes(wanted);
}
