import assert from "node:assert/strict";
import type { Version } from "../../core/function.ts";
import type { Registry } from "../store.ts";
import type { Access } from "./access.ts";
import type { Row } from "./connection.ts";
import { parseFunction, parseVersion, toDocument } from "./documents.ts";
import type { CodeColumns } from "./registry-operations.ts";

/** The registry in SQLite: reads here, writes by the writer. */
export function openRegistry({ read, write }: Access): Registry {
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
      return Number(read((db) => db.get("SELECT count(*) AS total FROM function"))?.total);
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
      const rows = read((db) =>
        db.all(
          "SELECT tree_id, archive_sha256 FROM function UNION SELECT tree_id, archive_sha256 FROM version",
        ),
      );
      return { treeIds: column(rows, "tree_id"), archives: column(rows, "archive_sha256") };
    },
  };
}

function codeColumns({ code }: Version): Pick<CodeColumns, "treeId" | "archiveSha256"> {
  return { treeId: code.treeId, archiveSha256: code.archiveSha256 };
}

function numberOf({ label }: Version): number {
  assert.match(label, /^[1-9]\d*$/, "only a numbered version can be published");
  return Number(label);
}

function column(rows: readonly Row[], name: string): ReadonlySet<string> {
  return new Set(rows.map((row) => String(row[name])));
}
