import { usageError } from "../cli-error.ts";
import type { ApiClient } from "../client.ts";
import type { Command } from "../command.ts";
import { functionName, functionPath, invocationId } from "../names.ts";
import {
  bytesWords,
  outcomeWords,
  RECORDING_TITLES,
  type RecordingView,
  readRecording,
  recordingRow,
} from "../recording-view.ts";
import { formatFacts, formatTable } from "../table.ts";
import { countOption, formatInstant, formatSpan, instantOption, plural } from "../units.ts";
import { visibleLines } from "../visible.ts";
import { Fields } from "../wire.ts";

export interface RecordingListOptions {
  readonly last?: string;
  readonly since?: string;
  readonly version?: string;
  readonly outcome?: string;
}

export interface RemoveOptions {
  readonly all?: boolean;
}

const LAST_DEFAULT = 50;
const PAGE = 1_000;

export async function listRecordings(
  { output, client }: Command,
  name: string,
  options: RecordingListOptions,
): Promise<void> {
  const last = options.last === undefined ? LAST_DEFAULT : countOption("--last", options.last, 1);
  const query = {
    since: options.since === undefined ? undefined : instantOption("--since", options.since, Date.now()),
    version: options.version,
    outcome: options.outcome,
  };
  const found = await fetchRecordings(await client(), functionName(name), query, last);
  if (output.isJson) {
    await output.json({ recordings: found });
    return;
  }
  if (found.length === 0) {
    output.note(`no recordings; lambda record status ${name} says whether it is recorded`);
    return;
  }
  await output.write(formatTable(RECORDING_TITLES, found.map(readRecording).map(recordingRow)));
}

/** As the API gives them, latest first. */
export async function fetchRecordings(
  api: ApiClient,
  name: string,
  query: Readonly<Record<string, string | number | undefined>>,
  last: number,
): Promise<readonly unknown[]> {
  const found: unknown[] = [];
  let before: string | undefined;
  do {
    const limit = Math.min(PAGE, last - found.length);
    const answer = await api.json("GET", functionPath(name, "/recordings"), {
      query: { ...query, before, limit },
    });
    const fields = new Fields("recordings", answer);
    found.push(...fields.list("recordings"));
    before = fields.optionalText("next");
  } while (before !== undefined && found.length < last);
  return found;
}

export async function showRecording({ output, client }: Command, id: string): Promise<void> {
  const answer = await (await client()).json("GET", `/v1/recordings/${recordingId(id)}`);
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const fields = new Fields("recording", answer);
  const input = fields.object("input");
  const outcome = fields.object("outcome");
  await output.write(formatFacts(facts(readRecording(answer), input, outcome, fields)));
  await output.write(`\nInput:\n${visibleLines(bytesWords(input))}\n`);
  await output.write(`\nOutcome:\n${visibleLines(bytesWords(outcome))}\n`);
}

export async function deleteRecordings(
  { output, client }: Command,
  name: string,
  ids: readonly string[],
  { all }: RemoveOptions,
): Promise<void> {
  if (all ? ids.length > 0 : ids.length === 0) {
    throw usageError("recordings delete: give ids, or --all", `lambda recordings list ${name} shows them`);
  }
  const path = functionPath(functionName(name), "/recordings");
  const checked = ids.map(recordingId);
  const api = await client();
  if (all) await api.json("DELETE", path);
  for (const id of checked) await api.json("DELETE", `${path}/${id}`);
  if (output.isJson) await output.json({ deleted: all ? "all" : checked });
  else output.note(all ? `deleted all recordings of ${name}` : `deleted ${plural(ids.length, "recording")}`);
}

/** @throws CliError `Usage` */
export function recordingId(text: string): string {
  const id = invocationId(text).toLowerCase();
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) return id;
  throw usageError(
    `expected the id of an invocation, as x-amzn-requestid and lambda recordings list have it, got ${JSON.stringify(text)}`,
  );
}

function facts(view: RecordingView, input: Fields, outcome: Fields, whole: Fields) {
  const method = input.optionalText("method");
  const headers = (fields: Fields) =>
    fields.value("rawHeaders") === undefined ? "" : headerWords(fields.list("rawHeaders").map(String));
  return [
    ["Id", view.id],
    ["Function", view.functionName],
    ["At", formatInstant(view.at)],
    ["Version", view.version],
    ["Outcome", outcomeWords(view.outcome, view.status)],
    ["Error type", outcome.optionalText("errorType")],
    ["Duration", formatSpan(view.durationMs)],
    ["Redacted", view.redacted === 0 ? undefined : plural(view.redacted, "value")],
    ["Variables", view.variables.join(", ")],
    ["Client context", whole.optionalText("clientContext")],
    ["Request", method === undefined ? undefined : `${method} ${input.text("path")}`],
    ["Request headers", headers(input)],
    ["Answer headers", headers(outcome)],
  ] as const;
}

function headerWords(rawHeaders: readonly string[]): string {
  const pairs: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2)
    pairs.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`);
  return pairs.join("; ");
}
