import { LOG_TAIL_BYTES } from "../core/limits.ts";
import { endOfText } from "./cut-text.ts";

/** The last lines of one invocation, as Invoke with LogType Tail returns them. */
export class LogTail {
  #lines: string[];
  #length: number;

  constructor(start: readonly string[]) {
    this.#lines = [...start];
    this.#length = start.reduce((length, line) => length + line.length + 1, 0);
  }

  add(line: string): void {
    this.#lines.push(line);
    this.#length += line.length + 1;
    let surplus = 0;
    for (const oldest of this.#lines) {
      if (this.#length - oldest.length - 1 < LOG_TAIL_BYTES) break;
      this.#length -= oldest.length + 1;
      surplus++;
    }
    if (surplus > 0) this.#lines = this.#lines.slice(surplus);
  }

  text(): string {
    return endOfText(this.#lines.map((line) => `${line}\n`).join(""), LOG_TAIL_BYTES);
  }
}
