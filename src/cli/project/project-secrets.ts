/** Secrets that a lambda.yaml names: what is set, what can be asked for, and what hooks have already. */
import { CliError } from "../cli-error.ts";
import type { ApiClient } from "../client.ts";
import type { Command } from "../command.ts";
import { hiddenQuestion } from "../confirm.ts";
import { Fields } from "../wire.ts";
import type { Project } from "./read-project.ts";

type Ask = (secret: string) => Promise<string>;

/** Undefined where there is nobody to ask. */
export function secretAsker(command: Command): Ask | undefined {
  const { stdin, stderr } = command.host;
  if (!stdin.isTTY || !stderr.isTTY) return undefined;
  return async (secret) => {
    const value = await hiddenQuestion(command, `${secret} is not set. Its value (not shown): `);
    if (value !== "") return value;
    throw CliError.local("Usage", `secret ${secret}: nothing was given, and nothing was changed`);
  };
}

/**
 * The project with the secrets of its hooks. One that is not set is only needed by a hook that has none yet.
 *
 * @throws CliError `ConfigurationInvalid` with a line for each that is missing.
 */
export async function withHookSecrets(
  project: Project,
  api: ApiClient,
  ask: Ask | undefined,
): Promise<Project> {
  const asked: Record<string, string> = {};
  const problems: string[] = [];
  for (const [name, { secret }] of Object.entries(project.sections.hooks ?? {})) {
    if (secret === undefined || project.variables[secret] !== undefined || asked[secret] !== undefined)
      continue;
    if (await hasSecret(api, name)) continue;
    if (ask) asked[secret] = await ask(secret);
    else {
      const place = project.place(["hooks", name, "secret"]);
      problems.push(
        `${place}: secret ${secret} is not set, and hook ${name} has none yet: set it in the environment of this command, or in a file that --env-file names`,
      );
    }
  }
  if (problems.length > 0) throw CliError.local("ConfigurationInvalid", problems.join("\n"));
  return { ...project, variables: { ...project.variables, ...asked } };
}

async function hasSecret(api: ApiClient, hook: string): Promise<boolean> {
  try {
    const fields = new Fields("hook", await api.json("GET", `/v1/hooks/${encodeURIComponent(hook)}`));
    return fields.list("secrets").length > 0;
  } catch (error) {
    if (error instanceof CliError && error.code === "ResourceNotFound") return false;
    throw error;
  }
}
