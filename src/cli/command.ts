import type { ExitCode } from "./cli-error.ts";
import type { ApiClient } from "./client.ts";
import type { Host } from "./host.ts";
import type { Output } from "./output.ts";
import type { Settings } from "./settings.ts";

/** What every command gets. Client and settings are made when first asked for: `init` needs neither. */
export interface Command {
  readonly host: Host;
  readonly output: Output;
  settings(): Promise<Settings>;
  client(): Promise<ApiClient>;
  /** The exit code of a command that did its work and still has bad news; otherwise it is 0. */
  finish(code: ExitCode): void;
  /** The user configuration file named by --use-config. */
  readonly useConfig: string | undefined;
}

/** Runs what a command does, with what the options for all commands say. */
export type Runner = (work: (command: Command) => Promise<void>) => Promise<void>;
