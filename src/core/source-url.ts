import { fileURLToPath } from "node:url";

declare global {
  /** Set where what runs is a bundle of the sources (bin/bundle.cjs): the URL of `src/`. */
  var lambdadSources: string | undefined;
  /** Set by the start script beside it: the file in which a module of `src/` is bundled, if it is. */
  var lambdadBundled: ((module: string) => string | undefined) | undefined;
  /** Set by it where it wants to know that the daemon has started. */
  var lambdadServes: (() => void) | undefined;
}

const SOURCES = globalThis.lambdadSources ?? new URL("../", import.meta.url).href;

/** Of the program's own modules: `ts` in a checkout, `js` in the package. */
const MODULE_EXTENSION = SOURCES.endsWith("/src/") ? "ts" : "js";

/** Where a file of the program lies; `path` is relative to `src/`, or to `dist/` in the package. */
export function sourceUrl(path: string): URL {
  return new URL(path, SOURCES);
}

/** The file to run a module of the program from, in a thread or a process of its own; `module` is without an extension. */
export function moduleFile(module: string): string {
  return globalThis.lambdadBundled?.(module) ?? fileURLToPath(sourceUrl(`${module}.${MODULE_EXTENSION}`));
}
