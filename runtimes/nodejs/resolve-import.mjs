// Where an import of another module leads, by Node's own rules. Needs --experimental-import-meta-resolve for the second argument.
import { statSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";

/**
 * Undefined for what is not there, is no file, or carries a query that makes it another module.
 *
 * @param {string} request
 * @param {string} file the module that imports it
 */
export function resolveImport(request, file) {
  try {
    const url = import.meta.resolve(request, pathToFileURL(file).href);
    if (!url.startsWith("file:") || /[?#]/.test(url)) return undefined;
    const path = fileURLToPath(url);
    return statSync(path, { throwIfNoEntry: false })?.isFile() ? path : undefined;
  } catch {
    // Optional, or never reached.
    return undefined;
  }
}
