const FIRST_KEPT = 32 * 1024;
const LAST_KEPT = 160 * 1024;
const LINE_LENGTH_MAX = 4_096;

/** The lines of a build: the first ones and the last ones, where there are very many. */
export class BuildLog {
  #first = "";
  readonly #last: string[] = [];
  #lastLength = 0;
  #leftOut = 0;

  add(line: string): void {
    const text = `${line.length > LINE_LENGTH_MAX ? `${line.slice(0, LINE_LENGTH_MAX)}…` : line}\n`;
    if (this.#last.length === 0 && this.#first.length + text.length <= FIRST_KEPT) {
      this.#first += text;
      return;
    }
    this.#last.push(text);
    this.#lastLength += text.length;
    while (this.#lastLength > LAST_KEPT) {
      this.#lastLength -= this.#last.shift()?.length ?? 0;
      this.#leftOut += 1;
    }
  }

  text(): string {
    const gap = this.#leftOut === 0 ? "" : `… ${this.#leftOut} lines are left out\n`;
    return `${this.#first}${gap}${this.#last.join("")}`;
  }
}
