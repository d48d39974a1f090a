import { join } from "node:path";
import type { Clock } from "../../core/clock.ts";
import { PlatformError } from "../../core/errors.ts";
import type { Fault } from "../../core/fault.ts";
import { EVENTS_MAX, EVENTS_PER_FUNCTION_MAX } from "../../core/limits.ts";
import type { Log } from "../../core/log.ts";
import { Scope } from "../../core/scope.ts";
import type { Store } from "../store.ts";
import type { Access } from "./access.ts";
import { Connection } from "./connection.ts";
import { claimDataFolder } from "./data-folder.ts";
import { openDatabaseFile } from "./database-file.ts";
import type { EventLimits } from "./event-index.ts";
import { readMigrations } from "./migrations.ts";
import { openEvents } from "./sqlite-events.ts";
import { openHooks } from "./sqlite-hooks.ts";
import { openKeys } from "./sqlite-keys.ts";
import { openLayers } from "./sqlite-layers.ts";
import { openProjects } from "./sqlite-projects.ts";
import { openRegistry } from "./sqlite-registry.ts";
import { openRoutes } from "./sqlite-routes.ts";
import { openRules, openSchedules } from "./sqlite-schedules.ts";
import { openSources } from "./sqlite-sources.ts";
import { storeError } from "./store-error.ts";
import { startThread } from "./thread.ts";
import { startWriteQueue } from "./write-queue.ts";

export interface SqliteStore extends Store {
  /** Rejects when the store can serve no more: its writer died, or the database turned out to be damaged. */
  readonly failed: Promise<never>;
}

/**
 * The store of one machine: `lambdad.db` in `dir`, SQLite with a write-ahead log. Reads happen on the caller's thread,
 * writes in a thread of their own.
 *
 * @throws PlatformError `DataFolderInUse` if another process has the folder; `DataFolderMismatch` if what is in it is
 * another program's, another version's or damaged (nothing is changed then); `StoreUnavailable`, `StorageFull`.
 */
export async function openSqliteStore(parts: {
  readonly dir: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly eventLimits?: EventLimits;
  /** Called once the data folder is this process's own, before the database is opened. */
  readonly claimed?: () => void;
  /** For tests of durability only. */
  readonly fault?: Fault | undefined;
}): Promise<SqliteStore> {
  const { dir, log, clock, fault, eventLimits = EVENT_LIMITS_DEFAULT } = parts;
  requireSoundSqlite(process.versions.sqlite);
  const scope = new Scope();
  try {
    scope.own(claimDataFolder(dir, log));
    parts.claimed?.();
    const file = join(dir, "lambdad.db");
    const { reader, wantsCheck } = openDatabaseFile(file, readMigrations(), clock.now());
    const writes = startWriteQueue(file, fault);
    scope.own(writes);
    // Closed before the writer, whose connection is then the last one and moves the log into the database.
    scope.defer(() => reader.close());
    const check = wantsCheck ? scope.own(checkInBackground(file)) : undefined;
    const access: Access = {
      read: (reading) => readFrom(reader, reading),
      openSnapshot: () => readFrom(reader, () => openSnapshot(file)),
      write: (name, args) => writes.write(name, args),
    };
    const failed = check ? Promise.race([writes.failed, check.failed]) : writes.failed;
    failed.catch(() => undefined);
    const events = await openEvents({ access, clock, limits: eventLimits });
    return {
      registry: openRegistry(access),
      keys: openKeys(access),
      layers: openLayers(access),
      events,
      schedules: openSchedules(access, events),
      rules: openRules(access),
      sources: openSources(access),
      projects: openProjects(access),
      ...openHooks(access, events, clock),
      routes: openRoutes(access),
      failed,
      [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
    };
  } catch (error) {
    await scope[Symbol.asyncDispose]();
    throw error;
  }
}

const EVENT_LIMITS_DEFAULT: EventLimits = { perFunctionMax: EVENTS_PER_FUNCTION_MAX, totalMax: EVENTS_MAX };

/** The first SQLite without the bug that can corrupt a write-ahead log: https://sqlite.org/wal.html#walresetbug */
const SQLITE_MIN = [3, 51, 3] as const;

/** @throws PlatformError `StoreUnavailable` if a Node with that SQLite must not be trusted with data. */
export function requireSoundSqlite(version: string | undefined): void {
  const found = (version ?? "0.0.0").split(".").map(Number);
  for (const [index, least] of SQLITE_MIN.entries()) {
    const part = found[index] ?? 0;
    if (part > least) return;
    if (part < least) {
      throw new PlatformError(
        "StoreUnavailable",
        `Node ${process.versions.node} has SQLite ${version}, which can corrupt its write-ahead log; use Node 24.21 or newer (SQLite ${SQLITE_MIN.join(".")} or newer)`,
      );
    }
  }
}

function readFrom<T>(connection: Connection, reading: (connection: Connection) => T): T {
  try {
    return reading(connection);
  } catch (error) {
    throw storeError(error, "cannot read the database");
  }
}

function openSnapshot(file: string): Connection {
  const connection = Connection.open(file);
  connection.becomeReader();
  connection.exec("BEGIN");
  return connection;
}

function checkInBackground(file: string): AsyncDisposable & { readonly failed: Promise<never> } {
  const worker = startThread("page-checker", { file, fault: undefined });
  const failed = new Promise<never>((_, reject) => {
    worker.on("error", (error) => reject(storeError(error, "the database did not pass its check")));
  });
  failed.catch(() => undefined);
  return {
    failed,
    async [Symbol.asyncDispose]() {
      await worker.terminate();
    },
  };
}
