import { PlatformError } from "../../core/errors.ts";
import { ROUTES_MAX } from "../../core/limits.ts";
import type { Document } from "./documents.ts";
import type { Performers } from "./performers.ts";

/** What the writer does for the routes. */
export interface RouteOperations {
  saveRoute: { readonly args: RouteRow; readonly result: undefined };
  deleteRoute: { readonly args: { readonly id: string }; readonly result: boolean };
}

export interface RouteRow extends Document {
  readonly id: string;
  readonly functionName: string | null;
  readonly host: string;
  readonly method: string;
  readonly shape: string;
}

export const routeOperations: Performers<RouteOperations> = {
  saveRoute(connection, row) {
    const { id, functionName, host, method, shape } = row;
    if (functionName !== null && !connection.get("SELECT 1 FROM function WHERE name = ?", functionName)) {
      throw new PlatformError(
        "FunctionNotFound",
        `function "${functionName}" does not exist; deploy it first`,
      );
    }
    const other = connection.get(
      "SELECT id FROM route WHERE host = ? AND shape = ? AND method = ? AND id <> ?",
      host,
      shape,
      method,
      id,
    );
    if (other) {
      throw new PlatformError("ResourceConflict", `route ${other.id} has that method, host and path already`);
    }
    const isThere = connection.get("SELECT 1 FROM route WHERE id = ?", id) !== undefined;
    const count = isThere ? 0 : Number(connection.get("SELECT count(*) AS count FROM route")?.count);
    if (count >= ROUTES_MAX) {
      throw new PlatformError(
        "ResourceConflict",
        `there are ${count} routes already, which is the limit; remove some`,
      );
    }
    connection.run(
      "INSERT INTO route (id, function_name, host, method, shape, document, checksum) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET function_name = excluded.function_name, host = excluded.host, method = excluded.method, shape = excluded.shape, document = excluded.document, checksum = excluded.checksum",
      id,
      functionName,
      host,
      method,
      shape,
      row.text,
      row.checksum,
    );
  },
  deleteRoute: (connection, { id }) => connection.run("DELETE FROM route WHERE id = ?", id) > 0,
};
