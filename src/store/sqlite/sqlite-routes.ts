import type { HttpRoute } from "../../core/route.ts";
import { parseRoutePath, shapeOf } from "../../core/route-path.ts";
import type { Routes } from "../routes.ts";
import type { Access } from "./access.ts";
import { parseRoute, ROUTE_ROW, routeDocument } from "./route-documents.ts";
import type { RouteRow } from "./route-operations.ts";

/** The routes in SQLite: reads here, writes by the writer. */
export function openRoutes({ read, write }: Access): Routes {
  return {
    async save(route) {
      await write("saveRoute", routeRow(route));
    },
    async find(id) {
      const row = read((db) => db.get(`SELECT ${ROUTE_ROW} FROM route WHERE id = ?`, id));
      return row && parseRoute(row);
    },
    async list() {
      return read((db) => db.all(`SELECT ${ROUTE_ROW} FROM route ORDER BY id`)).map(parseRoute);
    },
    remove: (id) => write("deleteRoute", { id }),
  };
}

export function routeRow(route: HttpRoute): RouteRow {
  const { id, host, method, path, action } = route;
  return {
    id,
    functionName: action.kind === "function" ? action.functionName : null,
    host: host ?? "",
    method,
    shape: shapeOf(parseRoutePath(path)),
    ...routeDocument(route),
  };
}
