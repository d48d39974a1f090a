import { PlatformError } from "../../core/errors.ts";
import type { Connection } from "./connection.ts";
import type { Document } from "./documents.ts";
import type { Performers } from "./performers.ts";

/** What the writer does for the registry. */
export interface RegistryOperations {
  saveFunction: { readonly args: FunctionRow; readonly result: undefined };
  deleteFunction: { readonly args: { readonly name: string }; readonly result: boolean };
  deleteVersion: {
    readonly args: { readonly name: string; readonly number: number };
    readonly result: boolean;
  };
}

export interface CodeColumns extends Document {
  readonly treeId: string;
  readonly archiveSha256: string;
}

export interface FunctionRow extends CodeColumns {
  readonly name: string;
  readonly generation: number;
  readonly urlIds: readonly string[];
  readonly published: VersionRow | undefined;
}

export interface VersionRow extends CodeColumns {
  readonly number: number;
}

export const registryOperations: Performers<RegistryOperations> = {
  saveFunction(connection, row) {
    if (row.generation === 1) insertFunction(connection, row);
    else updateFunction(connection, row);
    replaceUrls(connection, row);
    if (row.published) insertVersion(connection, row.name, row.published);
  },
  deleteFunction: (connection, { name }) => connection.run("DELETE FROM function WHERE name = ?", name) > 0,
  deleteVersion: (connection, { name, number }) =>
    connection.run("DELETE FROM version WHERE function_name = ? AND number = ?", name, number) > 0,
};

function insertFunction(connection: Connection, row: FunctionRow): void {
  const inserted = connection.run(
    "INSERT INTO function (name, generation, tree_id, archive_sha256, document, checksum) VALUES (?, 1, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    row.name,
    row.treeId,
    row.archiveSha256,
    row.text,
    row.checksum,
  );
  if (inserted === 0) {
    throw new PlatformError("FunctionExists", `function "${row.name}" exists already; choose another name`);
  }
}

function updateFunction(connection: Connection, row: FunctionRow): void {
  const updated = connection.run(
    "UPDATE function SET generation = ?, tree_id = ?, archive_sha256 = ?, document = ?, checksum = ? WHERE name = ? AND generation = ?",
    row.generation,
    row.treeId,
    row.archiveSha256,
    row.text,
    row.checksum,
    row.name,
    row.generation - 1,
  );
  if (updated > 0) return;
  const stored = connection.get("SELECT generation FROM function WHERE name = ?", row.name);
  if (!stored) throw new PlatformError("FunctionNotFound", `function "${row.name}" does not exist any more`);
  throw new PlatformError(
    "ResourceConflict",
    `function "${row.name}" was changed meanwhile (generation ${stored.generation}); read it again and retry`,
  );
}

function replaceUrls(connection: Connection, row: FunctionRow): void {
  connection.run("DELETE FROM function_url WHERE function_name = ?", row.name);
  for (const urlId of row.urlIds) {
    const sql = "INSERT INTO function_url (url_id, function_name) VALUES (?, ?) ON CONFLICT DO NOTHING";
    if (connection.run(sql, urlId, row.name) > 0) continue;
    throw new PlatformError(
      "ResourceConflict",
      `URL id "${urlId}" belongs to another function; make a new one`,
    );
  }
}

function insertVersion(connection: Connection, name: string, version: VersionRow): void {
  const inserted = connection.run(
    "INSERT INTO version (function_name, number, tree_id, archive_sha256, document, checksum) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    name,
    version.number,
    version.treeId,
    version.archiveSha256,
    version.text,
    version.checksum,
  );
  if (inserted === 0) {
    throw new PlatformError("ResourceConflict", `version ${version.number} of "${name}" exists already`);
  }
}
