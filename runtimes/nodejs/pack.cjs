// Makes a pack of a function's CommonJS modules, on stdout: where each require leads, the sources, and what V8 compiles of
// them. With it a start asks the file system for nothing and compiles little. Runs none of the function's code: requires
// are found in the text, and one that is missed or is never reached costs nothing but its share of the gain.
//
//   u32 length of the index (little-endian) │ index as JSON │ bytes of sources and caches
//   index: { files: { PATH: [at, source bytes, cache bytes] }, resolutions: { PATH: { REQUEST: PATH } } }
//
// Paths are below the code's folder. `node pack.cjs CODE_FOLDER HANDLER`
"use strict";

const { readFileSync, statSync } = require("node:fs");
const Module = require("node:module");
const { basename, dirname, join, resolve, sep } = require("node:path");
const { compileFunction, constants } = require("node:vm");

const PACK_BYTES_MAX = 4 * 1024 * 1024;
const FILES_MAX = 2_000;
/** A function of one file gains nothing. */
const FILES_MIN = 3;
const PARAMETERS = ["exports", "require", "module", "__filename", "__dirname"];
const REQUIRE = /\brequire\s*\(\s*(["'`])([^"'`\n$]+)\1\s*\)/g;
const IMPORT = /\b(?:from|import)\s*\(?\s*(["'])([^"'\n]+)\1/g;

const [taskRoot = "", handler = ""] = process.argv.slice(2);
const root = resolve(taskRoot) + sep;

/** @type {Record<string, [number, number, number]>} */
const files = {};
/** @type {Record<string, Record<string, string>>} */
const resolutions = {};
/** @type {Buffer[]} */
const parts = [];
let bytes = 0;

const entry = findEntry();
const found = new Set(entry === undefined ? [] : [entry]);
for (const file of found) {
  if (found.size > FILES_MAX || bytes > PACK_BYTES_MAX) break;
  take(file);
}
if (Object.keys(files).length >= FILES_MIN) {
  const index = Buffer.from(JSON.stringify({ files, resolutions }));
  const head = Buffer.alloc(4);
  head.writeUInt32LE(index.length);
  process.stdout.write(Buffer.concat([head, index, ...parts]));
}

/** As handler.cjs finds it. */
function findEntry() {
  const module = /^([^.]*)\./.exec(basename(handler))?.[1];
  if (module === undefined || handler.includes("..")) return undefined;
  const base = resolve(taskRoot, dirname(handler), module);
  return ["", ".js", ".mjs", ".cjs"].map((extension) => base + extension).find(isFile);
}

/** @param {string} file */
function take(file) {
  if (!/\.[cm]?js$/.test(file)) return;
  const source = readFileSync(file);
  const text = source.toString("utf8");
  const cache = compile(file, text);
  const requests = [...text.matchAll(REQUIRE), ...(cache ? [] : text.matchAll(IMPORT))].map(
    (match) => match[2],
  );
  const led = follow(file, requests);
  if (!cache || bytes + source.length + cache.length > PACK_BYTES_MAX) return;
  const path = file.slice(root.length);
  files[path] = [bytes, source.length, cache.length];
  resolutions[path] = led;
  parts.push(source, cache);
  bytes += source.length + cache.length;
}

/**
 * What V8 keeps of a CommonJS module. Undefined for ES modules and whatever does not compile, and for what has a source map,
 * which only Node's own loader looks at.
 *
 * @param {string} filename
 * @param {string} text
 */
function compile(filename, text) {
  if (isEsModule(filename) || text.startsWith("#!") || text.includes("//# sourceMappingURL="))
    return undefined;
  try {
    const importModuleDynamically = constants.USE_MAIN_CONTEXT_DEFAULT_LOADER;
    const options = { filename, importModuleDynamically, produceCachedData: true };
    return compileFunction(text, PARAMETERS, options).cachedData;
  } catch {
    return undefined;
  }
}

/**
 * @param {string} file
 * @param {(string | undefined)[]} requests
 */
function follow(file, requests) {
  const require = Module.createRequire(file);
  /** @type {Record<string, string>} */
  const led = {};
  for (const request of requests) {
    if (request === undefined || Module.isBuiltin(request)) continue;
    const target = tryResolve(require, request);
    if (target === undefined || !target.startsWith(root)) continue;
    led[request] = target.slice(root.length);
    found.add(target);
  }
  return led;
}

/**
 * @param {NodeJS.Require} require
 * @param {string} request
 */
function tryResolve(require, request) {
  try {
    return require.resolve(request);
  } catch {
    // Optional, or never reached.
    return undefined;
  }
}

/** @param {string} file */
function isEsModule(file) {
  if (file.endsWith(".mjs")) return true;
  if (file.endsWith(".cjs")) return false;
  for (let folder = dirname(file); basename(folder) !== "node_modules"; folder = dirname(folder)) {
    const manifest = join(folder, "package.json");
    if (isFile(manifest)) return isModuleType(manifest);
    if (folder === dirname(folder)) break;
  }
  return false;
}

/** @param {string} manifest */
function isModuleType(manifest) {
  try {
    return JSON.parse(readFileSync(manifest, "utf8")).type === "module";
  } catch {
    return true;
  }
}

/** @param {string} file */
function isFile(file) {
  return statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}
