/**
 * Who comes first on a core that several want (sched(7), sched_setattr(2); Linux 6.12 for slices of a process's own).
 *
 * A process that has been asleep preempts another at once only if it asks for a shorter slice; otherwise it waits until that
 * one's is over, some milliseconds. So everything here asks for short ones: functions, which inherit that from the
 * spawner, and the daemon. While functions keep others waiting, the daemon also counts for more than one function's
 * share, since each call of each function passes it twice.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { getPriority } from "node:os";
import type { Syscalls } from "./syscalls.ts";

/** The shortest that the kernel grants. */
const SLICE_US = 100;
const FIRST_NICENESS = -10;

/** Of this process and all that it starts. Kernels that do not know it leave it as it is. */
export function askForShortSlices(syscalls: Pick<Syscalls, "setScheduling">): void {
  attempt(() => syscalls.setScheduling(0, { niceness: getPriority(), sliceUs: SLICE_US, isInherited: true }));
}

/**
 * Of the daemon's loop alone: its threads and what it starts are like everybody else. It asks for short slices always, and
 * comes first only while it is told to: who always comes first is woken for each piece that comes, and takes a fourteenth more of the
 * processor for its calls than one that finds several. Whoever started it with a niceness of his own is obeyed;
 * without the right to (CAP_SYS_NICE) it keeps its niceness.
 */
export class DaemonPrecedence {
  readonly #syscalls: Pick<Syscalls, "setScheduling">;
  readonly #daemon: DaemonProcess;

  constructor(syscalls: Pick<Syscalls, "setScheduling">, daemon: DaemonProcess) {
    this.#syscalls = syscalls;
    this.#daemon = daemon;
    this.#set(daemon.niceness);
  }

  putFirst(isFirst: boolean): void {
    const { pid, niceness } = this.#daemon;
    if (niceness !== 0) return;
    const wanted = isFirst ? FIRST_NICENESS : niceness;
    if (this.#set(wanted)) putSession(pid, wanted);
  }

  #set(niceness: number): boolean {
    const scheduling = { niceness, sliceUs: SLICE_US, isInherited: false };
    return attempt(() => this.#syscalls.setScheduling(this.#daemon.pid, scheduling));
  }
}

export interface DaemonProcess {
  readonly pid: number;
  /** That it was started with. */
  readonly niceness: number;
}

/** Where the kernel shares by sessions first, niceness counts within one only. Others in the daemon's session stay as they are. */
function putSession(pid: number, niceness: number): void {
  attempt(() => {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const session = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[3]);
    if (session === pid) writeFileSync(`/proc/${pid}/autogroup`, String(niceness), { flag: "r+" });
  });
}

/** False where this kernel, or our rights, do not go so far: then all is as if it had not been asked for. */
function attempt(step: () => void): boolean {
  try {
    step();
    return true;
  } catch {
    return false;
  }
}
