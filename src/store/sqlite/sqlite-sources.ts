import type { Source } from "../../core/source.ts";
import type { Sources } from "../sources.ts";
import type { Access } from "./access.ts";
import { parseSource, SOURCE_ROW, sourceDocument } from "./documents.ts";
import type { SourceRow } from "./source-operations.ts";

/** The sources in SQLite: reads here, writes by the writer. */
export function openSources({ read, write }: Access): Sources {
  return {
    async save(source) {
      await write("saveSource", sourceRow(source));
    },
    async find(id) {
      const row = read((db) => db.get(`SELECT ${SOURCE_ROW} FROM source WHERE id = ?`, id));
      return row && parseSource(row);
    },
    async list({ functionName, after, limit }) {
      const isAll = functionName === undefined;
      const sql = `SELECT ${SOURCE_ROW} FROM source WHERE ${isAll ? "" : "function_name = ? AND "}id > ? ORDER BY id LIMIT ?`;
      const values = isAll ? [after ?? "", limit] : [functionName, after ?? "", limit];
      return read((db) => db.all(sql, ...values)).map(parseSource);
    },
    remove: (id) => write("deleteSource", { id }),
  };
}

export function sourceRow(source: Source): SourceRow {
  const { id, functionName, generation } = source;
  return { id, functionName, generation, ...sourceDocument(source) };
}
