import type { SQLInputValue } from "node:sqlite";
import type { Connection } from "./connection.ts";
import { RESULT_PART } from "./event-operations.ts";
import { attemptsOf, attemptsText } from "./event-rows.ts";
import type { Performers } from "./performers.ts";

/** What the writer does about events that nobody works on. Each takes a bounded number of rows in one step. */
export interface EventUpkeepOperations {
  /** Queues what was running when the process before this one went away; how many. */
  recoverEvents: { readonly args: { readonly now: number }; readonly result: number };
  cancelEvent: { readonly args: CancelRow & { readonly sequence: number }; readonly result: boolean };
  /** The numbers of those that were. */
  cancelEvents: {
    readonly args: CancelRow & { readonly functionName: string; readonly limit: number };
    readonly result: number[];
  };
  requeueEvents: {
    readonly args: {
      readonly sequences: readonly number[];
      readonly qualifier: string | null | undefined;
      readonly now: number;
    };
    readonly result: number[];
  };
  removeDeadLetters: {
    readonly args: {
      readonly functionName: string;
      readonly sequences: readonly number[] | undefined;
      readonly limit: number;
    };
    readonly result: number;
  };
  pruneEvents: { readonly args: PruneRow; readonly result: number };
  pruneEventKeys: {
    readonly args: { readonly before: number; readonly limit: number };
    readonly result: number;
  };
}

interface CancelRow {
  readonly now: number;
  readonly reason: string;
}

/** Events from `from` up to, not including, `to`. */
interface PruneRow {
  readonly from: number;
  readonly to: number;
  readonly endedBefore: number;
  readonly deadLettersBefore: number;
}

export const eventUpkeepOperations: Performers<EventUpkeepOperations> = {
  recoverEvents(connection, { now }) {
    const lost = connection.all(
      "SELECT sequence, attempt, started_at, setbacks, attempts FROM event INDEXED BY event_open WHERE state < 2 AND state = 1",
    );
    for (const row of lost) {
      const attempts = attemptsText(attemptsOf(row.attempts), {
        number: Number(row.attempt),
        startedAt: Number(row.started_at),
        endedAt: now,
        outcome: "lost",
        error: undefined,
        version: undefined,
        sandboxId: undefined,
      });
      connection.run(
        "UPDATE event SET state = 0, due_at = ?, attempts = ? WHERE sequence = ?",
        now,
        attempts,
        Number(row.sequence),
      );
    }
    return lost.length;
  },
  cancelEvent: (connection, { sequence, now, reason }) =>
    connection.run(
      "UPDATE event SET state = 5, ended_at = ?, reason = ? WHERE sequence = ? AND state < 2",
      now,
      reason,
      sequence,
    ) > 0,
  cancelEvents: (connection, { functionName, limit, now, reason }) =>
    numbers(
      connection,
      "UPDATE event SET state = 5, ended_at = ?, reason = ? WHERE sequence IN (SELECT sequence FROM event INDEXED BY event_open WHERE function_name = ? AND state < 2 ORDER BY sequence LIMIT ?) RETURNING sequence",
      now,
      reason,
      functionName,
      limit,
    ),
  requeueEvents(connection, { sequences, qualifier, now }) {
    return sequences.filter((sequence) => {
      const changed = connection.run(
        "UPDATE event SET state = 0, due_at = ?, aged_from_at = ?, errors = 0, setbacks = 0, ended_at = NULL, reason = NULL, result_head = NULL, result = NULL WHERE sequence = ? AND state IN (3, 4, 5)",
        now,
        now,
        sequence,
      );
      if (changed === 0) return false;
      connection.run("DELETE FROM event_bytes WHERE sequence = ? AND part = ?", sequence, RESULT_PART);
      if (qualifier !== undefined) {
        connection.run(
          "UPDATE event SET qualifier = ? WHERE sequence = ? AND lane IS NULL",
          qualifier,
          sequence,
        );
      }
      return true;
    });
  },
  removeDeadLetters(connection, { functionName, sequences, limit }) {
    if (sequences) {
      const sql = "DELETE FROM event WHERE sequence = ? AND function_name = ? AND state IN (3, 4)";
      return sequences.reduce((sum, sequence) => sum + connection.run(sql, sequence, functionName), 0);
    }
    return connection.run(
      "DELETE FROM event WHERE sequence IN (SELECT sequence FROM event INDEXED BY event_dead WHERE function_name = ? AND state IN (3, 4) ORDER BY sequence LIMIT ?)",
      functionName,
      limit,
    );
  },
  pruneEvents: (connection, { from, to, endedBefore, deadLettersBefore }) =>
    connection.run(
      "DELETE FROM event WHERE sequence >= ? AND sequence < ? AND ((state IN (2, 5) AND ended_at < ?) OR (state IN (3, 4) AND ended_at < ?))",
      from,
      to,
      endedBefore,
      deadLettersBefore,
    ),
  pruneEventKeys: (connection, { before, limit }) =>
    connection.run(
      "DELETE FROM event_key WHERE (function_name, key) IN (SELECT function_name, key FROM event_key WHERE sequence < ? ORDER BY sequence LIMIT ?)",
      before,
      limit,
    ),
};

function numbers(connection: Connection, sql: string, ...values: SQLInputValue[]): number[] {
  return connection.all(sql, ...values).map(({ sequence }) => Number(sequence));
}
