import { Option, type Command as Program } from "commander";
import { usageError } from "./cli-error.ts";
import type { Command, Runner } from "./command.ts";
import type {
  HistoryOptions,
  ScheduleListOptions,
  ScheduleOptions,
  UpcomingOptions,
} from "./commands/schedule.ts";

type Commands = typeof import("./commands/schedule.ts");

/** `lambda schedule`, which makes one if no other word follows than a function's name. */
export function addSchedules(program: Program, run: Runner): void {
  const schedule = program
    .command("schedule")
    .description("call a function at set times; NAME is that of the function unless --name says otherwise")
    .usage("[options] <function[:qualifier]> | <command>")
    .argument("<function[:qualifier]>")
    .option("--cron <expression>", '"0 8 * * MON-FRI", @hourly, or AWS\'s "cron(0 8 ? * MON-FRI *)"')
    .option("--rate <interval>", '"5 minutes", "1 hour", "2 days"')
    .option("--at <time>", "once: 2027-01-01T00:00:00, in the time zone")
    .option("--timezone <zone>", "of --cron and --at, such as Europe/Berlin [UTC]")
    .option("-d, --data <input>", "what the function gets: text, or @file [EventBridge's event]")
    .addOption(
      new Option("--overlap <rule>", "while an earlier event has not ended [allow]").choices([
        "allow",
        "skip",
        "queue",
        "replace",
      ]),
    )
    .option("--catch-up <n>", "missed times to make up for: the latest, up to 100 [1]")
    .option("--jitter <span>", "put each time off by up to this, such as 30s or 10m")
    .option("--start <date>", "not before this")
    .option("--end <date>", "not from this on")
    .option("--name <name>", "name of the schedule, to have several of one function")
    .option("--description <text>", "what it is for")
    .option("--delete-when-over", "delete it when no time is left")
    .action((target: string, options: ScheduleOptions) =>
      run(async (command) => (await import("./commands/schedule.ts")).schedule(command, target, options)),
    );

  /** Options that make a schedule are known to the commands below it, where they would do nothing. */
  const does = (work: (commands: Commands, command: Command) => Promise<void>) =>
    run(async (command) => {
      const [option] = Object.keys(schedule.opts());
      if (option !== undefined) {
        throw usageError(
          `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}: only for making a schedule`,
        );
      }
      await work(await import("./commands/schedule.ts"), command);
    });
  const ofOne = (name: string, description: string) =>
    schedule.command(`${name} <name>`).description(description);

  schedule
    .command("list")
    .alias("ls")
    .description("list the schedules")
    .option("--function <function>", "of one function")
    .action((options: ScheduleListOptions) =>
      does((commands, command) => commands.listSchedules(command, options)),
    );
  ofOne("show", "show a schedule").action((name: string) =>
    does((commands, command) => commands.showSchedule(command, name)),
  );
  ofOne("next", "print when it comes next")
    .option("-n, --count <n>", "how many times, up to 100 [5]")
    .action((name: string, options: UpcomingOptions) =>
      does((commands, command) => commands.showUpcoming(command, name, options)),
    );
  ofOne("history", "show what became of its times, latest first")
    .option("--last <n>", "how many, up to 500 [20]")
    .action((name: string, options: HistoryOptions) =>
      does((commands, command) => commands.showHistory(command, name, options)),
    );
  ofOne("pause", "let it come no more until it is resumed").action((name: string) =>
    does((commands, command) => commands.setPaused(command, name, true)),
  );
  ofOne("resume", "let it come again, from now on").action((name: string) =>
    does((commands, command) => commands.setPaused(command, name, false)),
  );
  ofOne("run", "queue its event now").action((name: string) =>
    does((commands, command) => commands.runSchedule(command, name)),
  );
  ofOne("delete", "delete it with its history")
    .alias("rm")
    .action((name: string) => does((commands, command) => commands.deleteSchedule(command, name)));
}
