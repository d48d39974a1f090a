import { PlatformError } from "../../core/errors.ts";
import type { Document } from "./documents.ts";
import { type EventRow, insertEvent } from "./event-operations.ts";
import type { Performers } from "./performers.ts";

/** What the writer does for the schedules. */
export interface ScheduleOperations {
  saveSchedule: { readonly args: ScheduleRow; readonly result: undefined };
  deleteSchedule: { readonly args: { readonly id: string }; readonly result: boolean };
  /** False if the instant was claimed before, or the schedule is gone. */
  fireSchedule: { readonly args: FiringRow; readonly result: boolean };
  pruneFirings: {
    readonly args: { readonly before: number; readonly limit: number };
    readonly result: number;
  };
}

export interface ScheduleRow extends Document {
  readonly id: string;
  readonly functionName: string;
  readonly nextAt: number | null;
}

export interface FiringRow {
  readonly scheduleId: string;
  readonly instantAt: number;
  readonly nextAt: number | null;
  readonly event: EventRow | undefined;
}

export const scheduleOperations: Performers<ScheduleOperations> = {
  saveSchedule(connection, { id, functionName, nextAt, text, checksum }) {
    if (!connection.get("SELECT 1 FROM function WHERE name = ?", functionName)) {
      throw new PlatformError(
        "FunctionNotFound",
        `function "${functionName}" does not exist; deploy it first`,
      );
    }
    connection.run(
      "INSERT INTO schedule (id, function_name, next_at, document, checksum) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET function_name = excluded.function_name, next_at = excluded.next_at, document = excluded.document, checksum = excluded.checksum",
      id,
      functionName,
      nextAt,
      text,
      checksum,
    );
  },
  deleteSchedule: (connection, { id }) => connection.run("DELETE FROM schedule WHERE id = ?", id) > 0,
  fireSchedule(connection, { scheduleId, instantAt, nextAt, event }) {
    // Also where the instant was claimed before: otherwise the schedule would stay due for ever.
    const isThere = connection.run("UPDATE schedule SET next_at = ? WHERE id = ?", nextAt, scheduleId) > 0;
    if (!isThere) return false;
    const claimed = connection.run(
      "INSERT INTO schedule_firing (schedule_id, instant_at, sequence) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
      scheduleId,
      instantAt,
      event?.sequence ?? null,
    );
    if (claimed === 0) return false;
    if (event) insertEvent(connection, event);
    return true;
  },
  pruneFirings: (connection, { before, limit }) =>
    connection.run(
      "DELETE FROM schedule_firing WHERE (schedule_id, instant_at) IN (SELECT schedule_id, instant_at FROM schedule_firing WHERE instant_at < ? ORDER BY instant_at LIMIT ?)",
      before,
      limit,
    ),
};
