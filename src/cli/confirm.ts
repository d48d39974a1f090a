import { createInterface } from "node:readline/promises";
import type { Command } from "./command.ts";

/** Asks at the terminal; only yes is yes. */
export async function confirm({ host }: Command, question: string): Promise<boolean> {
  const dialog = createInterface({ input: host.stdin, output: host.stderr });
  try {
    return /^y(es)?$/i.test((await dialog.question(question, { signal: host.signal })).trim());
  } finally {
    dialog.close();
  }
}
