import { Argument, Option, Command as Program } from "commander";
import { addCanary, addCanaryOptions, addShadow } from "./canary-program.ts";
import type { Command } from "./command.ts";
import type { AliasOptions } from "./commands/alias.ts";
import type { BundleOptions } from "./commands/bundle.ts";
import type { Shell } from "./commands/completion.ts";
import type { OriginOptions } from "./commands/config.ts";
import type { DeleteOptions } from "./commands/delete.ts";
import type { DeployOptions } from "./commands/deploy.ts";
import type { DevOptions } from "./commands/dev.ts";
import type { EnvListOptions } from "./commands/env.ts";
import type { EventConfigOptions } from "./commands/event-config.ts";
import type { EventListOptions, PurgeOptions, RedriveOptions, WaitOptions } from "./commands/events.ts";
import type { InitOptions } from "./commands/init.ts";
import type { InvokeOptions } from "./commands/invoke.ts";
import type { KeyOptions } from "./commands/keys.ts";
import type { ListOptions } from "./commands/list.ts";
import type { LogOptions } from "./commands/logs.ts";
import type { RunOptions } from "./commands/run.ts";
import type { StatsOptions, TopOptions } from "./commands/stats.ts";
import type { RollbackOptions } from "./commands/versions.ts";
import { addDeployOptions, collect } from "./deploy-options.ts";
import { addHooks } from "./hook-program.ts";
import type { Host } from "./host.ts";
import { addImages, addImageUpkeep } from "./image-program.ts";
import { addLayers } from "./layer-program.ts";
import { addProjects, type ProjectOptions } from "./project-program.ts";
import { addRecordings } from "./recording-program.ts";
import { addRoutes } from "./route-program.ts";
import { addSchedules } from "./schedule-program.ts";
import { CONFIG_KEYS, type ConfigKey } from "./settings.ts";
import { addSources } from "./source-program.ts";
import { TEMPLATE_NAMES } from "./templates.ts";
import { rememberCommands } from "./usage-hint.ts";

/**
 * The command tree: names, arguments, options and their help. What a command does is in commands/, loaded when it is
 * run, so that starting costs the same however many commands there are.
 */
export interface ProgramParts {
  readonly host: Host;
  open(options: GlobalOptions): Command;
}

export interface GlobalOptions {
  readonly server: string | undefined;
  readonly key: string | undefined;
  readonly useConfig: string | undefined;
  readonly configUsed: boolean;
  readonly json: boolean;
  readonly verbose: boolean;
  readonly color: boolean;
}

type Work = (command: Command) => Promise<void>;
type Runner = (work: Work) => Promise<void>;

export function buildProgram(parts: ProgramParts): Program {
  const program = new Program("lambda");
  const run: Runner = async (work) => {
    const options = program.opts<Partial<GlobalOptions>>();
    await work(
      parts.open({
        server: options.server,
        key: options.key,
        useConfig: options.useConfig,
        configUsed: options.configUsed === true,
        json: options.json === true,
        verbose: options.verbose === true,
        color: options.color !== false,
      }),
    );
  };

  program
    .description("Runs functions written for AWS Lambda, and any other program, on your own machine.")
    .option("--server <url>", "control address of lambdad (LAMBDA_SERVER) [http://127.0.0.1:8081]")
    .option("--key <id.secret>", "key to call it with (LAMBDA_KEY) [the admin key of this machine's lambdad]")
    .option("--use-config <file>", "configuration file [$XDG_CONFIG_HOME/lambda/config.yaml]")
    .option("--config-used", "say which server, key and file are used, and where each came from")
    .option("--json", "print JSON, errors too")
    .option("-v, --verbose", "show the HTTP requests")
    .option("--no-color", "no colours (NO_COLOR)")
    // --version must stay free for `lambda logs --version 7`: cli.ts answers it where it comes first.
    .option("-V", "print the version, as --version does")
    .helpOption("-h, --help", "show help")
    .helpCommand("help [command]", "show help for a command")
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void parts.host.stdout.write(text),
      // Help that was not asked for goes here; errors are thrown, and said by the caller.
      writeErr: (text) => void parts.host.stderr.write(text),
      outputError: () => undefined,
      getOutHelpWidth: () => HELP_WIDTH,
      getErrHelpWidth: () => HELP_WIDTH,
    });

  addWriting(program, run);
  addImages(program, run);
  addRunning(program, run);
  addRecordings(program, run);
  addEvents(program, run);
  addSchedules(program, run);
  addHooks(program, run);
  addSources(program, run);
  addRoutes(program, run);
  addProjects(program, run);
  addLayers(program, run);
  addChanging(program, run);
  addImageUpkeep(program, run);
  addMachine(program, run);
  rememberCommands(program);
  return program;
}

const HELP_WIDTH = 110;

const DEPLOY_EXAMPLES = `
Examples:
  lambda deploy ./hello                   one function, named hello
  lambda deploy                           of this folder: a function, or all functions of its lambda.yaml
  lambda deploy shop --env prod           a project, with the overrides of "environments: prod:"
  lambda deploy shop --preview            a release that is reached by its number, beside what is live
  lambda deploy ./hello --canary 10% --for 10m --abort-on 'error-rate>1%' --abort-on 'p99>500ms'
  lambda deploy ./hello --shadow 5%       copies of GET requests go to the new version; lambda shadow hello tells what differs`;

function addWriting(program: Program, run: Runner): void {
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

function addRunning(program: Program, run: Runner): void {
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

function addEvents(program: Program, run: Runner): void {
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

function addChanging(program: Program, run: Runner): void {
  program.commandsGroup("Versions and settings:");
  program
    .command("versions <name>")
    .description("list the versions of a function, newest first")
    .action((name: string) =>
      run(async (command) => (await import("./commands/versions.ts")).listVersions(command, name)),
    );
  program
    .command("rollback [name]")
    .description(
      "make what was live before live again: a function's version, or (without a name) a project's release",
    )
    .option("--to <n>", "this version or release instead")
    .option("--project <name>", "of this project [that of this folder's lambda.yaml]")
    .action((name: string | undefined, options: RollbackOptions & ProjectOptions) =>
      run(async (command) =>
        name === undefined
          ? (await import("./commands/releases.ts")).rollBackProject(command, options)
          : (await import("./commands/versions.ts")).rollBack(command, name, options),
      ),
    );
  addCanary(program, run);
  addShadow(program, run);
  program
    .command("delete <name>")
    .alias("rm")
    .description("delete a function with its versions and logs")
    .option("-y, --yes", "do not ask (nobody is asked where there is no terminal)")
    .action((name: string, options: DeleteOptions) =>
      run(async (command) => (await import("./commands/delete.ts")).deleteFunction(command, name, options)),
    );

  const alias = program.command("alias").description("names that point at versions");
  alias
    .command("list <name>")
    .description("list the aliases of a function")
    .action((name: string) =>
      run(async (command) => (await import("./commands/alias.ts")).listAliases(command, name)),
    );
  alias
    .command("set <name> <alias> <version>")
    .description("point an alias at a version")
    .option("--split <version=share>", "send this share of calls to a second version: 3=0.1 or 3=10%")
    .option("--description <text>", "what it is for")
    .action((name: string, aliasName: string, version: string, options: AliasOptions) =>
      run(async (command) =>
        (await import("./commands/alias.ts")).setAlias(command, name, aliasName, version, options),
      ),
    );
  alias
    .command("delete <name> <alias>")
    .description("remove an alias")
    .action((name: string, aliasName: string) =>
      run(async (command) => (await import("./commands/alias.ts")).deleteAlias(command, name, aliasName)),
    );

  const env = program
    .command("env")
    .description("environment variables of a function; alone: print what AWS tools need to call lambdad")
    .usage("[options] [command]")
    .argument("[words...]")
    .action((words: string[]) =>
      run(async (command) => (await import("./commands/env.ts")).printAwsEnvironment(command, words)),
    );
  env
    .command("list <name>")
    .description("show the variables of a function")
    .option("--show-values", "with their values")
    .action((name: string, options: EnvListOptions) =>
      run(async (command) => (await import("./commands/env.ts")).listEnvironment(command, name, options)),
    );
  env
    .command("set <name> <KEY=VALUE...>")
    .description("set variables: a new version with the same code")
    .action((name: string, pairs: string[]) =>
      run(async (command) => (await import("./commands/env.ts")).setEnvironment(command, name, pairs)),
    );
  env
    .command("unset <name> <KEY...>")
    .description("remove variables: a new version with the same code")
    .action((name: string, keys: string[]) =>
      run(async (command) => (await import("./commands/env.ts")).unsetEnvironment(command, name, keys)),
    );
}

function addMachine(program: Program, run: Runner): void {
  program.commandsGroup("Server and this machine:");
  const keys = program
    .command("keys")
    .description("keys that may call the control API and AWS tools may use");
  keys
    .command("list")
    .description("list the keys, never their secrets")
    .action(() => run(async (command) => (await import("./commands/keys.ts")).listKeys(command)));
  keys
    .command("create")
    .description("make a key and print its secret, this once")
    .option("--id <id>", "take over this id: 16 to 32 of A-Z and 0-9")
    .option("--secret-from-stdin", "take over the secret that stdin has (needs --id)")
    .option("--scopes <list>", "of invoke, read, replay, deploy, admin, with commas between [invoke]")
    .option("--functions <pattern>", "only for functions whose name matches, such as shop-* [*]")
    .option("--description <text>", "who uses it")
    .option("--expires <when>", "in 30d, 12h …, or a date [never]")
    .action((options: KeyOptions) =>
      run(async (command) => (await import("./commands/keys.ts")).createKey(command, options)),
    );
  keys
    .command("revoke <id>")
    .description("make a key useless, at once and for good")
    .action((id: string) =>
      run(async (command) => (await import("./commands/keys.ts")).revokeKey(command, id)),
    );

  const runtimes = program
    .command("runtimes")
    .description("list the languages that functions can use on the server")
    .action(() => run(async (command) => (await import("./commands/runtimes.ts")).listRuntimes(command)));
  runtimes
    .command("install <runtime>")
    .description(
      "bring a Node from the npm registry, for functions with that runtime: nodejs20.x to nodejs26.x",
    )
    .action((runtime: string) =>
      run(async (command) => (await import("./commands/runtimes.ts")).installRuntime(command, runtime)),
    );
  program
    .command("doctor")
    .description("check whether this machine can run functions, and say how to mend what is missing")
    .action(() => run(async (command) => (await import("./commands/doctor.ts")).runDoctor(command)));

  const config = program.command("config").description("the CLI's own settings: server, key");
  config
    .command("list")
    .description("show the settings in effect")
    .option("--show-origin", "and where each came from")
    .action((options: OriginOptions) =>
      run(async (command) => (await import("./commands/config.ts")).listConfig(command, options)),
    );
  config
    .command("get")
    .addArgument(new Argument("<key>").choices(CONFIG_KEYS))
    .description("print one setting in effect")
    .action((key: ConfigKey) =>
      run(async (command) => (await import("./commands/config.ts")).getConfig(command, key)),
    );
  config
    .command("set")
    .addArgument(new Argument("<key>").choices(CONFIG_KEYS))
    .argument("<value>")
    .description("write a setting to the configuration file")
    .action((key: ConfigKey, value: string) =>
      run(async (command) => (await import("./commands/config.ts")).setConfig(command, key, value)),
    );
  config
    .command("unset")
    .addArgument(new Argument("<key>").choices(CONFIG_KEYS))
    .description("remove a setting from the configuration file")
    .action((key: ConfigKey) =>
      run(async (command) => (await import("./commands/config.ts")).unsetConfig(command, key)),
    );

  program
    .command("completion")
    .addArgument(new Argument("<shell>").choices(["bash", "zsh", "fish"]))
    .description('print a completion script: eval "$(lambda completion bash)"')
    .action((shell: Shell) =>
      run(async (command) =>
        (await import("./commands/completion.ts")).printCompletion(command, shell, program),
      ),
    );
}
