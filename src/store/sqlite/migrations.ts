import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { PlatformError } from "../../core/errors.ts";
import { sourceUrl } from "../../core/source-url.ts";
import type { Connection } from "./connection.ts";

/** One step of the schema: a file `NNNN-what-it-does.sql` in `migrations/`, numbered from 1, never edited later. */
export interface Migration {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the text, hex. */
  readonly checksum: string;
}

/** "lmbd": tells our databases from others' (`PRAGMA application_id`). */
const APPLICATION_ID = 0x6c6d6264;

export function readMigrations(folder = sourceUrl("store/sqlite/migrations/")): Migration[] {
  const names = readdirSync(folder).filter((name) => name.endsWith(".sql"));
  return names.sort().map((name, index) => {
    const sql = readFileSync(new URL(name, folder), "utf8");
    return { number: index + 1, name, sql, checksum: createHash("sha256").update(sql).digest("hex") };
  });
}

/** @throws PlatformError `DataFolderMismatch` if this program must not touch a database with that id and version. */
export function checkIdentity(
  file: string,
  found: { readonly applicationId: number; readonly userVersion: number },
  newest: number,
): void {
  if (found.applicationId !== APPLICATION_ID) {
    throw new PlatformError(
      "DataFolderMismatch",
      `${file} is a database of another program (application id ${found.applicationId}); choose another folder with --data`,
    );
  }
  if (found.userVersion > newest) {
    throw new PlatformError(
      "DataFolderMismatch",
      `${file} has schema ${found.userVersion}, this lambdad knows schemas up to ${newest}; use the newer lambdad that wrote it, or another folder with --data`,
    );
  }
}

/**
 * Brings the schema up to the newest migration in one exclusive transaction: all of it happens, or none.
 *
 * @throws PlatformError `DataFolderMismatch` if the database was made by migrations other than these.
 */
export function migrate(
  connection: Connection,
  file: string,
  migrations: readonly Migration[],
  now: number,
): void {
  const done = userVersion(connection);
  checkIdentity(
    file,
    { applicationId: pragma(connection, "application_id"), userVersion: done },
    migrations.length,
  );
  if (done > 0) checkApplied(connection, file, migrations.slice(0, done));
  if (done < migrations.length) apply(connection, migrations.slice(done), now);
}

/** Makes an empty file a database of ours, without a table yet. */
export function stamp(connection: Connection): void {
  connection.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
}

function checkApplied(connection: Connection, file: string, expected: readonly Migration[]): void {
  const applied = new Map(
    connection.all("SELECT number, checksum FROM migration").map((row) => [Number(row.number), row.checksum]),
  );
  for (const { number, name, checksum } of expected) {
    if (applied.get(number) === checksum) continue;
    throw new PlatformError(
      "DataFolderMismatch",
      `${file} was not made by migration ${name} of this lambdad; use the lambdad that wrote it, or another folder with --data`,
    );
  }
}

function apply(connection: Connection, migrations: readonly Migration[], now: number): void {
  connection.exec("BEGIN EXCLUSIVE");
  try {
    connection.exec(
      "CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT",
    );
    for (const { number, name, sql, checksum } of migrations) {
      connection.exec(sql);
      connection.run("INSERT INTO migration VALUES (?, ?, ?, ?)", number, name, checksum, now);
      connection.exec(`PRAGMA user_version = ${number}`);
    }
    connection.exec("COMMIT");
  } catch (error) {
    if (connection.isInTransaction()) connection.exec("ROLLBACK");
    throw error;
  }
}

function userVersion(connection: Connection): number {
  return pragma(connection, "user_version");
}

function pragma(connection: Connection, name: "user_version" | "application_id"): number {
  return Number(connection.get(`PRAGMA ${name}`)?.[name]);
}
