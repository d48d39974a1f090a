import { isPlatformError, PlatformError } from "../../core/errors.ts";
import type { Failpoint } from "../../core/fault.ts";
import type { Connection } from "./connection.ts";
import { perform } from "./operations.ts";
import { isDiskError, sqliteCode, storeError } from "./store-error.ts";
import type { Reply, WriteRequest } from "./writer-messages.ts";

/**
 * Runs requests in order in one transaction, and with that one sync of the disk for all of them. A request that fails
 * leaves no trace and its neighbours alone; an error of the disk fails them all. Replies are in the order of the
 * requests and, once returned, true: what says it happened is on disk.
 */
export function runGroup(
  connection: Connection,
  requests: readonly WriteRequest[],
  failpoint: Failpoint = () => undefined,
): Reply[] {
  try {
    connection.exec("BEGIN IMMEDIATE");
    const replies = requests.map((request) => runOne(connection, request));
    for (const { name } of requests) failpoint(`before-commit:${name}`);
    connection.exec("COMMIT");
    for (const { name } of requests) failpoint(`after-commit:${name}`);
    return replies;
  } catch (error) {
    rollBack(connection);
    const reply = refusal(error);
    return requests.map(() => reply);
  }
}

function runOne(connection: Connection, { name, args }: WriteRequest): Reply {
  connection.run("SAVEPOINT request");
  try {
    const value = perform(connection, name, args);
    connection.run("RELEASE request");
    return { isDone: true, value };
  } catch (error) {
    // SQLite may have rolled back everything by itself; then there is nothing to return to.
    if (isDiskError(error) || !connection.isInTransaction()) throw error;
    connection.run("ROLLBACK TO request");
    connection.run("RELEASE request");
    return refusal(error);
  }
}

function rollBack(connection: Connection): void {
  if (!connection.isInTransaction()) return;
  try {
    connection.exec("ROLLBACK");
  } catch {
    // The disk has failed: the transaction was never committed, and the next BEGIN says so if it still cannot work.
  }
}

function refusal(error: unknown): Reply {
  const { code, message } =
    isPlatformError(error) || sqliteCode(error) !== undefined
      ? storeError(error, "cannot write to the database")
      : bug(error);
  return { isDone: false, code, message };
}

/** Neither ours nor SQLite's: a mistake in an operation, which must not take the other writers down. */
function bug(error: unknown): PlatformError {
  return new PlatformError("Internal", error instanceof Error ? error.message : String(error));
}
