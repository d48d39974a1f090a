import type { Command as Program } from "commander";
import { addCanary, addShadow } from "./canary-program.ts";
import type { Runner } from "./command.ts";
import type { AliasOptions } from "./commands/alias.ts";
import type { DeleteOptions } from "./commands/delete.ts";
import type { EnvListOptions } from "./commands/env.ts";
import type { ProjectOptions } from "./commands/releases.ts";
import type { RollbackOptions } from "./commands/versions.ts";

/** Versions of a function, what points at them, and its variables. */
export function addVersions(program: Program, run: Runner): void {
  program.commandsGroup("Versions and settings:");
  program
    .command("versions <name>")
    .description("list the versions of a function, newest first")
    .action((name: string) =>
      run(async (command) => (await import("./commands/versions.ts")).listVersions(command, name)),
    );
  program
    .command("rollback [name]")
    .description(
      "make what was live before live again: a function's version, or (without a name) a project's release",
    )
    .option("--to <n>", "this version or release instead")
    .option("--project <name>", "of this project [that of this folder's lambda.yaml]")
    .action((name: string | undefined, options: RollbackOptions & ProjectOptions) =>
      run(async (command) =>
        name === undefined
          ? (await import("./commands/releases.ts")).rollBackProject(command, options)
          : (await import("./commands/versions.ts")).rollBack(command, name, options),
      ),
    );
  addCanary(program, run);
  addShadow(program, run);
  program
    .command("delete <name>")
    .alias("rm")
    .description("delete a function with its versions and logs")
    .option("-y, --yes", "do not ask (nobody is asked where there is no terminal)")
    .action((name: string, options: DeleteOptions) =>
      run(async (command) => (await import("./commands/delete.ts")).deleteFunction(command, name, options)),
    );

  const alias = program.command("alias").description("names that point at versions");
  alias
    .command("list <name>")
    .description("list the aliases of a function")
    .action((name: string) =>
      run(async (command) => (await import("./commands/alias.ts")).listAliases(command, name)),
    );
  alias
    .command("set <name> <alias> <version>")
    .description("point an alias at a version")
    .option("--split <version=share>", "send this share of calls to a second version: 3=0.1 or 3=10%")
    .option("--description <text>", "what it is for")
    .action((name: string, aliasName: string, version: string, options: AliasOptions) =>
      run(async (command) =>
        (await import("./commands/alias.ts")).setAlias(command, name, aliasName, version, options),
      ),
    );
  alias
    .command("delete <name> <alias>")
    .description("remove an alias")
    .action((name: string, aliasName: string) =>
      run(async (command) => (await import("./commands/alias.ts")).deleteAlias(command, name, aliasName)),
    );

  const env = program
    .command("env")
    .description("environment variables of a function; alone: print what AWS tools need to call lambdad")
    .usage("[options] [command]")
    .argument("[words...]")
    .action((words: string[]) =>
      run(async (command) => (await import("./commands/env.ts")).printAwsEnvironment(command, words)),
    );
  env
    .command("list <name>")
    .description("show the variables of a function")
    .option("--show-values", "with their values")
    .action((name: string, options: EnvListOptions) =>
      run(async (command) => (await import("./commands/env.ts")).listEnvironment(command, name, options)),
    );
  env
    .command("set <name> <KEY=VALUE...>")
    .description("set variables: a new version with the same code")
    .action((name: string, pairs: string[]) =>
      run(async (command) => (await import("./commands/env.ts")).setEnvironment(command, name, pairs)),
    );
  env
    .command("unset <name> <KEY...>")
    .description("remove variables: a new version with the same code")
    .action((name: string, keys: string[]) =>
      run(async (command) => (await import("./commands/env.ts")).unsetEnvironment(command, name, keys)),
    );
}
