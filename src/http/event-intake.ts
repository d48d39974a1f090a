import { assert } from "../core/assert.ts";
import { PlatformError } from "../core/errors.ts";
import type { QueuedInput } from "../core/event.ts";
import type { EventId, InvocationId } from "../core/ids.ts";
import type { CallInput } from "../core/invocation.ts";
import { IDEMPOTENCY_KEY_LENGTH_MAX } from "../core/limits.ts";
import { lastingQualifier, type Target } from "../registry/target.ts";
import type { EventQueue } from "../store/event-queue.ts";
import { Turnstile } from "./turnstile.ts";

/** Takes calls that nobody waits for. */
export interface EventIntake {
  /**
   * Resolves when it is the turn of one more event, before anything is done for it: a crowd of them is taken a few at a time,
   * so that calls that somebody waits for are served in between. Undefined if that is now.
   */
  turn(): Promise<void> | undefined;
  /**
   * Resolves when the event cannot be lost any more.
   *
   * @throws PlatformError `TooManyEvents`, `StorageFull`, `StoreUnavailable`: it was not taken.
   */
  enqueue(target: Target, event: IncomingEvent): Promise<AcceptedEvent>;
}

export interface IncomingEvent {
  readonly invocationId: InvocationId;
  /** A request's body is whole. */
  readonly input: CallInput;
  readonly traceId: string | undefined;
  /** As `parseIdempotencyKey` gives it. */
  readonly idempotencyKey: string | undefined;
  readonly origin: "gateway" | "api";
}

export interface AcceptedEvent {
  readonly eventId: EventId;
  /** Of the first event, if the idempotency key was used before. */
  readonly invocationId: InvocationId;
}

/** Of those that come and those that are answered; each costs about as much of the loop as a call. */
const PER_TURN = 4;

export function newEventIntake(queue: Pick<EventQueue, "enqueue">): EventIntake {
  const turnstile = new Turnstile(PER_TURN);
  return {
    turn: () => turnstile.pass(),
    async enqueue(target, { invocationId, input, traceId, idempotencyKey, origin }) {
      const accepted = await queue.enqueue(
        {
          functionName: target.record.name,
          invocationId,
          work: { kind: "call", qualifier: lastingQualifier(target), input: wholeInput(input) },
          traceId,
          depth: 0,
          origin,
        },
        { idempotencyKey },
      );
      // What was written together is on disk at once; to answer all of it at once would take the loop from everybody else.
      await turnstile.pass();
      return { eventId: accepted.id, invocationId: accepted.invocationId };
    },
  };
}

/** The value of `Idempotency-Key`. @throws PlatformError `InvalidRequest`. */
export function parseIdempotencyKey(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  if (/^[\x20-\x7e]+$/.test(value) && value.length <= IDEMPOTENCY_KEY_LENGTH_MAX) return value;
  throw new PlatformError(
    "InvalidRequest",
    `Idempotency-Key: expected 1 to ${IDEMPOTENCY_KEY_LENGTH_MAX} printable characters`,
  );
}

/** For a request whose body has been read. */
export function wholeInput(input: CallInput): QueuedInput {
  if (input.kind === "event") return input;
  const { body } = input;
  assert(body === undefined || body instanceof Uint8Array, "the body of an event is read before");
  return { ...input, body };
}
