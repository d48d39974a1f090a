import { join } from "node:path";
import { PlatformError } from "../core/errors.ts";
import type { Entry } from "../core/function.ts";
import { type CodeFolder, readCodeFolder } from "./code-folder.ts";
import { quoted } from "./entry-path.ts";
import { readProgram } from "./program-facts.ts";
import { readJavaScript, readPython, readRuby } from "./source-exports.ts";

/** How code runs, as far as it shows by itself (docs/detection.md has the rules for users). */
export interface Detected {
  readonly entry: Entry;
  readonly runtime: string;
  /** One clause per conclusion: `index.mjs exports handler`. */
  readonly why: readonly string[];
}

export const NODE_RUNTIME_DEFAULT = "nodejs24.x";
const PYTHON_RUNTIME_DEFAULT = "python3.13";
export const RUBY_RUNTIME_DEFAULT = "ruby3.4";
export const PROGRAM_RUNTIME = "provided.al2023";

export const JAVASCRIPT_ENDINGS = ["mjs", "js", "cjs"] as const;
export const TYPESCRIPT_ENDINGS = ["ts", "mts", "cts", "tsx"] as const;
const NODE_NAMES = ["index", "handler", "app", "server", "main"];
const PYTHON_NAMES = ["lambda_function", "main", "app", "handler", "index"];
const RUBY_NAMES = [...PYTHON_NAMES, "function"];
const HANDLER_NAMES = ["handler", "lambda_handler"];
const FILES_SHOWN_MAX = 8;

/**
 * Finds out what kind of function a tree holds. `runtimes` are the names of those that this host has.
 *
 * @throws PlatformError `InvalidHandler` with what was looked for and how to say it; `UnsupportedMember` for a
 * Dockerfile.
 */
export async function detectEntry(treeDir: string, runtimes: readonly string[]): Promise<Detected> {
  const folder = await readCodeFolder(treeDir);
  refuseImage(folder);
  const pythonRuntime = newestPython(runtimes);
  const found =
    detectBootstrap(folder) ??
    (await detectProcfile(folder, pythonRuntime)) ??
    (await detectGo(folder)) ??
    (await detectNode(folder)) ??
    (await detectPython(folder, pythonRuntime)) ??
    (await detectRuby(folder)) ??
    (await detectProgram(treeDir, folder, pythonRuntime));
  if (found) return found;
  throw new PlatformError("InvalidHandler", await describeMiss(folder));
}

/** The files that detection looks into for what they export or define, the likeliest first. */
export async function sourcesLookedInto(treeDir: string): Promise<readonly string[]> {
  const folder = await readCodeFolder(treeDir);
  const node = nodeCandidates(folder, await folder.readJson("package.json"));
  return [
    ...node,
    ...scriptCandidates(folder, "py", PYTHON_NAMES),
    ...scriptCandidates(folder, "rb", RUBY_NAMES),
  ];
}

/** The runtime that a program named so needs from us. */
export function runtimeOfProgram(program: string, pythonRuntime: string): string {
  if (/^(node|npm|npx)$/.test(program)) return NODE_RUNTIME_DEFAULT;
  if (/^(python[\d.]*|uvicorn|gunicorn|hypercorn|flask)$/.test(program)) return pythonRuntime;
  return PROGRAM_RUNTIME;
}

/** The newest Python among what a host has. */
export function newestPython(runtimes: readonly string[]): string {
  const minors = runtimes.flatMap((name) => {
    const minor = name.match(/^python3\.(\d+)$/)?.[1];
    return minor === undefined ? [] : [Number(minor)];
  });
  return minors.length === 0 ? PYTHON_RUNTIME_DEFAULT : `python3.${Math.max(...minors)}`;
}

/** Splits a command line into words; undefined when only a shell can understand it. */
function splitCommand(line: string): readonly [string, ...string[]] | undefined {
  if (/[$`"'\\|&;<>()*?[\]{}~#\n]/.test(line)) return undefined;
  const [program, ...rest] = line.trim().split(/\s+/);
  if (!program) return undefined;
  // Assignments before a command are a shell's way; `env` does the same.
  return program.includes("=") ? ["env", program, ...rest] : [program, ...rest];
}

function refuseImage(folder: CodeFolder): void {
  const name = ["Dockerfile", "Containerfile"].find((file) => folder.has(file));
  if (!name) return;
  throw new PlatformError(
    "UnsupportedMember",
    name === "Dockerfile"
      ? "the folder has a Dockerfile, which is left out of a zip: build it (--package image), or say how to run the code without it: --handler FILE.EXPORT or --command PROGRAM"
      : "the folder has a Containerfile: name it Dockerfile to have it built, or say how to run the code without it: --handler FILE.EXPORT or --command PROGRAM",
  );
}

function detectBootstrap(folder: CodeFolder): Detected | undefined {
  if (!folder.has("bootstrap")) return undefined;
  return {
    entry: { kind: "handler", handler: "bootstrap" },
    runtime: PROGRAM_RUNTIME,
    why: ["there is a bootstrap"],
  };
}

async function detectProcfile(folder: CodeFolder, pythonRuntime: string): Promise<Detected | undefined> {
  const line = (await folder.read("Procfile")).match(/^web\s*:\s*(\S.*)$/m)?.[1]?.trim();
  if (!line) return undefined;
  const command = splitCommand(line) ?? (["sh", "-c", `exec ${line}`] as const);
  const program = line.split(/\s+/).find((word) => !word.includes("=")) ?? "";
  return {
    entry: { kind: "server", command },
    runtime: runtimeOfProgram(program, pythonRuntime),
    why: ["its Procfile has a web process"],
  };
}

async function detectGo(folder: CodeFolder): Promise<Detected | undefined> {
  if (!folder.has("go.mod")) return undefined;
  const isHandler = (await folder.read("go.mod")).includes("github.com/aws/aws-lambda-go");
  if (isHandler)
    return {
      entry: { kind: "handler", handler: "bootstrap" },
      runtime: PROGRAM_RUNTIME,
      why: ["go.mod requires aws-lambda-go"],
    };
  const sources = folder.files.filter((file) => file.endsWith(".go"));
  const texts = await Promise.all(sources.map((file) => folder.read(file)));
  const readsOnly =
    sources.length > 0 && !texts.some((text) => GO_NETWORK.test(text)) && !(await requiresAny(folder));
  if (readsOnly)
    return {
      entry: { kind: "filter", command: ["./bootstrap"] },
      runtime: PROGRAM_RUNTIME,
      why: ["there is a go.mod, and nothing imports net or another module"],
    };
  const flagged = sources.find((_, index) => GO_PORT_FLAG.test(texts[index] ?? ""));
  return {
    entry: {
      kind: "server",
      command: flagged === undefined ? ["./bootstrap"] : ["./bootstrap", "-port", "$PORT"],
    },
    runtime: PROGRAM_RUNTIME,
    why: [flagged === undefined ? "there is a go.mod without aws-lambda-go" : `${flagged} has a flag -port`],
  };
}

/** `"net"`, `"net/http"`, and `"syscall"`, by which anything can be done. */
const GO_NETWORK = /"(?:net(?:\/[\w/]+)?|syscall)"/;

/** Another module may listen where the program itself does not show it. */
async function requiresAny(folder: CodeFolder): Promise<boolean> {
  return /^\s*require\b/m.test(await folder.read("go.mod"));
}

/** `flag.Int("port", …)`, `flag.IntVar(&port, "port", …)`, and the same of other number and text flags. */
const GO_PORT_FLAG = /\bflag\s*\.\s*(?:Int|Uint|String)\w*\(\s*(?:&[\w.]+\s*,\s*)?"port"/;

async function detectNode(folder: CodeFolder): Promise<Detected | undefined> {
  const manifest = await folder.readJson("package.json");
  const candidates = nodeCandidates(folder, manifest);
  const found = (entry: Entry, why: string): Detected => ({
    entry,
    runtime: NODE_RUNTIME_DEFAULT,
    why: [why],
  });
  let server: string | undefined;
  for (const file of candidates) {
    const { exports, listens } = readJavaScript(await folder.read(file));
    const module = withoutEnding(file);
    if (exports.has("handler"))
      return found({ kind: "handler", handler: `${module}.handler` }, `${file} exports handler`);
    if (exports.has("run")) return found({ kind: "lifecycle", module: file }, `${file} exports run`);
    if (listens) server ??= file;
  }
  const start = startScript(manifest);
  const command = start === undefined ? undefined : splitCommand(start);
  if (command && (command[0] === "node" || (command[0] === "env" && command.includes("node"))))
    return found({ kind: "server", command }, "package.json has a start script");
  if (server) return found({ kind: "server", command: ["node", server] }, `${server} listens on a port`);
  return undefined;
}

/** Files that may hold the function, the likeliest first. */
function nodeCandidates(folder: CodeFolder, manifest: Readonly<Record<string, unknown>>): readonly string[] {
  const endings = [...JAVASCRIPT_ENDINGS, ...TYPESCRIPT_ENDINGS];
  const main = typeof manifest.main === "string" ? manifest.main.replace(/^\.\//, "") : undefined;
  const named = [main, ...["", "src/"].flatMap((at) => NODE_NAMES.map((name) => at + name))].flatMap(
    (base) => (base === undefined ? [] : [base, ...endings.map((ending) => `${base}.${ending}`)]),
  );
  const sources = folder.files.filter((file) => !file.includes("/") && isNodeSource(file));
  // A folder with one source file leaves no question, whatever its name.
  const only = sources.length === 1 ? sources : [];
  return [...new Set([...named, ...only])].filter((file) => folder.has(file) && isNodeSource(file));
}

/** A dot more than its ending has, and a handler string could not name it. */
function isNodeSource(file: string): boolean {
  return /^[^.]+\.(?:[mc]?js|[mc]?ts|tsx)$/.test(file.split("/").at(-1) ?? "");
}

function startScript(manifest: Readonly<Record<string, unknown>>): string | undefined {
  const { scripts } = manifest;
  if (typeof scripts !== "object" || scripts === null || !("start" in scripts)) return undefined;
  return typeof scripts.start === "string" ? scripts.start : undefined;
}

/** Files of a language at the top of the folder that have one of `names`, or are the only one. */
function scriptCandidates(
  folder: CodeFolder,
  ending: "py" | "rb",
  names: readonly string[],
): readonly string[] {
  const top = folder.files.filter((file) => /^[A-Za-z_]\w*\.\w+$/.test(file) && file.endsWith(`.${ending}`));
  const named = names.map((name) => `${name}.${ending}`).filter((file) => top.includes(file));
  return [...new Set([...named, ...(top.length === 1 ? top : [])])];
}

async function detectPython(folder: CodeFolder, runtime: string): Promise<Detected | undefined> {
  for (const file of scriptCandidates(folder, "py", PYTHON_NAMES)) {
    const names = readPython(await folder.read(file));
    const handler = HANDLER_NAMES.find((name) => names.has(name));
    if (handler)
      return {
        entry: { kind: "handler", handler: `${withoutEnding(file)}.${handler}` },
        runtime,
        why: [`${file} defines ${handler}`],
      };
  }
  return undefined;
}

async function detectRuby(folder: CodeFolder): Promise<Detected | undefined> {
  for (const file of scriptCandidates(folder, "rb", RUBY_NAMES)) {
    const names = readRuby(await folder.read(file));
    const handler = HANDLER_NAMES.find((name) => names.has(name));
    if (handler)
      return {
        entry: { kind: "handler", handler: `${withoutEnding(file)}.${handler}` },
        runtime: RUBY_RUNTIME_DEFAULT,
        why: [`${file} defines ${handler}`],
      };
  }
  return undefined;
}

/** One program and nothing else that says what it is: it reads its input and writes its result, unless it is seen to serve. */
async function detectProgram(
  treeDir: string,
  folder: CodeFolder,
  pythonRuntime: string,
): Promise<Detected | undefined> {
  const programs: string[] = [];
  for (const file of folder.files) {
    if (!file.includes("/") && (await folder.isProgram(file))) programs.push(file);
  }
  const [program] = programs;
  if (program === undefined || programs.length > 1) return undefined;
  const interpreter = (await folder.read(program)).match(/^#!\s*(?:\S*\/env\s+(?:-S\s+)?)?(\S+)/)?.[1] ?? "";
  const facts = interpreter === "" ? await readProgram(join(treeDir, program)) : undefined;
  if (facts?.listens)
    return {
      entry: {
        kind: "server",
        command: facts.takesPortFlag ? [`./${program}`, "-port", "$PORT"] : [`./${program}`],
      },
      runtime: PROGRAM_RUNTIME,
      why: [`${program} is the only program, and serves HTTP${facts.takesPortFlag ? " with -port" : ""}`],
    };
  return {
    entry: { kind: "filter", command: [`./${program}`] },
    runtime: runtimeOfProgram(interpreter.split("/").at(-1) ?? "", pythonRuntime),
    why: [`${program} is the only program`],
  };
}

async function describeMiss(folder: CodeFolder): Promise<string> {
  const tops = new Set(folder.files.map((file) => file.split("/")[0] ?? ""));
  const [only] = tops;
  if (tops.size === 1 && only !== undefined && !folder.has(only))
    return `no function found: everything is inside the folder ${quoted(only)}; pack what is in it, not the folder itself`;
  const shown = folder.files.filter((file) => !file.includes("/")).slice(0, FILES_SHOWN_MAX);
  const exporting: string[] = [];
  for (const file of shown.filter(isNodeSource)) {
    const { exports } = readJavaScript(await folder.read(file));
    if (exports.size > 0)
      exporting.push(`${file} exports ${[...exports].slice(0, FILES_SHOWN_MAX).join(", ")}`);
  }
  const more = folder.files.length > shown.length ? ` and ${folder.files.length - shown.length} more` : "";
  return (
    "no function found: looked for bootstrap, Procfile, go.mod, a Node module (index, handler, app, package.json main) " +
    "that exports handler or run or listens, a Python or Ruby file (lambda_function, main, app, handler, index) that defines " +
    `handler or lambda_handler, a single program; there are ${shown.map(quoted).join(", ")}${more}` +
    `${exporting.length > 0 ? ` (${exporting.join("; ")})` : ""}; ` +
    "say what to run: --handler FILE.EXPORT, --module FILE, or --kind server|filter --command PROGRAM"
  );
}

function withoutEnding(file: string): string {
  return file.replace(/\.\w+$/, "");
}
