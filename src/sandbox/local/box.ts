import { closeSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as sleepFor } from "node:timers/promises";
import { readPeakMib } from "../memory-meter.ts";
import { readAvailable } from "./box-pipes.ts";
import { type BoxUser, type HostWorld, LATER_CODE, LATER_FOLDER, LATER_LAYERS } from "./bubblewrap.ts";
import {
  type CgroupLayout,
  countOomKills,
  type Group,
  type GroupLimits,
  groupProcesses,
  killGroup,
  removeGroup,
  setLimits,
} from "./cgroups.ts";
import { writeHosts } from "./hosts-file.ts";
import type { InnerNetwork } from "./inner-network.ts";
import type { Given, Tracks } from "./messages.ts";
import { isAlive, markedProcesses, tryKill, trySignal } from "./processes.ts";
import type { Syscalls } from "./syscalls.ts";

export interface BoxParts {
  readonly runDir: string;
  readonly layout: CgroupLayout;
  readonly syscalls: Syscalls | undefined;
  /** Undefined for plain processes. */
  readonly jail: Jail | undefined;
}

export interface Jail {
  readonly world: HostWorld;
  readonly user: BoxUser;
  /** The system-call filter; undefined where there is none for this machine. */
  readonly filterFile: string | undefined;
}

/** The one whose end is the end of all. */
export interface FirstProcess {
  readonly isAlive: boolean;
  readonly exited: Promise<readonly [code: number | null, signal: string | null]>;
  /** The program itself, on this host; undefined while there is none. */
  findProgram(): number | undefined;
  kill(): void;
}

export interface BoxExit {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly outOfMemory: boolean;
  readonly memoryPeakMib: number;
}

/** bubblewrap and the first process of the sandbox are in the groups, too. */
const PROCESSES_OF_OURS = 2;

/** How long processes that were killed may take to leave before the sandbox is given up as unkillable. */
const GONE_MS_MAX = 10_000;

const SIGNALS: Readonly<Record<number, string>> = {
  1: "SIGHUP",
  2: "SIGINT",
  3: "SIGQUIT",
  4: "SIGILL",
  5: "SIGTRAP",
  6: "SIGABRT",
  7: "SIGBUS",
  8: "SIGFPE",
  9: "SIGKILL",
  10: "SIGUSR1",
  11: "SIGSEGV",
  12: "SIGUSR2",
  13: "SIGPIPE",
  14: "SIGALRM",
  15: "SIGTERM",
  24: "SIGXCPU",
  25: "SIGXFSZ",
  31: "SIGSYS",
};

/**
 * One sandbox as the spawner holds it, from the first process to the last: its folder, pipes, groups and network.
 * start-box.ts makes them.
 */
export class Box {
  readonly id: string;
  /** Resolves when nothing of it runs any more. Never rejects. */
  readonly exited: Promise<BoxExit>;
  readonly network: InnerNetwork | undefined;
  /** A socket that listens in its network, if it was asked for; whoever takes it closes it. */
  readonly listenerFd: number | undefined;
  readonly tracks: Tracks;
  readonly #parts: BoxParts;
  readonly #folder: string;
  readonly #group: Group;
  readonly #first: FirstProcess;
  #kept: readonly number[];
  #innerPid: number | undefined;
  #isKilled = false;
  #awaitsCode = false;

  constructor(made: {
    readonly id: string;
    readonly parts: BoxParts;
    readonly folder: string;
    readonly group: Group;
    readonly network: InnerNetwork | undefined;
    readonly listenerFd: number | undefined;
    readonly first: FirstProcess;
    /** Known from the beginning where there are no groups. */
    readonly pid: number | null;
    /** What bubblewrap says about itself, where it was asked to. */
    readonly info?: Readable | undefined;
    readonly kept: readonly number[];
  }) {
    this.id = made.id;
    this.network = made.network;
    this.listenerFd = made.listenerFd;
    this.#parts = made.parts;
    this.#folder = made.folder;
    this.#group = made.group;
    this.#first = made.first;
    this.#kept = made.kept;
    const user = made.parts.jail?.user;
    this.tracks = {
      memoryPeakFile: made.group.memoryPeakFile ?? null,
      freezer: made.group.freezer ?? null,
      cpu: made.group.cpu ?? null,
      processesFile: made.group.processesFile ?? null,
      uid: user?.kind === "host" ? user.uid : null,
      pid: made.pid,
      folder: made.folder,
    };
    if (made.info) this.#watchInnerPid(made.info);
    this.exited = this.#exit();
  }

  get isAlive(): boolean {
    return this.#first.isAlive;
  }

  /** The driver has opened the pipes: from now on only its ends and the program's keep them. */
  letGoOfPipes(): void {
    for (const fd of this.#kept) closeSync(fd);
    this.#kept = [];
  }

  /** The last line of what it has written to stderr, while nobody else reads that; undefined if there is none. */
  lastWords(): string | undefined {
    const stderr = this.#kept[2];
    return stderr === undefined ? undefined : readAvailable(stderr).trim().split("\n").at(-1) || undefined;
  }

  setLimits(limits: GroupLimits): void {
    setLimits(this.#parts.layout, this.#group, { ...limits, pidsMax: limits.pidsMax + PROCESSES_OF_OURS });
  }

  /** Before bubblewrap begins: has places for code and layers in which later mounts appear inside. */
  awaitCode(): void {
    const { syscalls } = this.#parts;
    if (!syscalls) throw new Error("mounting code later needs Node 26");
    const places = join(this.#folder, LATER_FOLDER);
    mkdirSync(places, { mode: 0o711 });
    for (const name of [LATER_CODE, LATER_LAYERS]) mkdirSync(join(places, name), { mode: 0o755 });
    syscalls.shareMounts(places);
    this.#awaitsCode = true;
  }

  /** Makes its code and layers appear inside. Once, and `settle` belongs to it. */
  giveCode(given: Given): void {
    const { syscalls } = this.#parts;
    if (!syscalls || !this.#awaitsCode) throw new Error(`sandbox ${this.id} was not started without code`);
    const places = join(this.#folder, LATER_FOLDER);
    const { jail } = this.#parts;
    if (jail && given.hosts !== "") writeHosts(this.#folder, jail, given.hosts);
    if (given.optDir !== null) syscalls.mountReadOnly(given.optDir, join(places, LATER_LAYERS));
    // Last: a program that sees its code may begin.
    syscalls.mountReadOnly(given.codeDir, join(places, LATER_CODE));
  }

  /** Sets the limits. What was mounted stays inside, and nothing can be mounted there any more. */
  settle(given: Given): void {
    this.setLimits(given);
    this.unmount();
  }

  kill(): void {
    this.#isKilled = true;
    this.#killOnce();
  }

  /** On this host; undefined if there is none yet, or none any more. */
  findProgram(): number | undefined {
    return this.isAlive ? this.#first.findProgram() : undefined;
  }

  /** SIGTERM to the program alone. */
  terminate(): void {
    const program = this.findProgram();
    if (program !== undefined) trySignal(program, "SIGTERM");
  }

  /** Removes all that is left on this host. After `exited`. */
  async release(): Promise<void> {
    this.letGoOfPipes();
    this.network?.[Symbol.dispose]();
    this.unmount();
    rmSync(this.#folder, { recursive: true, force: true });
    // The kernel needs a moment after the last process has gone.
    for (let waitMs = 1; !removeGroup(this.#group) && waitMs < 500; waitMs *= 2) await sleepFor(waitMs);
  }

  /** Nothing of this host's is mounted for it any more; what appeared inside stays there. */
  unmount(): void {
    if (!this.#awaitsCode) return;
    this.#awaitsCode = false;
    this.#parts.syscalls?.unshareMounts(join(this.#folder, LATER_FOLDER));
  }

  #killOnce(): void {
    killGroup(this.#group);
    this.#first.kill();
    if (this.#innerPid !== undefined) tryKill(this.#innerPid);
    for (const pid of this.#marked()) tryKill(pid);
  }

  async #exit(): Promise<BoxExit> {
    const [code, signal] = await this.#first.exited;
    const memoryPeakMib = readPeakMib(this.#group.memoryPeakFile);
    const oomKills = countOomKills(this.#group);
    const end = this.#parts.jail ? unwrapExit(code, signal) : { exitCode: code, signal };
    await this.#untilGone();
    const outOfMemory = oomKills > 0 && !this.#isKilled && end.exitCode !== 0;
    return { ...end, outOfMemory, memoryPeakMib };
  }

  async #untilGone(): Promise<void> {
    const giveUpAt = performance.now() + GONE_MS_MAX;
    for (
      let waitMs = 1;
      this.#isInhabited() && performance.now() < giveUpAt;
      waitMs = Math.min(waitMs * 2, 50)
    ) {
      this.#killOnce();
      await sleepFor(waitMs);
    }
  }

  #isInhabited(): boolean {
    if (groupProcesses(this.#group).length > 0) return true;
    if (this.#innerPid !== undefined && isAlive(this.#innerPid)) return true;
    return this.#marked().length > 0;
  }

  /** Plain processes that have left their group are known by their environment only. */
  #marked(): readonly number[] {
    return this.#parts.jail ? [] : markedProcesses(new Set([this.id]));
  }

  /** Without groups, the first process inside is the one whose end means the end of all. */
  #watchInnerPid(info: Readable): void {
    let text = "";
    info.setEncoding("utf8");
    info.on("data", (chunk: string) => {
      text += chunk;
      const found = /"child-pid": (\d+)/.exec(text);
      if (found) this.#innerPid = Number(found[1]);
    });
    info.on("error", () => undefined);
  }
}

/** bubblewrap reports a signal as a shell does. */
function unwrapExit(
  code: number | null,
  signal: string | null,
): { exitCode: number | null; signal: string | null } {
  const name = code !== null && code > 128 ? SIGNALS[code - 128] : undefined;
  return name === undefined ? { exitCode: code, signal } : { exitCode: null, signal: name };
}
