// Loads modules from a pack (pack.cjs) as Node's loader would from their files: with the same names, objects and stacks.
// What is not in it, and whatever somebody else has put between, goes the usual way.
"use strict";

const Module = require("node:module");
const { dirname, join, sep } = require("node:path");
const { compileFunction, constants } = require("node:vm");

const PARAMETERS = ["exports", "require", "module", "__filename", "__dirname"];

/**
 * @param {Buffer} whole
 * @param {string} taskRoot
 * @returns {() => void} What ends it: nothing keeps the pack in memory then.
 */
function usePack(whole, taskRoot) {
  let pack = whole;
  const indexEnd = 4 + pack.readUInt32LE(0);
  /** @type {{files: Record<string, [number, number, number]>, resolutions: Record<string, Record<string, string>>}} */
  let { files, resolutions } = JSON.parse(pack.toString("utf8", 4, indexEnd));
  const root = taskRoot + sep;
  /** @param {string | null | undefined} file */
  const pathOf = (file) => (file?.startsWith(root) ? file.slice(root.length) : undefined);
  /**
   * @template T
   * @param {Record<string, T> | undefined} record
   * @param {string | undefined} key
   */
  const own = (record, key) =>
    record && key !== undefined && Object.hasOwn(record, key) ? record[key] : undefined;

  const resolveUsually = Module._resolveFilename;
  Module._resolveFilename = function (request, parent, isMain, options) {
    const led = options ? undefined : own(own(resolutions, pathOf(parent?.filename)), request);
    return led === undefined ? resolveUsually.call(this, request, parent, isMain, options) : join(root, led);
  };

  const loadUsually = Module._extensions[".js"];
  const compileUsually = Module.prototype._compile;
  Module._extensions[".js"] = function (module, filename) {
    const place = own(files, pathOf(filename));
    // Transpilers and tracers replace it, to see the source before it is compiled.
    if (!place || module._compile !== compileUsually) return loadUsually.call(this, module, filename);
    const [at, sourceBytes, cacheBytes] = place;
    const start = indexEnd + at;
    const run = compileFunction(pack.toString("utf8", start, start + sourceBytes), PARAMETERS, {
      filename,
      cachedData: pack.subarray(start + sourceBytes, start + sourceBytes + cacheBytes),
      importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    });
    Reflect.apply(run, module.exports, [
      module.exports,
      requireOf(module),
      module,
      filename,
      dirname(filename),
    ]);
  };
  return () => {
    pack = Buffer.alloc(0);
    files = {};
    resolutions = {};
  };
}

/**
 * What Node gives each module.
 *
 * @param {any} module
 */
function requireOf(module) {
  /** @param {string} request */
  function require(request) {
    return module.require(request);
  }
  /**
   * @param {string} request
   * @param {object} [options]
   */
  function resolve(request, options) {
    return Module._resolveFilename(request, module, false, options);
  }
  /** @param {string} request */
  resolve.paths = (request) => Module._resolveLookupPaths(request, module);
  require.resolve = resolve;
  require.main = process.mainModule;
  require.extensions = Module._extensions;
  require.cache = Module._cache;
  return require;
}

module.exports = { usePack };
