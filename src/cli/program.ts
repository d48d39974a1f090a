import { Command as Program } from "commander";
import type { Command, Runner } from "./command.ts";
import { addEvents } from "./event-program.ts";
import { addHooks } from "./hook-program.ts";
import type { Host } from "./host.ts";
import { addImages, addImageUpkeep } from "./image-program.ts";
import { addLayers } from "./layer-program.ts";
import { addProjects } from "./project-program.ts";
import { addRecordings } from "./recording-program.ts";
import { addRoutes } from "./route-program.ts";
import { addRunning } from "./running-program.ts";
import { addSchedules } from "./schedule-program.ts";
import { addServer } from "./server-program.ts";
import { addSources } from "./source-program.ts";
import { rememberCommands } from "./usage-hint.ts";
import { addVersions } from "./version-program.ts";
import { addWriting } from "./writing-program.ts";

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
  addVersions(program, run);
  addImageUpkeep(program, run);
  addServer(program, run);
  rememberCommands(program);
  return program;
}

const HELP_WIDTH = 110;
