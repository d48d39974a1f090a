import { closeSync, existsSync, fstatSync, fsyncSync, openSync, readSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { PlatformError } from "../../core/errors.ts";
import { Connection } from "./connection.ts";
import { createEmpty } from "./data-folder.ts";
import { checkIdentity, type Migration, migrate, stamp } from "./migrations.ts";
import { isDamaged, storeError } from "./store-error.ts";

/**
 * Opens the database for reading, made or brought up to date first. Only for the process that holds the data folder.
 *
 * A new database is made under another name, synced and renamed, so that an empty or half-made `lambdad.db` is always
 * a damaged one and never taken for a new one.
 *
 * @throws PlatformError `DataFolderMismatch` if the file is another program's, another version's or damaged. The
 * file is as it was then.
 */
export function openDatabaseFile(
  file: string,
  migrations: readonly Migration[],
  now: number,
): { readonly reader: Connection; readonly wantsCheck: boolean } {
  if (!existsSync(file)) makeDatabase(file, migrations, now);
  const bytes = inspect(file, migrations.length);
  let connection: Connection | undefined;
  try {
    connection = Connection.open(file);
    migrate(connection, file, migrations, now);
    connection.becomeReader();
    const isSmall = bytes <= CHECKED_AT_START_BYTES_MAX;
    if (isSmall) checkPages(connection, file);
    return { reader: connection, wantsCheck: !isSmall };
  } catch (error) {
    connection?.close();
    throw isDamaged(error) ? damaged(file, error) : storeError(error, `cannot open ${file}`);
  }
}

/**
 * Reads every page and every index.
 *
 * @throws PlatformError `DataFolderMismatch` if something is wrong with one.
 */
export function checkPages(connection: Connection, file: string): void {
  let finding: unknown;
  try {
    finding = connection.get("PRAGMA integrity_check(1)")?.integrity_check;
  } catch (error) {
    throw damaged(file, error);
  }
  if (finding !== "ok") throw damaged(file, new Error(String(finding)));
}

/** A check of this many bytes costs a few milliseconds; larger files are checked while the daemon serves already. */
const CHECKED_AT_START_BYTES_MAX = 2 * 1024 * 1024;

const HEADER_BYTES = 100;
const MAGIC = "SQLite format 3\0";

function makeDatabase(file: string, migrations: readonly Migration[], now: number): void {
  if (existsSync(`${file}-wal`)) {
    throw new PlatformError(
      "DataFolderMismatch",
      `${file} is gone but its write-ahead log is there; restore the database from a backup, or remove ${file}-wal to start empty`,
    );
  }
  const draft = `${file}.new`;
  try {
    rmSync(draft, { force: true });
    createEmpty(draft);
    const connection = Connection.open(draft);
    try {
      // The draft is worth nothing until it is renamed, so one sync at the end is enough.
      connection.exec("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF");
      stamp(connection);
      migrate(connection, draft, migrations, now);
      connection.exec("PRAGMA journal_mode = WAL");
    } finally {
      connection.close();
    }
    sync(draft);
    renameSync(draft, file);
    sync(dirname(file));
  } catch (error) {
    throw storeError(error, `cannot create ${file}`);
  }
}

/** Looks at the header as a plain file, since opening a database can change it. Returns the size of the file. */
function inspect(file: string, newest: number): number {
  let opened: number | undefined;
  try {
    opened = openSync(file, "r");
    const header = Buffer.alloc(HEADER_BYTES);
    const bytesRead = readSync(opened, header, 0, HEADER_BYTES, 0);
    if (bytesRead < HEADER_BYTES || header.toString("latin1", 0, MAGIC.length) !== MAGIC) {
      throw damaged(file, new Error("no SQLite header"));
    }
    checkIdentity(
      file,
      { applicationId: header.readInt32BE(68), userVersion: header.readInt32BE(60) },
      newest,
    );
    return fstatSync(opened).size;
  } catch (error) {
    throw storeError(error, `cannot read ${file}`);
  } finally {
    if (opened !== undefined) closeSync(opened);
  }
}

function damaged(file: string, cause: unknown): PlatformError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new PlatformError(
    "DataFolderMismatch",
    `${file} is damaged (${detail}); restore it from a backup, or move the data folder away to start empty`,
    { cause },
  );
}

function sync(path: string): void {
  const opened = openSync(path, "r");
  try {
    fsyncSync(opened);
  } finally {
    closeSync(opened);
  }
}
