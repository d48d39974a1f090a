// Finds and loads a function's handler by Lambda's rules, which changed with Node 24: before, CommonJS is required and
// ES modules are imported; since then everything is imported, and a default export is looked into.
"use strict";

const { existsSync, readFileSync, statSync } = require("node:fs");
const { createRequire } = require("node:module");
const { basename, dirname, join, resolve } = require("node:path");
const { pathToFileURL } = require("node:url");

const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
const HIGH_WATER_MARK = Symbol.for("aws.lambda.runtime.handler.streaming.highWaterMark");

/** @typedef {{handler: Function, isStreaming: boolean, highWaterMark: number | undefined}} LoadedHandler */

/**
 * @param {string} taskRoot
 * @param {string} name `folder/module.export`, the export may be nested
 * @param {boolean} hasCallbacks
 * @returns {Promise<LoadedHandler>}
 */
async function loadHandler(taskRoot, name, hasCallbacks) {
  if (name.includes("..")) {
    throw runtimeError(
      "MalformedHandlerName",
      `'${name}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`,
    );
  }
  const match = /^([^.]*)\.(.*)$/.exec(basename(name));
  if (!match) throw runtimeError("MalformedHandlerName", "Bad handler");
  const [, moduleName, exportPath] = match;
  offerStreaming();
  const module = await loadModule(taskRoot, dirname(name), moduleName, hasCallbacks);
  const handler =
    member(module, exportPath) ?? (hasCallbacks ? undefined : member(module?.default, exportPath));
  if (!handler) throw runtimeError("HandlerNotFound", `${name} is undefined or not exported`);
  if (typeof handler !== "function") throw runtimeError("HandlerNotFound", `${name} is not a function`);
  return describe(handler, hasCallbacks);
}

/**
 * @param {any} handler
 * @param {boolean} hasCallbacks
 * @returns {LoadedHandler}
 */
function describe(handler, hasCallbacks) {
  const streaming = handler[STREAMING];
  if (streaming && streaming !== "response") {
    throw runtimeError("MalformedStreamingHandler", "Only response streaming is supported.");
  }
  if (!hasCallbacks && !streaming && handler.length >= 3) {
    throw runtimeError(
      "CallbackHandlerDeprecated",
      "Callback-based handlers ended with Node.js 22: make the handler async, or choose the runtime nodejs22.x.",
    );
  }
  const highWaterMark = Number(handler[HIGH_WATER_MARK]);
  return {
    handler,
    isStreaming: Boolean(streaming),
    highWaterMark: highWaterMark > 0 ? highWaterMark : undefined,
  };
}

/** `awslambda`, the global by which a handler says that it streams. */
function offerStreaming() {
  const isRefused = process.env.AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA;
  if (isRefused === "1" || isRefused === "true") return;
  globalThis.awslambda = {
    ...globalThis.awslambda,
    streamifyResponse(handler, options) {
      handler[STREAMING] = "response";
      if (typeof options?.highWaterMark === "number") handler[HIGH_WATER_MARK] = options.highWaterMark;
      return handler;
    },
    HttpResponseStream: {
      /** Eight zero bytes end the head; both go out before the first byte of the body. */
      from(stream, head) {
        stream.setContentType("application/vnd.awslambda.http-integration-response");
        const text = JSON.stringify(head);
        stream._onBeforeFirstWrite = (write) => {
          write(text);
          write(new Uint8Array(8));
        };
        return stream;
      },
    },
  };
}

/**
 * @param {string} taskRoot
 * @param {string} folder
 * @param {string} moduleName
 * @param {boolean} hasCallbacks
 */
async function loadModule(taskRoot, folder, moduleName, hasCallbacks) {
  const taskRequire = createRequire(join(taskRoot, "/"));
  const base = resolve(taskRoot, folder, moduleName);
  const file = ["", ".js", ".mjs", ".cjs"].map((extension) => base + extension).find(isFile);
  try {
    if (file === undefined)
      return await loadOtherwise(taskRequire, base, moduleName, [taskRoot, dirname(base)]);
    if (hasSourceMap(file)) process.setSourceMapsEnabled(true);
    if (hasCallbacks && !isEsModule(file)) return requireOrImport(taskRequire, file);
    return await import(pathToFileURL(file).href);
  } catch (error) {
    if (error instanceof SyntaxError) {
      const { syntaxErrorOf } = require("./syntax-error.cjs");
      throw syntaxErrorOf(error, file);
    }
    if (error?.code === "MODULE_NOT_FOUND" || error?.code === "ERR_MODULE_NOT_FOUND") {
      throw runtimeError("ImportModuleError", String(error), error);
    }
    throw error;
  }
}

/**
 * Where no JavaScript file has the name: TypeScript that this Node can strip, a folder with an index, a package.
 *
 * @param {NodeJS.Require} taskRequire
 * @param {string} base
 * @param {string} moduleName
 * @param {string[]} paths
 */
async function loadOtherwise(taskRequire, base, moduleName, paths) {
  const typescript = [".ts", ".mts", ".cts"].map((extension) => base + extension).find(isFile);
  if (typescript !== undefined && process.features.typescript) {
    return await import(pathToFileURL(typescript).href);
  }
  if (existsSync(base)) return requireOrImport(taskRequire, base);
  return requireOrImport(taskRequire, taskRequire.resolve(moduleName, { paths }));
}

/**
 * @param {NodeJS.Require} taskRequire
 * @param {string} file
 */
function requireOrImport(taskRequire, file) {
  try {
    return taskRequire(file);
  } catch (error) {
    // An ES module that awaits at its top level cannot be required; one without is, by newer Nodes.
    if (error?.code !== "ERR_REQUIRE_ASYNC_MODULE" && error?.code !== "ERR_REQUIRE_ESM") throw error;
    return import(pathToFileURL(file).href);
  }
}

/** @param {string} file */
function isFile(file) {
  // Most of those that are tried are not there; asking just that costs less.
  return existsSync(file) && (statSync(file, { throwIfNoEntry: false })?.isFile() ?? false);
}

/**
 * By extension, or by the nearest package.json up to a `node_modules` folder.
 *
 * @param {string} file
 */
function isEsModule(file) {
  if (file.endsWith(".cjs")) return true;
  if (!file.endsWith(".js")) return false;
  for (let folder = dirname(file); basename(folder) !== "node_modules"; folder = dirname(folder)) {
    try {
      return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).type === "module";
    } catch (error) {
      if (error.code !== "ENOENT" && error.code !== "ENOTDIR") {
        console.warn(`${folder}/package.json cannot be read and is ignored: ${error.message}`);
        return false;
      }
    }
    if (folder === dirname(folder)) break;
  }
  return false;
}

/** Mapping costs time on every error, so it is on only where there is something to map. @param {string} file */
function hasSourceMap(file) {
  return existsSync(`${file}.map`) || readFileSync(file).includes("//# sourceMappingURL=");
}

/**
 * Errors are loaded when there is one.
 *
 * @param {string} type
 * @param {string} message
 * @param {unknown} [cause]
 */
function runtimeError(type, message, cause) {
  const { RuntimeError } = require("./errors.cjs");
  return new RuntimeError(type, message, cause);
}

/**
 * @param {any} object
 * @param {string} path
 */
function member(object, path) {
  let found = object;
  for (const key of path.split(".")) found = found?.[key];
  return found;
}

module.exports = { loadHandler };
