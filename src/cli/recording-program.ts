import type { Command as Program } from "commander";
import type { Runner } from "./command.ts";
import type { RecordOptions } from "./commands/record.ts";
import type { RecordingListOptions, RemoveOptions } from "./commands/recordings.ts";
import type { ReplayOptions } from "./commands/replay.ts";
import { collect } from "./deploy-options.ts";

const RECORD_EXAMPLES = `
Examples:
  lambda record on orders --sample 10%                   a tenth of its calls from now on
  lambda record on orders --redact ssn --redact body.card.number
  lambda record status orders                            what is kept, what was dropped
  lambda record off orders                               no more; recordings stay`;

const REPLAY_EXAMPLES = `
Examples:
  lambda replay 6a0e0f7e-1111-4000-8000-000000000000     again, on what is live
  lambda replay 6a0e0f7e-1111-4000-8000-000000000000 --version 8
  lambda replay --function orders --last 100 --version 8 --diff --ignore 'body.items[*].at'

The function does again what it did: mail is sent, money is moved. Its exit code is 1 if outcomes differ.`;

export function addRecordings(program: Program, run: Runner): void {
  const record = program
    .command("record")
    .description("keep inputs and outcomes of a function's calls, secrets redacted, to run them again")
    .addHelpText("after", RECORD_EXAMPLES);
  record
    .command("on <name>")
    .description("record its calls from now on; what is not given stays as it was")
    .option("--sample <share>", "of the calls, such as 10% [100%]")
    .option("--keep <span>", "remove recordings after that, 1h to 30d [7d]")
    .option(
      "--redact <what>",
      "besides the usual: a header or JSON member by name, or a place like body.card.number; again for more",
      collect,
    )
    .option("--redact-nothing-else", "take the names and places of --redact back")
    .action((name: string, options: RecordOptions) =>
      run(async (command) => (await import("./commands/record.ts")).recordOn(command, name, options)),
    );
  record
    .command("off <name>")
    .description("record no more; recordings stay")
    .action((name: string) =>
      run(async (command) => (await import("./commands/record.ts")).recordOff(command, name)),
    );
  record
    .command("status <name>")
    .description("whether it is recorded, what is kept and what was dropped")
    .action((name: string) =>
      run(async (command) => (await import("./commands/record.ts")).recordStatus(command, name)),
    );

  const recordings = program.command("recordings").description("calls that were recorded (lambda record)");
  recordings
    .command("list <name>")
    .description("list recordings of a function, latest first")
    .option("--last <n>", "how many [50]")
    .option("--since <when>", "from 10m, 2h … ago, or a date")
    .option("--version <version>", "that ran this version")
    .option("--outcome <outcome>", "returned, threw, timed-out or crashed")
    .action((name: string, options: RecordingListOptions) =>
      run(async (command) =>
        (await import("./commands/recordings.ts")).listRecordings(command, name, options),
      ),
    );
  recordings
    .command("show <id>")
    .description("show input and outcome of a recorded call")
    .action((id: string) =>
      run(async (command) => (await import("./commands/recordings.ts")).showRecording(command, id)),
    );
  recordings
    .command("delete <name> [id...]")
    .description("remove recordings of a function for good")
    .option("--all", "all of them")
    .action((name: string, ids: string[], options: RemoveOptions) =>
      run(async (command) =>
        (await import("./commands/recordings.ts")).deleteRecordings(command, name, ids, options),
      ),
    );

  program
    .command("replay [id...]")
    .description("run recorded calls again, on any version, and compare the outcomes")
    .option("--function <name>", "calls of this function instead of ids")
    .option("--last <n>", "with --function: how many, up to 10000 [100]")
    .option("--since <when>", "with --function: from 10m, 2h … ago, or a date")
    .option("--version <version>", "on this version or alias [what is live]")
    .option("--diff", "show every difference (one id: always)")
    .option(
      "--ignore <place>",
      "compare without status, headers.etag, body.items[*].at …; again for more",
      collect,
    )
    .option("--concurrency <n>", "so many at once, 1 to 100 [4]")
    .addHelpText("after", REPLAY_EXAMPLES)
    .action((ids: string[], options: ReplayOptions) =>
      run(async (command) => (await import("./commands/replay.ts")).replay(command, ids, options)),
    );
}
