/**
 * A program that has loaded what many others need, and forks into each of them: `SandboxLaunch.forkFrom`. It runs in a
 * sandbox with the rights to make sandboxes, is ours, and never sees anything of a function: what it passes on to a child
 * unread is not in the memory of the next one.
 *
 *   its arguments: the numbers of three descriptors, for requests, reports and the system-call filter (until its end)
 *   requests, on a stream socket:   u8 kind │ u8 groups │ u32 number (little-endian)
 *     FORK (1), with descriptors by SCM_RIGHTS: the program's 0 to 3, then so many files by which groups are entered, then
 *     others; the last one has the order as JSON (`ForkOrder`)
 *     KILL (2) of the child with that number
 *   reports, on a pipe, each a line:   ready   │   exited NUMBER CODE   (negative: minus the signal)
 *
 * A child makes of itself what bubblewrap makes of others (runtimes/python/lambdad_runtime/isolation.py). What it cannot do
 * it says on its stderr, and exits with 125.
 */
import { closeSync } from "node:fs";
import { constants } from "node:os";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { ForkSource } from "../driver.ts";
import type { Box, BoxParts, FirstProcess, Jail } from "./box.ts";
import { FILTER_FD, REPORTS_FD, REQUESTS_FD } from "./bubblewrap.ts";
import type { StartRequest } from "./messages.ts";
import { findChildren } from "./processes.ts";
import { discard, startMaker } from "./start-box.ts";
import type { Syscalls } from "./syscalls.ts";

/** What a child is told. Names stand for the descriptors that come with it. */
export interface ForkOrder {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDir: string;
  readonly uid: number;
  readonly tmpMib: number;
  /** Which of the descriptors has that name: the program's own four, `network`, and whatever `mounts` names. */
  readonly descriptors: Readonly<Record<string, number>>;
  /** Detached mounts, and where they belong. */
  readonly mounts: Readonly<Record<string, string>>;
}

export interface Fork extends FirstProcess {
  /** Once. The child has descriptors of its own. @throws if it cannot be told. */
  begin(descriptors: readonly number[], groups: number): void;
  /** It is not to be. */
  cancel(): void;
}

const FORK = 1;
const KILL = 2;

const READY_MS_MAX = 10_000;

export class Zygote {
  readonly #box: Box;
  readonly #syscalls: Syscalls;
  readonly #requestsFd: number;
  readonly #forks = new Map<number, (exit: readonly [number | null, string | null]) => void>();
  #whenOneEnds: (() => void)[] = [];
  #count = 0;
  #isOpen = true;

  private constructor(box: Box, syscalls: Syscalls, requestsFd: number) {
    this.#box = box;
    this.#syscalls = syscalls;
    this.#requestsFd = requestsFd;
  }

  /** @throws if it cannot be started, or does not get ready. */
  static async start(parts: BoxParts, jail: Jail, like: StartRequest): Promise<Zygote> {
    const { syscalls } = parts;
    const { forkFrom } = like;
    if (!syscalls || !forkFrom) throw new Error("forking into sandboxes needs Node 26");
    const [ours, theirs] = syscalls.socketPair();
    let made: { readonly box: Box; readonly reports: Readable };
    try {
      made = await startMaker(parts, jail, makerRequest(like, forkFrom), theirs);
    } catch (error) {
      closeSync(ours);
      throw error;
    } finally {
      closeSync(theirs);
    }
    const zygote = new Zygote(made.box, syscalls, ours);
    try {
      await zygote.#listen(made.reports);
      return zygote;
    } catch (error) {
      await zygote[Symbol.asyncDispose]();
      throw error;
    }
  }

  get isAlive(): boolean {
    return this.#isOpen && this.#box.isAlive;
  }

  /** How many it has forked so far, and how many of them there are. */
  get counts(): { readonly made: number; readonly alive: number } {
    return { made: this.#count, alive: this.#forks.size };
  }

  /** Resolves when it has gone by itself, with how; pending as long as it is there, and if it was disposed. */
  async died(): Promise<string> {
    const { exitCode, signal, outOfMemory } = await this.#box.exited;
    if (!this.#isOpen) return new Promise(() => undefined);
    return `it ended with ${signal ?? exitCode}${outOfMemory ? ", out of memory" : ""}`;
  }

  get uid(): number | null {
    return this.#box.tracks.uid;
  }

  /** On this host, two for each sandbox. */
  findChildren(): readonly number[] {
    const program = this.#box.findProgram();
    return program === undefined ? [] : findChildren(program);
  }

  /** A child that is to be; `findProgram` tells where its program is on this host. */
  newFork(findProgram: () => number | undefined): Fork {
    this.#count += 1;
    const number = this.#count;
    const { promise: exited, resolve } = Promise.withResolvers<readonly [number | null, string | null]>();
    const forks = this.#forks;
    forks.set(number, resolve);
    return {
      get isAlive() {
        return forks.has(number);
      },
      exited,
      findProgram,
      begin: (descriptors, groups) =>
        this.#syscalls.sendDescriptors(this.#requestsFd, message(FORK, number, groups), descriptors),
      cancel: () => void forks.delete(number),
      // It may be on its way yet, where nobody else finds it.
      kill: () => {
        if (forks.has(number) && this.isAlive) this.#tell(message(KILL, number));
      },
    };
  }

  /** Resolves when it has no child any more, and at once if it has none. */
  async untilChildless(): Promise<void> {
    while (this.isAlive && this.#forks.size > 0) {
      await new Promise<void>((resolve) => this.#whenOneEnds.push(resolve));
    }
  }

  /** Its children go with it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#requestsFd);
    await discard(this.#box);
  }

  #tell(bytes: Uint8Array): void {
    try {
      this.#syscalls.sendDescriptors(this.#requestsFd, bytes, []);
    } catch {
      // It has just gone, and its children with it.
    }
  }

  /** @throws if it ends, or takes too long. */
  async #listen(reports: Readable): Promise<void> {
    const ready = Promise.withResolvers<void>();
    createInterface({ input: reports }).on("line", (line) => {
      const [word, number, code] = line.split(" ");
      if (word === "ready") ready.resolve();
      else this.#end(Number(number), Number(code));
    });
    const timer = setTimeout(
      () => ready.reject(new Error(`it was not ready in ${READY_MS_MAX} ms`)),
      READY_MS_MAX,
    );
    void this.#box.exited.then(({ exitCode, signal }) => {
      ready.reject(new Error(this.#box.lastWords() ?? `it ended with ${signal ?? exitCode}`));
      for (const number of [...this.#forks.keys()]) this.#end(number, -constants.signals.SIGKILL);
    });
    try {
      await ready.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #end(number: number, code: number): void {
    const resolve = this.#forks.get(number);
    this.#forks.delete(number);
    for (const tell of this.#whenOneEnds.splice(0)) tell();
    resolve?.(code >= 0 ? [code, null] : [null, signalName(-code)]);
  }
}

function message(kind: number, number: number, groups = 0): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt8(kind, 0);
  bytes.writeUInt8(groups, 1);
  bytes.writeUInt32LE(number, 2);
  return bytes;
}

function signalName(number: number): string {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `signal ${number}`;
}

/** What a zygote needs of a request for one of its children. */
function makerRequest(like: StartRequest, forkFrom: ForkSource): StartRequest {
  return {
    ...like,
    id: "zygote",
    command: [...forkFrom.command, ...[REQUESTS_FD, REPORTS_FD, FILTER_FD].map(String)],
    forkFrom: null,
    // Covered in every child by its own.
    codeDir: like.runtimeDir,
    optDir: null,
    memoryMib: MEMORY_MIB,
    cpus: CPUS,
    pidsMax: PIDS_MAX,
    tmpMib: 1,
    isOffline: false,
    hasInput: false,
    wantsListener: false,
    environment: forkFrom.environment,
    workingDir: "/",
  };
}

/**
 * Far more than it takes: what children touch before they have entered their groups, a third of a MiB each, stays counted here as
 * long as they live, and with 256 MiB it was killed after some 300 of them.
 */
const MEMORY_MIB = 16_384;
const CPUS = 64;
/** The first process of each namespace, which enters no groups, and children that have not entered theirs yet. */
const PIDS_MAX = 8_192;
