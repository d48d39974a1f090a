import type { FunctionRecord, Version } from "../core/function.ts";
import type { Registry } from "../store/store.ts";

/**
 * The version that a rollback without a number goes to: the newest below the live one. If `$LATEST` was changed since
 * it was live, that change is what is undone: the newest of all. Undefined if there is none.
 */
export async function findVersionBefore(
  registry: Pick<Registry, "listVersions">,
  record: Pick<FunctionRecord, "name" | "liveVersion" | "nextVersion">,
): Promise<Version | undefined> {
  let below = record.liveVersion ?? record.nextVersion;
  // Looked for in windows from the top, since a function may have thousands of versions and gaps between them.
  while (below > 1) {
    const after = Math.max(0, below - 1 - WINDOW);
    const ceiling = below;
    const found = await registry.listVersions(record.name, { after, limit: WINDOW });
    const newest = found.findLast(({ label }) => Number(label) < ceiling);
    if (newest) return newest;
    below = after + 1;
  }
  return undefined;
}

const WINDOW = 16;
