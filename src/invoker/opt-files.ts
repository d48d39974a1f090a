import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { CodeDepot } from "../code/depot.ts";
import type { FunctionConfig } from "../core/function.ts";

/** What a version has at `/opt`. */
export interface OptFiles {
  /** On this host. */
  readonly dir: string;
  /** Names of the programs directly in `/opt/extensions`, which are started with the runtime. */
  readonly extensions: readonly string[];
}

/** Undefined without layers. @throws PlatformError `StoreUnavailable` */
export async function findOptFiles(
  depot: Pick<CodeDepot, "openTree">,
  { optTreeId }: FunctionConfig,
): Promise<OptFiles | undefined> {
  if (optTreeId === undefined) return undefined;
  const dir = await depot.openTree(optTreeId);
  const folder = join(dir, "extensions");
  const names = await readdir(folder).catch(() => []);
  const isProgram = await Promise.all(
    names.map(async (name) => {
      const { mode, isFile } = await stat(join(folder, name)).then((found) => ({
        mode: found.mode,
        isFile: found.isFile(),
      }));
      return isFile && (mode & ANY_EXECUTE) !== 0;
    }),
  );
  return { dir, extensions: names.filter((_, index) => isProgram[index]).sort() };
}

const ANY_EXECUTE = 0o111;
