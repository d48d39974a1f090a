import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

/** Below this share of idle time on its cores a host has nothing to give to another instance. */
const IDLE_SHARE_MIN = 0.15;
/** A shorter span tells more about chance than about load: the kernel counts in steps of 10 ms. */
const SPAN_MS_MIN = 200;
const TICKS_PER_SECOND = 100;
/** Fields of `cpu` in /proc/stat (proc_stat(5)): user nice system idle iowait … */
const IDLE_FIELDS = [4, 5];

/**
 * Whether the cores of this host are busy, as the kernel counted since the last look. /proc costs no disk; it is read only
 * when somebody asks, at most five times a second.
 */
export class HostCpu {
  readonly #file: string;
  readonly #cores: number;
  #idleMs: number | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #isBusy = false;

  constructor({ file = "/proc/stat", cores = availableParallelism() } = {}) {
    this.#file = file;
    this.#cores = cores;
  }

  /** False where the host cannot tell, and until the second look. `now`: monotonic ms. */
  isBusy(now = performance.now()): boolean {
    const spanMs = now - this.#lookedAt;
    if (spanMs < SPAN_MS_MIN) return this.#isBusy;
    const idleMs = readIdleMs(this.#file);
    const before = this.#idleMs;
    this.#idleMs = idleMs;
    this.#lookedAt = now;
    // Too long ago to say anything of now.
    const isRecent = spanMs < SPAN_MS_MIN * 10;
    this.#isBusy =
      idleMs !== undefined &&
      before !== undefined &&
      isRecent &&
      (idleMs - before) / (spanMs * this.#cores) < IDLE_SHARE_MIN;
    return this.#isBusy;
  }
}

/** Idle time of all cores together since the boot, in ms. */
function readIdleMs(file: string): number | undefined {
  try {
    const [line = ""] = readFileSync(file, "latin1").split("\n", 1);
    const fields = line.split(/\s+/);
    const ticks = IDLE_FIELDS.reduce((sum, field) => sum + Number(fields[field]), 0);
    return fields[0] === "cpu" && Number.isFinite(ticks) ? (ticks * 1_000) / TICKS_PER_SECOND : undefined;
  } catch {
    // No /proc here, so nothing is known.
    return undefined;
  }
}
