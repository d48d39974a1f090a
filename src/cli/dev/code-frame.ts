import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { frameOf } from "../../code/frame.ts";

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
