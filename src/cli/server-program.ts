import { Argument, type Command as Program } from "commander";
import type { Runner } from "./command.ts";
import type { Shell } from "./commands/completion.ts";
import type { OriginOptions } from "./commands/config.ts";
import type { KeyOptions } from "./commands/keys.ts";
import { CONFIG_KEYS, type ConfigKey } from "./settings.ts";

/** Keys and runtimes of the server, and what is on this machine. */
export function addServer(program: Program, run: Runner): void {
  program.commandsGroup("Server and this machine:");
  const keys = program
    .command("keys")
    .description("keys that may call the control API and AWS tools may use");
  keys
    .command("list")
    .description("list the keys, never their secrets")
    .action(() => run(async (command) => (await import("./commands/keys.ts")).listKeys(command)));
  keys
    .command("create")
    .description("make a key and print its secret, this once")
    .option("--id <id>", "take over this id: 16 to 32 of A-Z and 0-9")
    .option("--secret-from-stdin", "take over the secret that stdin has (needs --id)")
    .option("--scopes <list>", "of invoke, read, replay, deploy, admin, with commas between [invoke]")
    .option("--functions <pattern>", "only for functions whose name matches, such as shop-* [*]")
    .option("--description <text>", "who uses it")
    .option("--expires <when>", "in 30d, 12h …, or a date [never]")
    .action((options: KeyOptions) =>
      run(async (command) => (await import("./commands/keys.ts")).createKey(command, options)),
    );
  keys
    .command("revoke <id>")
    .description("make a key useless, at once and for good")
    .action((id: string) =>
      run(async (command) => (await import("./commands/keys.ts")).revokeKey(command, id)),
    );

  const runtimes = program
    .command("runtimes")
    .description("list the languages that functions can use on the server")
    .action(() => run(async (command) => (await import("./commands/runtimes.ts")).listRuntimes(command)));
  runtimes
    .command("install <runtime>")
    .description(
      "bring a Node from the npm registry, for functions with that runtime: nodejs20.x to nodejs26.x",
    )
    .action((runtime: string) =>
      run(async (command) => (await import("./commands/runtimes.ts")).installRuntime(command, runtime)),
    );
  program
    .command("doctor")
    .description("check whether this machine can run functions, and say how to mend what is missing")
    .action(() => run(async (command) => (await import("./commands/doctor.ts")).runDoctor(command)));

  const config = program.command("config").description("the CLI's own settings: server, key");
  config
    .command("list")
    .description("show the settings in effect")
    .option("--show-origin", "and where each came from")
    .action((options: OriginOptions) =>
      run(async (command) => (await import("./commands/config.ts")).listConfig(command, options)),
    );
  config
    .command("get")
    .addArgument(new Argument("<key>").choices(CONFIG_KEYS))
    .description("print one setting in effect")
    .action((key: ConfigKey) =>
      run(async (command) => (await import("./commands/config.ts")).getConfig(command, key)),
    );
  config
    .command("set")
    .addArgument(new Argument("<key>").choices(CONFIG_KEYS))
    .argument("<value>")
    .description("write a setting to the configuration file")
    .action((key: ConfigKey, value: string) =>
      run(async (command) => (await import("./commands/config.ts")).setConfig(command, key, value)),
    );
  config
    .command("unset")
    .addArgument(new Argument("<key>").choices(CONFIG_KEYS))
    .description("remove a setting from the configuration file")
    .action((key: ConfigKey) =>
      run(async (command) => (await import("./commands/config.ts")).unsetConfig(command, key)),
    );

  program
    .command("completion")
    .addArgument(new Argument("<shell>").choices(["bash", "zsh", "fish"]))
    .description('print a completion script: eval "$(lambda completion bash)"')
    .action((shell: Shell) =>
      run(async (command) =>
        (await import("./commands/completion.ts")).printCompletion(command, shell, program),
      ),
    );
}
