import { PlatformError } from "../core/errors.ts";
import type { FunctionName } from "../core/ids.ts";
import type { Source } from "../core/source.ts";
import type { Sources } from "./sources.ts";

/** Sources in memory, for tests. */
export function fakeSources(isFunction: (name: FunctionName) => Promise<boolean>): Sources {
  const sources = new Map<string, Source>();
  /** They go with their functions. */
  async function collect(): Promise<void> {
    for (const [id, { functionName }] of sources) {
      if (!(await isFunction(functionName))) sources.delete(id);
    }
  }

  return {
    async save(source) {
      if (!(await isFunction(source.functionName))) {
        throw new PlatformError("FunctionNotFound", `function "${source.functionName}" does not exist`);
      }
      const stored = sources.get(source.id);
      if ((stored?.generation ?? 0) !== source.generation - 1) {
        throw new PlatformError("ResourceConflict", `source ${source.id} was changed meanwhile; try again`);
      }
      sources.set(source.id, structuredClone(source));
    },
    async find(id) {
      await collect();
      return structuredClone(sources.get(id));
    },
    async list({ functionName, after, limit }) {
      await collect();
      const wanted = [...sources.values()].filter(
        (source) =>
          (functionName ?? source.functionName) === source.functionName &&
          (after === undefined || source.id > after),
      );
      return structuredClone(wanted.sort((a, b) => (a.id < b.id ? -1 : 1)).slice(0, limit));
    },
    remove: async (id) => sources.delete(id),
  };
}
