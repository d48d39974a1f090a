/**
 * Starts `lambda` or `lambdad`: in this process if its Node can run TypeScript, else on the Node that the package
 * brings along. This file must be understood by every Node since 14, so that an old one gets a sentence, not a stack.
 */
const { accessSync, constants, readFileSync } = require("node:fs");
const { dirname, join } = require("node:path");

/** Type stripping without a warning, `await using`, `node:sqlite`. */
const NODE_MAJOR_MIN = 24;
/** sysexits.h: a service that is needed is unavailable. */
const EXIT_UNAVAILABLE = 69;

const root = dirname(__dirname);

function start(program) {
  const [first] = process.argv.slice(2);
  if (first === "-V" || first === "--version") {
    process.stdout.write(`${JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version}\n`);
    return undefined;
  }
  if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR_MIN) return run(program);

  const node = findBundledNode();
  if (node === undefined) {
    process.stderr.write(
      `${program} needs Node ${NODE_MAJOR_MIN} or newer, this is ${process.version}: run npm install in ${root}, ` +
        "which brings one along on Linux, or install one from https://nodejs.org\n",
    );
    process.exitCode = EXIT_UNAVAILABLE;
    return undefined;
  }
  return import("./rerun.mjs").then(({ rerun }) =>
    rerun(node, [join(root, "bin", program), ...process.argv.slice(2)]),
  );
}

/** The Node of the optional dependency `node-linux-*`: below this package, or beside it when npm has hoisted it. */
function findBundledNode() {
  const candidates = [join(root, "node_modules"), dirname(root)].map((modules) =>
    join(modules, `node-linux-${process.arch}`, "bin", "node"),
  );
  return candidates.find(isExecutable);
}

async function run(program) {
  const { LAMBDAD_WRAPPER_FD: wrapperFd } = process.env;
  if (wrapperFd !== undefined) {
    // What we start is not started by the wrapper and must not wait for its end.
    delete process.env.LAMBDAD_WRAPPER_FD;
    const { dieWithWrapper } = await import("./rerun.mjs");
    dieWithWrapper(Number(wrapperFd));
  }
  const { bundledModule, findBundle, makeBundleLater, runBundle, sourcesOf } = require("./bundle.cjs");
  for (const folder of cacheFolders()) {
    const bundle = findBundle(root, folder, program);
    if (!bundle) continue;
    globalThis.lambdadBundled = (module) => bundledModule(bundle, module);
    runBundle(bundle, program, require);
    // For packages that are read later.
    setImmediate(enableCompileCache);
    return;
  }
  const cacheFolder = enableCompileCache();
  if (cacheFolder) makeBundleLater(root, cacheFolder);
  const { folder, extension } = sourcesOf(root);
  await import(require("node:url").pathToFileURL(join(root, folder, `${program}.${extension}`)).href);
}

/**
 * Keeps stripped and compiled modules between runs. Returns the folder for such things; undefined if there is no place
 * for them, which only makes starts slower.
 */
function enableCompileCache() {
  const module = require("node:module");
  for (const folder of cacheFolders()) {
    const { status } = module.enableCompileCache(folder);
    if (status === module.constants.compileCacheStatus.FAILED) continue;
    // Written at exit otherwise, which a daemon that is killed never reaches.
    setTimeout(() => module.flushCompileCache(), 3_000).unref();
    return folder;
  }
  return undefined;
}

/** The first is the better place: it goes with the package. */
function* cacheFolders() {
  yield join(require("./bundle.cjs").modulesOf(root), ".cache", "lambdad");
  yield join(process.env.XDG_CACHE_HOME || join(require("node:os").homedir(), ".cache"), "lambdad");
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false; // Absent or for another machine: the caller asks only whether it can be used.
  }
}

module.exports = { start };
