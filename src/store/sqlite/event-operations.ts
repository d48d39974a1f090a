import type { Connection } from "./connection.ts";
import type { Performers } from "./performers.ts";

/** What the writer does for the event queue. Numbers of states are those of the schema. */
export interface EventOperations {
  /** The number of the event that has the key, if another one has. */
  enqueueEvent: {
    readonly args: { readonly row: EventRow; readonly key: EventKey | undefined };
    readonly result: number | undefined;
  };
  claimEvent: {
    readonly args: { readonly sequence: number; readonly now: number };
    readonly result: boolean;
  };
  endEvent: { readonly args: EndingRow; readonly result: boolean };
  delayEvent: { readonly args: DelayRow; readonly result: boolean };
}

export interface EventRow {
  readonly sequence: number;
  readonly functionName: string;
  readonly lane: string | null;
  readonly qualifier: string | null;
  readonly head: string;
  readonly checksum: number;
  /** Null if it is in `large`. */
  readonly payload: Uint8Array | null;
  readonly large: Uint8Array | undefined;
  readonly now: number;
}

export interface EventKey {
  readonly key: string;
  /** Keys of events before this one may be used again. */
  readonly validFrom: number;
}

/** Which claim it is that speaks. */
interface ClaimRow {
  readonly sequence: number;
  readonly attempt: number;
}

export interface EndingRow extends ClaimRow {
  readonly state: number;
  readonly endedAt: number;
  readonly attempts: string | null;
  readonly reason: string | null;
  readonly resultHead: string | null;
  readonly result: Uint8Array | null;
  readonly largeResult: Uint8Array | undefined;
  readonly followUps: readonly EventRow[];
}

export interface DelayRow extends ClaimRow {
  readonly dueAt: number;
  readonly attempts: string | null;
  readonly errors: number;
  readonly setbacks: number;
}

export const PAYLOAD_PART = 0;
export const RESULT_PART = 1;

export const eventOperations: Performers<EventOperations> = {
  enqueueEvent(connection, { row, key }) {
    if (key) {
      const holder = connection.get(
        "SELECT sequence FROM event_key WHERE function_name = ? AND key = ? AND sequence >= ?",
        row.functionName,
        key.key,
        key.validFrom,
      );
      if (holder) return Number(holder.sequence);
      connection.run(
        "INSERT INTO event_key (function_name, key, sequence) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET sequence = excluded.sequence",
        row.functionName,
        key.key,
        row.sequence,
      );
    }
    insertEvent(connection, row);
    return undefined;
  },
  claimEvent: (connection, { sequence, now }) =>
    connection.run(
      "UPDATE event SET state = 1, attempt = attempt + 1, started_at = ? WHERE sequence = ? AND state = 0 AND due_at <= ?",
      now,
      sequence,
      now,
    ) > 0,
  endEvent(connection, row) {
    const changed = connection.run(
      "UPDATE event SET state = ?, ended_at = ?, attempts = ?, reason = ?, result_head = ?, result = ? WHERE sequence = ? AND state = 1 AND attempt = ?",
      row.state,
      row.endedAt,
      row.attempts,
      row.reason,
      row.resultHead,
      row.result,
      row.sequence,
      row.attempt,
    );
    if (changed === 0) return false;
    if (row.largeResult) insertBytes(connection, row.sequence, RESULT_PART, row.largeResult);
    for (const followUp of row.followUps) insertEvent(connection, followUp);
    return true;
  },
  delayEvent: (connection, row) =>
    connection.run(
      "UPDATE event SET state = 0, due_at = ?, attempts = ?, errors = ?, setbacks = ? WHERE sequence = ? AND state = 1 AND attempt = ?",
      row.dueAt,
      row.attempts,
      row.errors,
      row.setbacks,
      row.sequence,
      row.attempt,
    ) > 0,
};

export function insertEvent(connection: Connection, row: EventRow): void {
  connection.run(
    "INSERT INTO event (sequence, function_name, lane, qualifier, head, checksum, payload, aged_from_at, due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    row.sequence,
    row.functionName,
    row.lane,
    row.qualifier,
    row.head,
    row.checksum,
    row.payload,
    row.now,
    row.now,
  );
  if (row.large) insertBytes(connection, row.sequence, PAYLOAD_PART, row.large);
}

function insertBytes(connection: Connection, sequence: number, part: number, bytes: Uint8Array): void {
  connection.run(
    "INSERT INTO event_bytes (sequence, part, bytes) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET bytes = excluded.bytes",
    sequence,
    part,
    bytes,
  );
}
