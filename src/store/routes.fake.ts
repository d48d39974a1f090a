import { PlatformError } from "../core/errors.ts";
import type { FunctionName, RouteId } from "../core/ids.ts";
import type { HttpRoute } from "../core/route.ts";
import { parseRoutePath, shapeOf } from "../core/route-path.ts";
import type { Routes } from "./routes.ts";

/** Routes in memory, for tests. */
export function fakeRoutes(isFunction: (name: FunctionName) => Promise<boolean>): Routes {
  const routes = new Map<RouteId, HttpRoute>();
  const keyOf = ({ host, method, path }: HttpRoute) =>
    `${host ?? ""} ${method} ${shapeOf(parseRoutePath(path))}`;
  const isOrphan = async ({ action }: HttpRoute) =>
    action.kind === "function" && !(await isFunction(action.functionName));
  /** They go with their functions. */
  async function collect(): Promise<void> {
    for (const route of routes.values()) if (await isOrphan(route)) routes.delete(route.id);
  }

  return {
    async save(route) {
      if (await isOrphan(route)) throw new PlatformError("FunctionNotFound", "the function does not exist");
      const other = [...routes.values()].find((each) => each.id !== route.id && keyOf(each) === keyOf(route));
      if (other) throw new PlatformError("ResourceConflict", `route ${other.id} has that key`);
      routes.set(route.id, structuredClone(route));
    },
    async find(id) {
      await collect();
      return structuredClone(routes.get(id));
    },
    async list() {
      await collect();
      return structuredClone([...routes.values()].sort((a, b) => (a.id < b.id ? -1 : 1)));
    },
    remove: async (id) => routes.delete(id),
  };
}
