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
  const kept: string[] = [];
  let shown = 0;
  const show = (text: string) => {
    const line = text.slice(0, LINE_LENGTH_MAX).trimEnd();
    if (line === "") return;
    shown += 1;
    if (shown <= LINES_SHOWN_MAX) output(line);
    kept.push(line);
    if (kept.length > LINES_KEPT) kept.shift();
  };
  let partial = "";
  let problem: string | undefined;
  for await (const { stream, status, id, error, progressDetail } of objects(answer)) {
    if (typeof error === "string") problem = error;
    if (typeof stream === "string") {
      const lines = `${partial}${stream}`.split(/\r?\n|\r/);
      partial = (lines.pop() ?? "").slice(-LINE_LENGTH_MAX);
      for (const line of lines) show(line);
    } else if (typeof status === "string" && Object.keys(objectOf(progressDetail)).length === 0) {
      // With details it is a bar that moves, many times a second.
      show(typeof id === "string" ? `${id}: ${status}` : status);
    }
  }
  show(partial);
  return problem === undefined ? undefined : [problem, ...kept.slice(-LINES_KEPT)].join("\n");
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
