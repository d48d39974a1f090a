import { PlatformError } from "../../core/errors.ts";
import { SOURCES_MAX } from "../../core/limits.ts";
import type { Document } from "./documents.ts";
import type { Performers } from "./performers.ts";

/** What the writer does for the sources. */
export interface SourceOperations {
  saveSource: { readonly args: SourceRow; readonly result: undefined };
  deleteSource: { readonly args: { readonly id: string }; readonly result: boolean };
}

export interface SourceRow extends Document {
  readonly id: string;
  readonly functionName: string;
  readonly generation: number;
}

export const sourceOperations: Performers<SourceOperations> = {
  saveSource(connection, { id, functionName, generation, text, checksum }) {
    if (!connection.get("SELECT 1 FROM function WHERE name = ?", functionName)) {
      throw new PlatformError(
        "FunctionNotFound",
        `function "${functionName}" does not exist; deploy it first`,
      );
    }
    const stored = connection.get("SELECT generation FROM source WHERE id = ?", id);
    if (Number(stored?.generation ?? 0) !== generation - 1) {
      throw new PlatformError("ResourceConflict", `source ${id} was changed meanwhile; try again`);
    }
    const count = stored ? 0 : Number(connection.get("SELECT count(*) AS count FROM source")?.count);
    if (count >= SOURCES_MAX) {
      throw new PlatformError(
        "ResourceConflict",
        `there are ${count} sources already, which is the limit; delete some`,
      );
    }
    connection.run(
      "INSERT INTO source (id, function_name, generation, document, checksum) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET function_name = excluded.function_name, generation = excluded.generation, document = excluded.document, checksum = excluded.checksum",
      id,
      functionName,
      generation,
      text,
      checksum,
    );
  },
  deleteSource: (connection, { id }) => connection.run("DELETE FROM source WHERE id = ?", id) > 0,
};
