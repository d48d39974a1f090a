import { writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { connect as connectTo, type Server } from "node:net";
import { join } from "node:path";
import type { Duplex, Readable, Writable } from "node:stream";
import type { SandboxId } from "../../core/ids.ts";
import type { SandboxExit } from "../../core/invocation.ts";
import type { Sandbox, SandboxCpu, SandboxFreezer, SandboxPlaces } from "../driver.ts";
import { MemoryMeter } from "../memory-meter.ts";
import { SOCKET_FOLDER } from "./bubblewrap.ts";
import { cpuOf } from "./cpu-files.ts";
import type { FileWrite, Freezer, Tracks } from "./messages.ts";
import { type OutputPipe, openInput, openOutput } from "./pipes.ts";

export interface LocalSandboxParts {
  readonly id: SandboxId;
  readonly places: SandboxPlaces;
  readonly hasInput: boolean;
  /** Whether memory can be paged out to where it is kept compressed. */
  readonly hasCompressedSwap: boolean;
  readonly tracks: Tracks;
  /** What listens for it on this host and goes with it. */
  readonly listener: Server | undefined;
  readonly gate: AsyncDisposable | undefined;
  readonly kill: () => void;
  readonly terminate: () => void;
  readonly release: () => void;
  /** Whether this sandbox listens on that port of the host's loopback. */
  readonly listensOn: (port: number) => Promise<boolean>;
  /** Connects inside its own network; undefined where its port is on the host's loopback. */
  readonly connectInside: ((port: number) => Promise<Duplex>) | undefined;
}

/** The driver's side of a sandbox: streams and promises. What happens to it is told by `ended` and `released`. */
export class LocalSandbox implements Sandbox {
  readonly id: SandboxId;
  readonly places: SandboxPlaces;
  readonly socketDir: string;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly telemetry: Readable;
  readonly stdin: Writable | undefined;
  readonly freezer: SandboxFreezer | undefined;
  readonly cpu: SandboxCpu | undefined;
  readonly exited: Promise<SandboxExit>;
  readonly #parts: LocalSandboxParts;
  readonly #outputs: readonly OutputPipe[];
  readonly #exit = Promise.withResolvers<SandboxExit>();
  readonly #released = Promise.withResolvers<void>();
  readonly #memory: MemoryMeter;
  #hasEnded = false;

  /** @throws if its pipes cannot be opened, for want of descriptors. */
  constructor(parts: LocalSandboxParts) {
    this.#parts = parts;
    this.id = parts.id;
    this.places = parts.places;
    this.socketDir = join(parts.tracks.folder, SOCKET_FOLDER);
    const [stdout, stderr, telemetry] = openOutputs(parts.tracks.folder);
    this.stdout = stdout.stream;
    this.stderr = stderr.stream;
    this.telemetry = telemetry.stream;
    this.#outputs = [stdout, stderr, telemetry];
    this.stdin = parts.hasInput ? openInput(join(parts.tracks.folder, "stdin")) : undefined;
    this.freezer = parts.tracks.freezer
      ? freezerOf(parts.tracks.freezer, parts.hasCompressedSwap)
      : undefined;
    this.cpu = parts.tracks.cpu ? cpuOf(parts.tracks.cpu) : undefined;
    this.exited = this.#exit.promise;
    this.#memory = new MemoryMeter(() => parts.tracks.memoryPeakFile ?? undefined);
  }

  memoryPeakMib(of?: "now"): number {
    return this.#memory.peakMib(of);
  }

  memoryUsedMib(of?: "now"): number {
    return this.#memory.usedMib(of);
  }

  async connect(other?: number): Promise<Duplex> {
    const port = other ?? this.places.port;
    if (port === undefined) throw new Error(`sandbox ${this.id} was started without a port`);
    if (this.#hasEnded) throw new Error(`sandbox ${this.id} has exited`);
    if (this.#parts.connectInside) return this.#parts.connectInside(port);
    // A port that the program chose itself may be anybody's.
    if (other !== undefined && !(await this.#parts.listensOn(other))) {
      throw new Error(`sandbox ${this.id} does not listen on port ${other}`);
    }
    return connectToHost(port);
  }

  terminate(): void {
    if (!this.#hasEnded) this.#parts.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasEnded) this.#parts.kill();
    await this.#released.promise;
  }

  /** The program and all its children are gone. */
  ended(exit: SandboxExit & { readonly memoryPeakMib: number }): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#memory.end(exit.memoryPeakMib);
    for (const output of this.#outputs) output.finish();
    this.stdin?.destroy();
    this.#parts.listener?.close();
    const { exitCode, signal, outOfMemory } = exit;
    this.#exit.resolve({ exitCode, signal, outOfMemory });
    this.#parts.release();
  }

  /** Nothing of it is left on this host. */
  async released(): Promise<void> {
    await this.#parts.gate?.[Symbol.asyncDispose]();
    this.#released.resolve();
  }
}

/** Some 20 microseconds each; a thaw that had to wait for a thread of the pool would take longer than the call it is for. */
function freezerOf(
  { file, frozen, thawed, pageOut, pageIn }: Freezer,
  hasCompressedSwap: boolean,
): SandboxFreezer {
  const write = ({ file, text }: FileWrite) => {
    try {
      writeFileSync(file, text, { flag: "r+" });
    } catch {
      // The group is gone with its sandbox, whose exit says so.
    }
  };
  return {
    freeze: () => write({ file, text: frozen }),
    thaw: () => {
      write({ file, text: thawed });
      for (const each of pageIn) write(each);
    },
    pageOut: hasCompressedSwap && pageOut.length > 0 ? () => void pageOutInBackground(pageOut) : undefined,
  };
}

/** It takes the kernel some ten milliseconds, which are a thread's of the pool. */
async function pageOutInBackground(writes: readonly FileWrite[]): Promise<void> {
  for (const { file, text } of writes) {
    // The kernel says EAGAIN when it could not take as much as it was asked for, which is more than there is.
    await writeFile(file, text, { flag: "r+" }).catch(() => undefined);
  }
}

function openOutputs(folder: string): readonly [OutputPipe, OutputPipe, OutputPipe] {
  const stdout = openOutput(join(folder, "stdout"));
  try {
    const stderr = openOutput(join(folder, "stderr"));
    try {
      return [stdout, stderr, openOutput(join(folder, "telemetry"))];
    } catch (error) {
      stderr.stream.destroy();
      throw error;
    }
  } catch (error) {
    stdout.stream.destroy();
    throw error;
  }
}

async function connectToHost(port: number): Promise<Duplex> {
  const socket = connectTo({ host: "127.0.0.1", port });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  return socket;
}
