import type { Command as Program } from "commander";
import type { Runner } from "./command.ts";
import type { InvokeOptions } from "./commands/invoke.ts";
import type { ListOptions } from "./commands/list.ts";
import type { LogOptions } from "./commands/logs.ts";
import type { StatsOptions, TopOptions } from "./commands/stats.ts";

/** `lambda invoke`, and what shows functions and their calls. */
export function addRunning(program: Program, run: Runner): void {
  program.commandsGroup("Run and watch:");
  program
    .command("invoke <name[:qualifier]>")
    .description("call a function; its answer goes to stdout")
    .option("-d, --data <json>", "input: text, @file, or - for stdin [stdin if it is piped]")
    .option("--log", "show the end of the log of this call on stderr")
    .option("--client-context <json>", "context.clientContext")
    .option("--async", "do not wait: queue it as an event, and print the event's id")
    .option("--idempotency-key <key>", "with --async: the same key makes it the same event for a day")
    .action((name: string, options: InvokeOptions) =>
      run(async (command) => (await import("./commands/invoke.ts")).invoke(command, name, options)),
    );
  program
    .command("list")
    .alias("ls")
    .description("list the functions")
    .option("-q, --quiet", "names only")
    .action((options: ListOptions) =>
      run(async (command) => (await import("./commands/list.ts")).list(command, options)),
    );
  program
    .command("info <name>")
    .description("show one function")
    .action((name: string) =>
      run(async (command) => (await import("./commands/info.ts")).showInfo(command, name)),
    );
  program
    .command("logs <name>")
    .description("show the log of a function")
    .option("-f, --follow", "go on as lines come")
    .option("--since <when>", "from 10m, 2h … ago, or a date")
    .option("--until <when>", "up to then")
    .option("--id <id>", "of one invocation")
    .option("--version <version>", "of one version")
    .option("--grep <text>", "lines with this text")
    .option("--last <n>", "only the last lines [100, unless narrowed down]")
    .action((name: string, options: LogOptions) =>
      run(async (command) => (await import("./commands/logs.ts")).showLogs(command, name, options)),
    );
  program
    .command("stats [name]")
    .description("calls, errors and durations of all functions, or of one by version and over time")
    .option("--last <span>", "of the last 5m, 2h … up to 15d [1h]")
    .option("--step <span>", "with a name: steps of time, in whole minutes [a sixtieth of --last]")
    .option("--version <version>", "with a name: only what this version did")
    .option("--alias <alias>", "with a name: only calls by this alias")
    .addHelpText("after", "\nExamples:\n  lambda stats --last 15m\n  lambda stats greet --last 1d --step 1h")
    .action((name: string | undefined, options: StatsOptions) =>
      run(async (command) => (await import("./commands/stats.ts")).showStats(command, name, options)),
    );
  program
    .command("top")
    .description("the busiest functions of the last minute, again and again until Ctrl-C")
    .option("--every <span>", "how often [2s]")
    .option("--once", "once")
    .action((options: TopOptions) =>
      run(async (command) => (await import("./commands/stats.ts")).showTop(command, options)),
    );
}
