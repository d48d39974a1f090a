/**
 * Changes values in JSON text and leaves every other character as it was: numbers keep their digits, members their order,
 * spaces stay. A parser and JSON.stringify would not do that.
 */
import type { Step } from "./value-path.ts";

export interface JsonVisitor {
  /** Whether the value there is replaced as a whole, by `removed`. `path` is the visitor's only until it returns. */
  removes(path: readonly Step[]): boolean;
  readonly removed: string;
  /** What becomes of a string there. */
  text(path: readonly Step[], value: string): string;
  /** What becomes of the name of a member. */
  name(value: string): string;
}

/** What is deeper is removed: nobody has looked at it. */
const JSON_DEPTH_MAX = 64;

/** The same text if nothing is changed; undefined if it is not JSON. `path` leads to the text itself. */
export function rewriteJson(text: string, path: readonly Step[], visitor: JsonVisitor): string | undefined {
  try {
    JSON.parse(text);
  } catch {
    return undefined; // What it is instead is the caller's to decide.
  }
  return new Rewriter(text, [...path], visitor).rewritten();
}

/** Goes through text that is known to be JSON. */
class Rewriter {
  readonly #text: string;
  readonly #path: Step[];
  readonly #depthMax: number;
  readonly #visitor: JsonVisitor;
  readonly #pieces: string[] = [];
  #at = 0;
  /** What is before is in `pieces`. */
  #copied = 0;

  constructor(text: string, path: Step[], visitor: JsonVisitor) {
    this.#text = text;
    this.#path = path;
    this.#depthMax = path.length + JSON_DEPTH_MAX;
    this.#visitor = visitor;
  }

  rewritten(): string {
    this.#value();
    if (this.#copied === 0 && this.#pieces.length === 0) return this.#text;
    return this.#pieces.join("") + this.#text.slice(this.#copied);
  }

  #value(): void {
    this.#skipSpace();
    const from = this.#at;
    const visitor = this.#visitor;
    const isNothing = this.#text.startsWith("null", from);
    if (this.#path.length > this.#depthMax || (!isNothing && visitor.removes(this.#path))) {
      this.#skipValue();
      this.#replace(from, JSON.stringify(visitor.removed));
      return;
    }
    switch (this.#text[from]) {
      case "{":
        this.#members();
        return;
      case "[":
        this.#elements();
        return;
      case '"': {
        const value = this.#string();
        const changed = visitor.text(this.#path, value);
        if (changed !== value) this.#replace(from, JSON.stringify(changed));
        return;
      }
      default:
        this.#skipWord();
    }
  }

  #members(): void {
    this.#at += 1;
    while (!this.#ends("}")) {
      const from = this.#at;
      const name = this.#string();
      const changed = this.#visitor.name(name);
      if (changed !== name) this.#replace(from, JSON.stringify(changed));
      this.#skipSpace();
      this.#at += 1;
      this.#within(name);
    }
  }

  #elements(): void {
    this.#at += 1;
    for (let index = 0; !this.#ends("]"); index += 1) this.#within(index);
  }

  #within(step: Step): void {
    this.#path.push(step);
    this.#value();
    this.#path.pop();
  }

  /** Goes past the bracket if it is next, else to what comes before it. */
  #ends(bracket: "}" | "]"): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] === ",") this.#at += 1;
    this.#skipSpace();
    if (this.#text[this.#at] !== bracket) return false;
    this.#at += 1;
    return true;
  }

  #string(): string {
    const from = this.#at;
    this.#skipString();
    return String(JSON.parse(this.#text.slice(from, this.#at)));
  }

  #skipString(): void {
    for (let end = this.#at + 1; ; end += 1) {
      end = this.#text.indexOf('"', end);
      let backslashes = 0;
      while (this.#text[end - 1 - backslashes] === "\\") backslashes += 1;
      if (backslashes % 2 === 1) continue;
      this.#at = end + 1;
      return;
    }
  }

  #skipWord(): void {
    while (this.#at < this.#text.length && !/[\s,\]}]/.test(this.#text[this.#at] ?? "")) this.#at += 1;
  }

  #skipValue(): void {
    let depth = 0;
    do {
      this.#skipSpace();
      const character = this.#text[this.#at];
      if (character === '"') this.#skipString();
      else if (character === "{" || character === "[") {
        depth += 1;
        this.#at += 1;
      } else if (character === "}" || character === "]") {
        depth -= 1;
        this.#at += 1;
      } else if (character === "," || character === ":") this.#at += 1;
      else this.#skipWord();
    } while (depth > 0);
  }

  #skipSpace(): void {
    while (SPACE.has(this.#text[this.#at] ?? "")) this.#at += 1;
  }

  #replace(from: number, by: string): void {
    this.#pieces.push(this.#text.slice(this.#copied, from), by);
    this.#copied = this.#at;
  }
}

const SPACE: ReadonlySet<string> = new Set([" ", "\t", "\n", "\r"]);
