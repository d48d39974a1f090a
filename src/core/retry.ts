/**
 * When an event is tried again: Lambda's rules for asynchronous invocation.
 *
 * - The function failed: up to two retries, a minute and two minutes later.
 * - The call did not happen (throttled, the platform's fault): again after 1 s, then twice as long each time up to
 *   5 minutes, without using up a retry.
 * - Nothing is tried once the event is 6 hours old, and nothing waits for a moment at which it would be.
 *
 * https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
 */
export interface RetryPolicy {
  /** Retries after errors of the function. */
  readonly retriesMax: number;
  readonly ageMsMax: number;
  /** Before the first retry, the second…; the last one counts for all that follow. */
  readonly errorDelaysMs: readonly [number, ...number[]];
  /** After the first setback; doubled after each further one. */
  readonly setbackMsMin: number;
  readonly setbackMsMax: number;
  /** By how much a delay may be longer than it has to be, so that what failed together does not come back together. */
  readonly jitterShare: number;
}

export const RETRY_POLICY_DEFAULT: RetryPolicy = {
  retriesMax: 2,
  ageMsMax: 6 * 3_600_000,
  errorDelaysMs: [60_000, 120_000],
  setbackMsMin: 1_000,
  setbackMsMax: 300_000,
  jitterShare: 0.1,
};

/** Bounds of what a function may set for itself: Lambda's. */
export const RETRIES_MAX = 2;
export const EVENT_AGE_MS_MIN = 60_000;
export const EVENT_AGE_MS_MAX = 21_600_000;

export interface RetryFacts {
  /** Errors of the function so far, this one included. */
  readonly errors: number;
  /** Attempts since the last such error that came to no call, this one included. */
  readonly setbacks: number;
  readonly agedFromAt: number;
  readonly now: number;
  /** From 0 up to, but not including, 1. */
  readonly random: number;
}

export type RetryDecision =
  | { readonly kind: "retry"; readonly dueAt: number }
  | { readonly kind: "give-up"; readonly condition: "RetriesExhausted" | "EventAgeExceeded" };

export function afterFunctionError(policy: RetryPolicy, facts: RetryFacts): RetryDecision {
  if (facts.errors > policy.retriesMax) return { kind: "give-up", condition: "RetriesExhausted" };
  const { errorDelaysMs } = policy;
  return within(policy, facts, errorDelaysMs[facts.errors - 1] ?? errorDelaysMs.at(-1) ?? 0);
}

/** After an attempt that came to no call. */
export function afterSetback(policy: RetryPolicy, facts: RetryFacts): RetryDecision {
  // Beyond 2^30 the doubling would only overflow; the bound is reached long before.
  const doubled = policy.setbackMsMin * 2 ** Math.min(30, Math.max(0, facts.setbacks - 1));
  return within(policy, facts, Math.min(policy.setbackMsMax, doubled));
}

export function isTooOld(policy: RetryPolicy, agedFromAt: number, now: number): boolean {
  return now - agedFromAt > policy.ageMsMax;
}

function within(
  policy: RetryPolicy,
  { now, random, agedFromAt }: RetryFacts,
  delayMs: number,
): RetryDecision {
  const dueAt = now + Math.round(delayMs * (1 + random * policy.jitterShare));
  return isTooOld(policy, agedFromAt, dueAt)
    ? { kind: "give-up", condition: "EventAgeExceeded" }
    : { kind: "retry", dueAt };
}
