/** A batch of messages and what the function made of it. */
import type { Clock } from "../core/clock.ts";
import type { NewEvent } from "../core/event.ts";
import { newInvocationId } from "../core/ids.ts";
import type { Source } from "../core/source.ts";
import { failuresIn } from "./batch-answer.ts";
import { attemptCall, type CallAttemptParts, type Verdict } from "./call-attempt.ts";
import { followUp, type Identity } from "./destinations.ts";
import type { QueueMessage } from "./source-queue.ts";

/** A message with its record as JSON. */
export interface BatchItem {
  readonly message: QueueMessage;
  readonly json: string;
}

/** `released`: we are stopping, and the function has not seen it. */
export type BatchEnd =
  | {
      readonly kind: "worked";
      readonly done: readonly QueueMessage[];
      readonly failed: readonly QueueMessage[];
      /** Why, if some have failed. */
      readonly problem: string | undefined;
      readonly answer: Answer | undefined;
    }
  | { readonly kind: "released" };

type Answer = Extract<Verdict, { readonly kind: "answered" }>;

export interface BatchParts extends CallAttemptParts {
  readonly source: Source;
  readonly clock: Clock;
  /** Told each time the function cannot be called for now, and why. */
  readonly held: (why: string) => void;
}

const WAIT_MS_MIN = 100;
const THROTTLED_MS_MAX = 5_000;
const UNAVAILABLE_MS_MAX = 60_000;
/** So long a batch is held for a function that cannot be called; then it goes back to its queue. SQS allows 12 hours. */
const HELD_MS_MAX = 6 * 3_600_000;
const PROBLEM_LENGTH_MAX = 500;

/**
 * Calls the function, again and again while it could not be called: that its messages come back is no attempt of
 * theirs, and must not use up the queue's patience.
 */
export async function callWithBatch(
  parts: BatchParts,
  items: readonly BatchItem[],
  { signal }: { readonly signal: AbortSignal },
): Promise<BatchEnd> {
  const { source, clock } = parts;
  const { functionName, qualifier } = source;
  const messages = items.map(({ message }) => message);
  const payload = batchPayload(items);
  const endsAt = clock.monotonic() + HELD_MS_MAX;
  const facts = { functionName, invocationId: newInvocationId(), traceId: undefined };
  const input = { kind: "event", payload, contentType: "application/json" } as const;
  for (let count = 0; ; count += 1) {
    const order = { facts, work: { kind: "call", qualifier, input } } as const;
    const { verdict } = await attemptCall(parts, order, { signal });
    if (verdict.kind === "answered") return endOf(source, messages, verdict);
    if (verdict.kind === "released") return { kind: "released" };
    const why = problemOf(verdict);
    const isRefused = verdict.kind === "hopeless" && verdict.condition === "CallRejected";
    if (isRefused || clock.monotonic() > endsAt) {
      return { kind: "worked", done: [], failed: messages, problem: why, answer: undefined };
    }
    parts.held(why);
    const isThrottled = verdict.kind === "setback" && verdict.outcome === "throttled";
    const waitMs = Math.min(isThrottled ? THROTTLED_MS_MAX : UNAVAILABLE_MS_MAX, WAIT_MS_MIN * 2 ** count);
    await clock.sleep(waitMs, { signal }).catch(() => undefined);
    if (signal.aborted) return { kind: "released" };
  }
}

function batchPayload(items: readonly BatchItem[]): Buffer {
  return Buffer.from(`{"Records":[${items.map(({ json }) => json).join(",")}]}`);
}

/** What a destination is told of messages that are given up: Lambda's invocation record, the messages in it. */
export function givenUpEvent(
  source: Source,
  items: readonly BatchItem[],
  answer: Answer | undefined,
  identity: Identity,
  now: number,
): NewEvent | undefined {
  const { onFailure, functionName, qualifier, id } = source;
  if (!onFailure) return undefined;
  const invokeCount = Math.max(...items.map(({ message }) => message.deliveries));
  const invocationId = newInvocationId();
  const input = { kind: "event", payload: batchPayload(items), contentType: "application/json" } as const;
  const told = followUp(
    onFailure,
    {
      facts: { id, functionName, qualifier, invocationId, traceId: undefined, depth: 0 },
      work: { kind: "call", qualifier, input },
      condition: "RetryAttemptsExhausted",
      answer,
      invokeCount,
      now,
    },
    identity,
  );
  return { ...told, origin: `source ${id}` };
}

function endOf(source: Source, messages: readonly QueueMessage[], answer: Answer): BatchEnd {
  if (answer.functionError !== undefined) {
    return { kind: "worked", done: [], failed: messages, problem: problemOf(answer), answer };
  }
  if (!source.reportsFailures) {
    return { kind: "worked", done: messages, failed: [], problem: undefined, answer };
  }
  const failedIds = failuresIn(answer.payload, new Set(messages.map(({ id }) => id)));
  const failed = messages.filter(({ id }) => failedIds.has(id));
  const problem = `Function reported ${failed.length} of ${messages.length} messages as failed`;
  return {
    kind: "worked",
    done: messages.filter(({ id }) => !failedIds.has(id)),
    failed,
    problem: failed.length > 0 ? problem : undefined,
    answer,
  };
}

function problemOf(verdict: Exclude<Verdict, { readonly kind: "released" }>): string {
  switch (verdict.kind) {
    case "answered": {
      const { error } = verdict;
      return `Function call failed${error ? `: ${error.type}: ${error.message}` : ""}`.slice(
        0,
        PROBLEM_LENGTH_MAX,
      );
    }
    case "setback":
      return verdict.outcome === "throttled"
        ? "Function call was throttled"
        : `Function cannot be called: ${verdict.error.message}`;
    case "hopeless":
      return `Function cannot be called: ${verdict.message}`;
  }
}
