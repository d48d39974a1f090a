import { CommanderError } from "commander";
import { CliError, EXIT, type ExitCode } from "./cli-error.ts";
import { newClient } from "./client.ts";
import type { Command } from "./command.ts";
import { type Host, Interrupted, OutputClosed } from "./host.ts";
import { type Output, openOutput } from "./output.ts";
import { packageVersion } from "./package-version.ts";
import { buildProgram, type GlobalOptions } from "./program.ts";
import { readSettings, type Settings } from "./settings.ts";
import { usageHint } from "./usage-hint.ts";

/** Runs one command line and resolves with the exit code. Never rejects: whatever goes wrong is said on stderr. */
export async function runCli(host: Host): Promise<ExitCode> {
  // Until the options are read, errors are shaped by what the command line seems to ask for.
  let output = openOutput(host, {
    json: host.argv.includes("--json"),
    verbose: false,
    color: !host.argv.includes("--no-color"),
  });
  const leading = leadingOptions(host.argv);
  if (leading.includes("-V") || leading.includes("--version")) {
    await output.write(`${await packageVersion()}\n`);
    return EXIT.ok;
  }
  let exitCode: ExitCode = EXIT.ok;
  const program = buildProgram({
    host,
    open(options) {
      output = openOutput(host, { json: options.json, verbose: options.verbose, color: options.color });
      return openCommand(host, output, options, (code) => {
        exitCode = code;
      });
    },
  });
  try {
    const isAlone = leading.length === host.argv.length && leading.includes("--config-used");
    const argv = isAlone ? [...leading, "config", "list", "--show-origin"] : host.argv;
    await program.parseAsync(argv, { from: "user" });
    return exitCode;
  } catch (error) {
    return report(error, host, output);
  }
}

/** What stands before any command: `lambda logs greet --version 7` does not ask for our version. */
function leadingOptions(argv: readonly string[]): readonly string[] {
  let end = 0;
  while (argv[end]?.startsWith("-")) end += OPTIONS_WITH_VALUE.includes(argv[end] ?? "") ? 2 : 1;
  return argv.slice(0, end);
}

const OPTIONS_WITH_VALUE: readonly string[] = ["--server", "--key", "--use-config"];

function openCommand(host: Host, output: Output, options: GlobalOptions, finish: Command["finish"]): Command {
  let settings: Promise<Settings> | undefined;
  const command: Command = {
    host,
    output,
    useConfig: options.useConfig,
    finish,
    settings() {
      settings ??= readSettings(host, options).then((read) => {
        if (options.configUsed || options.verbose) sayOrigins(output, read);
        return read;
      });
      return settings;
    },
    async client() {
      return newClient({
        settings: await command.settings(),
        signal: host.signal,
        onTraffic: options.verbose ? (line) => output.note(line, "dim") : undefined,
      });
    },
  };
  return command;
}

function sayOrigins(output: Output, settings: Settings): void {
  output.note(`configuration file: ${settings.file.path}${settings.file.exists ? "" : " (absent)"}`, "dim");
  output.note(`server: ${settings.server.value} (${settings.server.origin})`, "dim");
  const keyId = settings.key.value?.split(".")[0];
  output.note(
    `key: ${keyId === undefined ? `none in ${settings.key.origin}` : `${keyId} (${settings.key.origin})`}`,
    "dim",
  );
}

function report(error: unknown, host: Host, output: Output): ExitCode {
  if (error instanceof CommanderError) return reportUsage(error, output);
  if (host.signal.reason instanceof OutputClosed) return EXIT.ok;
  if (host.signal.reason instanceof Interrupted) return EXIT.interrupted;
  if (error instanceof CliError) {
    reportFailure(output, { code: error.code, message: error.message, hint: error.hint });
    return error.exitCode;
  }
  const message = error instanceof Error ? error.message : String(error);
  reportFailure(output, {
    code: "CommandFailed",
    message: `lambda itself failed: ${message}`,
    hint: output.isVerbose ? undefined : "run it again with -v to see where",
  });
  if (output.isVerbose && error instanceof Error) output.note(error.stack ?? "");
  return EXIT.internal;
}

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly hint: string | undefined;
}

function reportFailure(output: Output, failure: Failure): void {
  if (output.isJson) {
    output.note(JSON.stringify({ error: failure }));
    return;
  }
  output.notePart("error: ", "red");
  output.note(failure.message);
  if (failure.hint !== undefined) {
    output.notePart("hint:  ", "dim");
    output.note(failure.hint);
  }
}

/** Commander says `error: unknown option '--x'` and, where it has one, `(Did you mean --y?)` on a second line. */
function reportUsage(error: CommanderError, output: Output): ExitCode {
  if (error.exitCode === 0) return EXIT.ok;
  // Asked for help by giving no command: it has been printed.
  if (error.code === "commander.help") return EXIT.usage;
  const [message = "", suggestion] = error.message.replace(/^error: /, "").split("\n");
  const guess = suggestion?.replace(/^\(|\)$/g, "").replace(/^Did/, "did");
  reportFailure(output, { code: "Usage", message, hint: guess ?? usageHint(error) });
  return EXIT.usage;
}
