/**
 * A bundle of the sources, so that a start reads one file instead of five hundred: half of a start's time. It is made
 * after a start that found none, by the esbuild that the package brings along, and holds for the sources it was made of:
 * it notes their sizes and times. Where it cannot be made or read, the sources run as they are.
 *
 * Beside it lies what V8 has compiled of it, taken from a program that has run: Node's own cache is taken before the first
 * line runs and holds hardly any function.
 */
const { spawn } = require("node:child_process");
const {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} = require("node:fs");
const { basename, dirname, join, relative } = require("node:path");
const { pathToFileURL } = require("node:url");
const { Script } = require("node:vm");

/** What is bundled together: a program, and what it runs in threads and processes of its own. */
const PROGRAMS = {
  lambda: ["lambda"],
  lambdad: ["lambdad", "store/sqlite/writer", "store/sqlite/page-checker", "sandbox/local/spawner"],
};
/**
 * Packages that go into the bundle, as far as they are used. Of zod that is a sixth: read whole, with its messages in fifty
 * languages, it costs 100 ms and 30 MB. cborg can be imported and not required.
 */
const BUNDLED_PACKAGES = ["zod", "cborg"];
/** Past the busy moment of a start. */
const MAKE_AFTER_MS = 2_000;
/** A program is one function of these, as a CommonJS module is. */
const PARAMETERS = "exports, require, module, __filename, __dirname";

/** What runs: the sources in a checkout, what was compiled of them in a package, whose files nobody edits. */
function sourcesOf(root) {
  return existsSync(join(root, "src"))
    ? { folder: "src", extension: "ts", mayChange: true }
    : { folder: "dist", extension: "js", mayChange: false };
}

/** Where the packages are that `root` needs: below it, or beside it when npm has hoisted them. */
function modulesOf(root) {
  const parent = dirname(root);
  return basename(parent) === "node_modules" ? parent : join(root, "node_modules");
}

/** The folder in which `program` is bundled, or undefined if it is not for the sources as they are. */
function findBundle(root, cacheFolder, program) {
  const folder = join(cacheFolder, "bundle");
  try {
    const made = JSON.parse(readFileSync(join(folder, `${program}.json`), "utf8"));
    if (made.node !== process.version || made.root !== root) return undefined;
    // Joined by hand: hundreds of times `join` takes longer than to look at the files.
    return made.inputs.every(([file, ...known]) => isAs(`${root}/${file}`, known)) ? folder : undefined;
  } catch {
    return undefined; // There is none yet, or a source of it is gone.
  }
}

/** Runs a program that is bundled in `folder`; its packages are found as `require` finds them. */
function runBundle(folder, program, require) {
  const file = join(folder, `${program}.cjs`);
  const cacheFile = join(folder, `${program}.compiled`);
  const cachedData = readIfThere(cacheFile);
  // esbuild writes nothing but ASCII; as UTF-8 each byte would be looked at.
  const script = new Script(readFileSync(file, "latin1"), {
    filename: file,
    cachedData,
  });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, require, module, file, folder);
  if (cachedData === undefined || script.cachedDataRejected) keepCompiledLater(script, cacheFile);
}

/**
 * A daemon's when it has started, a command's at its end. What runs later is left out: reading it would cost every start
 * more than compiling it costs whoever needs it first.
 */
function keepCompiledLater(script, cacheFile) {
  const keep = () => {
    globalThis.lambdadServes = undefined;
    process.removeListener("exit", keep);
    const writing = `${cacheFile}.${process.pid}`;
    try {
      writeDurably(writing, script.createCachedData());
      renameSync(writing, cacheFile);
    } catch {
      rmSync(writing, { force: true }); // No space, or no permission: the next start is as slow as this one.
    }
  };
  globalThis.lambdadServes = keep;
  process.on("exit", keep);
}

/** V8 takes what it is given: after a power failure there must be all of it or nothing. */
function writeDurably(file, bytes) {
  const descriptor = openSync(file, "w");
  try {
    writeFileSync(descriptor, bytes);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function readIfThere(file) {
  try {
    return readFileSync(file);
  } catch {
    return undefined; // Not made yet.
  }
}

/** A module of the sources in a bundle, for a thread or a process of its own; undefined if it is not there (any more). */
function bundledModule(folder, module) {
  const file = join(folder, `${module}.cjs`);
  return existsSync(file) ? file : undefined;
}

function isAs(file, [size, mtimeMs]) {
  const found = statSync(file);
  return found.size === size && found.mtimeMs === mtimeMs;
}

/** Makes the bundle in a process of its own when nothing else is to be done; never fails. */
function makeBundleLater(root, cacheFolder) {
  const esbuild = join(modulesOf(root), "@esbuild", `${process.platform}-${process.arch}`, "bin", "esbuild");
  if (!existsSync(esbuild)) return;
  const timer = setTimeout(() => {
    makeBundle(root, cacheFolder, esbuild).catch(() => undefined); // The next start is as slow as this one.
  }, MAKE_AFTER_MS);
  timer.unref();
}

async function makeBundle(root, cacheFolder, esbuild) {
  const making = join(cacheFolder, `bundle.${process.pid}`);
  const startedAt = Date.now();
  mkdirSync(making, { recursive: true });
  try {
    for (const program of Object.keys(PROGRAMS)) await bundleOne(root, making, esbuild, program, startedAt);
    rmSync(join(cacheFolder, "bundle"), { recursive: true, force: true });
    renameSync(making, join(cacheFolder, "bundle"));
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
}

async function bundleOne(root, folder, esbuild, program, startedAt) {
  const metafile = join(folder, `${program}.json`);
  const sources = sourcesOf(root);
  const sourcesUrl = pathToFileURL(join(root, sources.folder, "/")).href;
  const args = [
    ...PROGRAMS[program].map((module) => `${sources.folder}/${module}.${sources.extension}`),
    "--bundle",
    `--outbase=${sources.folder}`,
    `--outdir=${folder}`,
    "--out-extension:.js=.cjs",
    // Where the program's other files are cannot be seen from here.
    `--banner:js=globalThis.lambdadSources??=${JSON.stringify(sourcesUrl)};`,
    // Reading a built-in module as an ES module would load all of it, getters included.
    "--format=cjs",
    "--platform=node",
    "--target=node24",
    // What a script imports when it runs warns that it is an experiment; packages are required instead.
    "--supported:dynamic-import=false",
    ...externalPackages(root),
    "--log-level=silent",
    `--metafile=${metafile}`,
  ];
  const child = spawn(esbuild, args, { cwd: root, stdio: "ignore" });
  child.unref();
  await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`esbuild left with ${code}`))));
  });
  const file = join(folder, `${program}.cjs`);
  writeFileSync(file, `(function (${PARAMETERS}) {${readFileSync(file, "latin1")}\n})`, "latin1");
  const made = Object.keys(JSON.parse(readFileSync(metafile, "utf8")).inputs);
  // A package is another one when its package.json is, ours too; and this file says how a bundle is made.
  const packages = BUNDLED_PACKAGES.map((name) => join(modulesOf(root), name));
  const read = [
    ...(sources.mayChange ? made.filter((file) => file.startsWith("src/")) : ["package.json"]),
    ...packages.map((folder) => relative(root, join(folder, "package.json"))),
    "bin/bundle.cjs",
  ];
  const inputs = read.map((file) => {
    const { size, mtimeMs } = statSync(join(root, file));
    if (mtimeMs >= startedAt) throw new Error(`${file} was changed meanwhile`);
    return [file, size, mtimeMs];
  });
  writeFileSync(metafile, JSON.stringify({ node: process.version, root, inputs }));
}

function externalPackages(root) {
  const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  return Object.keys(dependencies)
    .filter((name) => !BUNDLED_PACKAGES.includes(name))
    .map((name) => `--external:${name}`);
}

module.exports = {
  BUNDLED_PACKAGES,
  bundledModule,
  findBundle,
  makeBundleLater,
  modulesOf,
  runBundle,
  sourcesOf,
};
