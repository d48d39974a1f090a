import type { CommanderError, Command as Program } from "commander";

const COMMANDS = new WeakMap<CommanderError, string>();

/** Has errors of usage remember which command they are about, `lambda schedule` for one: they do not tell. */
export function rememberCommands(program: Program, above = ""): void {
  const name = `${above}${program.name()}`;
  program.exitOverride((error) => {
    COMMANDS.set(error, name);
    throw error;
  });
  for (const command of program.commands) rememberCommands(command, `${name} `);
}

/** Where it is written how that command is used. */
export function usageHint(error: CommanderError): string {
  const name = COMMANDS.get(error) ?? "lambda";
  return name === "lambda" ? "lambda --help shows all commands" : `${name} --help shows how it is used`;
}
