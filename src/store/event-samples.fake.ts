import type { Clock } from "../core/clock.ts";
import type { Attempt, EventResult, NewEvent } from "../core/event.ts";
import { newInvocationId } from "../core/ids.ts";
import type { ClaimedEvent, Ending } from "./event-queue.ts";
import { sampleName } from "./samples.fake.ts";

/** A clock that stands still until it is told to go on. */
export interface StoppedClock extends Clock {
  advance(ms: number): void;
  /** Changes the time on the wall alone, as an administrator does. */
  jump(ms: number): void;
}

export function stoppedClock(at = Date.UTC(2026, 5, 1)): StoppedClock {
  let wall = at;
  let elapsed = 0;
  return {
    now: () => wall + elapsed,
    monotonic: () => elapsed,
    sleep: async () => {},
    advance(ms) {
      elapsed += ms;
    },
    jump(ms) {
      wall += ms;
    },
  };
}

/** A call of function `name` with the text as its payload. */
export function sampleEvent(name: string, text = "{}", more: Partial<NewEvent> = {}): NewEvent {
  return {
    functionName: sampleName(name),
    invocationId: newInvocationId(),
    work: {
      kind: "call",
      qualifier: undefined,
      input: { kind: "event", payload: new TextEncoder().encode(text), contentType: "application/json" },
    },
    traceId: undefined,
    depth: 0,
    origin: "test",
    ...more,
  };
}

export function sampleAttempt(claim: ClaimedEvent, outcome: Attempt["outcome"] = "returned"): Attempt {
  return {
    number: claim.facts.attempt,
    startedAt: 1,
    endedAt: 2,
    outcome,
    error: outcome === "threw" ? { type: "Error", message: "no" } : undefined,
    version: "$LATEST",
    sandboxId: undefined,
  };
}

export function sampleEnding(claim: ClaimedEvent, more: Partial<Ending> = {}): Ending {
  return {
    state: "done",
    attempt: sampleAttempt(claim),
    reason: undefined,
    result: undefined,
    followUps: [],
    ...more,
  };
}

export function sampleResult(text: string): EventResult {
  return {
    payload: new TextEncoder().encode(text),
    isCut: false,
    functionError: undefined,
    executedVersion: "$LATEST",
  };
}
