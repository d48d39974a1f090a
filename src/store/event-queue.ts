import type {
  Attempt,
  EndReason,
  EndState,
  EventFacts,
  EventResult,
  EventState,
  EventWork,
  NewEvent,
} from "../core/event.ts";
import type { EventId, FunctionName, InvocationId } from "../core/ids.ts";

/**
 * Events that wait for their function, and who works on them. What a promise of a change resolves with is on disk.
 *
 * Events wait in lanes: one per function, and one per function and host that is told of its results. Within a lane
 * the one that arrived first is claimed first; between lanes it goes round.
 *
 * A claim gives the event to its holder alone and has a number, which is the attempt's. Whatever the holder says later
 * counts only while that claim is the event's last and the event is running, so that a holder that was given up
 * cannot change anything any more. Claims end with the process: what ran when the queue is opened again is queued.
 *
 * @throws PlatformError `StoreUnavailable`, `StorageFull` from any of them.
 */
export interface EventQueue {
  /**
   * Accepts an event. With a key that the function's events had within 24 h, nothing is added and the first one is
   * given.
   *
   * @throws PlatformError `TooManyEvents` when as many wait as may.
   */
  enqueue(event: NewEvent, options: { readonly idempotencyKey: string | undefined }): Promise<Enqueued>;
  /**
   * Claims events that are due, as many as there are up to `limit`, and of each lane as many as it has `room` for.
   */
  claim(options: ClaimOptions): Promise<ClaimedEvent[]>;
  /** When the next event becomes due that is not due yet. */
  nextDueAt(): number | undefined;
  /** Resolves when an event was added or has become claimable by other ways than time. */
  changed(options: { readonly signal: AbortSignal }): Promise<void>;
  /** Prolongs claims, and gives those that were lost meanwhile. A claim that is not prolonged in time is given up. */
  renew(claims: Iterable<ClaimedEvent>, leaseMs: number): ClaimedEvent[];
  /** Ends the event and, in the same step, adds what follows from it. False if the claim no longer counts. */
  end(claim: ClaimedEvent, ending: Ending): Promise<boolean>;
  /** Queues the event again for later. False if the claim no longer counts. */
  delay(claim: ClaimedEvent, delay: Delay): Promise<boolean>;
}

export type Lane = string;

export interface ClaimOptions {
  /** How long a claim is good for unless it is prolonged, whatever becomes of the time on the wall. */
  readonly leaseMs: number;
  readonly limit: number;
  /** Asked once for a lane, at once. */
  readonly room: (lane: Lane) => number;
}

export interface Enqueued {
  readonly id: EventId;
  /** Of the first event, if the key was known. */
  readonly invocationId: InvocationId;
  readonly isDuplicate: boolean;
}

export interface ClaimedEvent {
  readonly lane: Lane;
  /** As of the claim: `attempt` is its number. */
  readonly facts: EventFacts;
  readonly work: EventWork;
}

export interface Ending {
  readonly state: EndState;
  /** Undefined if it ended without one. */
  readonly attempt: Attempt | undefined;
  readonly reason: EndReason | undefined;
  readonly result: EventResult | undefined;
  /** Not counted against the limits, since each takes the place of one that ends. */
  readonly followUps: readonly NewEvent[];
}

export interface Delay {
  readonly dueAt: number;
  readonly attempt: Attempt;
  readonly errors: number;
  readonly setbacks: number;
}

/** What there is to know of events, and what people may do about them. */
export interface EventLedger {
  find(id: EventId): Promise<EventFacts | undefined>;
  findWork(id: EventId): Promise<EventWork | undefined>;
  /** Undefined unless a call has ended and its result is still kept. */
  findResult(id: EventId): Promise<EventResult | undefined>;
  /** Latest first. */
  list(query: EventQuery): Promise<EventFacts[]>;
  /** Of a function, or of all. */
  counts(name?: FunctionName): { readonly queued: number; readonly running: number };
  /** Resolves with the event when it differs from `known`, or is gone. */
  nextChange(known: EventFacts, options: { readonly signal: AbortSignal }): Promise<EventFacts | undefined>;
  /** Ends an event that has not ended. A call that runs is not stopped; its result no longer counts. */
  cancel(id: EventId, reason: EndReason): Promise<boolean>;
  /** Cancels all of a function; how many. */
  cancelAll(name: FunctionName, reason: EndReason): Promise<number>;
  /**
   * Sends ended events, but none that are done, on their way again: as new ones, with the attempts they had. With
   * `qualifier`, calls go there from now on. Gives those that were.
   */
  requeue(ids: readonly EventId[], options: { readonly qualifier: string | undefined }): Promise<EventId[]>;
  /** Removes dead letters of a function, or those of `ids`, at most `limit` in one step; how many. */
  removeDeadLetters(name: FunctionName, ids: readonly EventId[] | undefined, limit: number): Promise<number>;
  /**
   * Removes a batch of what has been kept long enough. True if there may be more to remove now.
   */
  prune(kept: { readonly endedBefore: number; readonly deadLettersBefore: number }): Promise<boolean>;
}

export interface EventQuery {
  readonly functionName: FunctionName | undefined;
  readonly states: readonly EventState[] | undefined;
  /** Exclusive: older ones than this. */
  readonly after: EventId | undefined;
  readonly limit: number;
}

/** Where an event waits. */
export function laneOf(functionName: FunctionName, work: EventWork): Lane {
  // No function's name has a space in it.
  return work.kind === "call" ? functionName : `${functionName} ${new URL(work.url).origin}`;
}
