declare global {
  /** Set by the start script where what runs is a bundle of the sources (bin/bundle.mjs): the URL of `src/`. */
  var lambdadSources: string | undefined;
}

const SOURCES = globalThis.lambdadSources ?? new URL("../", import.meta.url).href;

/** Of the program's own modules: `ts` in a checkout, `js` in the package. */
export const MODULE_EXTENSION = SOURCES.endsWith("/src/") ? "ts" : "js";

/** Where a file of the program lies; `path` is relative to `src/`, or to `dist/` in the package. */
export function sourceUrl(path: string): URL {
  return new URL(path, SOURCES);
}
