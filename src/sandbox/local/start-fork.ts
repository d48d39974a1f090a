/** Starts sandboxes as forks of a zygote (zygote.ts): the same folder, pipes, groups and limits as start-box.ts gives others. */
import { openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Box, type BoxParts, type Jail } from "./box.ts";
import { closeAll, openPipes } from "./box-pipes.ts";
import {
  CODE_DIR,
  LATER_CODE,
  LATER_FOLDER,
  LATER_LAYERS,
  OPT_DIR,
  SOCKET_DIR,
  SOCKET_FOLDER,
} from "./bubblewrap.ts";
import type { Group } from "./cgroups.ts";
import { writeHosts } from "./hosts-file.ts";
import type { StartRequest } from "./messages.ts";
import { numbers } from "./processes.ts";
import { inNewFolder, newBoxId, openNetwork, writeUserFiles } from "./start-box.ts";
import type { ForkOrder, Zygote } from "./zygote.ts";

/** A fork enters its groups itself, and without them nobody could tell who is inside. */
export function canFork({ layout, syscalls, jail }: BoxParts, request: StartRequest): boolean {
  return (
    request.forkFrom !== null &&
    !request.wantsListener &&
    syscalls !== undefined &&
    jail?.user.kind === "host" &&
    layout.hierarchies.some(({ version, controllers }) => version === 2 || controllers.includes("pids"))
  );
}

/** @throws with a sentence if it cannot; nothing is left then. */
export async function startFork(
  parts: BoxParts,
  jail: Jail,
  request: StartRequest,
  zygote: Zygote,
): Promise<Box> {
  const { uid } = jail.user;
  return inNewFolder(parts, newBoxId(), async (made) => {
    refuseNuls(request);
    writeUserFiles(made.folder, uid);
    writeHosts(made.folder, jail, request.hosts);
    const network = openNetwork(parts, request);
    made.undo(() => network?.[Symbol.dispose]());
    const pipes = openPipes(made.folder, { syscalls: parts.syscalls, uid });
    made.undo(() => closeAll(pipes.kept));
    const given: Given = { names: ["stdin", "stdout", "stderr", "telemetry"], fds: [...pipes.given] };
    try {
      const fork = zygote.newFork(() => findProgram(made.group, zygote));
      made.undo(() => fork.cancel());
      const box = new Box({
        ...made,
        parts,
        network,
        listenerFd: undefined,
        first: fork,
        pid: null,
        kept: pipes.kept,
      });
      box.setLimits({ ...request, isBackground: request.codeDir === null });
      if (request.codeDir === null) box.awaitCode();
      made.undo(() => box.unmount());
      const entrances = memoryFirst(made.group);
      for (const file of entrances) give(given, file, openSync(file, "r+"));
      if (network) give(given, "network", network.openDescriptor());
      if (!request.hasInput) give(given, "nothing", openSync("/dev/null", "r"));
      const mounts = openMounts(parts, made.folder, request, given);
      give(given, "order", openOrder(made.folder, { request, uid, mounts, names: given.names }));
      fork.begin(given.fds, entrances.length);
      return box;
    } finally {
      closeAll(given.fds);
    }
  });
}

/** What a child touches before is counted as its parent's. */
function memoryFirst({ entrances, memoryPeakFile }: Group): readonly string[] {
  const folder = memoryPeakFile === undefined ? undefined : dirname(memoryPeakFile);
  return entrances.toSorted((a, b) => Number(dirname(b) === folder) - Number(dirname(a) === folder));
}

/** What no process can be given; said here, since a child could only say it to itself. */
function refuseNuls({ command, environment }: StartRequest): void {
  const texts = [...command, ...Object.entries(environment).flat()];
  const bad = texts.find((text) => text.includes("\0"));
  if (bad !== undefined) throw new Error(`a NUL is in ${JSON.stringify(bad)}`);
}

/** Descriptors on their way to a child, and what they are called in its order. */
interface Given {
  readonly names: string[];
  readonly fds: number[];
}

function give({ names, fds }: Given, name: string, fd: number): string {
  names.push(name);
  fds.push(fd);
  return name;
}

function openMounts(
  { syscalls }: BoxParts,
  folder: string,
  { codeDir, optDir }: StartRequest,
  given: Given,
): Readonly<Record<string, string>> {
  if (!syscalls) throw new Error("mounting by descriptor needs Node 26");
  const later = join(folder, LATER_FOLDER);
  const layers = codeDir === null ? join(later, LATER_LAYERS) : optDir;
  const wanted = {
    [SOCKET_DIR]: join(folder, SOCKET_FOLDER),
    [CODE_DIR]: codeDir ?? join(later, LATER_CODE),
    ...(layers !== null && { [OPT_DIR]: layers }),
  };
  return Object.fromEntries(
    Object.entries(wanted).map(([place, source]) => [
      give(given, `mount ${place}`, syscalls.openReadOnlyTree(source)),
      place,
    ]),
  );
}

/** As a file that is gone at once, since the zygote must not have read it. */
function openOrder(
  folder: string,
  order: {
    readonly request: StartRequest;
    readonly uid: number;
    readonly mounts: Readonly<Record<string, string>>;
    readonly names: readonly string[];
  },
): number {
  const { command, environment, workingDir, tmpMib, hasInput } = order.request;
  const descriptors = Object.fromEntries(order.names.map((name, at) => [name, at]));
  const text: ForkOrder = {
    ...{ command, environment, workingDir, tmpMib },
    uid: order.uid,
    descriptors: { ...descriptors, ...(!hasInput && { stdin: descriptors.nothing ?? 0 }) },
    mounts: order.mounts,
  };
  const file = join(folder, "order");
  writeFileSync(file, JSON.stringify(text), { mode: 0o600 });
  const fd = openSync(file, "r");
  rmSync(file);
  return fd;
}

/** Of the children of a zygote, the one that is in these groups: the other one of the sandbox is not. */
function findProgram({ processesFile }: Group, zygote: Zygote): number | undefined {
  if (processesFile === undefined) return undefined;
  try {
    const inside = numbers(readFileSync(processesFile, "utf8"));
    return zygote.findChildren().find((child) => inside.includes(child));
  } catch {
    // Its group has gone with it.
    return undefined;
  }
}
