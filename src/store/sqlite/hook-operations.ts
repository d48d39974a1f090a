import { PlatformError } from "../../core/errors.ts";
import {
  HOOK_DELIVERIES_KEPT_MAX,
  HOOK_IDS_KEPT_MAX,
  HOOK_IDS_KEPT_MS,
  HOOK_REFUSALS_KEPT_MAX,
  HOOKS_MAX,
} from "../../core/limits.ts";
import { PER_MS } from "../event-sequence.ts";
import type { Connection } from "./connection.ts";
import type { Document } from "./documents.ts";
import { type EventRow, insertEvent } from "./event-operations.ts";
import type { Performers } from "./performers.ts";

/** What the writer does for the hooks. Numbers of outcomes are those of the schema. */
export interface HookOperations {
  saveHook: { readonly args: HookRow; readonly result: undefined };
  deleteHook: { readonly args: { readonly id: string }; readonly result: boolean };
  /** The number of the delivery that has one of the marks, if there is one. */
  takeDelivery: { readonly args: TakeRow; readonly result: number | undefined };
  recoverDeployments: { readonly args: { readonly note: string }; readonly result: undefined };
  beginDeployment: {
    readonly args: { readonly sequence: number; readonly at: number };
    readonly result: boolean;
  };
  logDeployment: {
    readonly args: { readonly sequence: number; readonly log: string };
    readonly result: boolean;
  };
  endDeployment: { readonly args: DeploymentEndRow; readonly result: boolean };
}

export interface HookRow extends Document {
  readonly id: string;
  readonly name: string;
  readonly functionName: string;
  /** Whether its function has to be there. */
  readonly needsFunction: boolean;
}

export interface DeliveryRow {
  readonly sequence: number;
  readonly hookId: string;
  readonly head: string;
  readonly checksum: number;
  readonly eventSequence: number | null;
  readonly repeats: number | null;
  readonly commit: string | null;
  readonly outcome: number;
  readonly note: string | null;
}

export interface TakeRow {
  readonly row: DeliveryRow;
  readonly at: number;
  readonly ids: readonly Uint8Array[];
  readonly signed: { readonly mark: Uint8Array; readonly firstAtMin: number } | undefined;
  readonly event: EventRow | undefined;
}

export interface DeploymentEndRow {
  readonly sequence: number;
  readonly outcome: number;
  readonly note: string | null;
  readonly version: number | null;
  readonly log: string;
  readonly endedAt: number;
}

export const REFUSED = 4;
export const WAITING = 5;
const BUILDING = 6;
const SUPERSEDED = 9;
/** Marks that are forgotten in one step, so that none waits long for another. */
const FORGOTTEN_AT_ONCE = 1_000;
/** Counting is work, so only about one delivery in so many has old ones forgotten. */
const FORGETS_EVERY = 16;
const FORGETS_MARKS_EVERY = 256;

export const hookOperations: Performers<HookOperations> = {
  saveHook(connection, row) {
    if (row.needsFunction && !connection.get("SELECT 1 FROM function WHERE name = ?", row.functionName)) {
      throw new PlatformError(
        "FunctionNotFound",
        `function "${row.functionName}" does not exist; deploy it first`,
      );
    }
    const holder = connection.get("SELECT id FROM hook WHERE name = ?", row.name);
    if (holder && holder.id !== row.id) {
      throw new PlatformError("ResourceConflict", `hook ${row.name} already exists`);
    }
    const count = holder ? 0 : Number(connection.get("SELECT count(*) AS count FROM hook")?.count);
    if (count >= HOOKS_MAX) {
      throw new PlatformError(
        "ResourceConflict",
        `there are ${count} hooks already, which is the limit; delete some`,
      );
    }
    connection.run(
      "INSERT INTO hook (id, name, function_name, document, checksum) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET function_name = excluded.function_name, document = excluded.document, checksum = excluded.checksum",
      row.id,
      row.name,
      row.functionName,
      row.text,
      row.checksum,
    );
  },
  deleteHook: (connection, { id }) => connection.run("DELETE FROM hook WHERE id = ?", id) > 0,
  takeDelivery(connection, { row, at, ids, signed, event }) {
    const { hookId, sequence } = row;
    if (!connection.get("SELECT 1 FROM hook WHERE id = ?", hookId)) {
      throw new PlatformError("ResourceNotFound", `there is no hook ${hookId} any more`);
    }
    for (const mark of ids) {
      const first = markOf(connection, hookId, mark);
      if (first) return Number(first.sequence);
    }
    const first = signed && markOf(connection, hookId, signed.mark);
    if (first && Number(first.at) < signed.firstAtMin) return Number(first.sequence);

    if (event) insertEvent(connection, event);
    if (row.outcome === WAITING) {
      connection.run(
        "UPDATE hook_delivery SET outcome = ?, note = 'a newer push came before it was begun', ended_at = ? WHERE hook_id = ? AND outcome = ?",
        SUPERSEDED,
        at,
        hookId,
        WAITING,
      );
    }
    insertDelivery(connection, row);
    for (const mark of signed ? [...ids, signed.mark] : ids) {
      connection.run(
        "INSERT INTO hook_mark (hook_id, mark, sequence, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        hookId,
        mark,
        sequence,
        at,
      );
    }
    forget(connection, row, at);
    return undefined;
  },
  recoverDeployments(connection, { note }) {
    connection.run(
      "UPDATE hook_delivery SET outcome = ?, note = ? WHERE outcome = ? AND outcome IN (5, 6)",
      WAITING,
      note,
      BUILDING,
    );
    // A newer push may have come while it was being built.
    connection.run(
      "UPDATE hook_delivery AS old SET outcome = ?, note = 'the daemon went away in the middle, and a newer push had come' WHERE outcome = ? AND outcome IN (5, 6) AND EXISTS (SELECT 1 FROM hook_delivery AS new WHERE new.hook_id = old.hook_id AND new.outcome = ? AND new.outcome IN (5, 6) AND new.sequence > old.sequence)",
      SUPERSEDED,
      WAITING,
      WAITING,
    );
  },
  beginDeployment: (connection, { sequence, at }) =>
    connection.run(
      "UPDATE hook_delivery SET outcome = ?, attempts = attempts + 1, started_at = ? WHERE sequence = ? AND outcome = ?",
      BUILDING,
      at,
      sequence,
      WAITING,
    ) > 0,
  logDeployment: (connection, { sequence, log }) =>
    connection.run(
      "UPDATE hook_delivery SET log = ? WHERE sequence = ? AND outcome = ?",
      log,
      sequence,
      BUILDING,
    ) > 0,
  endDeployment: (connection, { sequence, outcome, note, version, log, endedAt }) =>
    connection.run(
      "UPDATE hook_delivery SET outcome = ?, note = ?, version = ?, log = ?, ended_at = ? WHERE sequence = ? AND outcome = ?",
      outcome,
      note,
      version,
      log,
      endedAt,
      sequence,
      BUILDING,
    ) > 0,
};

function insertDelivery(connection: Connection, row: DeliveryRow): void {
  connection.run(
    "INSERT INTO hook_delivery (sequence, hook_id, head, checksum, event_sequence, repeats, commit_id, outcome, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    row.sequence,
    row.hookId,
    row.head,
    row.checksum,
    row.eventSequence,
    row.repeats,
    row.commit,
    row.outcome,
    row.note,
  );
}

function markOf(connection: Connection, hookId: string, mark: Uint8Array) {
  return connection.get("SELECT sequence, at FROM hook_mark WHERE hook_id = ? AND mark = ?", hookId, mark);
}

/** Those that were refused have a share of their own: strangers must not be able to push out what was accepted. */
function forget(connection: Connection, { hookId, sequence, outcome }: DeliveryRow, now: number): void {
  if (outcome === REFUSED) {
    connection.run(
      "DELETE FROM hook_delivery WHERE hook_id = ? AND outcome = 4 AND sequence < (SELECT sequence FROM hook_delivery INDEXED BY hook_delivery_refused WHERE hook_id = ? AND outcome = 4 ORDER BY sequence DESC LIMIT 1 OFFSET ?)",
      hookId,
      hookId,
      HOOK_REFUSALS_KEPT_MAX - 1,
    );
    return;
  }
  // Rises by one within a millisecond, and by many from one to the next.
  const turn = sequence + Math.floor(sequence / PER_MS);
  if (turn % FORGETS_EVERY !== 0) return;
  connection.run(
    "DELETE FROM hook_delivery WHERE hook_id = ? AND outcome NOT IN (4, 5, 6) AND sequence < (SELECT sequence FROM hook_delivery INDEXED BY hook_delivery_by_hook WHERE hook_id = ? AND outcome <> 4 ORDER BY sequence DESC LIMIT 1 OFFSET ?)",
    hookId,
    hookId,
    HOOK_DELIVERIES_KEPT_MAX - 1,
  );
  if (turn % FORGETS_MARKS_EVERY !== 0) return;
  connection.run(
    "DELETE FROM hook_mark WHERE (hook_id, mark) IN (SELECT hook_id, mark FROM hook_mark INDEXED BY hook_mark_by_age WHERE hook_id = ? AND at < max(?, coalesce((SELECT at FROM hook_mark INDEXED BY hook_mark_by_age WHERE hook_id = ? ORDER BY at DESC LIMIT 1 OFFSET ?), 0)) ORDER BY at LIMIT ?)",
    hookId,
    now - HOOK_IDS_KEPT_MS,
    hookId,
    HOOK_IDS_KEPT_MAX,
    FORGOTTEN_AT_ONCE,
  );
}
