/**
 * Runs git on repositories of strangers. Nothing of the host's or the repository's configuration counts: no hooks, no
 * templates, no aliases, no helpers that hand out credentials, no prompt; and only the transports that are named.
 * Arguments are a list, never a shell's text.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { PlatformError } from "../core/errors.ts";

export interface GitParts {
  /** From `buildEnvironment`, which has proxies and where certificates are, and no secret of the daemon. */
  readonly environment: Readonly<Record<string, string>>;
  /** A folder of the caller's, for git's own configuration and home. */
  readonly dir: string;
  /** The configuration file that counts, made by `gitConfig`. */
  readonly configFile: string;
}

export interface GitCall {
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly input?: Uint8Array | string;
  /** What of the output is kept; more is an error. */
  readonly bytesMax?: number;
}

export interface GitOptions {
  readonly signal: AbortSignal;
  /** Told each line that git says beside its output. */
  readonly output: (line: string) => void;
}

const OUTPUT_BYTES_MAX = 64 * 1024;
const LINES_KEPT = 10;
const LINE_LENGTH_MAX = 2_000;

/** The text of a configuration file under which git does nothing that it was not told to. */
export function gitConfig(): string {
  return [
    "[core]",
    "hooksPath = /dev/null",
    "attributesFile = /dev/null",
    "askPass = ",
    "[credential]",
    "helper = ",
    "[protocol]",
    "version = 2",
    // What a redirect leads to was not asked for, and must not be given the credential.
    "[http]",
    "followRedirects = false",
    "lowSpeedLimit = 1",
    "lowSpeedTime = 60",
    "[fetch]",
    "recurseSubmodules = false",
    "[submodule]",
    "recurse = false",
    "[gc]",
    "auto = 0",
    "[maintenance]",
    "auto = false",
    "[safe]",
    "directory = *",
    "[tar]",
    "umask = 022",
    "",
  ].join("\n");
}

/**
 * What git has written on its standard output.
 *
 * @throws PlatformError `BuildFailed` with git's last words.
 * @throws `signal.reason` when aborted; git and all that it started are dead then.
 */
export async function runGit(
  parts: GitParts,
  { args, environment = {}, input, bytesMax = OUTPUT_BYTES_MAX }: GitCall,
  { signal, output }: GitOptions,
): Promise<Buffer> {
  signal.throwIfAborted();
  const child = spawn("git", args, {
    cwd: parts.dir,
    env: { ...baseEnvironment(parts), ...environment },
    stdio: ["pipe", "pipe", "pipe"],
    // It starts ssh and helpers of transports, which have to end with it.
    detached: true,
  });
  const stop = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    } catch {
      // Nothing of the group is left.
    }
  };
  signal.addEventListener("abort", stop);
  try {
    const ended = once(child, "close");
    const lines: string[] = [];
    const [out] = await Promise.all([
      readBytes(child.stdout, bytesMax, stop),
      readLines(child.stderr, (line) => {
        output(line);
        lines.push(line);
        if (lines.length > LINES_KEPT) lines.shift();
      }),
      write(child.stdin, input),
      ended,
    ]);
    signal.throwIfAborted();
    if (!out) throw new PlatformError("BuildFailed", `git ${args[0]} gave more than ${bytesMax} bytes`);
    if (child.exitCode === 0) return out;
    const said = lines.join("\n").trim() || `it ended with ${child.exitCode ?? child.signalCode}`;
    throw new PlatformError("BuildFailed", `git ${nameOf(args)} failed: ${said}`);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      throw new PlatformError(
        "BuildFailed",
        "git is not installed on this host; install it to deploy from repositories: apt-get install git",
        { cause: error },
      );
    }
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
  }
}

function baseEnvironment({ environment, dir, configFile }: GitParts): Record<string, string> {
  return {
    ...environment,
    PATH: environment.PATH ?? "/usr/local/bin:/usr/bin:/bin",
    HOME: dir,
    XDG_CONFIG_HOME: dir,
    LC_ALL: "C",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: configFile,
    GIT_ATTR_NOSYSTEM: "1",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ASKPASS: "",
    SSH_ASKPASS: "",
    SSH_ASKPASS_REQUIRE: "never",
    GIT_NO_REPLACE_OBJECTS: "1",
    GIT_ADVICE: "0",
    GIT_ALLOW_PROTOCOL: "none",
  };
}

/** The first word that is no option. */
function nameOf(args: readonly string[]): string {
  return args.find((word) => !word.startsWith("-") && !word.includes("/")) ?? "";
}

/** Undefined if there was more than may be. */
async function readBytes(stream: Readable, bytesMax: number, stop: () => void): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of stream) {
      bytes += chunk.byteLength;
      if (bytes <= bytesMax) chunks.push(chunk);
      else stop();
    }
  } catch {
    // The pipe broke with the process; its exit tells more.
  }
  return bytes > bytesMax ? undefined : Buffer.concat(chunks);
}

async function readLines(stream: Readable, take: (line: string) => void): Promise<void> {
  let rest = "";
  stream.setEncoding("utf8");
  try {
    for await (const chunk of stream) {
      const parts = `${rest}${chunk}`.split(/[\r\n]+/);
      rest = (parts.pop() ?? "").slice(0, LINE_LENGTH_MAX);
      for (const part of parts) if (part !== "") take(part.slice(0, LINE_LENGTH_MAX));
    }
  } catch {
    // As above.
  }
  if (rest !== "") take(rest);
}

async function write(stream: Writable, input: Uint8Array | string | undefined): Promise<void> {
  // A program that ends before it has read all breaks the pipe; its exit tells more.
  stream.on("error", () => undefined);
  stream.end(input);
}
