import { Option, type Command as Program } from "commander";
import { addCanaryOptions } from "./canary-program.ts";
import type { Runner } from "./command.ts";
import type { BundleOptions } from "./commands/bundle.ts";
import type { DevOptions } from "./commands/dev.ts";
import type { InitOptions } from "./commands/init.ts";
import type { RunOptions } from "./commands/run.ts";
import { addDeployOptions, type DeployOptions } from "./deploy-options.ts";
import { TEMPLATE_NAMES } from "./templates.ts";

const DEPLOY_EXAMPLES = `
Examples:
  lambda deploy ./hello                   one function, named hello
  lambda deploy                           of this folder: a function, or all functions of its lambda.yaml
  lambda deploy shop --env prod           a project, with the overrides of "environments: prod:"
  lambda deploy shop --preview            a release that is reached by its number, beside what is live
  lambda deploy ./hello --canary 10% --for 10m --abort-on 'error-rate>1%' --abort-on 'p99>500ms'
  lambda deploy ./hello --shadow 5%       copies of GET requests go to the new version; lambda shadow hello tells what differs`;

/** `lambda init`, `deploy`, `run`, `dev` and `bundle`: from a folder to a function. */
export function addWriting(program: Program, run: Runner): void {
  program.commandsGroup("Write and deploy:");
  program
    .command("init [folder]")
    .description("start a function from a template")
    .addOption(new Option("-t, --template <name>", "what to start from").choices(TEMPLATE_NAMES))
    .option("--list", "show the templates")
    .action((folder: string | undefined, options: InitOptions) =>
      run(async (command) => (await import("./commands/init.ts")).initFolder(command, folder, options)),
    );
  addCanaryOptions(
    addDeployOptions(
      program
        .command("deploy [path]")
        .description("build a folder, archive or single file and make it live as a new version")
        .option("--image <reference>", "an image of the container engine instead of a path")
        .option("--name <name>", "name of the function [name of the folder, file or image]"),
    ),
  )
    .option("--preview", "of a project (lambda.yaml): reach the release, and leave live what is live")
    .option("--dry-run", "of a project: say what would change, and change nothing")
    .option("--prune", "of a project: take out functions that lambda.yaml no longer has, without asking")
    .option("-y, --yes", "the same as --prune")
    .option("--adopt", "of a project: take in functions of these names that exist already")
    .option("--rebuild", "of a project: build all functions, changed or not")
    .addHelpText("after", DEPLOY_EXAMPLES)
    .action((path: string | undefined, options: DeployOptions) =>
      run(async (command) => (await import("./commands/deploy.ts")).deploy(command, path, options)),
    );
  addDeployOptions(
    program
      .command("run [folder]")
      .description("run one function in the foreground, gone on Ctrl-C")
      .option("-p, --port <port>", "port on this machine, RIE path included [9000]"),
  ).action((folder: string | undefined, options: RunOptions) =>
    run(async (command) => (await import("./commands/run.ts")).runFunction(command, folder, options)),
  );
  addDeployOptions(
    program
      .command("dev [folder]")
      .description("run a function, or a folder of them, and make every save live; needs no lambdad")
      .option("-p, --port <port>", "first port to try [8080]")
      .option("--inspect [port]", "let debuggers attach: Node, and Python with debugpy [9229]")
      .option("--data <dir>", "keep its data there [a folder that goes with it]")
      .option("--sources", "read the queues that lambda.yaml names, too")
      .option("--name <name>", "name of a single function [name of the folder]"),
  ).action((folder: string | undefined, options: DevOptions) =>
    run(async (command) => (await import("./commands/dev.ts")).dev(command, folder, options)),
  );
  program
    .command("bundle [path]")
    .description("make a lifecycle module one executable, which needs no platform: ./counter -port 7050")
    .option("-o, --out <file>", "the executable [name in package.json, or of the folder]")
    .option("--module <file>", "lifecycle module within the folder [detected]")
    .option("--dockerfile", "a folder FILE.image too: a Dockerfile and all that the image will hold")
    .action((path: string | undefined, options: BundleOptions) =>
      run(async (command) => (await import("./commands/bundle.ts")).bundle(command, path, options)),
    );
}
