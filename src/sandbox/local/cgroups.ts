/**
 * Control groups, versions 1 and 2 (kernel Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst), by their files. Each
 * sandbox is a group `lambdad/INSTANCE/SANDBOX` in every hierarchy that helps: memory, cpu and pids limit it, version 2
 * (also where it has no controllers, in a hybrid layout) or the freezer of version 1 kills it as a whole.
 *
 * All synchronous: this runs in the spawner, which has nothing else to do.
 */
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { findCpuFiles } from "./cpu-files.ts";
import type { CpuFiles, Freezer } from "./messages.ts";

export type Controller = "memory" | "cpu" | "pids" | "freezer";

/** One mounted tree in which our groups can be made; `folder` is `…/lambdad/INSTANCE`. */
export interface Hierarchy {
  readonly version: 1 | 2;
  readonly folder: string;
  readonly controllers: readonly Controller[];
}

export interface CgroupLayout {
  /** 2 only if controllers are there; a hybrid layout is 1. Undefined without any. */
  readonly version: 1 | 2 | undefined;
  readonly hierarchies: readonly Hierarchy[];
  /** Controllers that cannot be used, and why. */
  readonly missing: readonly { readonly controller: Controller; readonly why: string }[];
}

export interface GroupLimits {
  readonly memoryMib: number;
  readonly cpus: number;
  readonly pidsMax: number;
  /** Nobody waits for it: others come first. */
  readonly isBackground?: boolean | undefined;
}

/** A sandbox's groups, one in each hierarchy of the layout, in its order. */
export interface Group {
  /** Where a process writes its number to enter; all of them, before it does anything else. */
  readonly entrances: readonly string[];
  readonly processesFile: string | undefined;
  readonly memoryPeakFile: string | undefined;
  readonly freezer: Freezer | undefined;
  readonly cpu: CpuFiles | undefined;
  readonly folders: readonly string[];
}

const NEEDED: readonly Controller[] = ["memory", "cpu", "pids"];
const MIB = 1024 * 1024;
const CPU_PERIOD_US = 100_000;
/** What one CPU weighs in version 1, and a process of niceness 0. */
const CPU_SHARES = 1_024;
const CPU_QUOTA_US_MIN = 1_000;
/** Of what one CPU weighs. With next to nothing, on a busy host, it would take seconds. */
const BACKGROUND_PERCENT = 10;

export interface CgroupSources {
  readonly instanceName: string;
  /** `/proc/self/mountinfo`. */
  readonly mountinfo: string;
  /** `/proc/self/cgroup`. */
  readonly ownGroups: string;
  readonly isRoot: boolean;
}

/** Finds out where groups can be made, and makes the folder of this instance there. */
export function openCgroups(sources: CgroupSources): CgroupLayout {
  const mounts = parseMounts(sources.mountinfo);
  const hierarchies: Hierarchy[] = [];
  const reasons = new Map<Controller, string>();
  for (const mount of mounts) {
    try {
      const opened = mount.version === 2 ? openUnified(mount, sources) : openLegacy(mount, sources);
      if (opened) hierarchies.push(opened);
    } catch (error) {
      for (const controller of mount.controllers) reasons.set(controller, sentence(error));
    }
  }
  return describe(mounts, withoutNeedless(hierarchies), reasons);
}

/** Each hierarchy costs a start some time: the freezer is of no use where version 2 kills. */
function withoutNeedless(hierarchies: readonly Hierarchy[]): readonly Hierarchy[] {
  const hasKill = hierarchies.some(
    ({ version, folder }) => version === 2 && existsSync(join(folder, "cgroup.kill")),
  );
  const isNeedless = ({ version, controllers }: Hierarchy) =>
    hasKill && version === 1 && controllers.every((name) => name === "freezer");
  for (const { folder } of hierarchies.filter(isNeedless)) removeParents(folder);
  return hierarchies.filter((hierarchy) => !isNeedless(hierarchy));
}

function describe(
  mounts: readonly CgroupMount[],
  hierarchies: readonly Hierarchy[],
  reasons: ReadonlyMap<Controller, string>,
): CgroupLayout {
  const usable = new Set(hierarchies.flatMap((hierarchy) => hierarchy.controllers));
  const limiting = hierarchies.find((hierarchy) => hierarchy.controllers.includes("memory"));
  return {
    version: limiting?.version ?? mounts.find((mount) => mount.controllers.length > 0)?.version,
    hierarchies,
    missing: NEEDED.filter((controller) => !usable.has(controller)).map((controller) => ({
      controller,
      why: reasons.get(controller) ?? "the kernel does not offer it here",
    })),
  };
}

export interface CgroupMount {
  readonly version: 1 | 2;
  readonly path: string;
  /** What part of the tree is mounted there; not `/` inside containers. */
  readonly root: string;
  readonly controllers: readonly Controller[];
}

/** The cgroup lines of `/proc/self/mountinfo`; one mount per hierarchy. */
export function parseMounts(mountinfo: string): readonly CgroupMount[] {
  const found: CgroupMount[] = [];
  for (const line of mountinfo.split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , root = "/", path = ""] = before.split(" ");
    const [type, , options = ""] = after.split(" ");
    if (type === "cgroup2") {
      const offered = readWords(join(path, "cgroup.controllers"));
      found.push({ version: 2, path, root, controllers: NEEDED.filter((name) => offered.includes(name)) });
    } else if (type === "cgroup") {
      const offered = options.split(",");
      const controllers = [...NEEDED, "freezer" as const].filter((name) => offered.includes(name));
      if (controllers.length > 0) found.push({ version: 1, path, root, controllers });
    }
  }
  return found;
}

/** Beside ours other processes are each a group of its own, and all functions together would weigh as much as one of them. */
function openLegacy(mount: CgroupMount, sources: CgroupSources): Hierarchy {
  const parent = join(mount.path, "lambdad");
  const folder = join(parent, sources.instanceName);
  mkdirSync(folder, { recursive: true });
  if (mount.controllers.includes("cpu"))
    tryWrite(join(parent, "cpu.shares"), String(CPU_SHARES * availableParallelism()));
  return { version: 1, folder, controllers: mount.controllers };
}

/**
 * In version 2 a group either holds processes or passes controllers on. Root makes its groups at the top, which is
 * exempt from that. Other users own at most the group a service manager delegated to them (`Delegate=yes`), and whatever
 * runs there is moved into a leaf of it first.
 */
function openUnified(mount: CgroupMount, sources: CgroupSources): Hierarchy | undefined {
  const own = /^0::(.*)$/m.exec(sources.ownGroups)?.[1] ?? "/";
  const base = sources.isRoot ? mount.path : join(mount.path, relativeTo(mount.root, own));
  if (!sources.isRoot) accessSync(join(base, "cgroup.procs"), constants.W_OK);
  if (mount.controllers.length > 0) passOn(base, mount.controllers);
  const parent = join(base, "lambdad");
  const folder = join(parent, sources.instanceName);
  mkdirSync(folder, { recursive: true });
  if (mount.controllers.length > 0) {
    passOn(parent, mount.controllers);
    passOn(folder, mount.controllers);
  }
  const controllers = mount.controllers.filter((name) =>
    readWords(join(folder, "cgroup.subtree_control")).includes(name),
  );
  return { version: 2, folder, controllers };
}

function relativeTo(root: string, path: string): string {
  return path.startsWith(root) ? path.slice(root.length) : path;
}

function passOn(folder: string, controllers: readonly Controller[]): void {
  const file = join(folder, "cgroup.subtree_control");
  const missing = controllers.filter((name) => !readWords(file).includes(name));
  if (missing.length === 0) return;
  const words = missing.map((name) => `+${name}`).join(" ");
  try {
    writeFileSync(file, words);
  } catch (error) {
    if (codeOf(error) !== "EBUSY") throw error;
    // Processes are in the way: those of our own service, or of our container.
    const leaf = join(folder, "lambdad-daemon");
    mkdirSync(leaf, { recursive: true });
    for (const pid of readWords(join(folder, "cgroup.procs"))) tryWrite(join(leaf, "cgroup.procs"), pid);
    writeFileSync(file, words);
  }
}

/** Makes the groups of one sandbox, without limits yet. */
export function makeGroup(layout: CgroupLayout, id: string): Group {
  const folders: string[] = [];
  let memoryPeakFile: string | undefined;
  let processesFile: string | undefined;
  let freezer: Pick<Freezer, "file" | "frozen" | "thawed"> | undefined;
  let paging: Pick<Freezer, "pageOut" | "pageIn"> = { pageOut: [], pageIn: [] };
  for (const { version, folder, controllers } of layout.hierarchies) {
    const own = join(folder, id);
    mkdirSync(own);
    folders.push(own);
    if (controllers.includes("memory")) {
      memoryPeakFile = join(own, version === 2 ? "memory.peak" : "memory.max_usage_in_bytes");
    }
    if (version === 2 || controllers.includes("pids")) processesFile ??= join(own, "cgroup.procs");
    freezer ??= findFreezer(own);
    if (controllers.includes("memory")) paging = pagingOf(own, version);
  }
  return {
    entrances: folders.map((own) => join(own, "cgroup.procs")),
    processesFile,
    memoryPeakFile,
    freezer: freezer && { ...freezer, ...paging },
    cpu: findCpuFiles(layout.hierarchies, folders),
    folders,
  };
}

/** Version 2 keeps a sandbox from swapping but while it stands still; version 1 counts memory and swap together. */
function pagingOf(folder: string, version: 1 | 2): Pick<Freezer, "pageOut" | "pageIn"> {
  if (version === 1)
    return { pageOut: [{ file: join(folder, "memory.force_empty"), text: "0" }], pageIn: [] };
  const swap = join(folder, "memory.swap.max");
  return {
    pageOut: [
      { file: swap, text: "max" },
      { file: join(folder, "memory.reclaim"), text: "1G" },
    ],
    pageIn: [{ file: swap, text: "0" }],
  };
}

function findFreezer(folder: string): Pick<Freezer, "file" | "frozen" | "thawed"> | undefined {
  const unified = join(folder, "cgroup.freeze");
  if (existsSync(unified)) return { file: unified, frozen: "1", thawed: "0" };
  const legacy = join(folder, "freezer.state");
  return existsSync(legacy) ? { file: legacy, frozen: "FROZEN", thawed: "THAWED" } : undefined;
}

/** Of what is missing nothing is set. */
export function setLimits(layout: CgroupLayout, group: Group, limits: GroupLimits): void {
  for (const [index, { version, controllers }] of layout.hierarchies.entries()) {
    const folder = group.folders[index];
    if (folder === undefined) continue;
    if (version === 2) setUnified(folder, controllers, limits);
    else setLegacy(folder, controllers, limits);
  }
}

function setUnified(folder: string, controllers: readonly Controller[], limits: GroupLimits): void {
  if (controllers.includes("memory")) {
    writeFileSync(join(folder, "memory.max"), String(limits.memoryMib * MIB));
    tryWrite(join(folder, "memory.swap.max"), "0");
    tryWrite(join(folder, "memory.oom.group"), "1");
  }
  if (controllers.includes("cpu")) {
    writeFileSync(join(folder, "cpu.max"), `${quotaUs(limits.cpus)} ${CPU_PERIOD_US}`);
    const weight = limits.isBackground ? BACKGROUND_PERCENT : clamp(Math.round(limits.cpus * 100), 1, 10_000);
    tryWrite(join(folder, "cpu.weight"), String(weight));
  }
  if (controllers.includes("pids")) writeFileSync(join(folder, "pids.max"), String(limits.pidsMax));
}

function setLegacy(folder: string, controllers: readonly Controller[], limits: GroupLimits): void {
  if (controllers.includes("memory")) {
    const bytes = String(limits.memoryMib * MIB);
    // Memory and swap together; absent where the kernel does not count swap. Never below the other, so a limit that is
    // raised needs it before, and one that is lowered behind.
    tryWrite(join(folder, "memory.memsw.limit_in_bytes"), bytes);
    writeFileSync(join(folder, "memory.limit_in_bytes"), bytes);
    tryWrite(join(folder, "memory.memsw.limit_in_bytes"), bytes);
  }
  if (controllers.includes("cpu")) {
    writeFileSync(join(folder, "cpu.cfs_period_us"), String(CPU_PERIOD_US));
    writeFileSync(join(folder, "cpu.cfs_quota_us"), String(quotaUs(limits.cpus)));
    const shares = limits.isBackground
      ? BACKGROUND_PERCENT * 10
      : clamp(Math.round(limits.cpus * CPU_SHARES), 2, 262_144);
    tryWrite(join(folder, "cpu.shares"), String(shares));
  }
  if (controllers.includes("pids")) writeFileSync(join(folder, "pids.max"), String(limits.pidsMax));
}

/**
 * Sends SIGKILL to all in the group, once. A group that forks faster than we read is frozen first, so that nothing can
 * be born meanwhile; version 2 does the whole in the kernel.
 */
export function killGroup(group: Pick<Group, "folders">): void {
  const killer = group.folders.find((folder) => existsSync(join(folder, "cgroup.kill")));
  if (killer && tryWrite(join(killer, "cgroup.kill"), "1")) return;
  const freezer = group.folders.find((folder) => existsSync(join(folder, "freezer.state")));
  if (freezer) tryWrite(join(freezer, "freezer.state"), "FROZEN");
  for (const pid of groupProcesses(group)) tryKill(pid);
  if (freezer) tryWrite(join(freezer, "freezer.state"), "THAWED");
}

export function groupProcesses(group: Pick<Group, "folders">): readonly number[] {
  const pids = new Set<number>();
  for (const folder of group.folders) {
    for (const word of readWords(join(folder, "cgroup.procs"))) pids.add(Number(word));
  }
  return [...pids];
}

/** How often the kernel killed for memory in this group. */
export function countOomKills(group: Pick<Group, "folders">): number {
  for (const folder of group.folders) {
    for (const name of ["memory.oom_control", "memory.events"]) {
      const found = /^oom_kill (\d+)$/m.exec(readText(join(folder, name)));
      if (found) return Number(found[1]);
    }
  }
  return 0;
}

/** True when the groups are gone; false while the kernel still counts somebody in one of them. */
export function removeGroup(group: Pick<Group, "folders">): boolean {
  return group.folders.map(removeFolder).every((isGone) => isGone);
}

/** Groups that a predecessor of this name left, by sandbox. */
export function leftoverGroups(layout: CgroupLayout): readonly Pick<Group, "folders">[] {
  const byName = new Map<string, string[]>();
  for (const { folder } of layout.hierarchies) {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      byName.set(entry.name, [...(byName.get(entry.name) ?? []), join(folder, entry.name)]);
    }
  }
  return [...byName.values()].map((folders) => ({ folders }));
}

/** Removes the folders of this instance, and their parents unless another instance uses them. */
export function closeCgroups(layout: CgroupLayout): void {
  for (const { folder } of layout.hierarchies) removeParents(folder);
}

function removeParents(folder: string): void {
  removeFolder(folder);
  removeFolder(join(folder, ".."));
}

function removeFolder(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    return codeOf(error) === "ENOENT";
  }
}

function quotaUs(cpus: number): number {
  return Math.max(CPU_QUOTA_US_MIN, Math.round(cpus * CPU_PERIOD_US));
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

function readWords(file: string): readonly string[] {
  return readText(file)
    .split(/\s+/)
    .filter((word) => word !== "");
}

/** Empty if it cannot be read: a group that is gone has no processes and no counters. */
function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function tryWrite(file: string, text: string): boolean {
  try {
    // Without the flag to create: on a cgroup file system that is another error than "no such file".
    writeFileSync(file, text, { flag: "r+" });
    return true;
  } catch {
    // Optional knobs differ between kernels; those that must be there are written with writeFileSync.
    return false;
  }
}

function tryKill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has left between the reading and this.
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
