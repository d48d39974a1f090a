import type { DeliveryId, EventId } from "../core/ids.ts";

/**
 * Events are numbered in the order of their arrival, by numbers that hold the time: milliseconds since 2020, 12 bits
 * to count within one. 53 bits in all, good until 2089, and the number is the key of the event's row.
 */
const EPOCH_AT = Date.UTC(2020, 0, 1);
export const PER_MS = 4_096;
const DIGITS = 11;

/** Gives numbers that rise, whatever the clock does, from above `last` on. */
export function newEventSequence(now: () => number, last: number): () => number {
  let latest = last;
  return () => {
    latest = Math.max(latest + 1, sequenceAt(now()));
    return latest;
  };
}

/** The first number of that moment. */
export function sequenceAt(at: number): number {
  return Math.max(0, Math.floor(at - EPOCH_AT)) * PER_MS;
}

export function eventIdOf(sequence: number): EventId {
  return `evt_${sequence.toString(36).padStart(DIGITS, "0")}` as EventId;
}

/** Deliveries to hooks are numbered as events are. */
export function deliveryIdOf(sequence: number): DeliveryId {
  return `dlv_${sequence.toString(36).padStart(DIGITS, "0")}` as DeliveryId;
}

/** Undefined if no delivery can have it. */
export function deliverySequenceOf(id: DeliveryId): number | undefined {
  const sequence = Number.parseInt(id.slice("dlv_".length), 36);
  return Number.isSafeInteger(sequence) ? sequence : undefined;
}

/** Undefined if no event can have it. */
export function sequenceOf(id: EventId): number | undefined {
  const sequence = Number.parseInt(id.slice("evt_".length), 36);
  return Number.isSafeInteger(sequence) ? sequence : undefined;
}
