import type { Command as Program } from "commander";
import type { Runner } from "./command.ts";
import type { DeleteOptions } from "./commands/delete.ts";
import type { RefreshOptions } from "./commands/images.ts";
import type { ListOptions } from "./commands/list.ts";
import type { DeployOptions } from "./deploy-options.ts";
import { addDeployOptions } from "./deploy-options.ts";

/** Functions made of images, in the words of container tools. */
export function addImages(program: Program, run: Runner): void {
  program.commandsGroup("Write and deploy:");
  const fn = program.command("fn").alias("function").description("functions made of container images");
  addDeployOptions(
    fn
      .command("create <name> <image>")
      .description("make a function of an image; stdin to stdout unless it exposes a port"),
  ).action((name: string, image: string, options: DeployOptions) =>
    run(async (command) => (await import("./commands/fn.ts")).createFunction(command, name, image, options)),
  );
  fn.command("ls")
    .alias("list")
    .description("list the functions")
    .option("-q, --quiet", "names only")
    .action((options: ListOptions) =>
      run(async (command) => (await import("./commands/list.ts")).list(command, options)),
    );
  fn.command("rm <name>")
    .alias("delete")
    .description("remove a function with its versions, containers, images and logs")
    .option("-y, --yes", "do not ask")
    .action((name: string, options: DeleteOptions) =>
      run(async (command) => (await import("./commands/delete.ts")).deleteFunction(command, name, options)),
    );
}

/** What became of them later. */
export function addImageUpkeep(program: Program, run: Runner): void {
  program.commandsGroup("Versions and settings:");
  const images = program
    .command("images [name]")
    .description("list the images that versions run: age, size, what they are built on, who uses them")
    .action((name: string | undefined) =>
      run(async (command) => (await import("./commands/images.ts")).listImages(command, name)),
    );
  images
    .command("refresh [name...]")
    .description("pull newer base images, and build again what was built on older ones")
    .option("--live", "what was built goes live once it has started [as the server is configured]")
    .option("--no-live", "what was built is only published")
    .action((names: string[], options: RefreshOptions) =>
      run(async (command) => (await import("./commands/images.ts")).refreshImages(command, names, options)),
    );
}
