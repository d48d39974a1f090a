import { setImmediate } from "node:timers/promises";
import { assert } from "../../core/assert.ts";
import type { FunctionRecord, Version } from "../../core/function.ts";
import type { Registry } from "../store.ts";
import type { Access } from "./access.ts";
import type { Connection, Row } from "./connection.ts";
import {
  FUNCTION_ROW,
  functionDocument,
  LAYER_ROW,
  parseCode,
  parseFunction,
  parseVersion,
  VERSION_ROW,
  versionDocument,
} from "./documents.ts";
import type { CodeColumns, FunctionRow } from "./registry-operations.ts";
import { storeError } from "./store-error.ts";

/** The registry in SQLite: reads here, writes by the writer. */
export function openRegistry({ read, openSnapshot, write }: Access): Registry {
  return {
    async findFunction(name) {
      const row = read((db) => db.get(`SELECT ${FUNCTION_ROW} FROM function WHERE name = ?`, name));
      return row && parseFunction(row);
    },
    async listFunctions({ after, limit }) {
      const sql = `SELECT ${FUNCTION_ROW} FROM function WHERE name > ? ORDER BY name LIMIT ?`;
      return read((db) => db.all(sql, after ?? "", limit)).map(parseFunction);
    },
    async countFunctions() {
      return Number(read((db) => db.get("SELECT functions FROM tally"))?.functions);
    },
    async saveFunction(record, publish) {
      await write("saveFunction", functionRow(record, publish));
    },
    deleteFunction: (name) => write("deleteFunction", { name }),
    async findVersion(name, number) {
      const sql = `SELECT ${VERSION_ROW} FROM version WHERE function_name = ? AND number = ?`;
      const row = read((db) => db.get(sql, name, number));
      return row && parseVersion(row);
    },
    async listVersions(name, { after, limit }) {
      const sql = `SELECT ${VERSION_ROW} FROM version WHERE function_name = ? AND number > ? ORDER BY number LIMIT ?`;
      return read((db) => db.all(sql, name, after, limit)).map(parseVersion);
    },
    deleteVersion: (name, number) => write("deleteVersion", { name, number }),
    async findFunctionByUrlId(urlId) {
      const sql = `SELECT ${FUNCTION_ROW} FROM function_url JOIN function ON name = function_name WHERE url_id = ?`;
      const row = read((db) => db.get(sql, urlId));
      return row && parseFunction(row);
    },
    async codeInUse() {
      const snapshot = openSnapshot();
      try {
        const treeIds = new Set<string>();
        const archives = new Set<string>();
        for (const rowsOf of [
          `${FUNCTION_ROW} FROM function`,
          `${VERSION_ROW} FROM version`,
          `${LAYER_ROW} FROM layer_version`,
        ]) {
          for await (const rows of pagesOf(snapshot, rowsOf)) {
            for (const row of rows) {
              const code = parseCode(row);
              for (const treeId of code.treeIds) treeIds.add(treeId);
              for (const archive of code.archives) archives.add(archive);
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

export function functionRow(record: FunctionRecord, publish: Version | undefined): FunctionRow {
  assert(!publish || publish.functionName === record.name, "a version is published with its own function");
  return {
    ...codeColumns(record.latest),
    ...functionDocument(record),
    name: record.name,
    generation: record.generation,
    urlIds: record.urls.map(({ urlId }) => urlId),
    published: publish && {
      ...codeColumns(publish),
      ...versionDocument(publish),
      number: numberOf(publish),
    },
  };
}

/** Rows that are read in one go, about a millisecond's worth; traffic is served in between. */
const CODE_ROWS_PER_STEP = 500;

async function* pagesOf(snapshot: Connection, rowsOf: string): AsyncGenerator<Row[]> {
  const sql = `SELECT rowid, ${rowsOf} WHERE rowid > ? ORDER BY rowid LIMIT ${CODE_ROWS_PER_STEP}`;
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
  assert(/^[1-9]\d*$/.test(label), "only a numbered version can be published");
  return Number(label);
}
