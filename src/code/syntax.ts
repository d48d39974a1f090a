/**
 * Whether source files parse, by the parser of what runs them, which reads and never runs them. What it says names file,
 * line and column, so that a slip of the pen is told at the deploy instead of at the first call.
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { PlatformError } from "../core/errors.ts";
import { sourcesLookedInto } from "./detect.ts";
import { frameOf } from "./frame.ts";

export type Language = "javascript" | "typescript" | "python" | "ruby";

export interface Parsers {
  /** The interpreter, or esbuild for TypeScript; undefined where this host has none, and what it would say is left to others. */
  find(language: Language): Promise<string | undefined>;
  /** That of build tools. */
  readonly environment: Readonly<Record<string, string>>;
}

interface Flaw {
  readonly line: number | undefined;
  readonly column: number | undefined;
  readonly message: string;
}

/** A file is parsed in milliseconds; one that is not says nothing about its syntax. */
const PARSE_MS_MAX = 10_000;
const OUTPUT_BYTES_MAX = 1024 * 1024;
const MESSAGE_LENGTH_MAX = 500;

/**
 * Refuses a file of the tree that does not parse. Silent about files in other languages, and where there is no parser.
 *
 * @throws PlatformError `InvalidSyntax` with the place, the parser's own message and the lines around.
 */
export async function checkSyntax(
  parsers: Parsers,
  treeDir: string,
  file: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const path = join(treeDir, file);
  const flaw = await findFlaw(parsers, path, signal);
  signal.throwIfAborted();
  if (flaw === undefined) return;
  const { line, column } = flaw;
  const place = [file, line, column].filter((part) => part !== undefined).join(":");
  const text = line === undefined ? "" : await readFile(path, "utf8");
  const frame = line === undefined ? undefined : frameOf(text, line, column);
  const message = flaw.message.slice(0, MESSAGE_LENGTH_MAX);
  throw new PlatformError(
    "InvalidSyntax",
    [`${place} does not parse: ${message}`, ...(frame === undefined ? [] : [frame])].join("\n"),
  );
}

/**
 * Refuses what hides how a tree runs: a file that was looked into for it, and does not parse.
 *
 * @throws PlatformError `InvalidSyntax`
 */
export async function checkSources(
  parsers: Parsers,
  treeDir: string,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  for (const file of await sourcesLookedInto(treeDir)) await checkSyntax(parsers, treeDir, file, options);
}

/** Those of a developer's machine, which are found by their names. */
export function parsersOnPath(
  environment: Readonly<Record<string, string>>,
  esbuild: string | undefined,
): Parsers {
  const programs = { javascript: process.execPath, typescript: esbuild, python: "python3", ruby: "ruby" };
  return { environment, find: async (language) => programs[language] };
}

async function findFlaw(parsers: Parsers, path: string, signal: AbortSignal): Promise<Flaw | undefined> {
  const language = languageOf(path);
  const program = language && (await parsers.find(language));
  if (language === undefined || program === undefined) return undefined;
  const ask = (args: readonly string[], input?: string) =>
    askParser(parsers, { program, args, input, signal });
  switch (language) {
    case "typescript":
      return esbuildFlaw(await ask([path, "--log-level=error", "--color=false"]));
    case "python":
      return pythonFlaw(await ask(["-I", "-S", "-c", PARSE_PYTHON, path]));
    case "ruby":
      return rubyFlaw(await ask(["-c", path]), path);
    case "javascript": {
      const flaw = nodeFlaw(await ask(["--check", path]));
      if (flaw === undefined || !MODULE_WORDS.test(flaw.message)) return flaw;
      // Taken for CommonJS only since it does not parse as what it is.
      return (
        nodeFlaw(await ask(["--check", "--input-type=module", "-"], await readFile(path, "utf8"))) ?? flaw
      );
    }
  }
}

function languageOf(path: string): Language | undefined {
  const [, ending = ""] = /\.(\w+)$/.exec(path) ?? [];
  if (/^[mc]?js$/.test(ending)) return "javascript";
  if (/^(?:[mc]?ts|tsx)$/.test(ending)) return "typescript";
  if (ending === "py") return "python";
  return ending === "rb" ? "ruby" : undefined;
}

interface Question {
  readonly program: string;
  readonly args: readonly string[];
  readonly input: string | undefined;
  readonly signal: AbortSignal;
}

/** What a parser complains of; empty where it does not, or cannot be asked. */
async function askParser(
  { environment }: Parsers,
  { program, args, input, signal }: Question,
): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const options = {
    env: { ...environment, NO_COLOR: "1", LC_ALL: "C.UTF-8" },
    timeout: PARSE_MS_MAX,
    killSignal: "SIGKILL",
    maxBuffer: OUTPUT_BYTES_MAX,
    signal,
  } as const;
  const child = execFile(program, args, options, (error, stdout, stderr) =>
    resolve(error ? `${stdout}${stderr}` : ""),
  );
  // One that has ended without reading has answered all the same.
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(input);
  return await promise;
}

/** What a file that is an ES module is complained of for when it is read as CommonJS. */
const MODULE_WORDS = /'export'|import statement|'import\.meta'|\bawait\b/;

/** `/path/index.mjs:2`, the line, carets under the place, and behind an empty line `SyntaxError: …`. */
function nodeFlaw(said: string): Flaw | undefined {
  const match = /^\S.*:(\d+)\n(.*)\n([\t ]*)(\^+)?[\s\S]*?^SyntaxError: (.*)$/m.exec(said);
  if (!match) return undefined;
  const [, line, , before = "", carets, message = ""] = match;
  return {
    line: Number(line),
    column: carets === undefined ? undefined : before.length + 1,
    message,
  };
}

const PARSE_PYTHON = `
import json, sys
try:
    with open(sys.argv[1], "rb") as source:
        compile(source.read(), sys.argv[1], "exec", dont_inherit=True)
except SyntaxError as error:
    print(json.dumps([error.lineno, error.offset, error.msg]))
    sys.exit(1)
except ValueError as error:
    print(json.dumps([None, None, str(error)]))
    sys.exit(1)
`;

function pythonFlaw(said: string): Flaw | undefined {
  const [, line, column, text] = /^\[(\d+|null), (-?\d+|null), (".*")\]$/m.exec(said) ?? [];
  if (text === undefined) return undefined;
  return { line: positive(line), column: positive(column), message: String(JSON.parse(text)) };
}

/** `/path/app.rb:3: syntax error, …`; newer ones begin with a heading and say it under the place. */
function rubyFlaw(said: string, path: string): Flaw | undefined {
  const place = said.split("\n").find((line) => line.includes(`${path}:`));
  const [, line, heading] = /:(\d+): (.*)$/.exec(place ?? "") ?? [];
  if (line === undefined || !/syntax/i.test(said)) return undefined;
  const under = /^[^|\n]*\|\s*\^~* (.*)$/m.exec(said)?.[1];
  return { line: positive(line), column: undefined, message: under ?? heading ?? "syntax error" };
}

/** `✘ [ERROR] message`, and behind an empty line `path/index.ts:2:10:`, whose column counts from 0. */
function esbuildFlaw(said: string): Flaw | undefined {
  const [, message, line, column] = /\[ERROR\] (.*)\n\n\s+.*:(\d+):(\d+):$/m.exec(said) ?? [];
  if (message === undefined) return undefined;
  return { line: positive(line), column: Number(column) + 1, message };
}

function positive(digits: string | undefined): number | undefined {
  const value = Number(digits);
  return Number.isInteger(value) && value > 0 ? value : undefined;
}
