import { readTrialOptions } from "../canary-view.ts";
import { usageError } from "../cli-error.ts";
import type { DeployOptions } from "../deploy-options.ts";
import type { ProjectDeployOptions } from "./deploy-project.ts";

/** What a lambda.yaml says for each function, and no option can say for all of them. */
const OF_ONE_FUNCTION = [
  "name",
  "package",
  "protocol",
  "runtime",
  "handler",
  "kind",
  "module",
  "command",
  "memory",
  "timeout",
  "tmp",
  "network",
  "slots",
  "max",
  "min",
  "allow",
  "allowScripts",
  "buildArg",
  "buildSecret",
] as const satisfies readonly (keyof DeployOptions)[];

/** @throws CliError `Usage` for what is for a single function. */
export function projectOptions(options: DeployOptions): ProjectDeployOptions {
  const useless = OF_ONE_FUNCTION.find((name) => options[name] !== undefined);
  if (useless !== undefined) {
    const option = useless.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw usageError(
      `--${option}: this is a project; say it in lambda.yaml, for the function that it is for`,
    );
  }
  if (!options.build) throw usageError('--no-build: this is a project; say "build: false" in lambda.yaml');
  const trial = readTrialOptions(options);
  const [tried] = Object.keys(trial);
  if (tried !== undefined && options.preview) {
    throw usageError(`--${tried} and --preview: a preview takes no share of the calls; give one of them`);
  }
  return {
    trial,
    environment: environmentOf(options.env ?? []),
    envFile: options.envFile ?? [],
    preview: options.preview === true,
    dryRun: options.dryRun === true,
    prune: options.prune === true || options.yes === true,
    adopt: options.adopt === true,
    rebuild: options.rebuild === true,
    description: options.description,
  };
}

/** For a single function, `--env` sets variables. */
function environmentOf(given: readonly string[]): string | undefined {
  const pair = given.find((text) => text.includes("="));
  if (pair !== undefined) {
    throw usageError(
      `--env ${pair.split("=")[0]}=…: this is a project, where --env names one of its environments`,
      "set variables in lambda.yaml; --env-file gives values for what it takes from the environment",
    );
  }
  const [name, ...others] = given;
  if (others.length > 0)
    throw usageError(`--env ${given.join(", ")}: a project is deployed to one environment`);
  return name;
}
