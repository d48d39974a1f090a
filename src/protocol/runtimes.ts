import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, realpath, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { isPlatformError, PlatformError } from "../core/errors.ts";
import type { EntryKind } from "../core/function.ts";
import { DOTNET_NAMES, findDotnet } from "./dotnet.ts";
import type { FoundInterpreter } from "./host-programs.ts";
import { findJava, JAVA_NAMES } from "./java.ts";
import { installedNode, installNode, type NodeInstall } from "./node-install.ts";
import type { ResolvedRuntime } from "./protocol.ts";
import { findRuby, RUBY_NAMES } from "./ruby.ts";

/** What a runtime name comes to on this host. */
export interface RuntimeInfo {
  readonly name: string;
  readonly isHere: boolean;
  /** The interpreter; undefined where none is needed or none is here. */
  readonly path: string | undefined;
  /** Version of that interpreter, which may be another than the name says: `26.10.0` serves `nodejs20.x`. */
  readonly version: string | undefined;
  /** What brings it; undefined where it is here. */
  readonly remedy: string | undefined;
}

/** Runtime names that are offered, newest first. */
const NAMES = [
  "nodejs26.x",
  "nodejs24.x",
  "nodejs22.x",
  "nodejs20.x",
  "nodejs18.x",
  "python3.14",
  "python3.13",
  "python3.12",
  "python3.11",
  "python3.10",
  "python3.9",
  ...RUBY_NAMES,
  ...JAVA_NAMES,
  ...DOTNET_NAMES,
  "provided.al2023",
  "provided.al2",
  "provided",
  "go1.x",
] as const;

const NODE_MAJOR_MIN = 20;
const PYTHON_MINOR_MIN = 9;
/** An interpreter that does not say its version in this time does not work. */
const ASK_MS_MAX = 10_000;

const ASK_PYTHON =
  "import json, platform, sys; print(json.dumps([sys.executable, platform.python_version(), sys.base_prefix, sys.prefix]))";

/**
 * Which interpreter serves a runtime name on this host. Finding out starts processes, so it is done once per name, when a
 * function is deployed or at its first start; what is not here is looked for again each time.
 */
export class Runtimes {
  readonly #packageRoot: string;
  readonly #install: NodeInstall | undefined;
  readonly #folders: readonly string[];
  readonly #found = new Map<string, Promise<FoundInterpreter>>();
  /** What `resolve` has come to, by kind and runtime: starts ask on the way of a call, where nobody may touch a disk. */
  #resolved = new Map<string, ResolvedRuntime>();

  /** `packageRoot` is the folder of lambdad itself, `path` the PATH to look on; without `install` nothing can be installed. */
  constructor(parts: {
    readonly packageRoot: string;
    readonly path: string;
    readonly install?: NodeInstall | undefined;
  }) {
    this.#packageRoot = parts.packageRoot;
    this.#install = parts.install;
    this.#folders = parts.path.split(":").filter((folder) => folder.startsWith("/"));
  }

  /** @throws PlatformError `RuntimeUnavailable` with what brings it. */
  async resolve(runtime: string, kind: EntryKind): Promise<ResolvedRuntime> {
    const known = this.#resolved;
    const key = `${kind} ${runtime}`;
    let resolved = known.get(key);
    if (!resolved) {
      resolved = await this.#resolve(runtime, kind);
      known.set(key, resolved);
    }
    return resolved;
  }

  async #resolve(runtime: string, kind: EntryKind): Promise<ResolvedRuntime> {
    const family = familyOf(runtime);
    if (family === "provided") {
      if (kind === "lifecycle") throw unavailable("lifecycle modules run on Node: choose nodejs24.x");
      return { interpreter: undefined, runtimeDir: undefined, toolDirs: [] };
    }
    if (kind === "lifecycle" && family !== "nodejs") {
      throw unavailable(`lifecycle modules run on Node: choose nodejs24.x instead of ${runtime}`);
    }
    const { path, toolDirs } = await this.#find(runtime);
    const isManaged = MANAGED.has(family) && (kind === "handler" || kind === "lifecycle");
    return {
      interpreter: path,
      runtimeDir: isManaged ? join(this.#packageRoot, "runtimes", family) : undefined,
      toolDirs,
    };
  }

  async list(): Promise<RuntimeInfo[]> {
    return Promise.all(NAMES.map((name) => this.look(name)));
  }

  /** The newest Python that is here. Asks no more interpreters than it takes: shims of version managers are slow to answer. */
  async newestPython(): Promise<RuntimeInfo | undefined> {
    for (const name of NAMES.filter((each) => familyOf(each) === "python")) {
      const info = await this.look(name);
      if (info.isHere) return info;
    }
    return undefined;
  }

  /**
   * Brings the interpreter that the name says, which then serves just that name; instances that run keep theirs.
   *
   * @throws PlatformError `InvalidRequest` for what cannot be installed, `RuntimeUnavailable` if npm fails.
   */
  async install(runtime: string): Promise<RuntimeInfo> {
    if (!this.#install) throw unavailable("this daemon has no folder for runtimes");
    await installNode(this.#install, runtime);
    this.#found.delete(runtime);
    // A new one, since somebody may be about to add what was true before.
    this.#resolved = new Map();
    return await this.look(runtime);
  }

  /** What a name comes to. @throws PlatformError `RuntimeUnavailable` for one that is none. */
  async look(name: string): Promise<RuntimeInfo> {
    const nothing = { name, path: undefined, version: undefined };
    if (familyOf(name) === "provided") return { ...nothing, isHere: true, remedy: undefined };
    try {
      const { path, version } = await this.#find(name);
      return { name, isHere: true, path, version, remedy: undefined };
    } catch (error) {
      if (!isPlatformError(error, "RuntimeUnavailable")) throw error;
      return { ...nothing, isHere: false, remedy: error.message };
    }
  }

  async #find(runtime: string): Promise<FoundInterpreter> {
    const installed = await installedNode(this.#install?.dir, runtime);
    return await (installed === undefined
      ? this.#findUsual(runtime)
      : this.#findInstalled(runtime, installed));
  }

  #findInstalled(runtime: string, path: string): Promise<FoundInterpreter> {
    let found = this.#found.get(runtime);
    if (!found) {
      found = ask(path, ["-p", "process.versions.node"]).then((version) => {
        if (version === undefined) {
          throw unavailable(`the installed Node at ${path} does not run: lambda runtimes install ${runtime}`);
        }
        return { path, version, toolDirs: outsideUsr([dirname(dirname(path))]) };
      });
      this.#found.set(runtime, found);
      found.catch(() => this.#found.delete(runtime));
    }
    return found;
  }

  #findUsual(runtime: string): Promise<FoundInterpreter> {
    const isNode = runtime.startsWith("nodejs");
    // One binary serves all Nodes that were not installed for themselves.
    const key = isNode ? "nodejs" : runtime;
    let found = this.#found.get(key);
    if (!found) {
      found = isNode ? this.#findNode() : this.#findOther(runtime);
      this.#found.set(key, found);
      // What is missing now may be installed in a minute.
      found.catch(() => this.#found.delete(key));
    }
    return found;
  }

  async #findOther(runtime: string): Promise<FoundInterpreter> {
    const host = { onPath: (name: string) => this.#onPath(name), ask };
    const find = { ruby: findRuby, java: findJava, dotnet: findDotnet }[runtime.replace(/[\d.]+$/, "")];
    if (find === undefined) return await this.#findPython(runtime);
    const found = await find(runtime, host);
    return { ...found, toolDirs: outsideUsr(found.toolDirs) };
  }

  /** The Node that came with lambdad; without it, one on PATH. */
  async #findNode(): Promise<FoundInterpreter> {
    const bundled = this.#bundledNode();
    const path = bundled ?? (await this.#onPath("node"));
    const version = path && (await ask(path, ["-p", "process.versions.node"]));
    if (!path || !version || Number.parseInt(version, 10) < NODE_MAJOR_MIN) {
      const present = version ? `, only ${version} at ${path}` : "";
      throw unavailable(
        `no Node ${NODE_MAJOR_MIN} or newer here${present}: run npm install in ${this.#packageRoot} to get the bundled one, or put a node on the PATH of lambdad`,
      );
    }
    if (bundled) return { path, version, toolDirs: outsideUsr([dirname(dirname(path))]) };
    // A version manager's `node` may be a link or a script; what it leads to is what runs.
    const real = await realpath((await ask(path, ["-p", "process.execPath"])) ?? path);
    return { path: real, version, toolDirs: outsideUsr([dirname(dirname(real))]) };
  }

  #bundledNode(): string | undefined {
    try {
      const manifest = createRequire(join(this.#packageRoot, "package.json")).resolve(
        `node-linux-${process.arch}/package.json`,
      );
      return join(dirname(manifest), "bin", "node");
    } catch {
      // Another system or architecture, or optional dependencies were left out.
      return undefined;
    }
  }

  /** Just that minor version, or else what `python3` is. */
  async #findPython(runtime: string): Promise<FoundInterpreter> {
    for (const name of [runtime, "python3"]) {
      const path = await this.#onPath(name);
      const answer = path && (await ask(path, ["-I", "-c", ASK_PYTHON]));
      const python = answer ? parsePython(answer) : undefined;
      if (python) return python;
    }
    throw unavailable(
      `no Python 3.${PYTHON_MINOR_MIN} or newer here: install ${runtime} or python3 and have it on the PATH of lambdad`,
    );
  }

  async #onPath(name: string): Promise<string | undefined> {
    for (const folder of this.#folders) {
      const path = join(folder, name);
      try {
        await access(path, constants.X_OK);
        if ((await stat(path)).isFile()) return path;
      } catch {
        // Not here; perhaps in the next.
      }
    }
    return undefined;
  }
}

const FAMILIES = ["nodejs", "python", "ruby", "java", "dotnet"] as const;

type Family = (typeof FAMILIES)[number] | "provided";

/** Those that `runtimes/` has a runtime for. */
const MANAGED: ReadonlySet<Family> = new Set(["nodejs", "python", "ruby"]);

function familyOf(runtime: string): Family {
  const family = FAMILIES.find((each) => runtime.startsWith(each));
  if (NAMES.some((name) => name === runtime)) return family ?? "provided";
  const others = NAMES.filter((name) => family !== undefined && name.startsWith(family));
  if (family === "ruby" || family === "java" || family === "dotnet") {
    throw unavailable(
      `${runtime} is not managed here: choose one of ${others.join(", ")}, or put its runtime interface client and a bootstrap into the code and choose provided.al2023`,
    );
  }
  throw unavailable(`there is no runtime "${runtime}": choose one of ${NAMES.join(", ")}`);
}

function unavailable(message: string): PlatformError {
  return new PlatformError("RuntimeUnavailable", message);
}

/** What an interpreter prints; undefined if it does not work (a shim whose version is not installed, say). */
async function ask(path: string, args: readonly string[]): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(path, [...args], { timeout: ASK_MS_MAX });
    return stdout.trim();
  } catch {
    return undefined;
  }
}

/** Undefined for one that is too old, or that answers with something else. */
function parsePython(answer: string): FoundInterpreter | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(answer);
  } catch {
    return undefined;
  }
  if (!Array.isArray(parsed)) return undefined;
  const [path, version, basePrefix, prefix] = parsed.map(String);
  if (!path || !version || !basePrefix || !prefix) return undefined;
  const [major, minor] = version.split(".").map(Number);
  if (major !== 3 || minor === undefined || minor < PYTHON_MINOR_MIN) return undefined;
  return { path, version, toolDirs: outsideUsr([...new Set([basePrefix, prefix])]) };
}

/** /usr is in every sandbox. */
function outsideUsr(folders: readonly string[]): string[] {
  return folders.filter((folder) => folder !== "/usr" && !folder.startsWith("/usr/"));
}
