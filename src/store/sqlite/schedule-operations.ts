import { PlatformError } from "../../core/errors.ts";
import { SCHEDULES_MAX } from "../../core/limits.ts";
import type { Connection } from "./connection.ts";
import type { Document } from "./documents.ts";
import { type EventRow, insertEvent } from "./event-operations.ts";
import type { Performers } from "./performers.ts";

/** What the writer does for the schedules. Numbers of kinds are those of the schema. */
export interface ScheduleOperations {
  saveSchedule: { readonly args: ScheduleRow; readonly result: undefined };
  deleteSchedule: { readonly args: { readonly id: string }; readonly result: boolean };
  /** Which of the instants were claimed; undefined if the schedule is gone or has moved on. */
  fireSchedule: { readonly args: FiringRow; readonly result: boolean[] | undefined };
  saveRule: { readonly args: RuleRow; readonly result: undefined };
  deleteRule: { readonly args: { readonly name: string }; readonly result: boolean };
}

export interface NextColumns {
  readonly instantAt: number | null;
  readonly dueAt: number | null;
}

export interface ScheduleRow extends Document, NextColumns {
  readonly id: string;
  readonly functionName: string;
}

export interface RuleRow extends Document {
  readonly name: string;
  readonly targets: readonly ScheduleRow[];
}

export interface FiringRow {
  readonly id: string;
  readonly firedAt: number;
  readonly instants: readonly {
    readonly instantAt: number;
    readonly kind: number;
    readonly event: EventRow | undefined;
  }[];
  readonly moves: { readonly from: NextColumns; readonly to: NextColumns } | undefined;
}

/** So long an instant is remembered, whatever the clock does: it cannot fire twice within that time. */
const REMEMBERED_MS = 8 * 86_400_000;
/** And so many of each schedule, however seldom it fires. */
const REMEMBERED_MIN = 100;
/** Nobody was there: it may still fire, if the clock goes back. */
export const MISSED = 4;

export const scheduleOperations: Performers<ScheduleOperations> = {
  saveSchedule(connection, row) {
    if (!connection.get("SELECT 1 FROM function WHERE name = ?", row.functionName)) {
      throw new PlatformError(
        "FunctionNotFound",
        `function "${row.functionName}" does not exist; deploy it first`,
      );
    }
    const isThere = connection.get("SELECT 1 FROM schedule WHERE id = ?", row.id) !== undefined;
    const count = isThere ? 0 : Number(connection.get("SELECT count(*) AS count FROM schedule")?.count);
    if (count >= SCHEDULES_MAX) {
      throw new PlatformError(
        "ResourceConflict",
        `there are ${count} schedules already, which is the limit; delete some`,
      );
    }
    saveRow(connection, row);
  },
  deleteSchedule: (connection, { id }) => connection.run("DELETE FROM schedule WHERE id = ?", id) > 0,
  fireSchedule(connection, { id, firedAt, instants, moves }) {
    const isThere = moves
      ? connection.run(
          "UPDATE schedule SET instant_at = ?, next_at = ? WHERE id = ? AND instant_at IS ? AND next_at IS ?",
          moves.to.instantAt,
          moves.to.dueAt,
          id,
          moves.from.instantAt,
          moves.from.dueAt,
        ) > 0
      : connection.get("SELECT 1 FROM schedule WHERE id = ?", id) !== undefined;
    if (!isThere) return undefined;
    const claimed = instants.map(({ instantAt, kind, event }) => {
      const isNew =
        connection.run(
          "INSERT INTO schedule_firing (schedule_id, instant_at, sequence, kind, fired_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET sequence = excluded.sequence, kind = excluded.kind, fired_at = excluded.fired_at WHERE kind = ?",
          id,
          instantAt,
          event?.sequence ?? null,
          kind,
          firedAt,
          MISSED,
        ) > 0;
      if (isNew && event) insertEvent(connection, event);
      return isNew;
    });
    connection.run(
      "DELETE FROM schedule_firing WHERE schedule_id = ? AND instant_at < ? AND instant_at < (SELECT instant_at FROM schedule_firing WHERE schedule_id = ? ORDER BY instant_at DESC LIMIT 1 OFFSET ?)",
      id,
      firedAt - REMEMBERED_MS,
      id,
      REMEMBERED_MIN - 1,
    );
    return claimed;
  },
  saveRule(connection, { name, text, checksum, targets }) {
    connection.run(
      "INSERT INTO rule (name, document, checksum) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET document = excluded.document, checksum = excluded.checksum",
      name,
      text,
      checksum,
    );
    for (const target of targets) {
      // Its function may have been deleted meanwhile, and the target with it.
      if (connection.get("SELECT 1 FROM schedule WHERE id = ?", target.id)) saveRow(connection, target);
    }
  },
  deleteRule: (connection, { name }) => connection.run("DELETE FROM rule WHERE name = ?", name) > 0,
};

function saveRow(connection: Connection, row: ScheduleRow): void {
  connection.run(
    "INSERT INTO schedule (id, function_name, instant_at, next_at, document, checksum) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET function_name = excluded.function_name, instant_at = excluded.instant_at, next_at = excluded.next_at, document = excluded.document, checksum = excluded.checksum",
    row.id,
    row.functionName,
    row.instantAt,
    row.dueAt,
    row.text,
    row.checksum,
  );
}
