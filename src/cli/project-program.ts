import type { Command as Program } from "commander";
import type { Runner } from "./command.ts";
import type { DeleteOptions } from "./commands/delete.ts";
import type { ImportOptions } from "./commands/import.ts";
import type { ReleaseListOptions } from "./commands/releases.ts";

const PROJECT: readonly [string, string] = [
  "--project <name>",
  "of this project [that of this folder's lambda.yaml]",
];

export function addProjects(program: Program, run: Runner): void {
  program.commandsGroup("Projects:");
  const releases = program
    .command("releases")
    .description("list the releases of a project, latest first")
    .option(...PROJECT)
    .option("--last <n>", "how many [20]")
    .addHelpText("after", EXAMPLES)
    .action((options: ReleaseListOptions) =>
      run(async (command) => (await import("./commands/releases.ts")).listReleases(command, options)),
    );
  releases
    .command("show <number>")
    .description("show a release: functions, names of variables, schedules, what it changed")
    .option(...PROJECT)
    .action((number: string, _options: unknown, self: Program) =>
      run(async (command) =>
        (await import("./commands/releases.ts")).showRelease(command, number, self.optsWithGlobals()),
      ),
    );
  releases
    .command("diff <from> <to>")
    .description("show how the second differs from the first")
    .option(...PROJECT)
    .action((from: string, to: string, _options: unknown, self: Program) =>
      run(async (command) =>
        (await import("./commands/releases.ts")).compareReleases(command, from, to, self.optsWithGlobals()),
      ),
    );
  releases
    .command("promote <number>")
    .description("make a release live: a preview, or any other")
    .option(...PROJECT)
    .action((number: string, _options: unknown, self: Program) =>
      run(async (command) =>
        (await import("./commands/releases.ts")).promoteRelease(command, number, self.optsWithGlobals()),
      ),
    );

  program
    .command("import [file]")
    .description("make a lambda.yaml of a SAM template, a serverless.yml or a stack.yaml of OpenFaaS")
    .option("--print", "print it, and write nothing")
    .action((file: string | undefined, options: ImportOptions) =>
      run(async (command) => (await import("./commands/import.ts")).importProject(command, file, options)),
    );

  const projects = program
    .command("projects")
    .description("list the projects")
    .action(() => run(async (command) => (await import("./commands/projects.ts")).listProjects(command)));
  projects
    .command("delete <name>")
    .alias("rm")
    .description("delete a project with all of its functions, releases and logs")
    .option("-y, --yes", "do not ask (nobody is asked where there is no terminal)")
    .action((name: string, options: DeleteOptions) =>
      run(async (command) => (await import("./commands/projects.ts")).deleteProject(command, name, options)),
    );
}

const EXAMPLES = `
Examples:
  lambda releases                         of the project in this folder
  lambda releases diff 4 5 --project shop
  lambda releases promote 12              a preview goes live
  lambda rollback                         back to the release that was live before; --to 4 for another`;
