import { noteLine } from "./log-entry.ts";
import type { LogLine } from "./records.ts";

/** What waits for one reader; beyond it, lines are dropped for that reader and counted. */
const LINES_MAX = 10_000;
const TEXT_LENGTH_MAX = 4 * 1024 * 1024;

/** One who reads along while lines are recorded. */
export class Follower {
  readonly #functionName: string;
  readonly #wants: (line: LogLine) => boolean;
  #waiting: LogLine[] = [];
  #textLength = 0;
  #dropped = 0;
  #wake: (() => void) | undefined;

  constructor(functionName: string, wants: (line: LogLine) => boolean) {
    this.#functionName = functionName;
    this.#wants = wants;
  }

  push(line: LogLine): void {
    if (!this.#wants(line)) return;
    if (this.#dropped > 0 || this.#waiting.length >= LINES_MAX || this.#textLength >= TEXT_LENGTH_MAX) {
      this.#dropped++;
    } else {
      this.#waiting.push(line);
      this.#textLength += line.text.length;
    }
    this.#wake?.();
  }

  /** Lines as they come, until `signal` aborts; where some were dropped, a line that says how many. */
  async *lines(signal: AbortSignal): AsyncGenerator<LogLine> {
    const wake = () => this.#wake?.();
    signal.addEventListener("abort", wake);
    try {
      while (!signal.aborted) {
        if (this.#waiting.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = undefined;
        for (const line of this.#take()) {
          if (signal.aborted) return;
          yield line;
        }
      }
    } finally {
      signal.removeEventListener("abort", wake);
    }
  }

  #take(): LogLine[] {
    const lines = this.#waiting;
    const last = lines.at(-1);
    if (this.#dropped > 0 && last) {
      const count = `${this.#dropped} ${this.#dropped === 1 ? "line" : "lines"}`;
      lines.push(
        noteLine(this.#functionName, last.at, `dropped ${count}: they came faster than they were read`),
      );
    }
    this.#waiting = [];
    this.#textLength = 0;
    this.#dropped = 0;
    return lines;
  }
}
