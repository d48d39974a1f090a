import type { EventId, FunctionName, InvocationId } from "./ids.ts";
import type { EventInput, OutcomeKind, RequestInput } from "./invocation.ts";

/**
 *   queued ◄──────► running ──► done
 *     │  ▲             ├──────► failed ────┐
 *     │  │             ├──────► expired ───┤ dead letters
 *     │  └─────────────┼───────────────────┘ (by hand)
 *     └────────────────┴──────► cancelled
 */
export const EVENT_STATES = ["queued", "running", "done", "failed", "expired", "cancelled"] as const;

export type EventState = (typeof EVENT_STATES)[number];

/** How an event ended; `failed` and `expired` ones are dead letters. */
export type EndState = Exclude<EventState, "queued" | "running">;

export function isEnded(state: EventState): state is EndState {
  return state !== "queued" && state !== "running";
}

export function isDeadLetter(state: EventState): boolean {
  return state === "failed" || state === "expired";
}

/** A request whose body is whole, since it has to outlive its connection. */
export type QueuedRequest = Omit<RequestInput, "body"> & { readonly body: Uint8Array | undefined };

export type QueuedInput = EventInput | QueuedRequest;

/**
 * What is to be done: call the event's function, or tell an address what became of a call. Only calls are retried by
 * the rules for function errors.
 */
export type EventWork =
  | { readonly kind: "call"; readonly qualifier: string | undefined; readonly input: QueuedInput }
  | { readonly kind: "delivery"; readonly url: string; readonly body: Uint8Array };

/** An event as it is accepted. */
export interface NewEvent {
  /** Whose it is; of a delivery, the function whose call it tells of. */
  readonly functionName: FunctionName;
  /** The id of every attempt's invocation. */
  readonly invocationId: InvocationId;
  readonly work: EventWork;
  readonly traceId: string | undefined;
  /** How many events led to this one by destinations. */
  readonly depth: number;
  /** Who made it: `gateway`, `api`, or `destination of evt_…`, `schedule …`. */
  readonly origin: string;
}

/**
 * What an attempt came to: a call's outcome, or why there was none. `lost`: the daemon went away while it ran.
 * `released`: the daemon stopped before it had begun. `refused`: an address did not take a delivery.
 */
export type AttemptOutcome =
  | OutcomeKind
  | "throttled"
  | "unavailable"
  | "refused"
  | "delivered"
  | "lost"
  | "released";

export interface Attempt {
  /** From 1, never used twice; some numbers may be missing where very many were kept short. */
  readonly number: number;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly outcome: AttemptOutcome;
  /** The error's type or code, and what it said. */
  readonly error: { readonly type: string; readonly message: string } | undefined;
  /** `$LATEST` or a number; undefined if it came to no call. */
  readonly version: string | undefined;
  readonly sandboxId: string | undefined;
}

/** Everything about an event but its bytes. */
export interface EventFacts {
  readonly id: EventId;
  readonly functionName: FunctionName;
  readonly invocationId: InvocationId;
  readonly state: EventState;
  readonly kind: EventWork["kind"];
  /** Of a call. */
  readonly qualifier: string | undefined;
  /** Of a delivery. */
  readonly url: string | undefined;
  readonly traceId: string | undefined;
  readonly depth: number;
  readonly origin: string;
  readonly enqueuedAt: number;
  /** From when its age counts: when it was accepted, or sent on its way again by hand. */
  readonly agedFromAt: number;
  /** When its next attempt may begin; of interest while it is queued. */
  readonly dueAt: number;
  /** Number of the last attempt that began; 0 before the first. */
  readonly attempt: number;
  /** Function errors since `agedFromAt`. */
  readonly errors: number;
  /** Attempts since the last function error that came to no call. */
  readonly setbacks: number;
  /** Ended attempts, oldest first, at most `ATTEMPTS_KEPT_MAX`. */
  readonly attempts: readonly Attempt[];
  readonly endedAt: number | undefined;
  /** Why it ended as it did; undefined for what is done. */
  readonly reason: EndReason | undefined;
}

/** `condition` is Lambda's word where it has one. */
export interface EndReason {
  readonly condition: EndCondition;
  readonly message: string;
}

export type EndCondition =
  | "RetriesExhausted"
  | "EventAgeExceeded"
  | "ZeroReservedConcurrency"
  | "TargetNotFound"
  | "CallRejected"
  | "LoopDetected"
  | "DeliveryRefused"
  | "Cancelled"
  | "FunctionDeleted";

/** What a call returned or threw; what is longer than `EVENT_RESULT_BYTES_MAX` is cut. */
export interface EventResult {
  readonly payload: Uint8Array;
  readonly isCut: boolean;
  readonly functionError: "Unhandled" | undefined;
  readonly executedVersion: string;
}

/**
 * What a function asks of the queue for the events that name one of its qualifiers. Members that are undefined leave
 * it to the defaults.
 */
export interface EventInvokeConfig {
  /** An alias or the number of a version; undefined for events that name none, or `$LATEST`. */
  readonly qualifier: string | undefined;
  readonly retriesMax: number | undefined;
  readonly eventAgeMsMax: number | undefined;
  readonly onSuccess: Destination | undefined;
  readonly onFailure: Destination | undefined;
  readonly modifiedAt: number;
}

/** Who is told what became of an event: another function, as its event, or an address, by POST. */
export type Destination =
  | {
      readonly kind: "function";
      readonly functionName: FunctionName;
      readonly qualifier: string | undefined;
    }
  | { readonly kind: "url"; readonly url: string };
