import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { Server, Socket } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleepFor } from "node:timers/promises";
import { PlatformError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { moduleFile, sourceUrl } from "../../core/source-url.ts";
import type { FromSpawner, HostAbilities, SpawnerSettings, ToSpawner } from "./messages.ts";

export interface SpawnerHooks {
  /** Called in the order in which the spawner said it, each before the next. */
  readonly heard: (message: FromSpawner, handle: Socket | Server | undefined) => void;
  /** The spawner is gone; its sandboxes are, or soon will be. */
  readonly died: () => void;
}

/** The spawner as a child process: started when it is first needed, and again after it died. */
export class SpawnerProcess implements AsyncDisposable {
  readonly #settings: SpawnerSettings;
  readonly #log: Log;
  readonly #hooks: SpawnerHooks;
  #running: Running | undefined;
  #deaths = 0;
  #isClosed = false;

  constructor(settings: SpawnerSettings, log: Log, hooks: SpawnerHooks) {
    this.#settings = settings;
    this.#log = log;
    this.#hooks = hooks;
  }

  /**
   * What the host can do, once the spawner takes orders.
   *
   * @throws PlatformError `SandboxStartFailed` if it cannot be started, with what it said.
   */
  async ready(): Promise<HostAbilities> {
    if (this.#isClosed) throw new PlatformError("ShuttingDown", "the driver is closed");
    this.#running ??= this.#launch();
    return this.#running.ready;
  }

  /** False if nobody is there to hear it. If it dies afterwards, `died` is called. */
  send(message: ToSpawner): boolean {
    const child = this.#running?.child;
    if (!child?.connected) return false;
    child.send(message, () => undefined);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    const running = this.#running;
    if (!running) return;
    // One that is waiting out its backoff starts now: it has to clean up after the one that died.
    running.cancel.abort();
    await running.ready.catch(() => undefined);
    this.send({ type: "close" });
    await running.gone;
  }

  #launch(): Running {
    const cancel = new AbortController();
    const waitMs = this.#deaths === 0 ? 0 : Math.min(BACKOFF_MS * 2 ** (this.#deaths - 1), BACKOFF_MS_MAX);
    const running: Running = { child: undefined, cancel, ready: Promise.reject(), gone: Promise.resolve() };
    running.ready.catch(() => undefined);
    const launched = this.#launchAfter(waitMs, running);
    running.ready = launched.then(({ ready }) => ready);
    running.gone = launched.then(
      ({ gone }) => gone,
      () => undefined,
    );
    // Whoever waits for it sees why; nobody may be waiting.
    running.ready.catch(() => undefined);
    return running;
  }

  async #launchAfter(
    waitMs: number,
    running: Running,
  ): Promise<{ readonly ready: Promise<HostAbilities>; readonly gone: Promise<void> }> {
    try {
      if (waitMs > 0) await sleepFor(waitMs, undefined, running.cancel).catch(() => undefined);
      const child = spawnChild(this.#settings);
      running.child = child;
      return this.#watch(child);
    } catch (cause) {
      this.#running = undefined;
      throw new PlatformError("SandboxStartFailed", "cannot start the spawner process", { cause });
    }
  }

  #watch(child: ChildProcess): { readonly ready: Promise<HostAbilities>; readonly gone: Promise<void> } {
    const said = lastWords(child);
    const ended = new Promise<string>((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("exit", (code, signal) => resolve(`it ended with ${signal ?? code}`));
    });
    const gone = ended.then((how) => {
      this.#running = undefined;
      if (this.#isClosed) return;
      this.#deaths += 1;
      this.#log.error("spawner process died", { how, said: said() });
      this.#hooks.died();
    });
    const ready = new Promise<HostAbilities>((resolve, reject) => {
      child.on("message", (message: FromSpawner, handle: unknown) => {
        if (message.type === "ready") {
          this.#deaths = 0;
          resolve(message.host);
        }
        this.#hooks.heard(message, handle instanceof Socket || handle instanceof Server ? handle : undefined);
      });
      void ended.then((how) => {
        const why = said().split("\n")[0] || how;
        reject(new PlatformError("SandboxStartFailed", `the spawner process did not start: ${why}`));
      });
    });
    ready.catch(() => undefined);
    return { ready, gone };
  }
}

interface Running {
  child: ChildProcess | undefined;
  readonly cancel: AbortController;
  ready: Promise<HostAbilities>;
  gone: Promise<void>;
}

const BACKOFF_MS = 100;
const BACKOFF_MS_MAX = 5_000;
const WORDS_MAX = 4_096;

function spawnChild(settings: SpawnerSettings): ChildProcess {
  const program = moduleFile("sandbox/local/spawner");
  return spawn(bundledNode() ?? process.execPath, [...NODE_OPTIONS, program, JSON.stringify(settings)], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    env: { NODE_COMPILE_CACHE: join(settings.runDir, "cache") },
    // A session of its own, so that Ctrl-C in the daemon's terminal is not its end.
    detached: true,
  });
}

const NODE_OPTIONS = ["--disable-warning=ExperimentalWarning"];

/** The Node that came with this package, which has `node:ffi`; undefined if it was not installed. */
function bundledNode(): string | undefined {
  try {
    const manifest = createRequire(sourceUrl("")).resolve(`node-linux-${process.arch}/package.json`);
    const file = join(dirname(manifest), "bin", "node");
    return process.platform === "linux" && existsSync(file) ? file : undefined;
  } catch {
    // An optional dependency.
    return undefined;
  }
}

/** Keeps the end of what a child writes to stderr. */
function lastWords(child: ChildProcess): () => string {
  let text = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    text = (text + chunk).slice(-WORDS_MAX);
  });
  return () => text;
}
