// Loads a lifecycle module: ESM or CommonJS, JavaScript or TypeScript that Node can strip.
import { statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { RuntimeError } from "./errors.mjs";

const ENDINGS = ["", ".mjs", ".js", ".cjs", ".mts", ".ts", ".cts", "/index.mjs", "/index.js", "/index.ts"];
const OPTIONAL = ["init", "start", "stop"];

/**
 * @typedef {object} LifecycleModule
 * @property {(config: object) => unknown} [init] once, before anything else
 * @property {() => unknown} [start] makes a context
 * @property {(context: unknown, request: import("node:http").IncomingMessage, response: import("node:http").ServerResponse) => unknown} run
 * @property {(context: unknown) => unknown} [stop] ends a context
 */

/**
 * @param {string} taskRoot
 * @param {string} path relative to it; the ending may be left out
 * @returns {Promise<LifecycleModule>}
 */
export async function loadLifecycle(taskRoot, path) {
  const base = join(taskRoot, path);
  const file = ENDINGS.map((ending) => base + ending).find(isFile);
  if (file === undefined)
    throw new RuntimeError("ImportModuleError", `there is no module ${path} in the code`);
  return checkLifecycle(await load(file), path);
}

/** @param {string} file */
async function load(file) {
  try {
    return await import(pathToFileURL(file).href);
  } catch (error) {
    if (error instanceof SyntaxError) {
      const { syntaxErrorOf } = await import("./syntax-error.cjs");
      throw syntaxErrorOf(error, file);
    }
    throw error;
  }
}

/**
 * What was loaded, if it can serve requests: the module itself, or its default export.
 *
 * @param {any} module
 * @param {string} path for messages
 * @returns {LifecycleModule}
 */
export function checkLifecycle(module, path) {
  const exported = module.run === undefined && module.default?.run !== undefined ? module.default : module;
  if (typeof exported.run !== "function") {
    const problem = exported.run === undefined ? "exports no run" : "exports a run that is no function";
    throw new RuntimeError(
      "HandlerNotFound",
      `${path} ${problem}; a lifecycle module exports run(context, request, response)`,
    );
  }
  for (const name of OPTIONAL) {
    if (exported[name] !== undefined && typeof exported[name] !== "function") {
      throw new RuntimeError("HandlerNotFound", `${path} exports a ${name} that is no function`);
    }
  }
  return exported;
}

/** @param {string} file */
function isFile(file) {
  return statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}
