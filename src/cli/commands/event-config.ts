import type { ApiClient } from "../client.ts";
import type { Command } from "../command.ts";
import { functionPath, type QualifiedName, qualifiedName } from "../names.ts";
import { formatFacts } from "../table.ts";
import { countOption, formatSpan, spanOption } from "../units.ts";
import { Fields } from "../wire.ts";

export interface EventConfigOptions {
  readonly retries?: string;
  readonly maxAge?: string;
  readonly onSuccess?: string;
  readonly onFailure?: string;
  readonly reset?: boolean;
}

/** Shows or changes what becomes of a function's events, by the operations of AWS's API. */
export async function eventConfig(
  { output, client }: Command,
  target: string,
  options: EventConfigOptions,
): Promise<void> {
  const named = qualifiedName(target);
  const path = `/2019-09-25/functions/${encodeURIComponent(named.name)}/event-invoke-config`;
  const query = { Qualifier: named.qualifier };
  const { retries, maxAge, onSuccess, onFailure } = options;
  const settings = {
    ...(retries !== undefined && { MaximumRetryAttempts: countOption("--retries", retries) }),
    ...(maxAge !== undefined && {
      MaximumEventAgeInSeconds: Math.round(spanOption("--max-age", maxAge) / 1_000),
    }),
  };
  const api = await client();
  await requireTarget(api, named);
  if (options.reset) {
    await api.json("DELETE", path, { query });
    if (output.isJson) await output.json({ reset: target });
    else output.note(`${target} has the defaults again`);
    return;
  }
  const isChange = [retries, maxAge, onSuccess, onFailure].some((value) => value !== undefined);
  const destinations = {
    ...(onSuccess !== undefined && { OnSuccess: await destinationOf(api, onSuccess) }),
    ...(onFailure !== undefined && { OnFailure: await destinationOf(api, onFailure) }),
  };
  const body = {
    ...settings,
    ...(Object.keys(destinations).length > 0 && { DestinationConfig: destinations }),
  };
  const answer = isChange
    ? await api.json("POST", path, { query, body })
    : await findConfig(api, path, named);
  if (output.isJson) await output.json(answer);
  else await output.write(formatFacts(configFacts(answer)));
}

/** Of all of them, since a function without one has the defaults and is no error. */
async function findConfig(api: ApiClient, path: string, { qualifier }: QualifiedName): Promise<unknown> {
  const listed = new Fields("configurations", await api.json("GET", `${path}/list`));
  const found = listed.list("FunctionEventInvokeConfigs").find((config) => {
    const arn = new Fields("configuration", config).text("FunctionArn");
    return arn.endsWith(`:${qualifier ?? "$LATEST"}`);
  });
  return found ?? {};
}

/** What is not there has no settings, and cannot be told of anything. @throws CliError */
async function requireTarget(api: ApiClient, { name, qualifier }: QualifiedName): Promise<void> {
  await api.json("GET", functionPath(name));
  if (qualifier === undefined) return;
  const path = `/2015-03-31/functions/${encodeURIComponent(name)}/configuration`;
  await api.json("GET", path, { query: { Qualifier: qualifier } });
}

/** An address as it is; a function as AWS's API names it; `none` takes it away. */
async function destinationOf(api: ApiClient, text: string): Promise<{ readonly Destination: string }> {
  if (text === "none") return { Destination: "" };
  if (/^https?:\/\//i.test(text) || text.startsWith("arn:")) return { Destination: text };
  const named = qualifiedName(text);
  const { name, qualifier } = named;
  await requireTarget(api, named);
  const status = new Fields("status", await api.json("GET", "/v1/status"));
  const arn = `arn:aws:lambda:${status.text("region")}:${status.text("account")}:function:${name}`;
  return { Destination: qualifier === undefined ? arn : `${arn}:${qualifier}` };
}

const RETRIES_DEFAULT = 2;
const AGE_S_DEFAULT = 21_600;

function configFacts(value: unknown): [string, string][] {
  const fields = new Fields("configuration", value);
  const destinations = fields.optionalObject("DestinationConfig");
  const told = (member: string) =>
    destinations?.optionalObject(member)?.optionalText("Destination") ?? "(nobody is told)";
  const ageS = fields.optionalNumber("MaximumEventAgeInSeconds") ?? AGE_S_DEFAULT;
  return [
    ["Retries", String(fields.optionalNumber("MaximumRetryAttempts") ?? RETRIES_DEFAULT)],
    ["Maximum age", formatSpan(ageS * 1_000)],
    ["On success", told("OnSuccess")],
    ["On failure", told("OnFailure")],
  ];
}
