/** Deliveries to hooks as rows, and back. Rows are ours once the checksum of their head holds (documents.ts). */
import { crc32 } from "../../core/crc32.ts";
import { PlatformError } from "../../core/errors.ts";
import { DELIVERY_OUTCOMES, type DeliveryOutcome, type HookDelivery } from "../../core/hook.ts";
import type { HookId } from "../../core/ids.ts";
import { deliveryIdOf, deliverySequenceOf, eventIdOf } from "../event-sequence.ts";
import type { NewDelivery } from "../hooks.ts";
import type { Row } from "./connection.ts";
import type { DeliveryRow } from "./hook-operations.ts";

/** All that `deliveryOf` needs. */
export const DELIVERY_ROW =
  "sequence, hook_id, head, checksum, event_sequence, repeats, commit_id, outcome, note, attempts, started_at, ended_at, version";

/** What of a delivery never changes. */
interface Head {
  readonly at: number;
  readonly senderId?: string;
  readonly eventType?: string;
  readonly sourceIp: string;
  readonly bodyBytes: number;
  /** Of a deployment. */
  readonly branch?: string;
}

export function deliveryRow(
  sequence: number,
  delivery: NewDelivery,
  eventSequence: number | undefined,
): DeliveryRow {
  const { hookId, at, outcome, note, senderId, eventType, sourceIp, bodyBytes, repeats, deployment } =
    delivery;
  const head: Head = {
    at,
    ...(senderId !== undefined && { senderId }),
    ...(eventType !== undefined && { eventType }),
    sourceIp,
    bodyBytes,
    ...(deployment && { branch: deployment.branch }),
  };
  const text = JSON.stringify(head);
  return {
    sequence,
    hookId,
    head: text,
    checksum: headChecksum(sequence, hookId, text),
    eventSequence: eventSequence ?? null,
    repeats: (repeats && deliverySequenceOf(repeats)) ?? null,
    commit: deployment?.commit ?? null,
    outcome: outcomeNumber(outcome),
    note: note ?? null,
  };
}

/** As it is just after it was written down. */
export function takenDelivery(
  sequence: number,
  { functionName: _functionName, event: _event, ...delivery }: NewDelivery,
  eventSequence: number | undefined,
): HookDelivery {
  const { deployment } = delivery;
  return {
    ...delivery,
    id: deliveryIdOf(sequence),
    eventId: eventSequence === undefined ? undefined : eventIdOf(eventSequence),
    deployment: deployment && {
      ...deployment,
      attempts: 0,
      startedAt: undefined,
      endedAt: undefined,
      version: undefined,
    },
  };
}

/** @throws PlatformError `StoreUnavailable` if the row is not what was saved. */
export function deliveryOf(row: Row): HookDelivery {
  const sequence = Number(row.sequence);
  const hookId = String(row.hook_id) as HookId;
  const text = String(row.head);
  if (headChecksum(sequence, hookId, text) !== row.checksum) {
    throw new PlatformError(
      "StoreUnavailable",
      "a delivery in the database is damaged (checksum); stop lambdad and restore lambdad.db from a backup",
    );
  }
  const head = JSON.parse(text) as Head;
  return {
    id: deliveryIdOf(sequence),
    hookId,
    at: head.at,
    outcome: DELIVERY_OUTCOMES[Number(row.outcome)] ?? "refused",
    note: row.note === null ? undefined : String(row.note),
    senderId: head.senderId,
    eventType: head.eventType,
    sourceIp: head.sourceIp,
    bodyBytes: head.bodyBytes,
    eventId: row.event_sequence === null ? undefined : eventIdOf(Number(row.event_sequence)),
    repeats: row.repeats === null ? undefined : deliveryIdOf(Number(row.repeats)),
    deployment:
      row.commit_id === null
        ? undefined
        : {
            commit: String(row.commit_id),
            branch: head.branch ?? "",
            attempts: Number(row.attempts),
            startedAt: numberOr(row.started_at),
            endedAt: numberOr(row.ended_at),
            version: numberOr(row.version),
          },
  };
}

export function outcomeNumber(outcome: DeliveryOutcome): number {
  return DELIVERY_OUTCOMES.indexOf(outcome);
}

function numberOr(value: unknown): number | undefined {
  return value === null ? undefined : Number(value);
}

function headChecksum(sequence: number, hookId: string, text: string): number {
  return crc32(text, crc32(`${sequence}\n${hookId}`));
}
