import type { Command as Program } from "commander";
import type { Runner } from "./command.ts";
import type { EventConfigOptions } from "./commands/event-config.ts";
import type { EventListOptions, PurgeOptions, RedriveOptions, WaitOptions } from "./commands/events.ts";
import { collect } from "./deploy-options.ts";

/** `lambda events` and `lambda dlq`. */
export function addEvents(program: Program, run: Runner): void {
  program.commandsGroup("Events:");
  const events = program.command("events").description("calls that nobody waits for");
  events
    .command("list")
    .description("list events, latest first")
    .option("--function <name>", "of one function")
    .option("--state <states>", "queued, running, done, failed, expired, cancelled, with commas between")
    .option("--last <n>", "how many [50]")
    .action((options: EventListOptions) =>
      run(async (command) => (await import("./commands/events.ts")).listEvents(command, options)),
    );
  const ofOne = (name: string, description: string) =>
    events.command(`${name} <id>`).description(description);
  ofOne("show", "show an event with its input and attempts").action((id: string) =>
    run(async (command) => (await import("./commands/events.ts")).showEvent(command, id)),
  );
  ofOne("result", "print what its call gave").action((id: string) =>
    run(async (command) => (await import("./commands/events.ts")).showResult(command, id)),
  );
  ofOne("cancel", "end it; a call that runs is not stopped").action((id: string) =>
    run(async (command) => (await import("./commands/events.ts")).cancelEvent(command, id)),
  );
  ofOne("retry", "send a failed one on its way again").action((id: string) =>
    run(async (command) => (await import("./commands/events.ts")).retryEvent(command, id)),
  );
  ofOne("wait", "wait until it has ended")
    .option("--timeout <span>", "at most this long [for ever]")
    .action((id: string, options: WaitOptions) =>
      run(async (command) => (await import("./commands/events.ts")).waitForEvent(command, id, options)),
    );
  events
    .command("config <name[:qualifier]>")
    .description("show or change how often a function's events are tried, and who is told of their end")
    .option("--retries <n>", "after a function error: 0 to 2 [2]")
    .option("--max-age <span>", "how long an event is tried, 1m to 6h [6h]")
    .option("--on-success <target>", "a function, or an address that is told by POST; none takes it away")
    .option("--on-failure <target>", "the same, of events that failed or expired")
    .option("--reset", "have the defaults again")
    .action((name: string, options: EventConfigOptions) =>
      run(async (command) =>
        (await import("./commands/event-config.ts")).eventConfig(command, name, options),
      ),
    );

  const dlq = program.command("dlq").description("dead letters: events that failed or expired");
  dlq
    .command("list <name>")
    .description("list the dead letters of a function, latest first")
    .option("--last <n>", "how many [50]")
    .action((name: string, options: EventListOptions) =>
      run(async (command) => (await import("./commands/events.ts")).listDeadLetters(command, name, options)),
    );
  dlq
    .command("redrive <name>")
    .description("send them on their way again")
    .option("--id <id>", "only this one, repeatable", collect)
    .option("--version <version>", "to this version or alias from now on")
    .action((name: string, options: RedriveOptions) =>
      run(async (command) =>
        (await import("./commands/events.ts")).redriveDeadLetters(command, name, options),
      ),
    );
  dlq
    .command("purge <name>")
    .description("remove them for good")
    .option("-y, --yes", "do not ask (nobody is asked where there is no terminal)")
    .action((name: string, options: PurgeOptions) =>
      run(async (command) => (await import("./commands/events.ts")).purgeDeadLetters(command, name, options)),
    );
}
