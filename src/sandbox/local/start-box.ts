/**
 * Starts sandboxes. Each has a folder while it lives:
 *
 *   runDir/BOX/   stdin stdout stderr telemetry   FIFOs
 *                 s/                              /run/lambdad inside: sockets of the daemon, passwd, group, hosts
 *                 record tmp/                     its first process; the temporary folder of a plain process
 *                 later/                          /var/task and /opt of one that is told later what it is to be
 *
 * A jailed one begins as a shell that enters the groups, sets limits, reads what to become and becomes bubblewrap.
 * Entering a group makes the kernel wait for all of its CPUs (7 ms on an idle machine, more than everything else
 * together), so shells are kept ready that have that behind them.
 *
 * Whatever a caller gave is passed as arguments, never as shell text.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { OPEN_FILES_MAX } from "../../core/limits.ts";
import { Box, type BoxParts, type FirstProcess, type Jail } from "./box.ts";
import { closeAll, openPipes } from "./box-pipes.ts";
import {
  ARGUMENTS_FD,
  bubblewrapOptions,
  FILTER_FD,
  INFO_FD,
  innerCommand,
  REPORTS_FD,
  SOCKET_FOLDER,
  userFiles,
} from "./bubblewrap.ts";
import { type Group, makeGroup, removeGroup, setLimits } from "./cgroups.ts";
import { writeHosts } from "./hosts-file.ts";
import { InnerNetwork } from "./inner-network.ts";
import { MARKER, RUNTIME_API_PORT, type StartRequest } from "./messages.ts";
import { findChildren, findStartTime, tryKill } from "./processes.ts";

/** A shell in its groups that waits to be told what to become. */
export interface ReadyShell {
  readonly box: Box;
  readonly jail: Jail;
  readonly group: Group;
  readonly orders: Writable;
  /** Whether it was told its command when it was started. */
  readonly knowsCommand: boolean;
  /** What a program that makes sandboxes reports; undefined for all others. */
  readonly reports: Readable | undefined;
}

/** Connections to the Runtime API that wait to be accepted. */
const LISTENER_BACKLOG = 128;

/**
 * Arguments: how many groups, the groups, then the command if it is known. Orders, on the descriptor that bubblewrap
 * then reads its options from: a line `WORDS STDIN`, then so many lines with a word of the command each. A shell reads
 * no further than it must. If there are no orders the sandbox was not needed.
 */
const PRELUDE = `
groups=$1; shift
while [ "$groups" -gt 0 ]; do echo $$ > "$1" || exit 125; shift; groups=$((groups - 1)); done
echo 500 2>/dev/null > /proc/self/oom_score_adj
ulimit -c 0
ulimit -n ${OPEN_FILES_MAX}
IFS=' ' read -r words stdin <&${ARGUMENTS_FD} || exit 0
while [ "$words" -gt 0 ]; do
  IFS= read -r word <&${ARGUMENTS_FD} || exit 0
  set -- "$@" "$word"
  words=$((words - 1))
done
[ "$stdin" = empty ] && exec < /dev/null
exec "$@"
`;

/** Starts a sandbox, from a shell that is ready if there is one. @throws with a sentence if it cannot; nothing is left then. */
export async function startBox(parts: BoxParts, request: StartRequest, ready?: ReadyShell): Promise<Box> {
  const { jail } = parts;
  if (!jail) return startPlain(parts, request);
  const shell = ready ?? (await startShell(parts, jail, request));
  try {
    order(shell, request);
    return shell.box;
  } catch (error) {
    await discard(shell.box);
    throw error;
  }
}

/**
 * Starts a program that makes sandboxes itself (zygote.ts), in a sandbox like those but with the rights that takes.
 * `requestsFd` is its own from then on.
 */
export async function startMaker(
  parts: BoxParts,
  jail: Jail,
  request: StartRequest,
  requestsFd: number,
): Promise<{ readonly box: Box; readonly reports: Readable }> {
  const shell = await startShell(parts, jail, undefined, requestsFd);
  try {
    if (!shell.reports) throw new Error("the shell has no descriptor for reports");
    order(shell, request);
    return { box: shell.box, reports: shell.reports };
  } catch (error) {
    await discard(shell.box);
    throw error;
  }
}

/** Whether a shell that was started before anybody asked can become this. */
export function canUseReadyShell(parts: BoxParts, request: StartRequest): boolean {
  if (!parts.jail) return false;
  return !needsNetwork(parts, request) && !hasLineBreak(parts.jail, request);
}

export async function startReadyShell(parts: BoxParts, jail: Jail): Promise<ReadyShell> {
  return startShell(parts, jail, undefined);
}

/** Ends and removes a box that nobody waits for. */
export async function discard(box: Box): Promise<void> {
  box.kill();
  await box.exited;
  await box.release();
}

/** With a request, what cannot be ordered afterwards is there from the beginning. */
async function startShell(
  parts: BoxParts,
  jail: Jail,
  request: StartRequest | undefined,
  requestsFd?: number,
): Promise<ReadyShell> {
  const { user, filterFile } = jail;
  const uid = user.kind === "host" ? user.uid : undefined;
  return inNewFolder(parts, newBoxId(), async (made) => {
    writeUserFiles(made.folder, user.uid);
    writeHosts(made.folder, jail, "");
    const network = request && openNetwork(parts, request);
    made.undo(() => network?.[Symbol.dispose]());
    // Before the program, which may ask at once.
    const listenerFd = request?.wantsListener ? openListener(parts, network) : undefined;
    if (listenerFd !== undefined) made.undo(() => closeSync(listenerFd));
    const pipes = openPipes(made.folder, { syscalls: parts.syscalls, uid });
    made.undo(() => closeAll(pipes.kept));
    const filter = openSync(filterFile ?? "/dev/null", "r");
    const { entrances } = made.group;
    const knowsCommand = request !== undefined && hasLineBreak(jail, request);
    const command = knowsCommand ? commandOf(jail, made.group, request, false) : [];
    const makerPipes = requestsFd === undefined ? [] : [requestsFd, "pipe" as const];
    const launch = () =>
      spawn("/bin/sh", ["-c", PRELUDE, "sh", String(entrances.length), ...entrances, ...command], {
        stdio: [...pipes.given, "pipe", filter, needsInfo(made.group) ? "pipe" : "ignore", ...makerPipes],
        env: {},
        cwd: "/",
      });
    let child: ChildProcess;
    try {
      child = network ? network.inside(launch) : launch();
    } finally {
      closeAll([...pipes.given, filter]);
    }
    const pid = await pidOf(child);
    writeRecord(made.folder, pid);
    const orders = child.stdio[ARGUMENTS_FD];
    if (!orders || !("end" in orders)) throw new Error("the shell has no descriptor for orders");
    // It exited, which its exit says.
    orders.on("error", () => undefined);
    const first = firstProcess(child, pid, () => findProgramIn(pid));
    const info = readableOf(child, INFO_FD);
    return {
      box: new Box({ ...made, parts, network, listenerFd, first, pid, info, kept: pipes.kept }),
      jail,
      group: made.group,
      orders,
      knowsCommand,
      reports: readableOf(child, REPORTS_FD),
    };
  });
}

function order(shell: ReadyShell, request: StartRequest): void {
  const { jail, group } = shell;
  if (request.hosts !== "") writeHosts(shell.box.tracks.folder, jail, request.hosts);
  shell.box.setLimits({ ...request, isBackground: request.codeDir === null });
  if (request.codeDir === null) shell.box.awaitCode();
  const makesSandboxes = shell.reports !== undefined;
  const words = shell.knowsCommand ? [] : commandOf(jail, group, request, makesSandboxes);
  const lines = [`${words.length} ${request.hasInput ? "given" : "empty"}`, ...words];
  const options = bubblewrapOptions(
    jail.world,
    {
      folder: shell.box.tracks.folder,
      user: jail.user,
      unshareNetwork: request.isOffline && !shell.box.network,
      makesSandboxes,
    },
    request,
  );
  shell.orders.end(Buffer.concat([encodeWith("\n", lines), encodeWith("\0", options)]));
}

function commandOf(
  jail: Jail,
  group: Group,
  request: StartRequest,
  makesSandboxes: boolean,
): readonly string[] {
  const isFiltered = jail.filterFile !== undefined && !makesSandboxes;
  return [
    jail.world.bubblewrap,
    ...["--args", String(ARGUMENTS_FD)],
    ...(isFiltered ? ["--seccomp", String(FILTER_FD)] : []),
    ...(needsInfo(group) ? ["--info-fd", String(INFO_FD)] : []),
    "--",
    ...innerCommand(jail.world, jail.user, request, makesSandboxes),
  ];
}

/** Without groups, who is inside is only known by its first process. */
function needsInfo(group: Group): boolean {
  return group.entrances.length === 0;
}

/** Such a command cannot be sent line by line. */
function hasLineBreak(jail: Jail, request: StartRequest): boolean {
  return innerCommand(jail.world, jail.user, request).some((word) => word.includes("\n"));
}

/** @throws if one of them holds the end mark, with which it could pass for several. */
function encodeWith(end: "\n" | "\0", words: readonly string[]): Buffer {
  const bad = words.find((word) => word.includes(end));
  if (bad !== undefined) throw new Error(`${JSON.stringify(end)} is in ${JSON.stringify(bad)}`);
  return Buffer.from(words.map((word) => word + end).join(""));
}

async function startPlain(parts: BoxParts, request: StartRequest): Promise<Box> {
  return inNewFolder(parts, request.id, async (made) => {
    setLimits(parts.layout, made.group, request);
    mkdirSync(join(made.folder, "tmp"), { mode: 0o700 });
    const pipes = openPipes(made.folder, { syscalls: parts.syscalls, uid: undefined });
    made.undo(() => closeAll(pipes.kept));
    const [stdin = 0, ...outputs] = pipes.given;
    const [program = "", ...args] = request.command;
    let child: ChildProcess;
    try {
      child = spawn(program, args, {
        stdio: [request.hasInput ? stdin : "ignore", ...outputs],
        env: { ...request.environment, [MARKER]: request.id },
        cwd: request.workingDir,
        detached: true,
      });
    } finally {
      closeAll(pipes.given);
    }
    const pid = await pidOf(child);
    enterLate(made.group, pid);
    writeRecord(made.folder, pid);
    return new Box({
      ...made,
      parts,
      network: undefined,
      listenerFd: undefined,
      first: firstProcess(child, pid, () => pid),
      pid,
      kept: pipes.kept,
    });
  });
}

function firstProcess(child: ChildProcess, pid: number, findProgram: () => number | undefined): FirstProcess {
  return {
    get isAlive() {
      return child.exitCode === null && child.signalCode === null;
    },
    exited: new Promise((resolve) => {
      child.once("exit", (code, signal) => resolve([code, signal]));
    }),
    findProgram,
    kill: () => {
      tryKill(pid);
      // A plain process leads a group; of others nobody does, and nobody is there.
      tryKill(-pid);
    },
  };
}

/** bubblewrap's only child is the first process of the sandbox, and the first of that one's is the program. */
function findProgramIn(bubblewrap: number): number | undefined {
  const [first] = findChildren(bubblewrap);
  return first === undefined ? undefined : findChildren(first)[0];
}

function readableOf(child: ChildProcess, descriptor: number): Readable | undefined {
  const stream = child.stdio.at(descriptor);
  return stream && "setEncoding" in stream ? stream : undefined;
}

/** What the sandbox's user is called inside. */
export function writeUserFiles(folder: string, uid: number): void {
  const names = userFiles(uid);
  writeFileSync(join(folder, SOCKET_FOLDER, "passwd"), names.passwd, { mode: 0o644 });
  writeFileSync(join(folder, SOCKET_FOLDER, "group"), names.group, { mode: 0o644 });
}

export interface Made {
  readonly id: string;
  readonly folder: string;
  readonly group: Group;
  /** Steps back, last first, if `work` fails. */
  readonly undo: (step: () => void) => void;
}

/** Makes what every sandbox has before its first process; takes it back if `work` fails. */
export async function inNewFolder<T>(
  parts: BoxParts,
  id: string,
  work: (made: Made) => Promise<T>,
): Promise<T> {
  const folder = join(parts.runDir, id);
  const steps: (() => void)[] = [];
  const undo = (step: () => void) => void steps.push(step);
  try {
    mkdirSync(folder, { mode: 0o711 });
    undo(() => rmSync(folder, { recursive: true, force: true }));
    mkdirSync(join(folder, SOCKET_FOLDER), { mode: 0o711 });
    const group = makeGroup(parts.layout, id);
    undo(() => removeGroup(group));
    return await work({ id, folder, group, undo });
  } catch (error) {
    for (const step of steps.reverse()) step();
    throw error;
  }
}

function needsNetwork(parts: BoxParts, request: StartRequest): boolean {
  return request.isOffline && parts.syscalls !== undefined && parts.jail?.user.kind === "host";
}

/** Undefined if it shares the host's, or bubblewrap makes one into which we cannot reach. */
export function openNetwork(parts: BoxParts, request: StartRequest): InnerNetwork | undefined {
  return parts.syscalls && needsNetwork(parts, request) ? new InnerNetwork(parts.syscalls) : undefined;
}

function openListener(parts: BoxParts, network: InnerNetwork | undefined): number {
  const { syscalls } = parts;
  if (!network || !syscalls) throw new Error("a socket inside needs a network that can be entered");
  return network.inside(() => syscalls.listenOnLoopback(RUNTIME_API_PORT, LISTENER_BACKLOG));
}

/** @throws what kept it from being started. */
async function pidOf(child: ChildProcess): Promise<number> {
  if (child.pid === undefined) throw await once(child, "error").then(([error]) => error);
  // A process that cannot be signalled reports it here; `tryKill` deals with those.
  child.on("error", () => undefined);
  return child.pid;
}

/** For a successor, should this process be killed. */
function writeRecord(folder: string, pid: number): void {
  writeFileSync(join(folder, "record"), `${pid} ${findStartTime(pid) ?? ""}`);
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

export function newBoxId(): string {
  return `sb-${randomBytes(8).toString("hex")}`;
}
