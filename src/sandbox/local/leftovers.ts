/**
 * What a killed predecessor left behind: it had no chance to clean up, so its successor does before it starts anything.
 * Costs a directory listing when there is nothing.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleepFor } from "node:timers/promises";
import { LATER_FOLDER } from "./bubblewrap.ts";
import { type CgroupLayout, groupProcesses, killGroup, leftoverGroups, removeGroup } from "./cgroups.ts";
import { findStartTime, isSameProcess, markedProcesses, tryKill } from "./processes.ts";
import type { Syscalls } from "./syscalls.ts";

/** Who works in a run folder: two processes by number and start time. */
const OWNER_FILE = "owner";

/** Folders of sandboxes; anything else in a run folder is not touched. */
const SANDBOX_FOLDER = /^sb-[0-9a-f]{16}$/;

const PREDECESSOR_MS_MAX = 2_000;
const GONE_MS_MAX = 5_000;

/**
 * Takes the run folder over from whoever had it.
 *
 * @throws if its owner is alive.
 */
export async function takeOver(runDir: string, ownerPid: number): Promise<void> {
  mkdirSync(runDir, { recursive: true, mode: 0o700 });
  const file = join(runDir, OWNER_FILE);
  if (existsSync(file)) {
    const [owner, ownerStart, spawner, spawnerStart] = readFileSync(file, "utf8").split(" ");
    if (owner && ownerStart && Number(owner) !== ownerPid && isSameProcess(Number(owner), ownerStart)) {
      throw new Error(`${runDir} is in use by process ${owner}`);
    }
    // A spawner whose daemon was killed is on its way out.
    if (spawner && spawnerStart && Number(spawner) !== process.pid) {
      await untilGone(() => isSameProcess(Number(spawner), spawnerStart), PREDECESSOR_MS_MAX);
      if (isSameProcess(Number(spawner), spawnerStart)) tryKill(Number(spawner));
    }
  }
  writeFileSync(
    file,
    [ownerPid, findStartTime(ownerPid), process.pid, findStartTime(process.pid)].join(" "),
    {
      mode: 0o600,
    },
  );
}

/** Kills and removes every sandbox of the run folder and of the groups. */
export async function removeLeftovers(
  runDir: string,
  layout: CgroupLayout,
  syscalls: Syscalls | undefined,
): Promise<number> {
  const folders = readdirSync(runDir).filter((name) => SANDBOX_FOLDER.test(name));
  const groups = leftoverGroups(layout);
  if (folders.length === 0 && groups.length === 0) return 0;
  const ids = new Set(folders);
  const recorded = folders.flatMap((name) => readRecord(join(runDir, name)));
  const alive = () => [
    ...groups.flatMap(groupProcesses),
    ...markedProcesses(ids),
    ...recorded.filter(({ pid, startTime }) => isSameProcess(pid, startTime)).map(({ pid }) => pid),
  ];
  await untilGone(() => {
    for (const group of groups) killGroup(group);
    const left = alive();
    for (const pid of left) tryKill(pid);
    return left.length > 0;
  }, GONE_MS_MAX);
  await untilGone(() => !groups.map(removeGroup).every((isGone) => isGone), GONE_MS_MAX);
  // A sandbox that was waiting for its code: a folder that is mounted cannot be removed.
  for (const place of mountsBelow(runDir)) syscalls?.unshareMounts(place);
  for (const name of folders) rmSync(join(runDir, name), { recursive: true, force: true });
  return ids.size;
}

function mountsBelow(runDir: string): readonly string[] {
  if (process.platform !== "linux") return [];
  const places = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "");
  return places.filter((place) => place.startsWith(`${runDir}/`) && place.endsWith(`/${LATER_FOLDER}`));
}

/** Gives the run folder up. */
export function leaveRunDir(runDir: string): void {
  rmSync(join(runDir, OWNER_FILE), { force: true });
}

function readRecord(folder: string): { readonly pid: number; readonly startTime: string }[] {
  const file = join(folder, "record");
  if (!existsSync(file)) return [];
  const [pid, startTime] = readFileSync(file, "utf8").split(" ");
  return pid && startTime ? [{ pid: Number(pid), startTime }] : [];
}

async function untilGone(isThere: () => boolean, msMax: number): Promise<void> {
  const giveUpAt = performance.now() + msMax;
  for (let waitMs = 1; isThere() && performance.now() < giveUpAt; waitMs = Math.min(waitMs * 2, 50)) {
    await sleepFor(waitMs);
  }
}
