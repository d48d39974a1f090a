import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import type { Command } from "./command.ts";

/** Asks at the terminal; only yes is yes. */
export async function confirm(command: Command, text: string): Promise<boolean> {
  return /^y(es)?$/i.test((await question(command, text)).trim());
}

/** Asks for a line at the terminal. */
export async function question({ host }: Command, text: string): Promise<string> {
  const dialog = createInterface({ input: host.stdin, output: host.stderr });
  try {
    return await dialog.question(text, { signal: host.signal });
  } finally {
    dialog.close();
  }
}

/** Asks for a line at the terminal, which does not show what is typed. */
export async function hiddenQuestion({ host }: Command, text: string): Promise<string> {
  host.stderr.write(text);
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const dialog = createInterface({ input: host.stdin, output: nowhere, terminal: true });
  try {
    return await dialog.question("", { signal: host.signal });
  } finally {
    dialog.close();
    host.stderr.write("\n");
  }
}
