import { assert } from "../core/assert.ts";
import { PlatformError } from "../core/errors.ts";
import type { QueuedInput } from "../core/event.ts";
import type { EventId, InvocationId } from "../core/ids.ts";
import type { CallInput } from "../core/invocation.ts";
import { IDEMPOTENCY_KEY_LENGTH_MAX } from "../core/limits.ts";
import { lastingQualifier, type Target } from "../registry/target.ts";
import type { EventQueue } from "../store/event-queue.ts";

/** Takes calls that nobody waits for. */
export interface EventIntake {
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

export function newEventIntake(queue: Pick<EventQueue, "enqueue">): EventIntake {
  return {
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
