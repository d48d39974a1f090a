/** Processes of this host as `/proc` shows them. Everything here is about a moment that has passed when it returns. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { MARKER } from "./messages.ts";

/** Together with its number this names a process for good: clock ticks since boot at which it was started. */
export function findStartTime(pid: number): string | undefined {
  // The name in parentheses may hold anything, so count from the last one: the start is the 20th field after it.
  const stat = readText(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] || undefined;
}

export function isSameProcess(pid: number, startTime: string): boolean {
  return findStartTime(pid) === startTime && !isZombie(pid);
}

function isZombie(pid: number): boolean {
  const stat = readText(`/proc/${pid}/stat`);
  return /^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
}

export function isAlive(pid: number): boolean {
  return findStartTime(pid) !== undefined && !isZombie(pid);
}

/** SIGKILL to a process, or with a negative number to its group; false if nobody is there. */
export function tryKill(pid: number): boolean {
  return trySignal(pid, "SIGKILL");
}

export function trySignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

export function findChildren(pid: number): readonly number[] {
  return numbers(readText(`/proc/${pid}/task/${pid}/children`));
}

/** Living processes whose environment marks them as of one of these sandboxes; only our own user's can be seen. */
export function markedProcesses(ids: ReadonlySet<string>): readonly number[] {
  if (ids.size === 0) return [];
  return allProcesses().filter((pid) => {
    const id = markOf(readText(`/proc/${pid}/environ`));
    return id !== undefined && ids.has(id) && !isZombie(pid);
  });
}

function markOf(environ: string): string | undefined {
  const start = `${MARKER}=`;
  return environ
    .split("\0")
    .find((entry) => entry.startsWith(start))
    ?.slice(start.length);
}

export function processesInPidNamespace(namespace: string): readonly number[] {
  return allProcesses().filter((pid) => pidNamespaceOf(pid) === namespace);
}

/** `pid:[4026531836]`; undefined if it cannot be read. */
export function pidNamespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    // Gone, or another user's.
    return undefined;
  }
}

export function allProcesses(): readonly number[] {
  try {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    // No /proc: not Linux, where nothing can be found this way.
    return [];
  }
}

export function numbers(text: string): readonly number[] {
  return text
    .split(/\s+/)
    .filter((word) => word !== "")
    .map(Number);
}

/** Empty if it cannot be read: the process has gone, or is not ours to see. */
function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
