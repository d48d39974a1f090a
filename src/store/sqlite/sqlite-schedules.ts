import { eventIdOf } from "../event-sequence.ts";
import type { Schedules } from "../schedules.ts";
import type { Access } from "./access.ts";
import { parseSchedule, SCHEDULE_ROW, scheduleDocument } from "./documents.ts";
import type { SqliteEvents } from "./sqlite-events.ts";

const STEP_ROWS = 500;

/** The schedules in SQLite: reads here, writes by the writer. */
export function openSchedules({ read, write }: Access, events: SqliteEvents): Schedules {
  return {
    async save(schedule) {
      const { id, functionName, nextAt } = schedule;
      await write("saveSchedule", {
        id,
        functionName,
        nextAt: nextAt ?? null,
        ...scheduleDocument(schedule),
      });
    },
    async find(id) {
      const row = read((db) => db.get(`SELECT ${SCHEDULE_ROW} FROM schedule WHERE id = ?`, id));
      return row && parseSchedule(row);
    },
    async list({ after, limit }) {
      const sql = `SELECT ${SCHEDULE_ROW} FROM schedule WHERE id > ? ORDER BY id LIMIT ?`;
      return read((db) => db.all(sql, after ?? "", limit)).map(parseSchedule);
    },
    remove: (id) => write("deleteSchedule", { id }),
    async due(now, limit) {
      const sql = `SELECT ${SCHEDULE_ROW} FROM schedule WHERE next_at IS NOT NULL AND next_at <= ? ORDER BY next_at LIMIT ?`;
      return read((db) => db.all(sql, now, limit)).map(parseSchedule);
    },
    async fireDue(firings) {
      return await Promise.all(
        firings.map(async ({ scheduleId, instantAt, nextAt, event }) => {
          const row = event && events.newRow(event);
          const args = { scheduleId, instantAt, nextAt: nextAt ?? null, event: row };
          if (!(await write("fireSchedule", args))) return undefined;
          if (!row) return false;
          events.follow(row);
          return eventIdOf(row.sequence);
        }),
      );
    },
    async pruneFirings(before) {
      const old = read((db) => db.get("SELECT 1 FROM schedule_firing WHERE instant_at < ? LIMIT 1", before));
      if (!old) return false;
      return (await write("pruneFirings", { before, limit: STEP_ROWS })) === STEP_ROWS;
    },
  };
}
