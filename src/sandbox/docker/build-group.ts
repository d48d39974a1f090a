/**
 * A control group for one build by BuildKit, which takes no limits but the name of a group above those of its steps
 * (`--cgroup-parent`; engines before Docker 23 ignore it). Made on this host by root, before the build, and removed behind it:
 *
 *   cgroupfs driver   a folder of ours, in every hierarchy of version 1 or in the one of version 2
 *   systemd driver    a slice, which systemd is told the limits of
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleepFor } from "node:timers/promises";
import { promisify } from "node:util";
import type { ImageBuildLimits } from "../../core/image-settings.ts";
import type { EngineVersion } from "./engine.ts";
import type { EngineTraits } from "./engine-traits.ts";

export interface BuildGroup extends AsyncDisposable {
  /** For `--cgroup-parent`. */
  readonly parent: string;
  /** Whether something in it was killed because all of it needed too much memory. `isKilled` says whether a step was. */
  wasFull(isKilled: boolean): Promise<boolean>;
}

const ROOT = "/sys/fs/cgroup";
/** Docker 23. */
const API_MINOR_WITH_PARENT = 42;
const CPU_PERIOD_US = 100_000;
const PROCESSES_MAX = 8_192;
const REMOVAL_TRIES_MAX = 50;
const REMOVAL_PAUSE_MS = 100;
/** Memory is charged in pieces. */
const NEAR_BYTES = 256 * 1_024;
const SYSTEMCTL_MS_MAX = 10_000;

/** Gives why there can be none, as words that end a sentence, where there cannot. */
export async function openBuildGroup(
  engine: { readonly version: EngineVersion; readonly traits: EngineTraits },
  instanceName: string,
  limits: ImageBuildLimits,
): Promise<BuildGroup | string> {
  const { version, traits } = engine;
  if (Number(version.apiVersion.split(".")[1]) < API_MINOR_WITH_PARENT)
    return `Docker ${version.engine} gives BuildKit none (23 or later does)`;
  if (traits.isRootless) return "a rootless engine gives BuildKit none";
  if (process.getuid?.() !== 0) return "only root can make a control group for BuildKit";
  const name = `lambdad-${instanceName}-build-${randomBytes(5).toString("hex")}`;
  try {
    if (traits.cgroupDriver === "systemd") return await openSlice(name, limits);
    if (traits.cgroupDriver === "cgroupfs") return await openFolder(name, instanceName, limits);
    return `the engine has no control groups (${traits.cgroupDriver || "unknown driver"})`;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `a control group could not be made: ${why}`;
  }
}

/** Each file of a limit, by controller. */
function settingsOf({ memoryBytes, cpus }: ImageBuildLimits, isUnified: boolean) {
  const quota = Math.round(cpus * CPU_PERIOD_US);
  if (isUnified) {
    return [
      ["", "memory.max", String(memoryBytes)],
      ["", "cpu.max", `${quota} ${CPU_PERIOD_US}`],
      ["", "pids.max", String(PROCESSES_MAX)],
    ] as const;
  }
  return [
    ["memory", "memory.limit_in_bytes", String(memoryBytes)],
    ["cpu", "cpu.cfs_period_us", String(CPU_PERIOD_US)],
    ["cpu", "cpu.cfs_quota_us", String(quota)],
    ["pids", "pids.max", String(PROCESSES_MAX)],
  ] as const;
}

async function openFolder(name: string, instanceName: string, limits: ImageBuildLimits): Promise<BuildGroup> {
  const isUnified = await exists(join(ROOT, "cgroup.controllers"));
  await removeGroups((found) => found.startsWith(`lambdad-${instanceName}-build-`) && !open.has(found));
  open.add(name);
  const dispose = async () => {
    await removeGroups((found) => found === name);
    open.delete(name);
  };
  try {
    if (isUnified) await writeFile(join(ROOT, "cgroup.subtree_control"), "+memory +cpu +pids");
    for (const [controller, file, value] of settingsOf(limits, isUnified)) {
      const folder = join(ROOT, controller, name);
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, file), value);
    }
    // Where there is no swap, there is no such file.
    const swap = isUnified
      ? ([join(ROOT, name, "memory.swap.max"), "0"] as const)
      : ([join(ROOT, "memory", name, "memory.memsw.limit_in_bytes"), String(limits.memoryBytes)] as const);
    await writeFile(...swap).catch(() => undefined);
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    parent: `/${name}`,
    wasFull: (isKilled) => wasFull(isUnified ? join(ROOT, name) : join(ROOT, "memory", name), isKilled),
    [Symbol.asyncDispose]: dispose,
  };
}

/** Those of this process; what else has our name was left by one that was killed. */
const open = new Set<string>();

/** The engine's part of them goes with its last step, which may be a moment after the build. */
async function removeGroups(isMeant: (name: string) => boolean): Promise<void> {
  const hierarchies = (await exists(join(ROOT, "cgroup.controllers")))
    ? [ROOT]
    : (await readdir(ROOT)).map((name) => join(ROOT, name));
  for (const hierarchy of hierarchies) {
    const names = await readdir(hierarchy).catch(() => []);
    for (const name of names.filter(isMeant)) await removeGroup(join(hierarchy, name));
  }
}

/** With what is below it. */
async function removeGroup(folder: string): Promise<void> {
  const below = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of below) if (entry.isDirectory()) await removeGroup(join(folder, entry.name));
  for (let tries = 1; tries <= REMOVAL_TRIES_MAX; tries += 1) {
    const done = await rmdir(folder).then(
      () => true,
      (error: NodeJS.ErrnoException) => error.code === "ENOENT",
    );
    if (done) return;
    await sleepFor(REMOVAL_PAUSE_MS);
  }
}

async function wasFull(folder: string, isKilled: boolean): Promise<boolean> {
  const read = (file: string) => readFile(join(folder, file), "utf8").catch(() => "");
  const events = await read("memory.events");
  if (events !== "") return Number(/^oom_kill (\d+)$/m.exec(events)?.[1]) > 0;
  // Version 1 counts kills where the process was, and that group is gone.
  const [most, limit] = [await read("memory.max_usage_in_bytes"), await read("memory.limit_in_bytes")];
  return isKilled && Number(most) >= Number(limit) - NEAR_BYTES;
}

async function openSlice(name: string, limits: ImageBuildLimits): Promise<BuildGroup> {
  // A dash would be another level.
  const slice = `${name.replaceAll("-", "_")}.slice`;
  const systemctl = (...args: readonly string[]) =>
    promisify(execFile)("systemctl", [...args], { timeout: SYSTEMCTL_MS_MAX });
  await systemctl(
    ...["set-property", "--runtime", slice, `MemoryMax=${limits.memoryBytes}`, "MemorySwapMax=0"],
    ...[`CPUQuota=${Math.round(limits.cpus * 100)}%`, `TasksMax=${PROCESSES_MAX}`],
  );
  return {
    parent: slice,
    wasFull: (isKilled) => wasFull(join(ROOT, slice), isKilled),
    async [Symbol.asyncDispose]() {
      await systemctl("stop", slice).catch(() => undefined);
      await systemctl("revert", slice).catch(() => undefined);
    },
  };
}

async function exists(file: string): Promise<boolean> {
  return readFile(file).then(
    () => true,
    () => false,
  );
}
