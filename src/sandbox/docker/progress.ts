import type { Readable } from "node:stream";
import { objectOf } from "./engine.ts";

const LINES_KEPT = 30;
const LINE_LENGTH_MAX = 4_096;
const LINES_SHOWN_MAX = 20_000;

/**
 * What an engine says of a build or a pull: JSON objects one after another, of which `stream` is text of the build and
 * `status` a step of a pull. Gives what went wrong, with the last lines before it; undefined if nothing did.
 */
export async function readProgress(
  answer: Readable,
  output: (text: string) => void,
): Promise<string | undefined> {
  const lines = new LineKeeper(output);
  let problem: string | undefined;
  for await (const { stream, status, id, error, progressDetail } of objects(answer)) {
    if (typeof error === "string") problem = error;
    if (typeof stream === "string") lines.add(stream);
    else if (typeof status === "string" && Object.keys(objectOf(progressDetail)).length === 0) {
      // With details it is a bar that moves, many times a second.
      lines.show(typeof id === "string" ? `${id}: ${status}` : status);
    }
  }
  lines.end();
  return problem === undefined ? undefined : [problem, ...lines.last].join("\n");
}

/** Cuts text that comes in pieces into lines, shows as many of them as anybody may want, and keeps the last. */
export class LineKeeper {
  readonly #output: (text: string) => void;
  readonly #kept: string[] = [];
  #shown = 0;
  #partial = "";

  constructor(output: (text: string) => void) {
    this.#output = output;
  }

  get last(): readonly string[] {
    return this.#kept;
  }

  add(text: string): void {
    const lines = `${this.#partial}${text}`.split(/\r?\n|\r/);
    this.#partial = (lines.pop() ?? "").slice(-LINE_LENGTH_MAX);
    for (const line of lines) this.show(line);
  }

  /** What has come of a line that has no end yet. */
  end(): void {
    this.show(this.#partial);
    this.#partial = "";
  }

  show(text: string): void {
    const line = text.slice(0, LINE_LENGTH_MAX).trimEnd();
    if (line === "") return;
    this.#shown += 1;
    if (this.#shown <= LINES_SHOWN_MAX) this.#output(line);
    this.#kept.push(line);
    if (this.#kept.length > LINES_KEPT) this.#kept.shift();
  }
}

async function* objects(answer: Readable): AsyncGenerator<Readonly<Record<string, unknown>>> {
  let rest = "";
  answer.setEncoding("utf8");
  for await (const chunk of answer) {
    const lines = `${rest}${chunk}`.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield parse(line);
  }
  yield parse(rest);
}

function parse(line: string): Readonly<Record<string, unknown>> {
  try {
    return objectOf(JSON.parse(line));
  } catch {
    return {};
  }
}
