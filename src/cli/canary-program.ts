import type { Command as Program } from "commander";
import type { Runner } from "./command.ts";
import type { CanaryCommandOptions } from "./commands/canary.ts";
import type { ShadowCommandOptions } from "./commands/shadow.ts";
import { collect } from "./deploy-options.ts";

const EXAMPLES = `
Examples:
  lambda canary hello                     how the version that is tried does, or what was decided
  lambda canary hello --promote           it goes live now
  lambda canary hello --abort             all calls go to what is live
  lambda canary                           the release of the project in this folder; --project for another`;

export function addCanary(program: Program, run: Runner): void {
  program
    .command("canary [name]")
    .description("show the canary of a function or project (lambda deploy --canary), or end it")
    .option("--project <name>", "of this project [that of this folder's lambda.yaml]")
    .option("--promote", "make its version or release live now")
    .option("--abort", "give all calls to what is live")
    .addHelpText("after", EXAMPLES)
    .action((name: string | undefined, options: CanaryCommandOptions) =>
      run(async (command) => (await import("./commands/canary.ts")).canary(command, name, options)),
    );
}

const SHADOW_EXAMPLES = `
Examples:
  lambda shadow hello                     how often the answers of the shadow differ, and how
  lambda shadow hello --stop              no more copies
  lambda shadow                           of the project in this folder; --project for another`;

export function addShadow(program: Program, run: Runner): void {
  program
    .command("shadow [name]")
    .description("show what the shadow of a function or project (lambda deploy --shadow) found, or stop it")
    .option("--project <name>", "of this project [that of this folder's lambda.yaml]")
    .option("--stop", "copy no more calls")
    .addHelpText("after", SHADOW_EXAMPLES)
    .action((name: string | undefined, options: ShadowCommandOptions) =>
      run(async (command) => (await import("./commands/shadow.ts")).shadow(command, name, options)),
    );
}

/** Of `deploy`. */
export function addCanaryOptions(program: Program): Program {
  return program
    .option(
      "--canary <share>",
      "give the new version or release only so much of the calls at first, such as 10%",
    )
    .option(
      "--shadow <share>",
      "give the new version or release copies of so many calls, and no calls, such as 5%",
    )
    .option(
      "--for <span>",
      "of a canary: then it goes live, such as 10m or 2h; of a shadow: then it ends [24h]",
    )
    .option(
      "--abort-on <condition>",
      "of a canary: go back by itself when 'error-rate>1%', 'p99>500ms' (p50, p90, p95); again for more",
      collect,
    )
    .option("--min-calls <n>", "of a canary: fewer decide nothing before the end [20]")
    .option("--sticky <key>", "of a canary: keep callers on their side by header:NAME, cookie:NAME or ip")
    .option(
      "--shadow-methods <methods>",
      "of a shadow: what is copied, by method; INVOKE for calls that are no HTTP request, or all [GET,HEAD,OPTIONS]",
    );
}
