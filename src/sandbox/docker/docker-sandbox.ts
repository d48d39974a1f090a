import { type Duplex, Readable, type Writable } from "node:stream";
import { setTimeout as sleepFor } from "node:timers/promises";
import type { SandboxId } from "../../core/ids.ts";
import type { SandboxExit } from "../../core/invocation.ts";
import type { Sandbox, SandboxPlaces } from "../driver.ts";
import { MemoryMeter } from "../memory-meter.ts";
import type { BridgeSide } from "./bridge-side.ts";
import type { ContainerStreams } from "./container-streams.ts";
import { type Engine, objectOf } from "./engine.ts";
import { isRefusal } from "./engine-problem.ts";

export interface DockerSandboxParts {
  readonly id: SandboxId;
  readonly containerId: string;
  readonly engine: Engine;
  readonly places: SandboxPlaces;
  readonly socketDir: string;
  readonly streams: ContainerStreams;
  readonly hasInput: boolean;
  /** Where its ports are reached, from that side; undefined without a network. */
  readonly address: string | undefined;
  readonly side: BridgeSide;
  /** File with the most memory used so far, in bytes. */
  readonly memoryPeakFile: Promise<string | undefined>;
  /** The engine's answer to `wait`; rejects when the engine went away. */
  readonly waited: Promise<unknown>;
  /** Removes the container and what belongs to it; called once. Never rejects. */
  readonly remove: () => Promise<void>;
}

/** What a program wrote last comes through another connection than its exit. */
const LAST_OUTPUT_MS = 300;
const SIGNAL_BASE = 128;
const ASK_AFTER_MS = 3_000;
const ASK_EVERY_MS_MAX = 60_000;

const GONE: SandboxExit = { exitCode: null, signal: "SIGKILL", outOfMemory: false };

/**
 * The driver's side of a container: streams and promises. Of one with a first process, `exited` comes when the program has
 * gone and all its output is there; what it started goes with the container, in the next milliseconds.
 */
export class DockerSandbox implements Sandbox {
  readonly id: SandboxId;
  readonly places: SandboxPlaces;
  readonly socketDir: string;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly telemetry: Readable = new Readable({ read: () => undefined });
  readonly stdin: Writable | undefined;
  readonly exited: Promise<SandboxExit>;
  readonly #parts: DockerSandboxParts;
  readonly #memory: MemoryMeter;
  readonly #lost = Promise.withResolvers<SandboxExit>();
  #hasEnded = false;
  #removal: Promise<void> | undefined;
  #memoryPeakFile: string | undefined;

  constructor(parts: DockerSandboxParts) {
    this.#parts = parts;
    this.id = parts.id;
    this.places = parts.places;
    this.socketDir = parts.socketDir;
    this.stdout = parts.streams.stdout;
    this.stderr = parts.streams.stderr;
    this.stdin = parts.hasInput ? parts.streams.stdin : undefined;
    this.exited = this.#watch();
    void parts.memoryPeakFile.then((file) => (this.#memoryPeakFile = file));
    this.#memory = new MemoryMeter(() => this.#memoryPeakFile);
  }

  memoryPeakMib(of?: "now"): number {
    return this.#memory.peakMib(of);
  }

  memoryUsedMib(of?: "now"): number {
    return this.#memory.usedMib(of);
  }

  async connect(port = this.places.port): Promise<Duplex> {
    const { address, side } = this.#parts;
    if (port === undefined || address === undefined)
      throw new Error(`sandbox ${this.id} was started without a port`);
    if (this.#hasEnded || this.#removal !== undefined) throw new Error(`sandbox ${this.id} has exited`);
    return await side.connect({ address, port });
  }

  terminate(): void {
    const { engine, containerId } = this.#parts;
    // One that has left already need not be told.
    engine
      .json("POST", `/containers/${containerId}/kill`, { query: { signal: "SIGTERM" } })
      .catch(() => undefined);
  }

  /** The engine does not answer any more: nothing that goes through it will come. */
  lose(): void {
    this.#lost.resolve(GONE);
    this.#parts.streams.finish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#removal ??= this.#remove();
    await this.#removal;
  }

  async #remove(): Promise<void> {
    const removed = this.#parts.remove();
    // The engine waits until what was written has been read, and nobody may be reading.
    await Promise.race([removed, sleepFor(LAST_OUTPUT_MS)]);
    this.#parts.streams.finish();
    await removed;
    await this.exited;
  }

  async #watch(): Promise<SandboxExit> {
    const told = this.#parts.waited.then(
      (answer) => this.#exitOf(objectOf(answer).StatusCode),
      // The engine has gone, and what it ran is out of our hands; it is removed when the engine is back.
      () => GONE,
    );
    const exit = await Promise.race([told, this.#lost.promise, this.#askForExit(), this.#hearOfExit(told)]);
    this.#hasEnded = true;
    // Where the first process told it, the control group is still there.
    this.#memory.peakMib("now");
    this.#memory.end();
    this.telemetry.push(null);
    await Promise.race([this.#parts.streams.ended, sleepFor(LAST_OUTPUT_MS, undefined, { ref: false })]);
    return exit;
  }

  /** From the first process. Of what may be a signal the engine knows more: whether it was for its memory. */
  async #hearOfExit(told: Promise<SandboxExit>): Promise<SandboxExit> {
    const status = await this.#parts.streams.exited;
    return status > SIGNAL_BASE ? await told : await this.#exitOf(status);
  }

  /** For an engine that has shown the end of all output and does not tell that the program is gone. */
  async #askForExit(): Promise<SandboxExit> {
    const { engine, containerId, streams } = this.#parts;
    await streams.ended;
    // A program may also close its outputs and go on.
    for (let waitMs = ASK_AFTER_MS; ; waitMs = Math.min(waitMs * 2, ASK_EVERY_MS_MAX)) {
      await sleepFor(waitMs, undefined, { ref: false });
      if (this.#hasEnded) return GONE;
      try {
        const { State } = objectOf(await engine.json("GET", `/containers/${containerId}/json`));
        const { Running, ExitCode } = objectOf(State);
        if (Running === false) return await this.#exitOf(ExitCode);
      } catch (error) {
        if (isRefusal(error, 404)) return GONE;
        // It cannot be asked now; what watches the engine says more.
      }
    }
  }

  /** A status above 128 is a shell's and an engine's way of telling a signal. */
  async #exitOf(status: unknown): Promise<SandboxExit> {
    const code = typeof status === "number" ? status : 0;
    if (this.#removal !== undefined) return GONE;
    if (code === 0) return { exitCode: 0, signal: null, outOfMemory: false };
    const outOfMemory = code === SIGNAL_BASE + 9 && (await this.#ranOutOfMemory());
    const signal = SIGNALS[code - SIGNAL_BASE];
    return signal === undefined
      ? { exitCode: code, signal: null, outOfMemory }
      : { exitCode: null, signal, outOfMemory };
  }

  async #ranOutOfMemory(): Promise<boolean> {
    const { engine, containerId } = this.#parts;
    try {
      const facts = objectOf(await engine.json("GET", `/containers/${containerId}/json`));
      return objectOf(facts.State).OOMKilled === true;
    } catch {
      // Removed or unreachable by now: nobody can tell any more.
      return false;
    }
  }
}

/** Signals that end programs; a status that looks like another is an exit code. */
const SIGNALS: Readonly<Record<number, string>> = {
  1: "SIGHUP",
  2: "SIGINT",
  3: "SIGQUIT",
  4: "SIGILL",
  6: "SIGABRT",
  7: "SIGBUS",
  8: "SIGFPE",
  9: "SIGKILL",
  11: "SIGSEGV",
  13: "SIGPIPE",
  15: "SIGTERM",
  31: "SIGSYS",
};
