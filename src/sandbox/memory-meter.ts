/**
 * What the processes of a control group have used, from files of the kernel's. They are read at once: by a thread of the
 * pool, what comes back would be said of the next call.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const MIB = 1024 * 1024;
const KIB_PER_MIB = 1024;
const SAMPLE_MS = 1_000;
const FIRST_SAMPLE_MS = 300;
/** Until then the program may not have begun, or be a shell that starts it. */
const LOOKS = 3;
/** A group may have thousands, and its program is among the first. */
const PROCESSES_LOOKED_AT_MAX = 16;

export class MemoryMeter implements Disposable {
  readonly #peakFile: () => string | undefined;
  readonly #firstSample: NodeJS.Timeout;
  #isOver = false;
  #peakMib = 0;
  #residentMib = 0;
  #sampledAt = Number.NEGATIVE_INFINITY;
  #looks = 0;
  /** `/proc/PID/status` of the process that holds the most. */
  #program: string | undefined;

  /** `peakFile`: of the group's highest use in bytes; undefined where there is none, or none yet. */
  constructor(peakFile: () => string | undefined) {
    this.#peakFile = peakFile;
    this.#firstSample = setTimeout(() => this.#sample(), FIRST_SAMPLE_MS).unref();
  }

  /** What counted towards the group's limit, at its highest. */
  peakMib(of?: "now"): number {
    this.#sampleIfDue(of);
    return this.#peakMib;
  }

  /** The same, or what its program held at its highest with all that others hold as well, if that was more. */
  usedMib(of?: "now"): number {
    this.#sampleIfDue(of);
    return Math.max(this.#peakMib, this.#residentMib);
  }

  /** The group is gone with its processes; `peakMib` is its last value, if anybody knows it. */
  end(peakMib = 0): void {
    this[Symbol.dispose]();
    this.#peakMib = Math.max(this.#peakMib, peakMib);
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    clearTimeout(this.#firstSample);
  }

  #sampleIfDue(of: "now" | undefined): void {
    const isDue = of === "now" || performance.now() - this.#sampledAt > SAMPLE_MS;
    if (isDue && !this.#isOver) this.#sample();
  }

  #sample(): void {
    const peakFile = this.#peakFile();
    if (peakFile === undefined) return;
    this.#sampledAt = performance.now();
    this.#peakMib = Math.max(this.#peakMib, readPeakMib(peakFile));
    if (this.#program === undefined || this.#looks < LOOKS)
      this.#look(join(dirname(peakFile), "cgroup.procs"));
    else this.#residentMib = Math.max(this.#residentMib, readResidentMib(this.#program) ?? this.#gone());
  }

  #look(processesFile: string): void {
    this.#looks += 1;
    for (const pid of readText(processesFile).split("\n", PROCESSES_LOOKED_AT_MAX)) {
      // 0 is a process that is not to be seen from here.
      if (!/^[1-9]/.test(pid)) continue;
      const program = `/proc/${pid}/status`;
      const residentMib = readResidentMib(program) ?? 0;
      if (residentMib <= this.#residentMib && this.#program !== undefined) continue;
      this.#residentMib = Math.max(this.#residentMib, residentMib);
      this.#program = program;
    }
  }

  #gone(): number {
    this.#program = undefined;
    return 0;
  }
}

/** 0 if it cannot be read. */
export function readPeakMib(file: string | undefined): number {
  const bytes = file === undefined ? Number.NaN : Number.parseInt(readText(file), 10);
  return Number.isFinite(bytes) ? Math.ceil(bytes / MIB) : 0;
}

/** The most that a process has held, pages that it shares with others included; undefined if it has gone. */
function readResidentMib(statusFile: string): number | undefined {
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readText(statusFile))?.[1];
  return kib === undefined ? undefined : Math.ceil(Number(kib) / KIB_PER_MIB);
}

/** Empty if it cannot be read: what is gone has used nothing since. */
function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
