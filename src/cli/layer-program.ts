import type { Command as Program } from "commander";
import type { Command, Runner } from "./command.ts";
import type { PublishLayerOptions } from "./commands/layer.ts";

type Commands = typeof import("./commands/layer.ts");

/** `lambda layer`. */
export function addLayers(program: Program, run: Runner): void {
  const layer = program
    .command("layer")
    .description("code for /opt that functions share, in numbered versions")
    .addHelpText(
      "after",
      "\nExamples:\n  lambda layer publish tools ./layer      nodejs/node_modules, python, bin, lib … as on Lambda\n  lambda deploy api --layer tools --layer fonts:2\n  lambda deploy api --layer none",
    );
  const act = (work: (commands: Commands, command: Command) => Promise<void>) =>
    run(async (command) => work(await import("./commands/layer.ts"), command));
  layer
    .command("publish <name> <path>")
    .description("make the next version of a layer of a folder or archive, which becomes /opt")
    .option("--description <text>", "what it is for")
    .action((name: string, path: string, options: PublishLayerOptions) =>
      act((commands, command) => commands.publishLayer(command, name, path, options)),
    );
  layer
    .command("list")
    .alias("ls")
    .description("list the layers")
    .action(() => act((commands, command) => commands.listLayers(command)));
  layer
    .command("show <name>")
    .description("list the versions of a layer, newest first")
    .action((name: string) => act((commands, command) => commands.showLayer(command, name)));
  layer
    .command("delete <name:version>")
    .alias("rm")
    .description("remove a version; functions that use it keep it")
    .action((name: string) => act((commands, command) => commands.deleteLayer(command, name)));
}
