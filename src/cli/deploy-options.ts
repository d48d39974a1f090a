import { Option, type Command as Program } from "commander";
import type { CanaryOptions } from "./canary-view.ts";

/** What is said of a deploy. */
export interface DeployOptions extends CanaryOptions {
  readonly name?: string;
  /** An image instead of a path. */
  readonly image?: string;
  readonly package?: string;
  readonly protocol?: string;
  readonly runtime?: string;
  readonly handler?: string;
  readonly kind?: string;
  readonly module?: string;
  readonly command?: string;
  readonly memory?: string;
  readonly cpus?: string;
  readonly timeout?: string;
  readonly tmp?: string;
  readonly env?: readonly string[];
  readonly envFile?: readonly string[];
  readonly network?: string;
  readonly slots?: string;
  readonly max?: string;
  readonly min?: string;
  readonly allow?: readonly string[];
  readonly layer?: readonly string[];
  readonly description?: string;
  readonly allowScripts?: boolean;
  readonly buildArg?: readonly string[];
  readonly buildSecret?: readonly string[];
  /** False for --no-build. */
  readonly build: boolean;
  /** Of a project. */
  readonly preview?: boolean;
  readonly dryRun?: boolean;
  readonly prune?: boolean;
  readonly yes?: boolean;
  readonly adopt?: boolean;
  readonly rebuild?: boolean;
}

/** What `deploy`, `run` and `fn create` have in common. */
export function addDeployOptions(program: Program): Program {
  return program
    .option("--runtime <runtime>", "nodejs24.x, python3.13, provided.al2023 … [detected]")
    .option("--handler <file.function>", "what to call [detected]")
    .addOption(
      new Option("--kind <kind>", "way it is written [detected]").choices([
        "handler",
        "lifecycle",
        "server",
        "filter",
      ]),
    )
    .addOption(
      new Option("--protocol <protocol>", "the same as --kind handler, server or filter").choices([
        "lambda",
        "http",
        "stdio",
      ]),
    )
    .option("--module <file>", "lifecycle module [detected]")
    .option("--command <line>", 'program of a server or filter: words, or JSON like ["./app","-x"]')
    .option("--memory <size>", "memory limit: MiB, or 256M, 1G")
    .option("--cpus <n>", "CPU limit: 0.5, 2 …, or auto [by the memory, at least 1]")
    .option("--timeout <span>", "longest call: seconds, or 500ms, 3s, 2m")
    .option("--tmp <size>", "size of /tmp: MiB, or 512M, 1G")
    .option("-e, --env <KEY=VALUE>", "environment variable, repeatable", collect)
    .option("--env-file <file>", "environment variables from a file of KEY=VALUE lines, repeatable", collect)
    .addOption(new Option("--network <network>", "what it can reach").choices(["host", "none", "public"]))
    .option("--slots <n>", "calls that one instance serves at the same time (lifecycle, server)")
    .option(
      "--max <n>",
      "most calls at the same time, over all instances; 0 refuses all, none lifts the limit",
    )
    .option("--min <n>", "instances that are kept started, called or not; 0 keeps none")
    .option(
      "--allow <right>",
      "credentials for this server in its environment: invoke:PATTERN, again for more; nothing takes them away",
      collect,
    )
    .option(
      "--layer <name[:n]>",
      "a layer at /opt, again for more; none takes them away [those it had]",
      collect,
    )
    .option("--description <text>", "what it is for")
    .option("--allow-scripts", "let dependencies run their install scripts")
    .addOption(
      new Option("--package <type>", "what to make of a folder [image if it has a Dockerfile]").choices([
        "zip",
        "image",
      ]),
    )
    .option(
      "--build-arg <KEY=VALUE>",
      "argument of a Dockerfile's build, repeatable; none takes all away",
      collect,
    )
    .option(
      "--build-secret <id=NAME,src=FILE>",
      "secret of a Dockerfile's build (or env=VARIABLE), kept nowhere, repeatable",
      collect,
    )
    .option("--no-build", "take the code as it is: install, compile and bundle nothing");
}

/** For an option that may be given more than once. */
export function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}
