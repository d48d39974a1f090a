/**
 * One executable of a lifecycle module: esbuild makes one file of the module, its packages and `runtimes/executable/`;
 * Node puts that into a copy of itself (its single executable format, `node --build-sea`).
 * https://nodejs.org/api/single-executable-applications.html
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type BuildParts, runTool } from "../code/build/tool.ts";
import { isPlatformError, PlatformError } from "../core/errors.ts";
import type { LifecycleSource } from "./lifecycle-source.ts";

export interface BundleParts {
  /** The esbuild binary; undefined where it is not installed. */
  readonly esbuild: string | undefined;
  /** A Node that can make executables, and becomes part of them. */
  readonly node: { readonly path: string; readonly version: string };
  /** `runtimes/` of this package. */
  readonly runtimesDir: string;
  /** From `buildEnvironment`. */
  readonly environment: Readonly<Record<string, string>>;
  /** Of this package. */
  readonly version: string;
}

export interface Executable {
  readonly file: string;
  readonly bytes: number;
  /** Of the code in it: the same sources and packages give the same. */
  readonly build: string;
}

const TIME_LIMIT_MS = 120_000;
const EXECUTABLE_MODE = 0o755;
const BUILD_LENGTH = 12;

/** Gives packages that are CommonJS the `require` by which they load Node's own modules. */
const REQUIRE_FOR_MODULES =
  'import{createRequire as __createRequire}from"node:module";globalThis.require??=__createRequire(import.meta.url);';

/**
 * Makes the executable beside its final place and moves it there, so that a failure leaves what was there before.
 *
 * @param file absolute
 * @throws PlatformError `BuildFailed` with the tool's own words, esbuild's with file, line and column.
 */
export async function makeExecutable(
  parts: BundleParts,
  source: LifecycleSource,
  file: string,
  options: { readonly signal: AbortSignal; readonly builtAt: Date },
): Promise<Executable> {
  const dir = join(dirname(file), `.${basename(file)}.${randomBytes(6).toString("hex")}`);
  const tools = new Tools(parts, dir, options.signal);
  try {
    await mkdir(`${dir}.home`, { recursive: true, mode: 0o700 });
    await mkdir(dir, { mode: 0o700 });
    const [build, node] = await Promise.all([bundle(tools, source, options.builtAt), copyNode(tools)]);
    await tools.run("node --build-sea", parts.node.path, ["--build-sea", await writeConfig(dir, node)]);
    const made = join(dir, "made");
    const { size } = await stat(made);
    await rename(made, file);
    return { file, bytes: size, build };
  } finally {
    for (const path of [dir, `${dir}.home`]) await rm(path, { recursive: true, force: true });
  }
}

/** Build tools in the working folder, as whoever waits at a terminal wants them: no lower priority. */
class Tools {
  readonly parts: BundleParts;
  readonly dir: string;
  readonly #signal: AbortSignal;

  constructor(parts: BundleParts, dir: string, signal: AbortSignal) {
    this.parts = parts;
    this.dir = dir;
    this.#signal = signal;
  }

  async run(title: string, program: string, words: readonly string[]): Promise<void> {
    const build: BuildParts = {
      stagingDir: this.dir,
      cacheDir: this.dir,
      environment: this.parts.environment,
      nodeBinDir: dirname(this.parts.node.path),
      esbuild: this.parts.esbuild,
      timeLimitMs: TIME_LIMIT_MS,
      niceness: 0,
    };
    await runTool(
      build,
      { dir: this.dir, output: () => undefined, signal: this.#signal },
      {
        title,
        command: [program, ...words],
        environment: {},
        remedy: "run npm install in lambdad's own folder again",
      },
    );
  }
}

/** Writes `main.mjs`; gives the id of what is in it. */
async function bundle(tools: Tools, source: LifecycleSource, builtAt: Date): Promise<string> {
  const { parts, dir } = tools;
  if (parts.esbuild === undefined)
    throw new PlatformError(
      "BuildFailed",
      "esbuild is not installed for this platform; run npm install again without --omit=optional",
    );
  const about = {
    name: source.name,
    version: source.version,
    build: "",
    builtAt: builtAt.toISOString(),
    node: parts.node.version,
    // Detection knows executables by this (code/program-facts.ts).
    madeBy: `lambda bundle ${parts.version}`,
  };
  const entry = [
    `import { runExecutable } from ${JSON.stringify(join(parts.runtimesDir, "executable/main.mjs"))};`,
    `const load = () => import(${JSON.stringify(join(source.dir, source.module))});`,
    'await runExecutable(load, JSON.parse("LAMBDAD_ABOUT"));',
  ].join("\n");
  await writeFile(join(dir, "entry.mjs"), entry);
  await tools.run("esbuild", parts.esbuild, [
    "entry.mjs",
    "--bundle",
    "--platform=node",
    "--format=esm",
    `--target=node${parts.node.version.match(/\d+/)?.[0] ?? "26"}`,
    `--banner:js=${REQUIRE_FOR_MODULES}`,
    "--sourcemap=inline",
    "--sources-content=false",
    "--keep-names",
    "--color=false",
    "--log-level=warning",
    "--outfile=main.mjs",
  ]);
  const text = await readFile(join(dir, "main.mjs"), "utf8");
  // The map names the working folder, which is another one each time.
  const code = text.slice(0, text.lastIndexOf("\n//# sourceMappingURL="));
  const build = createHash("sha256").update(code).digest("hex").slice(0, BUILD_LENGTH);
  const said = JSON.stringify(JSON.stringify({ ...about, build }));
  await writeFile(
    join(dir, "main.mjs"),
    text.replace('"LAMBDAD_ABOUT"', () => said),
  );
  return build;
}

/** Node without the names of its symbols, a fifth of it, where there is a `strip`. */
async function copyNode(tools: Tools): Promise<string> {
  const { node } = tools.parts;
  const copy = join(tools.dir, "node");
  try {
    await tools.run("strip", "strip", ["-s", "-o", copy, node.path]);
    return copy;
  } catch (error) {
    // Larger, and as good.
    if (isPlatformError(error, "BuildFailed")) return node.path;
    throw error;
  }
}

async function writeConfig(dir: string, node: string): Promise<string> {
  const config = join(dir, "sea.json");
  const content = {
    main: join(dir, "main.mjs"),
    mainFormat: "module",
    executable: node,
    output: join(dir, "made"),
    disableExperimentalSEAWarning: true,
    execArgv: ["--enable-source-maps"],
  };
  await writeFile(config, JSON.stringify(content), { mode: EXECUTABLE_MODE });
  return config;
}
