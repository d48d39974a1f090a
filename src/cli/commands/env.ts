import { usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { parsePair } from "../environment.ts";
import { functionName, functionPath } from "../names.ts";
import { formatTable } from "../table.ts";
import { Fields, readFunction, readStatus } from "../wire.ts";

export interface EnvListOptions {
  readonly showValues?: boolean;
}

/** What is answered besides Lambda's own API (docs/compatibility.md). */
const SERVICES = ["CLOUDWATCH", "CLOUDWATCH_LOGS", "EVENTBRIDGE", "SCHEDULER", "CLOUDFORMATION"] as const;

/** What AWS tools need to call lambdad, for `eval "$(lambda env)"`. */
export async function printAwsEnvironment(
  { output, client }: Command,
  words: readonly string[],
): Promise<void> {
  if (words[0] !== undefined) {
    throw usageError(
      `env: unknown command ${JSON.stringify(words[0])}`,
      "lambda env list|set|unset NAME …; lambda env alone prints variables for AWS tools",
    );
  }
  const api = await client();
  const [id = "", ...secret] = api.requireKey().split(".");
  if (id === "" || secret.length === 0)
    throw usageError("the key in use is not ID.SECRET, as AWS tools need it");
  const { region } = readStatus(await api.json("GET", "/v1/status"));
  const variables = {
    AWS_ENDPOINT_URL_LAMBDA: api.server,
    ...Object.fromEntries(SERVICES.map((service) => [`AWS_ENDPOINT_URL_${service}`, api.server])),
    AWS_ACCESS_KEY_ID: id,
    AWS_SECRET_ACCESS_KEY: secret.join("."),
    AWS_REGION: region,
    // What boto3, and the AWS CLI before version 2, read instead.
    AWS_DEFAULT_REGION: region,
  };
  if (output.isJson) {
    await output.json(variables);
    return;
  }
  const lines = Object.entries(variables).map(([name, value]) => `export ${name}=${quoteForShell(value)}\n`);
  await output.write(lines.join(""));
}

export async function listEnvironment(
  { output, client }: Command,
  name: string,
  options: EnvListOptions,
): Promise<void> {
  const view = readFunction(await (await client()).json("GET", functionPath(functionName(name))));
  const { environment } = view.config;
  if (output.isJson) {
    await output.json({ environment: options.showValues ? environment : Object.keys(environment) });
    return;
  }
  const names = Object.keys(environment).sort();
  if (names.length === 0) output.note(`${name} has no environment variables`);
  else if (options.showValues) {
    await output.write(
      formatTable(
        ["NAME", "VALUE"],
        names.map((key) => [key, environment[key] ?? ""]),
      ),
    );
  } else
    await output.write(
      formatTable(
        ["NAME"],
        names.map((key) => [key]),
      ),
    );
}

export async function setEnvironment(
  command: Command,
  name: string,
  pairs: readonly string[],
): Promise<void> {
  const set = Object.fromEntries(pairs.map((pair) => parsePair("KEY=VALUE", pair)));
  return change(command, name, { set, unset: [] });
}

export async function unsetEnvironment(
  command: Command,
  name: string,
  keys: readonly string[],
): Promise<void> {
  return change(command, name, { set: {}, unset: keys });
}

async function change(
  { output, client }: Command,
  name: string,
  environment: { readonly set: Readonly<Record<string, string>>; readonly unset: readonly string[] },
): Promise<void> {
  const answer = await (await client()).json("PATCH", functionPath(functionName(name)), {
    body: { environment },
  });
  if (output.isJson) await output.json(answer);
  else await output.write(`${name} (version ${new Fields("change", answer).label("version")}) is live\n`);
}

function quoteForShell(value: string): string {
  return /^[A-Za-z0-9_./:@%+,-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}
