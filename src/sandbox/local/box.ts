/**
 * One sandbox as the spawner holds it: its folder, pipes, groups, network and processes.
 *
 *   runDir/SANDBOX/   stdout stderr telemetry stdin   FIFOs: real pipes, so that /dev/stdout can be opened inside
 *                     s/                              /run/lambdad inside: sockets of the daemon, passwd, group
 *                     record tmp/
 *
 * bubblewrap is started by a shell that enters the groups and sets limits before it becomes bubblewrap. Whatever a
 * caller gave goes there as an argument or in a file, never as shell text.
 */
import { type ChildProcess, execFileSync, type StdioOptions, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chownSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleepFor } from "node:timers/promises";
import { OPEN_FILES_MAX } from "../../core/limits.ts";
import {
  type BoxUser,
  bubblewrapOptions,
  type HostWorld,
  innerCommand,
  SOCKET_FOLDER,
  userFiles,
} from "./bubblewrap.ts";
import {
  type CgroupLayout,
  countOomKills,
  type Group,
  groupProcesses,
  killGroup,
  makeGroup,
  readPeakMib,
  removeGroup,
} from "./cgroups.ts";
import { InnerNetwork } from "./inner-network.ts";
import { MARKER, RUNTIME_API_PORT, type StartRequest, type Tracks } from "./messages.ts";
import { findStartTime, isAlive, markedProcesses, tryKill } from "./processes.ts";
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

export interface BoxExit {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly outOfMemory: boolean;
  readonly memoryPeakMib: number;
}

/** A shell, bubblewrap and its first process are in the groups, too. */
const PROCESSES_OF_OURS = 2;

const PRELUDE = `
groups=$1; shift
while [ "$groups" -gt 0 ]; do echo $$ > "$1" || exit 125; shift; groups=$((groups - 1)); done
echo 500 2>/dev/null > /proc/self/oom_score_adj
ulimit -c 0
ulimit -n ${OPEN_FILES_MAX}
exec "$@"
`;

/** How long processes that were killed may take to leave before the sandbox is given up as unkillable. */
const GONE_MS_MAX = 10_000;

/** Connections to the Runtime API that wait to be accepted. */
const LISTENER_BACKLOG = 128;

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
  readonly #child: ChildProcess;
  readonly #pid: number;
  #kept: readonly number[];
  #innerPid: number | undefined;
  #isKilled = false;

  constructor(made: {
    readonly request: StartRequest;
    readonly parts: BoxParts;
    readonly folder: string;
    readonly group: Group;
    readonly network: InnerNetwork | undefined;
    readonly listenerFd: number | undefined;
    readonly child: ChildProcess;
    readonly pid: number;
    readonly kept: readonly number[];
  }) {
    this.id = made.request.id;
    this.network = made.network;
    this.listenerFd = made.listenerFd;
    this.#parts = made.parts;
    this.#folder = made.folder;
    this.#group = made.group;
    this.#child = made.child;
    this.#pid = made.pid;
    this.#kept = made.kept;
    const user = made.parts.jail?.user;
    this.tracks = {
      memoryPeakFile: made.group.memoryPeakFile ?? null,
      processesFile: made.group.processesFile ?? null,
      uid: user?.kind === "host" ? user.uid : null,
      pid: made.pid,
    };
    this.#watchInnerPid();
    this.exited = this.#exit();
  }

  /** The driver has opened the pipes: from now on only its ends and the program's keep them. */
  letGoOfPipes(): void {
    for (const fd of this.#kept) closeSync(fd);
    this.#kept = [];
  }

  kill(): void {
    this.#isKilled = true;
    this.#killOnce();
  }

  /** Removes all that is left on this host. After `exited`. */
  async release(): Promise<void> {
    this.letGoOfPipes();
    this.network?.[Symbol.dispose]();
    rmSync(this.#folder, { recursive: true, force: true });
    // The kernel needs a moment after the last process has gone.
    for (let waitMs = 1; !removeGroup(this.#group) && waitMs < 500; waitMs *= 2) await sleepFor(waitMs);
  }

  #killOnce(): void {
    killGroup(this.#group);
    tryKill(this.#pid);
    if (this.#innerPid !== undefined) tryKill(this.#innerPid);
    if (!this.#parts.jail) tryKill(-this.#pid);
    for (const pid of this.#marked()) tryKill(pid);
  }

  async #exit(): Promise<BoxExit> {
    const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
      this.#child.once("exit", (code, signal) => resolve([code, signal]));
    });
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
  #watchInnerPid(): void {
    const info = this.#child.stdio.at(INFO_INDEX);
    if (!info || !("setEncoding" in info)) return;
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

const INFO_INDEX = 6;

/** Starts a sandbox. @throws with a sentence if it cannot; nothing is left then. */
export async function startBox(parts: BoxParts, request: StartRequest): Promise<Box> {
  const folder = join(parts.runDir, request.id);
  const undo: (() => void)[] = [];
  try {
    mkdirSync(folder, { mode: 0o711 });
    undo.push(() => rmSync(folder, { recursive: true, force: true }));
    mkdirSync(join(folder, SOCKET_FOLDER), { mode: 0o711 });
    const pipes = openPipes(parts, folder, request);
    undo.push(() => closeAll(pipes.kept));
    const group = makeGroup(parts.layout, request.id, {
      ...request,
      pidsMax: request.pidsMax + (parts.jail ? PROCESSES_OF_OURS : 0),
    });
    undo.push(() => removeGroup(group));
    const network = openNetwork(parts, request);
    undo.push(() => network?.[Symbol.dispose]());
    // Before the program, which may ask at once.
    const listenerFd = request.wantsListener ? openListener(parts, network) : undefined;
    if (listenerFd !== undefined) undo.push(() => closeSync(listenerFd));
    const launch = () =>
      parts.jail
        ? spawnJailed(parts.jail, { request, folder, group, hasNetwork: network !== undefined, pipes })
        : spawnPlain({ request, folder, pipes });
    let child: ChildProcess;
    try {
      child = network ? network.inside(launch) : launch();
    } finally {
      closeAll(pipes.given);
    }
    const { pid } = child;
    if (pid === undefined) throw await once(child, "error").then(([error]) => error);
    // A process that cannot be signalled reports it here; `tryKill` deals with those.
    child.on("error", () => undefined);
    if (!parts.jail) enterLate(group, pid);
    writeFileSync(join(folder, "record"), `${pid} ${findStartTime(pid) ?? ""}`);
    return new Box({ request, parts, folder, group, network, listenerFd, child, pid, kept: pipes.kept });
  } catch (error) {
    for (const step of undo.reverse()) step();
    throw error;
  }
}

/** Undefined if it shares the host's, or bubblewrap makes one into which we cannot reach. */
function openNetwork(parts: BoxParts, request: StartRequest): InnerNetwork | undefined {
  if (!request.isOffline || !parts.syscalls || parts.jail?.user.kind !== "host") return undefined;
  return new InnerNetwork(parts.syscalls);
}

function openListener(parts: BoxParts, network: InnerNetwork | undefined): number {
  const { syscalls } = parts;
  if (!network || !syscalls) throw new Error("a socket inside needs a network that can be entered");
  return network.inside(() => syscalls.listenOnLoopback(RUNTIME_API_PORT, LISTENER_BACKLOG));
}

interface Pipes {
  /** The program's descriptors 0 to 3, closed here once it has them; `ignore` for an empty stdin. */
  readonly stdio: readonly (number | "ignore")[];
  readonly given: readonly number[];
  /** Kept open until the driver has its own, so that nothing that is written gets lost. */
  readonly kept: readonly number[];
}

function openPipes(parts: BoxParts, folder: string, request: StartRequest): Pipes {
  const kept: number[] = [];
  const given: number[] = [];
  const open = (name: string, flags: number) => {
    const path = join(folder, name);
    makeFifo(parts.syscalls, path);
    const user = parts.jail?.user;
    // Opening /dev/stdout inside asks for the right to.
    if (user?.kind === "host") chownSync(path, user.uid, user.uid);
    kept.push(openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
    // The other side is open, so this does not wait; programs expect pipes that block.
    const fd = openSync(path, flags);
    given.push(fd);
    return fd;
  };
  try {
    const stdin = request.hasInput ? open("stdin", constants.O_RDONLY) : "ignore";
    const outputs = ["stdout", "stderr", "telemetry"].map((name) => open(name, constants.O_WRONLY));
    return { stdio: [stdin, ...outputs], given, kept };
  } catch (error) {
    closeAll([...kept, ...given]);
    throw error;
  }
}

function makeFifo(syscalls: Syscalls | undefined, path: string): void {
  if (syscalls) syscalls.mkfifo(path, 0o600);
  else execFileSync("mkfifo", ["-m", "600", path], { env: { PATH: "/usr/bin:/bin" } });
}

function spawnJailed(
  jail: Jail,
  box: {
    readonly request: StartRequest;
    readonly folder: string;
    readonly group: Group;
    readonly hasNetwork: boolean;
    readonly pipes: Pipes;
  },
): ChildProcess {
  const { world, user, filterFile } = jail;
  const { request, folder, group } = box;
  const inner = { folder, user, unshareNetwork: request.isOffline && !box.hasNetwork };
  const names = userFiles(user.uid);
  writeFileSync(join(folder, SOCKET_FOLDER, "passwd"), names.passwd, { mode: 0o644 });
  writeFileSync(join(folder, SOCKET_FOLDER, "group"), names.group, { mode: 0o644 });
  const needsInfo = group.entrances.length === 0;
  const options = [
    ...bubblewrapOptions(world, inner, request),
    ...(filterFile === undefined ? [] : ["--seccomp", "5"]),
    ...(needsInfo ? ["--info-fd", String(INFO_INDEX)] : []),
  ];
  const files = [
    openSecret(join(folder, "arguments"), encodeArguments(options)),
    openSync(filterFile ?? "/dev/null", "r"),
  ];
  try {
    const stdio: StdioOptions = [...box.pipes.stdio, ...files, ...(needsInfo ? ["pipe" as const] : [])];
    const command = [world.bubblewrap, "--args", "4", "--", ...innerCommand(world, inner, request)];
    const args = ["-c", PRELUDE, "sh", String(group.entrances.length), ...group.entrances, ...command];
    return spawn("/bin/sh", args, { stdio, env: {}, cwd: "/" });
  } finally {
    closeAll(files);
  }
}

function spawnPlain(box: {
  readonly request: StartRequest;
  readonly folder: string;
  readonly pipes: Pipes;
}): ChildProcess {
  const { request, folder, pipes } = box;
  mkdirSync(join(folder, "tmp"), { mode: 0o700 });
  const [program = "", ...args] = request.command;
  return spawn(program, args, {
    stdio: [...pipes.stdio],
    env: { ...request.environment, [MARKER]: request.id },
    cwd: request.workingDir,
    detached: true,
  });
}

/** Plain processes enter their groups after they have begun; what they started before is found by its mark. */
function enterLate(group: Group, pid: number): void {
  for (const entrance of group.entrances) {
    try {
      writeFileSync(entrance, String(pid));
    } catch {
      // It has exited already.
    }
  }
}

/** A file that nobody can open any more: it holds the function's environment. */
function openSecret(path: string, content: Buffer): number {
  writeFileSync(path, content, { mode: 0o600 });
  const fd = openSync(path, "r");
  unlinkSync(path);
  return fd;
}

/** @throws if one of them holds a NUL, with which it could pass for several. */
function encodeArguments(options: readonly string[]): Buffer {
  const bad = options.find((option) => option.includes("\0"));
  if (bad !== undefined) throw new Error(`a NUL character is in ${JSON.stringify(bad)}`);
  return Buffer.from(options.map((option) => `${option}\0`).join(""));
}

/** bubblewrap reports a signal as a shell does. */
function unwrapExit(
  code: number | null,
  signal: string | null,
): { exitCode: number | null; signal: string | null } {
  const name = code !== null && code > 128 ? SIGNALS[code - 128] : undefined;
  return name === undefined ? { exitCode: code, signal } : { exitCode: null, signal: name };
}

function closeAll(fds: readonly number[]): void {
  for (const fd of fds) closeSync(fd);
}
