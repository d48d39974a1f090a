// Loads modules from a pack (pack.cjs) as Node's loader would from their files: with the same names, objects and stacks.
// What is not in it, and whatever somebody else has put between, goes the usual way. Loading 700 ES modules takes Node some
// 900 ms of CPU, of which all but 20 are asking the file system; so they gain most, though none of them is compiled ahead.
"use strict";

const Module = require("node:module");
const { dirname, join, sep } = require("node:path");
const { pathToFileURL } = require("node:url");
const { compileFunction, constants } = require("node:vm");

const PARAMETERS = ["exports", "require", "module", "__filename", "__dirname"];

/**
 * @param {Buffer} whole
 * @param {string} taskRoot
 * @returns {() => void} What ends it: nothing keeps the pack in memory then.
 */
function usePack(whole, taskRoot) {
  if (OTHERWISE.test(process.env.NODE_OPTIONS ?? "")) return () => {};
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

  /** @param {string | undefined} path */
  const commonJs = (path) => (own(files, path)?.[2] ? path : undefined);
  const resolveUsually = Module._resolveFilename;
  Module._resolveFilename = function (request, parent, isMain, options) {
    const from = isOutOfTheOrdinary(options) ? undefined : commonJs(pathOf(parent?.filename));
    const led = own(own(resolutions, from), request);
    return led === undefined ? resolveUsually.call(this, request, parent, isMain, options) : join(root, led);
  };

  const loadUsually = Module._extensions[".js"];
  const compileUsually = Module.prototype._compile;
  Module._extensions[".js"] = function (module, filename) {
    const place = own(files, pathOf(filename));
    // Transpilers and tracers replace it, to see the source before it is compiled. ES modules may be required, too.
    if (!place?.[2] || module._compile !== compileUsually) return loadUsually.call(this, module, filename);
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
  const hooks = Object.values(files).some(([, , cacheBytes]) => cacheBytes === 0) ? hookModules() : undefined;
  return () => {
    hooks?.deregister();
    pack = Buffer.alloc(0);
    files = {};
    resolutions = {};
  };

  /** ES modules have their names as URLs, and no prototype to put anything in the place of. */
  function hookModules() {
    const rootUrl = pathToFileURL(root).href;
    /** @param {string | undefined} url */
    const moduleAt = (url) => {
      const path = url?.startsWith(rootUrl) ? url.slice(rootUrl.length) : undefined;
      return own(files, path)?.[2] === 0 ? path : undefined;
    };
    // Node 22.15 has it; before, they are loaded as usual.
    return Module.registerHooks?.({
      resolve(request, context, next) {
        // It may have made itself a require, for which other rules hold.
        const from = context.conditions?.includes("import") ? moduleAt(context.parentURL) : undefined;
        const led = own(own(resolutions, from), request);
        const url = led !== undefined && rootUrl + led;
        if (!url || !moduleAt(url)) return next(request, context);
        return { url, format: "module", shortCircuit: true };
      },
      load(url, context, next) {
        const place = own(files, moduleAt(url));
        if (!place) return next(url, context);
        const start = indexEnd + place[0];
        return { format: "module", source: pack.subarray(start, start + place[1]), shortCircuit: true };
      },
    });
  }
}

/**
 * What Node says of a resolution of its own where there are hooks, and nothing where there are none.
 *
 * @param {{paths?: string[], conditions?: Set<string>} | undefined} options
 */
function isOutOfTheOrdinary(options) {
  if (!options) return false;
  const { paths, conditions } = options;
  return paths !== undefined || !conditions?.has("require") || conditions.size > USUAL_CONDITIONS;
}

/** `node`, `require`, `module-sync` and `node-addons`. */
const USUAL_CONDITIONS = 4;

/** What makes requests lead elsewhere than they did when the pack was made. */
const OTHERWISE =
  /(?:^|\s)(?:-C|--conditions|--import|--(?:experimental-)?loader|--preserve-symlinks|--experimental-specifier-resolution)/;

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
