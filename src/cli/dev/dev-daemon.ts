import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { sourceUrl } from "../../core/source-url.ts";
import { CliError } from "../cli-error.ts";

/** A lambdad of our own, gone with us. */
export interface DevDaemon extends AsyncDisposable {
  readonly pid: number;
  readonly gateway: URL;
  readonly controlUrl: string;
  readonly key: string;
  readonly dataDir: string;
  /** Ports that were wanted and are somebody else's. */
  readonly taken: readonly number[];
  /** Resolves when it has ended by itself, with its last words. Never rejects. */
  readonly died: Promise<string>;
}

export interface DevDaemonOptions {
  /** Absolute; undefined is a folder that goes with the daemon. */
  readonly dataDir: string | undefined;
  /** The first port to try for the gateway; control takes the next that is free. */
  readonly port: number;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Flags of lambdad besides. */
  readonly flags: readonly string[];
  /** Each line of its log. */
  readonly onLog: (line: string) => void;
  readonly signal: AbortSignal;
}

const PORTS_TRIED_MAX = 100;
const STARTS_MAX = 3;
const READY_MS_MAX = 30_000;
const LINES_KEPT = 20;
/** Calls may take long; who quits does not want to wait for them. */
const STOP_MS_MAX = 1_500;
const EXIT_MS_MAX = 5_000;
const FOLDER_PREFIX = "lambda-dev-";

/**
 * Starts lambdad on the first ports that are free. It ends with this process, whatever that one's death: it holds the end of
 * a pipe that the kernel closes with us (bin/rerun.mjs).
 *
 * @throws CliError `ServerUnreachable` with its own words if it does not come up.
 */
export async function startDevDaemon(options: DevDaemonOptions): Promise<DevDaemon> {
  await removeLeftovers();
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`)));
  const remove = async () => {
    if (options.dataDir === undefined)
      await rm(dataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  };
  try {
    const taken: number[] = [];
    for (let start = 1; ; start += 1) {
      const gateway = await findPort(options.port, taken, taken);
      const control = gateway === 0 ? 0 : await findPort(gateway + 1, taken, []);
      const running = await launch({ ...options, dataDir }, gateway, control);
      if (!("words" in running))
        return {
          ...running,
          dataDir,
          taken,
          [Symbol.asyncDispose]: async () => {
            await running[Symbol.asyncDispose]();
            await remove();
          },
        };
      // Somebody was quicker: the next round finds other ports.
      if (!isPortTaken(running.words) || start === STARTS_MAX)
        throw CliError.local(
          "ServerUnreachable",
          `lambdad does not start: ${running.words}`,
          "lambda doctor shows what is missing on this machine",
        );
    }
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Whether lambdad's last words say that somebody else has one of its ports. */
export function isPortTaken(words: string): boolean {
  return /\bPortInUse\b/.test(words);
}

type Launched = Omit<DevDaemon, "dataDir" | "taken">;

async function launch(
  options: DevDaemonOptions & { readonly dataDir: string },
  gateway: number,
  control: number,
): Promise<Launched | { readonly words: string }> {
  const { dataDir, environment, signal } = options;
  const program = fileURLToPath(sourceUrl("../bin/lambdad"));
  const flags = [
    ...["--gateway", `127.0.0.1:${gateway}`, "--control", `127.0.0.1:${control}`, "--data", dataDir],
    ...options.flags,
  ];
  const child = spawn(process.execPath, [program, ...flags], {
    env: { ...withoutPlaces(environment), LAMBDAD_WRAPPER_FD: "3" },
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    // Ctrl-C on a terminal is for us; we end it in good order.
    detached: true,
  });
  const lines = new LastLines(options.onLog);
  child.stderr?.setEncoding("utf8").on("data", (text: string) => lines.add(text));
  const exited = new Promise<void>((resolve) => {
    child.once("error", (error) => {
      lines.add(`${error.message}\n`);
      resolve();
    });
    child.once("close", () => resolve());
  });
  try {
    const ready = await Promise.race([readyLine(child, signal), exited.then(() => undefined)]);
    if (ready === undefined) return { words: lines.text() };
    let isAsked = false;
    const died = exited.then(() => {
      // What we asked for is no news; a promise that never resolves is nobody's to wait for.
      return isAsked ? new Promise<string>(() => undefined) : lines.text();
    });
    return {
      pid: child.pid ?? 0,
      gateway: new URL(ready.gateway),
      controlUrl: ready.control,
      key: (await readFile(join(dataDir, "admin.key"), "utf8")).trim(),
      died,
      async [Symbol.asyncDispose]() {
        isAsked = true;
        await end(child, exited);
      },
    };
  } catch (error) {
    await end(child, exited);
    throw error;
  }
}

/** An orderly stop, then a sudden one. */
async function end(child: ChildProcess, exited: Promise<void>): Promise<void> {
  for (const [signal, waitMs] of [
    ["SIGTERM", STOP_MS_MAX],
    ["SIGTERM", EXIT_MS_MAX],
    ["SIGKILL", EXIT_MS_MAX],
  ] as const) {
    child.kill(signal);
    const timer = AbortSignal.timeout(waitMs);
    const late = new Promise<boolean>((resolve) => timer.addEventListener("abort", () => resolve(false)));
    if (await Promise.race([exited.then(() => true), late])) return;
  }
}

async function readyLine(
  child: ChildProcess,
  signal: AbortSignal,
): Promise<{ readonly gateway: string; readonly control: string }> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(READY_MS_MAX)]);
  let text = "";
  child.stdout?.setEncoding("utf8");
  for (;;) {
    const [, gateway, control] = /^ready gateway=(\S+) control=(\S+)\n/m.exec(text) ?? [];
    if (gateway !== undefined && control !== undefined) {
      child.stdout?.resume();
      return { gateway, control };
    }
    if (!child.stdout) throw new Error("the output of lambdad was not asked for");
    const [chunk] = await once(child.stdout, "data", { signal: limit });
    text += chunk;
  }
}

/** Where it keeps and serves things is ours to say. */
function withoutPlaces(environment: DevDaemonOptions["environment"]): Record<string, string | undefined> {
  const { LAMBDAD_DATA: _data, LAMBDAD_GATEWAY: _gateway, LAMBDAD_CONTROL: _control, ...rest } = environment;
  return rest;
}

/** The first free port from `first` on; those that are not go to `stepped`. */
async function findPort(first: number, known: readonly number[], stepped: number[]): Promise<number> {
  if (first === 0) return 0;
  for (let port = first; port < Math.min(first + PORTS_TRIED_MAX, 65_536); port += 1) {
    if (known.includes(port)) continue;
    if (await isFree(port)) return port;
    stepped.push(port);
  }
  throw CliError.local("Usage", `no port from ${first} on is free`, "choose another with --port");
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return await new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Of those of us who were killed before they could tidy up. */
async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir()).catch(() => [])) {
    const pid = Number(/^lambda-dev-(\d+)-/.exec(name)?.[1]);
    if (pid > 0 && !isAlive(pid))
      await rm(join(tmpdir(), name), { recursive: true, force: true }).catch(() => {
        // Another user's.
      });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

class LastLines {
  readonly #show: (line: string) => void;
  readonly #kept: string[] = [];
  #rest = "";

  constructor(show: (line: string) => void) {
    this.#show = show;
  }

  add(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      this.#show(line);
      this.#kept.push(line);
      if (this.#kept.length > LINES_KEPT) this.#kept.shift();
    }
  }

  text(): string {
    return [...this.#kept, this.#rest].filter((line) => line !== "").join("\n") || "it said nothing";
  }
}
