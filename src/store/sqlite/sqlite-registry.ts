import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import type { Version } from "../../core/function.ts";
import type { Registry } from "../store.ts";
import type { Access } from "./access.ts";
import type { Connection, Row } from "./connection.ts";
import { parseFunction, parseVersion, toDocument } from "./documents.ts";
import type { CodeColumns } from "./registry-operations.ts";
import { storeError } from "./store-error.ts";

/** The registry in SQLite: reads here, writes by the writer. */
export function openRegistry({ read, openSnapshot, write }: Access): Registry {
  return {
    async findFunction(name) {
      const row = read((db) => db.get("SELECT document, checksum FROM function WHERE name = ?", name));
      return row && parseFunction(row);
    },
    async listFunctions({ after, limit }) {
      const sql = "SELECT document, checksum FROM function WHERE name > ? ORDER BY name LIMIT ?";
      return read((db) => db.all(sql, after ?? "", limit)).map(parseFunction);
    },
    async countFunctions() {
      return Number(read((db) => db.get("SELECT functions FROM tally"))?.functions);
    },
    async saveFunction(record, publish) {
      assert.ok(
        !publish || publish.functionName === record.name,
        "a version is published with its own function",
      );
      await write("saveFunction", {
        ...codeColumns(record.latest),
        ...toDocument(record),
        name: record.name,
        generation: record.generation,
        urlIds: record.urls.map(({ urlId }) => urlId),
        published: publish && { ...codeColumns(publish), ...toDocument(publish), number: numberOf(publish) },
      });
    },
    deleteFunction: (name) => write("deleteFunction", { name }),
    async findVersion(name, number) {
      const sql = "SELECT document, checksum FROM version WHERE function_name = ? AND number = ?";
      const row = read((db) => db.get(sql, name, number));
      return row && parseVersion(row);
    },
    async listVersions(name, { after, limit }) {
      const sql =
        "SELECT document, checksum FROM version WHERE function_name = ? AND number > ? ORDER BY number LIMIT ?";
      return read((db) => db.all(sql, name, after, limit)).map(parseVersion);
    },
    deleteVersion: (name, number) => write("deleteVersion", { name, number }),
    async findFunctionByUrlId(urlId) {
      const sql =
        "SELECT document, checksum FROM function_url JOIN function ON name = function_name WHERE url_id = ?";
      const row = read((db) => db.get(sql, urlId));
      return row && parseFunction(row);
    },
    async codeInUse() {
      const snapshot = openSnapshot();
      try {
        const treeIds = new Set<string>();
        const archives = new Set<string>();
        for (const table of ["function", "version"] as const) {
          for await (const rows of pagesOfCode(snapshot, table)) {
            for (const row of rows) {
              treeIds.add(String(row.tree_id));
              archives.add(String(row.archive_sha256));
            }
          }
        }
        return { treeIds, archives };
      } catch (error) {
        throw storeError(error, "cannot read the database");
      } finally {
        snapshot.close();
      }
    },
  };
}

/** Rows that are read in one go, about a millisecond's worth; traffic is served in between. */
const CODE_ROWS_PER_STEP = 1_000;

async function* pagesOfCode(snapshot: Connection, table: "function" | "version"): AsyncGenerator<Row[]> {
  const sql = `SELECT rowid, tree_id, archive_sha256 FROM ${table} WHERE rowid > ? ORDER BY rowid LIMIT ${CODE_ROWS_PER_STEP}`;
  let rows = snapshot.all(sql, 0);
  while (rows.length > 0) {
    yield rows;
    await setImmediate();
    rows = snapshot.all(sql, Number(rows.at(-1)?.rowid));
  }
}

function codeColumns({ code }: Version): Pick<CodeColumns, "treeId" | "archiveSha256"> {
  return { treeId: code.treeId, archiveSha256: code.archiveSha256 };
}

function numberOf({ label }: Version): number {
  assert.match(label, /^[1-9]\d*$/, "only a numbered version can be published");
  return Number(label);
}
