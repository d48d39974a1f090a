import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { PlatformError } from "../core/errors.ts";
import type { Entry, EntryKind } from "../core/function.ts";
import {
  type Detected,
  detectEntry,
  JAVASCRIPT_ENDINGS,
  NODE_RUNTIME_DEFAULT,
  newestPython,
  PROGRAM_RUNTIME,
  RUBY_RUNTIME_DEFAULT,
  runtimeOfProgram,
  TYPESCRIPT_ENDINGS,
} from "./detect.ts";
import { parseEntryPath, quoted } from "./entry-path.ts";
import { exists } from "./tree.ts";

/** What the user has said about how the code runs; the rest is detected. */
export interface EntrySettings {
  readonly runtime: string | undefined;
  readonly kind: EntryKind | undefined;
  readonly handler: string | undefined;
  readonly module: string | undefined;
  readonly command: readonly string[] | undefined;
}

const HANDLER_LENGTH_MAX = 128;
/** Folders, a module without dots, and one or more names: `src/index.handler`, `index.api.get`. */
const NODE_HANDLER = /^(?:[\w@.-]+\/)*[\w@-]+\.[\w$]+(?:\.[\w$]+)*$/;
/** Python takes `/` and `.` between packages alike: `api/main.handler`, `api.main.handler`. */
const PYTHON_HANDLER = /^(?:[\w-]+[./])*[\w-]+\.[A-Za-z_]\w*$/;

/** A file, and a method outside of any class or one of a module's: `app.handler`, `app.Orders::Create.process`. */
const RUBY_HANDLER = /^(?:[\w-]+\/)*[\w-]+\.(?:[A-Z]\w*(?:::[A-Z]\w*)*\.)?[A-Za-z_]\w*[?!]?$/;

/**
 * What a version of the code in `treeDir` runs: what was said, and what shows by itself where nothing was said.
 *
 * @throws PlatformError `InvalidHandler` if that cannot be, or is not in the code.
 */
export async function settleEntry(
  treeDir: string,
  settings: EntrySettings,
  runtimes: readonly string[],
): Promise<Detected> {
  const said = entryOf(settings);
  const settled = said
    ? await withRuntime(treeDir, said, settings.runtime, runtimes)
    : completeEntry(await detectEntry(treeDir, runtimes), settings);
  const entry = await atSource(treeDir, settled.entry, settled.runtime);
  await checkEntry(treeDir, entry, settled.runtime);
  return { ...settled, entry };
}

/**
 * What was detected, with what was said in its place.
 *
 * @throws PlatformError `InvalidHandler` if the two cannot go together.
 */
function completeEntry(detected: Detected, settings: Pick<EntrySettings, "kind" | "runtime">): Detected {
  const runtime = settings.runtime ?? detected.runtime;
  const { entry } = detected;
  const { kind } = settings;
  if (kind === undefined || kind === entry.kind) return { ...detected, runtime };
  const takesCommand = kind === "server" || kind === "filter";
  if (takesCommand && "command" in entry)
    return { ...detected, entry: { kind, command: entry.command }, runtime };
  throw invalid(
    `kind ${kind} was asked for, but the code looks like a ${entry.kind} (${detected.why.join(", ")})`,
    `say ${takesCommand ? "--command PROGRAM" : kind === "handler" ? "--handler FILE.EXPORT" : "--module FILE"}`,
  );
}

/** @throws PlatformError `InvalidHandler` for a handler string that the runtime could not read. */
export function checkHandler(handler: string, runtime: string): void {
  const shown = quoted(handler);
  if (handler === "" || handler.length > HANDLER_LENGTH_MAX || /\s/.test(handler))
    throw invalid(
      `handler ${shown} is not 1 to ${HANDLER_LENGTH_MAX} characters without spaces`,
      "correct it",
    );
  if (handler.includes("..")) throw invalid(`handler ${shown} has ".." in it`, "name a file inside the code");
  if (runtime.startsWith("nodejs") && !NODE_HANDLER.test(handler))
    throw invalid(
      `handler ${shown} is not FILE.EXPORT`,
      'write it like "index.handler" or "src/index.handler"',
    );
  if (runtime.startsWith("python") && !PYTHON_HANDLER.test(handler))
    throw invalid(
      `handler ${shown} is not MODULE.FUNCTION`,
      'write it like "main.handler" or "api/main.handler"',
    );
  if (runtime.startsWith("ruby") && !RUBY_HANDLER.test(handler))
    throw invalid(
      `handler ${shown} is not FILE.METHOD or FILE.MODULE.METHOD`,
      'write it like "main.handler" or "main.Orders::Create.process"',
    );
  if (runtime.startsWith("dotnet") && handler.includes("::"))
    throw invalid(
      `handler ${shown} is of a class library, which needs the host that AWS has in its own runtime`,
      "build an executable assembly (OutputType Exe, Amazon.Lambda.RuntimeSupport) and name it as the handler, or deploy an image of public.ecr.aws/lambda/dotnet",
    );
}

/**
 * The file of the tree that a Node entry loads, with its ending; undefined where there is none, or none is known.
 * JavaScript goes before TypeScript, which may be what it was compiled from.
 */
export async function findSource(
  treeDir: string,
  entry: Entry,
  runtime: string,
): Promise<string | undefined> {
  if (!runtime.startsWith("nodejs")) return undefined;
  switch (entry.kind) {
    case "handler":
      return await findModule(treeDir, nodeModuleOf(entry.handler));
    case "lifecycle":
      return await findFile(treeDir, entry.module);
    case "server":
    case "filter": {
      const file = entry.command.slice(1).find(isSourcePath);
      return file === undefined ? undefined : await findFile(treeDir, file.replace(/^\.\//, ""));
    }
  }
}

/** The file of the tree that an entry loads, in a language that has sources; undefined where there is none, or none is known. */
export async function findLoadedFile(
  treeDir: string,
  entry: Entry,
  runtime: string,
): Promise<string | undefined> {
  if (runtime.startsWith("nodejs")) return await findSource(treeDir, entry, runtime);
  if (entry.kind === "handler" && runtime.startsWith("python"))
    return await findPython(treeDir, entry.handler);
  const named =
    entry.kind === "handler" && runtime.startsWith("ruby")
      ? rubyFileOf(entry.handler)
      : "command" in entry && entry.command.slice(1).find((word) => /^[^-/].*\.(?:py|rb)$/.test(word));
  return named && !named.includes("..") ? await firstThere(treeDir, [named.replace(/^\.\//, "")]) : undefined;
}

/** The entry with `from` replaced by `to`, wherever it names the file. A handler does not: it has no ending. */
export function renameSource(entry: Entry, from: string, to: string): Entry {
  switch (entry.kind) {
    case "handler":
      return entry;
    case "lifecycle":
      return { ...entry, module: entry.module === from ? to : entry.module };
    case "server":
    case "filter": {
      const [program, ...words] = entry.command;
      const renamed = words.map((word) => (word.replace(/^\.\//, "") === from ? to : word));
      return { ...entry, command: [program, ...renamed] };
    }
  }
}

function entryOf(settings: EntrySettings): Entry | undefined {
  const { handler, module, command, kind } = settings;
  const given = [handler && "handler", module && "module", command && "command"].filter((name) => name);
  if (given.length > 1) throw invalid(`${given.join(" and ")} were both given`, "give one of them");
  if (handler !== undefined) return forKind(kind, ["handler"], "a handler", { kind: "handler", handler });
  if (module !== undefined) return forKind(kind, ["lifecycle"], "a module", { kind: "lifecycle", module });
  if (command === undefined) return undefined;
  const [program, ...words] = command;
  if (!program) throw invalid("the command is empty", "give a program and its arguments");
  const made: Entry = { kind: kind === "filter" ? "filter" : "server", command: [program, ...words] };
  return forKind(kind, ["server", "filter"], "a command", made);
}

function forKind(
  kind: EntryKind | undefined,
  fitting: readonly EntryKind[],
  what: string,
  entry: Entry,
): Entry {
  if (kind !== undefined && !fitting.includes(kind))
    throw invalid(`${what} was given for kind ${kind}`, `use kind ${fitting.join(" or ")}`);
  return entry;
}

async function withRuntime(
  treeDir: string,
  entry: Entry,
  said: string | undefined,
  runtimes: readonly string[],
): Promise<Detected> {
  const why = ["it was said"];
  if (said !== undefined) return { entry, runtime: said, why };
  if (entry.kind === "lifecycle") return { entry, runtime: NODE_RUNTIME_DEFAULT, why };
  if (entry.kind !== "handler")
    return { entry, runtime: runtimeOfProgram(entry.command[0], newestPython(runtimes)), why };
  const isProgram = (await exists(join(treeDir, "bootstrap"))) || (await exists(join(treeDir, "go.mod")));
  if (isProgram) return { entry, runtime: PROGRAM_RUNTIME, why };
  const isPython =
    PYTHON_HANDLER.test(entry.handler) && (await findPython(treeDir, entry.handler)) !== undefined;
  if (isPython) return { entry, runtime: newestPython(runtimes), why };
  const isRuby = RUBY_HANDLER.test(entry.handler) && (await isFile(join(treeDir, rubyFileOf(entry.handler))));
  return { entry, runtime: isRuby ? RUBY_RUNTIME_DEFAULT : NODE_RUNTIME_DEFAULT, why };
}

/** A module or command that named what a build once made names the source that is there instead. */
async function atSource(treeDir: string, entry: Entry, runtime: string): Promise<Entry> {
  if (entry.kind === "handler") return entry;
  if (entry.kind === "lifecycle") {
    checkPath(entry.module, "module");
    const source = await findSource(treeDir, entry, runtime);
    return source === undefined ? entry : { ...entry, module: source };
  }
  const source = await findSource(treeDir, entry, runtime);
  const named = entry.command.slice(1).find((word) => source !== undefined && sameBase(word, source));
  return source === undefined || named === undefined
    ? entry
    : renameSource(entry, named.replace(/^\.\//, ""), source);
}

async function checkEntry(treeDir: string, entry: Entry, runtime: string): Promise<void> {
  switch (entry.kind) {
    case "handler":
      checkHandler(entry.handler, runtime);
      return await checkHandlerFile(treeDir, entry.handler, runtime);
    case "lifecycle":
      if (!runtime.startsWith("nodejs"))
        throw invalid(`a lifecycle module cannot run on ${runtime}`, `use runtime ${NODE_RUNTIME_DEFAULT}`);
      checkPath(entry.module, "module");
      if (!(await exists(join(treeDir, entry.module))))
        throw invalid(
          `module ${quoted(entry.module)} is not in the code`,
          "correct --module or add the file",
        );
      return;
    case "server":
    case "filter":
      return await checkCommand(treeDir, entry.command);
  }
}

async function checkHandlerFile(treeDir: string, handler: string, runtime: string): Promise<void> {
  if (runtime.startsWith("nodejs")) {
    const module = nodeModuleOf(handler);
    if ((await findModule(treeDir, module)) === undefined)
      throw invalid(
        `handler ${quoted(handler)} needs a file ${quoted(`${module}.js`)} (or .mjs, .cjs, .ts), which is not in the code`,
        "correct --handler or add the file",
      );
  } else if (runtime.startsWith("python")) {
    if ((await findPython(treeDir, handler)) === undefined)
      throw invalid(
        `handler ${quoted(handler)} needs a module ${quoted(pythonModuleOf(handler))}.py, which is not in the code`,
        "correct --handler or add the file",
      );
  } else if (runtime.startsWith("ruby")) {
    const file = rubyFileOf(handler);
    if (!(await isFile(join(treeDir, file))))
      throw invalid(
        `handler ${quoted(handler)} needs a file ${quoted(file)}, which is not in the code`,
        "correct --handler or add the file",
      );
  } else if (runtime.startsWith("dotnet")) {
    await checkDotnetHandler(treeDir, handler);
  } else if (runtime.startsWith("java")) {
    await checkJavaHandler(treeDir, handler);
  } else if (runtime.startsWith("provided")) {
    const isThere =
      (await exists(join(treeDir, "bootstrap"))) ||
      (await exists(join(treeDir, "go.mod"))) ||
      (await isProgramOfGo1(treeDir, handler));
    if (!isThere)
      throw invalid(
        `runtime ${runtime} runs a program called "bootstrap", which is not in the code`,
        "name the program so, or say --kind server|filter --command PROGRAM",
      );
  }
}

/** Classes may be in a jar of `lib/`, or of a layer; if they lie open, the handler's has to be among them. */
async function checkJavaHandler(treeDir: string, handler: string): Promise<void> {
  const [, name] = /^([\w$.]+?)(?:::[\w$]+)?$/.exec(handler) ?? [];
  if (name === undefined) {
    throw invalid(
      `handler ${quoted(handler)} is not PACKAGE.CLASS::METHOD`,
      'write it like "example.Handler::handleRequest"',
    );
  }
  const file = `${name.replaceAll(".", "/")}.class`;
  if ((await isFile(join(treeDir, file))) || (await exists(join(treeDir, "lib")))) return;
  throw invalid(
    `handler ${quoted(handler)} needs ${quoted(file)} or a lib folder with jars, which are not in the code`,
    "correct --handler, or build the code and deploy what was built",
  );
}

/** An executable assembly lies beside the settings that it is started with. */
async function checkDotnetHandler(treeDir: string, handler: string): Promise<void> {
  const assembly = handler.replace(/\.dll$/, "");
  for (const file of [`${assembly}.dll`, `${assembly}.runtimeconfig.json`]) {
    if (await isFile(join(treeDir, file))) continue;
    throw invalid(
      `handler ${quoted(handler)} needs ${quoted(file)}, which is not in the code`,
      "correct --handler, or deploy what dotnet publish made of a project with OutputType Exe",
    );
  }
}

/** With the retired go1.x, the handler was the name of the program. */
async function isProgramOfGo1(treeDir: string, handler: string): Promise<boolean> {
  return !/^[./]|\.\./.test(handler) && (await isFile(join(treeDir, handler)));
}

async function checkCommand(treeDir: string, command: readonly [string, ...string[]]): Promise<void> {
  const [program] = command;
  if (command.some((word) => word.includes("\0"))) throw invalid("the command has a NUL in it", "remove it");
  if (program.trim() === "") throw invalid("the command is empty", "give a program and its arguments");
  if (!program.startsWith("./")) {
    if (program.includes("/") && !program.startsWith("/"))
      throw invalid(
        `program ${quoted(program)} has a folder in it`,
        `write "./${program}" for one in the code`,
      );
    return;
  }
  checkPath(program.slice(2), "program");
  const isThere =
    (await exists(join(treeDir, program))) ||
    (program === "./bootstrap" && (await exists(join(treeDir, "go.mod"))));
  if (!isThere)
    throw invalid(`program ${quoted(program)} is not in the code`, "correct --command or add the file");
}

function checkPath(path: string, what: string): void {
  try {
    if (parseEntryPath(path) === path) return;
  } catch {
    // Its words are for archives.
  }
  throw invalid(
    `${what} ${quoted(path)} is not a path inside the code`,
    'write it like "index.mjs" or "src/index.mjs"',
  );
}

/** `src/index.api.get` → `src/index`: the module ends at the first dot of the last part. */
function nodeModuleOf(handler: string): string {
  const slash = handler.lastIndexOf("/") + 1;
  return handler.slice(0, slash) + (handler.slice(slash).split(".")[0] ?? "");
}

function pythonModuleOf(handler: string): string {
  return handler.slice(0, handler.lastIndexOf(".")).replaceAll(".", "/");
}

/** `lib/app.Orders::Create.process` → `lib/app.rb`. */
function rubyFileOf(handler: string): string {
  return `${handler.split(".")[0]}.rb`;
}

async function findModule(treeDir: string, base: string): Promise<string | undefined> {
  return await firstThere(treeDir, [
    base,
    ...["js", "mjs", "cjs", ...TYPESCRIPT_ENDINGS].map((ending) => `${base}.${ending}`),
  ]);
}

/** That file, or one that differs only by its ending, for one of them is made from the other. */
async function findFile(treeDir: string, file: string): Promise<string | undefined> {
  const base = file.replace(/\.\w+$/, "");
  const others = [...JAVASCRIPT_ENDINGS, ...TYPESCRIPT_ENDINGS].map((ending) => `${base}.${ending}`);
  return await firstThere(treeDir, [file, ...others]);
}

async function findPython(treeDir: string, handler: string): Promise<string | undefined> {
  const module = pythonModuleOf(handler);
  return await firstThere(treeDir, [`${module}.py`, `${module}/__init__.py`]);
}

async function firstThere(treeDir: string, files: readonly string[]): Promise<string | undefined> {
  for (const file of files) {
    if (await isFile(join(treeDir, file))) return file;
  }
  return undefined;
}

async function isFile(path: string): Promise<boolean> {
  return await lstat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}

function isSourcePath(word: string): boolean {
  return /^[^-/].*\.[mc]?[jt]sx?$/.test(word) && !word.includes("..");
}

function sameBase(word: string, source: string): boolean {
  return word.replace(/^\.\//, "").replace(/\.\w+$/, "") === source.replace(/\.\w+$/, "");
}

function invalid(what: string, remedy: string): PlatformError {
  return new PlatformError("InvalidHandler", `${what}; ${remedy}`);
}
