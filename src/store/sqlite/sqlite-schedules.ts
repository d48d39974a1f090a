import { FIRING_KINDS, type NextFiring, type ScheduleRecord } from "../../core/schedule.ts";
import { eventIdOf } from "../event-sequence.ts";
import type { Rules, Schedules } from "../schedules.ts";
import type { Access } from "./access.ts";
import type { Row } from "./connection.ts";
import {
  parseRule,
  parseSchedule,
  RULE_ROW,
  ruleDocument,
  SCHEDULE_ROW,
  scheduleDocument,
} from "./documents.ts";
import type { NextColumns, ScheduleRow } from "./schedule-operations.ts";
import type { SqliteEvents } from "./sqlite-events.ts";

/** Of the latest firings, how many are looked at for events that have not ended. */
const OPEN_EVENTS_MAX = 100;

/** The schedules in SQLite: reads here, writes by the writer. */
export function openSchedules({ read, write }: Access, events: SqliteEvents): Schedules {
  return {
    async save(record) {
      await write("saveSchedule", scheduleRow(record));
    },
    async find(name) {
      const row = read((db) => db.get(`SELECT ${SCHEDULE_ROW} FROM schedule WHERE id = ?`, name));
      return row && recordOf(row);
    },
    async list({ prefix, after, limit }) {
      const sql = `SELECT ${SCHEDULE_ROW} FROM schedule WHERE id >= ? AND id < ? AND id > ? ORDER BY id LIMIT ?`;
      return read((db) => db.all(sql, prefix, endOf(prefix), after ?? "", limit)).map(recordOf);
    },
    remove: (name) => write("deleteSchedule", { id: name }),
    async due(at, limit) {
      const sql = `SELECT ${SCHEDULE_ROW} FROM schedule WHERE next_at IS NOT NULL AND next_at <= ? ORDER BY next_at LIMIT ?`;
      return read((db) => db.all(sql, at, limit)).map(recordOf);
    },
    async fire({ name, firedAt, instants, moves }) {
      const rows = instants.map(({ instantAt, kind, event }) => ({
        instantAt,
        kind: FIRING_KINDS.indexOf(kind),
        event: event && events.newRow(event),
      }));
      const claimed = await write("fireSchedule", {
        id: name,
        firedAt,
        instants: rows,
        moves: moves && { from: columnsOf(moves.from), to: columnsOf(moves.to) },
      });
      return claimed?.map((isClaimed, index) => {
        const event = rows[index]?.event;
        if (!isClaimed || !event) return undefined;
        events.follow(event);
        return eventIdOf(event.sequence);
      });
    },
    async firings(name, { before, limit }) {
      const sql =
        "SELECT instant_at, fired_at, kind, sequence FROM schedule_firing WHERE schedule_id = ? AND instant_at < ? ORDER BY instant_at DESC LIMIT ?";
      const rows = read((db) => db.all(sql, name, before ?? Number.MAX_SAFE_INTEGER, limit));
      return rows.map((row) => ({
        instantAt: Number(row.instant_at),
        firedAt: Number(row.fired_at),
        kind: FIRING_KINDS[Number(row.kind)] ?? "on-time",
        eventId: row.sequence === null ? undefined : eventIdOf(Number(row.sequence)),
      }));
    },
    async openEvents(name) {
      const sql =
        "SELECT sequence FROM (SELECT sequence FROM schedule_firing WHERE schedule_id = ? AND sequence IS NOT NULL ORDER BY instant_at DESC LIMIT ?) JOIN event USING (sequence) WHERE state < 2";
      return read((db) => db.all(sql, name, OPEN_EVENTS_MAX)).map((row) => eventIdOf(Number(row.sequence)));
    },
  };
}

export function openRules({ read, write }: Access): Rules {
  return {
    async find(name) {
      const row = read((db) => db.get(`SELECT ${RULE_ROW} FROM rule WHERE name = ?`, name));
      return row && parseRule(row);
    },
    async list({ prefix, after, limit }) {
      const sql = `SELECT ${RULE_ROW} FROM rule WHERE name >= ? AND name < ? AND name > ? ORDER BY name LIMIT ?`;
      return read((db) => db.all(sql, prefix, endOf(prefix), after ?? "", limit)).map(parseRule);
    },
    async save(rule, targets) {
      await write("saveRule", { name: rule.name, ...ruleDocument(rule), targets: targets.map(scheduleRow) });
    },
    remove: (name) => write("deleteRule", { name }),
  };
}

/** Behind everything that begins with `prefix`; names are of ASCII. */
function endOf(prefix: string): string {
  return `${prefix}\u{7f}`;
}

export function scheduleRow({ schedule, next }: ScheduleRecord): ScheduleRow {
  const { name, functionName } = schedule;
  return { id: name, functionName, ...columnsOf(next), ...scheduleDocument(schedule) };
}

function columnsOf(next: NextFiring | undefined): NextColumns {
  return { instantAt: next?.instantAt ?? null, dueAt: next?.dueAt ?? null };
}

function recordOf(row: Row): ScheduleRecord {
  const { instant_at: instantAt, next_at: dueAt } = row;
  const isDue = instantAt !== null && dueAt !== null;
  return {
    schedule: parseSchedule(row),
    next: isDue ? { instantAt: Number(instantAt), dueAt: Number(dueAt) } : undefined,
  };
}
