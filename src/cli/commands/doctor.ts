import type { Command } from "../command.ts";
export async function runDoctor(_command: Command): Promise<void> {
  return;
}
