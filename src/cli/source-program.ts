import { Option, type Command as Program } from "commander";
import type { Command, Runner } from "./command.ts";
import type { CreateSourceOptions, SourceListOptions, UpdateSourceOptions } from "./commands/source.ts";

type Commands = typeof import("./commands/source.ts");

const EXAMPLES = `
Examples:
  $ lambda source create report --queue arn:aws:sqs:eu-central-1:000000000000:orders
  $ lambda source create report --queue arn:aws:sqs:us-east-1:123456789012:orders --endpoint http://127.0.0.1:9324
  $ lambda source create report:live --nats nats://127.0.0.1:4222 --stream ORDERS --partial-failures
  $ lambda source create report --queue ARN --filter '{"body":{"total":[{"numeric":[">",100]}]}}'
`;

/** `lambda source`: queues that functions are called for. */
export function addSources(program: Program, run: Runner): void {
  const source = program
    .command("source")
    .description(
      "call a function for a queue of SQS or a stream of NATS; a source is named by its id or its beginning",
    );
  const does = (work: (commands: Commands, command: Command) => Promise<void>) =>
    run(async (command) => work(await import("./commands/source.ts"), command));
  const ofOne = (name: string, description: string) =>
    source.command(`${name} <source>`).description(description);

  addSettings(
    source
      .command("create <function[:qualifier]>")
      .description("call the function for a queue from now on")
      .option("--queue <arn>", "of SQS: arn:aws:sqs:REGION:ACCOUNT:NAME")
      .option("--endpoint <url>", "of SQS: where it is [the daemon's sqs-endpoint, else AWS's own]")
      .option("--access-key-id <id>", "of SQS: with which to sign; needs --secret-from-stdin")
      .option("--nats <servers>", "of NATS: nats://HOST:PORT or tls://…, several with commas")
      .option("--stream <name>", "of NATS: which stream")
      .option("--consumer <name>", "of NATS: its durable consumer [the function's name]")
      .option("--subject <subject>", "of NATS: only these, if the consumer is made")
      .addOption(
        new Option("--from <where>", "of NATS: where it begins, if the consumer is made [first]").choices([
          "first",
          "new",
        ]),
      )
      .option("--attempts <n>", "of NATS: how often a message is tried [until it succeeds]")
      .option("--user <name>", "of NATS: whose password --secret-from-stdin brings [it is a token]")
      .option("--credentials-file <file>", "of NATS: with a JWT and its seed")
      .option("--secret-from-stdin", "the secret of the login")
      .option("--paused", "take nothing until it is resumed"),
  )
    .addHelpText("after", EXAMPLES)
    .action((target: string, options: CreateSourceOptions) =>
      does((commands, command) => commands.createSource(command, target, options)),
    );
  source
    .command("list")
    .alias("ls")
    .description("list the sources, and how they are doing")
    .option("--function <function>", "of one function")
    .action((options: SourceListOptions) =>
      does((commands, command) => commands.listSources(command, options)),
    );
  ofOne("show", "show a source, and how it is doing").action((id: string) =>
    does((commands, command) => commands.showSource(command, id)),
  );
  addSettings(
    ofOne("update", "change how the function is called").option(
      "--function <function[:qualifier]>",
      "call another one",
    ),
  )
    .option("--no-partial-failures", "a batch fails as a whole")
    .option("--no-filters", "let all messages through")
    .action((id: string, options: UpdateSourceOptions) =>
      does((commands, command) => commands.updateSource(command, id, options)),
    );
  ofOne("pause", "take nothing until it is resumed").action((id: string) =>
    does((commands, command) => commands.setPaused(command, id, true)),
  );
  ofOne("resume", "go on").action((id: string) =>
    does((commands, command) => commands.setPaused(command, id, false)),
  );
  ofOne("delete", "call the function no more; what is in the queue stays there")
    .alias("rm")
    .action((id: string) => does((commands, command) => commands.deleteSource(command, id)));
}

function addSettings(command: Program): Program {
  return command
    .option("--batch <n>", "messages in a call, up to 10000 [10]")
    .option("--window <span>", "how long a batch waits for more, up to 5m [0]")
    .option("--concurrency <n|none>", "batches at once [the function's own limit]")
    .option("--partial-failures", "the answer names the messages that failed")
    .option("--filter <pattern>", "only messages that fit, as EventBridge has it; repeatable", collect)
    .option(
      "--on-failure <target|none>",
      "of NATS: who is told of messages given up: a function or an address",
    );
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
