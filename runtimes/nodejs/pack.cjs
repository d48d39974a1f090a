// Makes a pack of a function's modules, on stdout: where each require and import leads, the sources, and of CommonJS
// what V8 compiles of them. With it a start asks the file system for nothing and compiles less. Runs none of the function's
// code: requires and imports are found in the text, and one that is missed or is never reached costs nothing but its share
// of the gain.
//
//   u32 length of the index (little-endian) │ index as JSON │ bytes of sources and caches
//   index: { files: { PATH: [at, source bytes, cache bytes] }, resolutions: { PATH: { REQUEST: PATH } } }
//
// Paths are below the code's folder; ES modules have no cache. `node --experimental-import-meta-resolve pack.cjs CODE_FOLDER HANDLER`
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
/** Who puts a loader of his own between wants to see each module: `register("./hooks.mjs", import.meta.url)`. */
const OWN_LOADER = [/["'](?:node:)?module["']/, /\bregister\b/];
/** Where no URL differs from its path. */
const PLAIN_PATH = /^[\w@+./-]+$/;

const [taskRoot = "", handler = ""] = process.argv.slice(2);
const root = resolve(taskRoot) + sep;

/** @type {Record<string, [number, number, number]>} */
const files = {};
/** @type {Record<string, Record<string, string>>} */
const resolutions = {};
/** @type {Buffer[]} */
const parts = [];
let bytes = 0;
let hasOwnLoader = false;

const entry = findEntry();
const found = new Set(entry === undefined ? [] : [entry]);
void main();

async function main() {
  // As an ES module's own: the only way to ask how Node resolves an import without making it.
  const { resolveImport } = await import("./resolve-import.mjs");
  for (const file of found) {
    if (found.size > FILES_MAX || bytes > PACK_BYTES_MAX) break;
    take(file, resolveImport);
  }
  if (hasOwnLoader) leaveOutEsModules();
  if (Object.keys(files).length < FILES_MIN) return;
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

/** @typedef {(request: string, file: string) => string | undefined} Resolve */

/**
 * @param {string} file
 * @param {Resolve} resolveImport
 */
function take(file, resolveImport) {
  if (!/\.[cm]?js$/.test(file)) return;
  const source = readFileSync(file);
  const text = source.toString("utf8");
  hasOwnLoader ||= OWN_LOADER.every((each) => each.test(text));
  const requires = [...text.matchAll(REQUIRE)].map((match) => match[2]);
  if (isEsModule(file)) {
    const imports = [...text.matchAll(IMPORT)].map((match) => match[2]);
    // It may have made itself a require, which other rules hold for.
    follow(file, requires, resolveRequire);
    const led = follow(file, imports, resolveImport);
    if (PLAIN_PATH.test(file)) keep(file, source, Buffer.alloc(0), led);
    return;
  }
  const cache = compile(file, text);
  const led = follow(file, requires, resolveRequire);
  // It may be an ES module that only says so by what it does.
  if (!cache)
    follow(
      file,
      [...text.matchAll(IMPORT)].map((match) => match[2]),
      resolveImport,
    );
  else keep(file, source, cache, led);
}

function leaveOutEsModules() {
  for (const [path, [, , cacheBytes]] of Object.entries(files)) {
    if (cacheBytes > 0) continue;
    delete files[path];
    delete resolutions[path];
  }
}

/**
 * @param {string} file
 * @param {Buffer} source
 * @param {Buffer} cache
 * @param {Record<string, string>} led
 */
function keep(file, source, cache, led) {
  if (bytes + source.length + cache.length > PACK_BYTES_MAX) return;
  const path = file.slice(root.length);
  files[path] = [bytes, source.length, cache.length];
  resolutions[path] = led;
  parts.push(source, cache);
  bytes += source.length + cache.length;
}

/**
 * What V8 keeps of a CommonJS module. Undefined for whatever does not compile, and for what has a source map, which only
 * Node's own loader looks at.
 *
 * @param {string} filename
 * @param {string} text
 */
function compile(filename, text) {
  if (text.startsWith("#!") || text.includes("//# sourceMappingURL=")) return undefined;
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
 * @param {Resolve} resolve
 */
function follow(file, requests, resolve) {
  /** @type {Record<string, string>} */
  const led = {};
  for (const request of requests) {
    if (request === undefined || Module.isBuiltin(request)) continue;
    const target = resolve(request, file);
    if (target === undefined || !target.startsWith(root)) continue;
    led[request] = target.slice(root.length);
    found.add(target);
  }
  return led;
}

/** @type {Resolve} */
function resolveRequire(request, file) {
  try {
    return Module.createRequire(file).resolve(request);
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
