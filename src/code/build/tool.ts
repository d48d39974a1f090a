import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { constants, setPriority } from "node:os";
import type { Readable } from "node:stream";
import { PlatformError } from "../../core/errors.ts";

/** What builds need of the host. Build tools see nothing of the daemon's environment but what is handed on here. */
export interface BuildParts {
  /** Working copies are made here and removed afterwards; on the depot's file system, so that nothing fills another. */
  readonly stagingDir: string;
  /** What tools downloaded and compiled before; grows with the packages that are used, may be emptied at any time. */
  readonly cacheDir: string;
  /** From `buildEnvironment`. */
  readonly environment: Readonly<Record<string, string>>;
  /** Folder with the bundled Node, to be first on the PATH; undefined uses that of the host. */
  readonly nodeBinDir: string | undefined;
  /** The esbuild binary; undefined where the package for this platform is not installed. */
  readonly esbuild: string | undefined;
  readonly timeLimitMs: number;
  /** How far builds let others go first, 0 to 19; undefined is as far as suits what runs beside callers' work. */
  readonly niceness?: number | undefined;
}

export const BUILD_MS_MAX = 10 * 60 * 1_000;

export interface BuildRun {
  /** Working copy of the tree, which the build changes. */
  readonly dir: string;
  readonly output: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface ToolCall {
  /** As it is shown: `npm ci`. */
  readonly title: string;
  readonly command: readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string>>;
  /** The command that brings the tool, for when it is not there. */
  readonly remedy: string;
}

/** Names of variables that build tools may see: where registries and proxies are, never what the daemon keeps. */
const HANDED_ON =
  /^(?:PATH|LANG|LC_ALL|TZ|(?:https?|no|all)_proxy|SSL_CERT_(?:FILE|DIR)|NODE_EXTRA_CA_CERTS|PIP_.+|PYENV_ROOT|GO(?:PROXY|SUMDB|NOSUMDB|PRIVATE|NOPROXY|INSECURE|FLAGS))$/i;
/** Of npm's only those: when the daemon itself was started by `npm run`, there are more, meant for its own folder. */
const HANDED_ON_NPM =
  /^npm_config_(?:userconfig|registry|ca|cafile|(?:https?_)?proxy|noproxy|strict_ssl|@.+|\/\/.+)$/i;
const LINES_KEPT = 30;
const LINE_LENGTH_MAX = 4_096;
const LINES_SHOWN_MAX = 20_000;
/** Lets what runs for callers go first. */
const NICENESS = 10;
const GRACE_MS = 2_000;

/** The part of a process environment that build tools may see, and where its user keeps their settings. */
export function buildEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  const handedOn: Record<string, string> = {};
  const { HOME } = environment;
  if (HOME) {
    handedOn.npm_config_userconfig = `${HOME}/.npmrc`;
    handedOn.PIP_CONFIG_FILE = `${HOME}/.config/pip/pip.conf`;
    handedOn.GOENV = `${HOME}/.config/go/env`;
  }
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined) continue;
    if (HANDED_ON.test(name)) handedOn[name] = value;
    // npm reads either case, and would not know which of two to believe.
    else if (HANDED_ON_NPM.test(name)) handedOn[name.toLowerCase()] = value;
  }
  return handedOn;
}

/**
 * Runs a tool in the working copy and shows its lines as they come. All that it started is dead when this returns.
 *
 * @throws PlatformError `BuildFailed` with the tool's own last lines, or with what to install.
 * @throws `signal.reason` when aborted.
 */
export async function runTool(parts: BuildParts, run: BuildRun, call: ToolCall): Promise<void> {
  const limit = AbortSignal.timeout(parts.timeLimitMs);
  const signal = AbortSignal.any([run.signal, limit]);
  signal.throwIfAborted();
  const [program, ...words] = call.command;
  // A group of its own, since npm and pip start others.
  const child = spawn(program, words, {
    cwd: run.dir,
    env: toolEnvironment(parts, run, call),
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const lines = new LastLines(run.output);
  const read = Promise.all([readLines(child.stdout, lines), readLines(child.stderr, lines)]);
  const stop = () => signalGroup(child, "SIGKILL");
  signal.addEventListener("abort", stop);
  try {
    await once(child, "spawn");
    lowerPriority(child, parts.niceness ?? NICENESS);
    const [exitCode, killedBy] = await exitOf(child);
    // Daemons that the tool left would keep the pipes open, and the working copy in use.
    stop();
    await within(GRACE_MS, read);
    run.signal.throwIfAborted();
    if (limit.aborted)
      throw failed(call, `was stopped after ${Math.round(parts.timeLimitMs / 1_000)} s`, lines);
    if (exitCode !== 0)
      throw failed(
        call,
        killedBy ? `was ended by ${killedBy}` : `failed with exit status ${exitCode}`,
        lines,
      );
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT")
      throw new PlatformError("BuildFailed", `${program} is not installed on this host; ${call.remedy}`, {
        cause: error,
      });
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    child.stdout.destroy();
    child.stderr.destroy();
  }
}

function toolEnvironment(parts: BuildParts, run: BuildRun, call: ToolCall): Record<string, string> {
  const path = parts.environment.PATH ?? "/usr/local/bin:/usr/bin:/bin";
  return {
    ...parts.environment,
    PATH: parts.nodeBinDir === undefined ? path : `${parts.nodeBinDir}:${path}`,
    HOME: `${run.dir}.home`,
    TMPDIR: `${run.dir}.home`,
    NO_COLOR: "1",
    CI: "1",
    ...call.environment,
  };
}

async function exitOf(child: ChildProcess): Promise<readonly [number | null, string | null]> {
  if (child.exitCode !== null || child.signalCode !== null) return [child.exitCode, child.signalCode];
  const [exitCode, signal] = await once(child, "exit");
  return [typeof exitCode === "number" ? exitCode : null, typeof signal === "string" ? signal : null];
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // Nothing of the group is left.
  }
}

function lowerPriority(child: ChildProcess, niceness: number): void {
  try {
    if (niceness > 0) setPriority(child.pid ?? 0, Math.min(niceness, constants.priority.PRIORITY_LOW));
  } catch {
    // It has ended already, or the host does not allow it; the build is merely less polite then.
  }
}

/** Waits for a promise, but no longer than `ms`. */
async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([promise, late]);
  clearTimeout(timer);
}

function failed(call: ToolCall, what: string, lines: LastLines): PlatformError {
  return new PlatformError("BuildFailed", `${call.title} ${what}:\n${lines.text() || "(it wrote nothing)"}`);
}

/** Passes lines on and keeps the last ones, for the error. */
class LastLines {
  readonly #show: (line: string) => void;
  readonly #kept: string[] = [];
  #count = 0;

  constructor(show: (line: string) => void) {
    this.#show = show;
  }

  add(line: string): void {
    const shown = line.length > LINE_LENGTH_MAX ? `${line.slice(0, LINE_LENGTH_MAX)}…` : line;
    this.#count += 1;
    if (this.#count <= LINES_SHOWN_MAX) this.#show(shown);
    if (this.#count === LINES_SHOWN_MAX) this.#show("… further lines are not shown");
    this.#kept.push(shown);
    if (this.#kept.length > LINES_KEPT) this.#kept.shift();
  }

  text(): string {
    return this.#kept.join("\n").trim();
  }
}

async function readLines(stream: Readable, lines: LastLines): Promise<void> {
  let rest = "";
  stream.setEncoding("utf8");
  try {
    for await (const chunk of stream) {
      const parts = `${rest}${chunk}`.split(/\r?\n|\r/);
      rest = parts.pop() ?? "";
      for (const part of parts) lines.add(part);
      if (rest.length > LINE_LENGTH_MAX) {
        lines.add(rest);
        rest = "";
      }
    }
  } catch {
    // The pipe broke with the process; its exit tells more.
  }
  if (rest !== "") lines.add(rest);
}
