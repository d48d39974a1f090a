import { readFile } from "node:fs/promises";
import { join } from "node:path";

const LINES_AROUND = 2;
const WIDTH_MAX = 160;

/** Where code is in a sandbox. */
const PLACES = [
  // Node: `/var/task/index.mjs:3:7` and `/var/task/index.mjs:3`; TypeScript by its source map, relative to what was made of it.
  /(?:file:\/\/)?\/var\/task\/([^\s:()"']+):(\d+)(?::(\d+))?/,
  // Python: `File "/var/task/main.py", line 3`.
  /File "\/var\/task\/([^"]+)", line (\d+)()/,
];

/** The lines around the first place in the function's own code that a message names; undefined if it names none that is there. */
export async function codeFrame(message: string, folder: string): Promise<string | undefined> {
  for (const pattern of PLACES) {
    for (const [, file = "", line = "", column] of message.matchAll(new RegExp(pattern, "g"))) {
      // What a function prints decides no more than which of its own lines are shown.
      if (file.includes("node_modules/") || file.split("/").includes("..")) continue;
      const text = await readFile(join(folder, file), "utf8").catch(() => undefined);
      const frame =
        text === undefined ? undefined : frameOf(text, Number(line), column ? Number(column) : undefined);
      if (frame !== undefined) return `${file}:${line}${column ? `:${column}` : ""}\n${frame}`;
    }
  }
  return undefined;
}

/** `line` and `column` from 1. */
function frameOf(text: string, line: number, column: number | undefined): string | undefined {
  const lines = text.split(/\r?\n/);
  if (line < 1 || line > lines.length) return undefined;
  const first = Math.max(1, line - LINES_AROUND);
  const last = Math.min(lines.length, line + LINES_AROUND);
  const width = String(last).length;
  const shown: string[] = [];
  for (let at = first; at <= last; at += 1) {
    const source = (lines[at - 1] ?? "").replaceAll("\t", "  ").slice(0, WIDTH_MAX);
    shown.push(`${at === line ? ">" : " "} ${String(at).padStart(width)} | ${source}`.trimEnd());
    if (at !== line || column === undefined) continue;
    const tabs = (lines[at - 1] ?? "").slice(0, column - 1).split("\t").length - 1;
    shown.push(`  ${" ".repeat(width)} | ${" ".repeat(Math.min(column - 1 + tabs, WIDTH_MAX))}^`);
  }
  return shown.join("\n");
}
