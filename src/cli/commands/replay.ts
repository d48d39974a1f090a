import { setTimeout as sleep } from "node:timers/promises";
import { CliError, EXIT, usageError } from "../cli-error.ts";
import type { ApiClient } from "../client.ts";
import type { Command } from "../command.ts";
import { functionName, functionPath } from "../names.ts";
import { type DifferenceView, readDifference, readRecording } from "../recording-view.ts";
import { countOption, instantOption, plural } from "../units.ts";
import { visible } from "../visible.ts";
import { Fields } from "../wire.ts";
import { fetchRecordings, recordingId } from "./recordings.ts";

export interface ReplayOptions {
  readonly function?: string;
  readonly last?: string;
  readonly since?: string;
  readonly version?: string;
  readonly diff?: boolean;
  readonly ignore?: readonly string[];
  readonly concurrency?: string;
}

const LAST_DEFAULT = 100;
const LAST_MAX = 10_000;
const CONCURRENCY_DEFAULT = 4;
const CONCURRENCY_MAX = 100;
/** A function may run for 15 minutes, and wait for its start before. */
const SILENCE_MS_MAX = 20 * 60_000;
const BUSY_TRIES_MAX = 6;

/** Of one recording, which has ended or could not be run for a reason of its own. */
const OWN_FAILURES: readonly string[] = [
  "RecordingNotFound",
  "RecordingUnsuitable",
  "TooManyInvocations",
  "SandboxStartFailed",
];

interface Chosen {
  readonly id: string;
  readonly functionName: string;
}

type Result =
  | {
      readonly kind: "ran";
      readonly chosen: Chosen;
      /** As the API gave it. */
      readonly answer: unknown;
      readonly version: string;
      readonly differences: readonly DifferenceView[];
      readonly more: number;
      readonly redacted: number;
      readonly missing: readonly string[];
    }
  | { readonly kind: "failed"; readonly chosen: Chosen; readonly code: string; readonly message: string };

/** Runs recordings again and compares. Exits with 1 if some outcomes differ, else with 8 if some could not be run. */
export async function replay(
  command: Command,
  ids: readonly string[],
  options: ReplayOptions,
): Promise<void> {
  const concurrency = concurrencyOf(options);
  const { ignore = [], version } = options;
  const body = { ignore, ...(version !== undefined && { version }) };
  const api = await command.client();
  const chosen = await choose(api, ids, options);
  const showsAll = options.diff === true || ids.length === 1;
  const results: Result[] = [];
  const rest = chosen.values();
  const replayInTurn = async () => {
    for (const one of rest) {
      const result = await replayOne(api, one, body, command.host.signal);
      results.push(result);
      if (!command.output.isJson) await show(command, result, showsAll);
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, chosen.length) }, replayInTurn));
  const ran = results.filter((result) => result.kind === "ran");
  const differ = ran.filter(({ differences }) => differences.length > 0).length;
  const notRun = results.length - ran.length;
  if (command.output.isJson) {
    const summary = { replayed: ran.length, same: ran.length - differ, differ, notRun };
    await command.output.json({ ...summary, results: results.map(resultShape) });
  } else {
    await summarise(command, ran, differ, notRun);
  }
  if (differ > 0) command.finish(EXIT.functionFailed);
  else if (notRun > 0) command.finish(EXIT.serverFailed);
}

async function choose(api: ApiClient, ids: readonly string[], options: ReplayOptions): Promise<Chosen[]> {
  const { function: name, last, since } = options;
  if (ids.length > 0) {
    const [narrowing] = Object.entries({ last, since }).find(([, value]) => value !== undefined) ?? [];
    if (narrowing !== undefined)
      throw usageError(`--${narrowing} chooses among a function's calls; give no ids with it`);
    const checked = [...new Set(ids.map(recordingId))];
    if (name !== undefined) return checked.map((id) => ({ id, functionName: functionName(name) }));
    const found: Chosen[] = [];
    for (const id of checked) {
      found.push({
        id,
        functionName: readRecording(await api.json("GET", `/v1/recordings/${id}`)).functionName,
      });
    }
    return found;
  }
  if (name === undefined) {
    throw usageError(
      "replay: give the id of a recorded call, or --function NAME",
      "lambda recordings list NAME shows ids",
    );
  }
  const count = last === undefined ? LAST_DEFAULT : countOption("--last", last, 1);
  if (count > LAST_MAX) throw usageError(`--last: expected at most ${LAST_MAX}, got ${count}`);
  const query = { since: since === undefined ? undefined : instantOption("--since", since, Date.now()) };
  const recordings = await fetchRecordings(api, functionName(name), query, count);
  if (recordings.length === 0) {
    throw CliError.fromServer(
      404,
      "RecordingNotFound",
      `there are no recordings of ${name}${since === undefined ? "" : ` since ${since}`}`,
      `lambda record on ${name} records its calls from then on; lambda record status ${name} shows what is kept`,
    );
  }
  // In the order in which they came; attempts of one event have one id, and the latest of them is what is kept by it.
  const views = recordings.map(readRecording).reverse();
  return [...new Map(views.map((view) => [view.id, { id: view.id, functionName: name }])).values()];
}

async function replayOne(
  api: ApiClient,
  chosen: Chosen,
  body: unknown,
  signal: AbortSignal,
): Promise<Result> {
  const path = functionPath(chosen.functionName, `/recordings/${chosen.id}/replay`);
  for (let attempt = 1; ; attempt++) {
    try {
      const answer = await api.json("POST", path, { body, silenceMsMax: SILENCE_MS_MAX });
      const fields = new Fields("replay", answer);
      const run = fields.object("replay");
      return {
        kind: "ran",
        chosen,
        answer,
        version: String(run.optionalNumber("liveVersion") ?? run.label("version")),
        differences: fields.list("differences").map(readDifference),
        more: fields.number("more"),
        redacted: fields.number("redacted"),
        missing: fields.list("missing").map(String),
      };
    } catch (error) {
      if (!(error instanceof CliError) || !OWN_FAILURES.includes(error.code)) throw error;
      const isBusy = error.code === "TooManyInvocations";
      if (!isBusy || attempt === BUSY_TRIES_MAX) {
        return { kind: "failed", chosen, code: error.code, message: error.message };
      }
      // The function is at its limit: whoever calls it now comes first.
      await sleep(250 * 2 ** attempt, undefined, { signal });
    }
  }
}

async function show({ output }: Command, result: Result, showsAll: boolean): Promise<void> {
  const { id } = result.chosen;
  if (result.kind === "failed") {
    await output.write(`${output.paint("yellow", "not run")}   ${id}   ${visible(result.message)}\n`);
    return;
  }
  const { differences, more } = result;
  if (differences.length === 0) {
    if (showsAll) await output.write(`${output.paint("green", "same")}      ${id}\n`);
    return;
  }
  const count = plural(differences.length + more, "difference");
  await output.write(`${output.paint("red", "differs")}   ${id}   ${count}\n`);
  if (!showsAll) return;
  for (const { path, was, is } of differences) {
    const change = `${visible(was ?? "(nothing)")} → ${visible(is ?? "(nothing)")}`;
    await output.write(`    ${visible(path)}: ${change}\n`);
  }
  if (more > 0) await output.write(`    and ${more} more\n`);
}

async function summarise(
  { output }: Command,
  ran: readonly Extract<Result, { kind: "ran" }>[],
  differ: number,
  notRun: number,
): Promise<void> {
  const versions = [...new Set(ran.map(({ version }) => version))];
  const on = versions.length === 1 ? ` on version ${visible(versions[0] ?? "")}` : "";
  const rest = notRun > 0 ? `, ${notRun} not run` : "";
  await output.write(
    `${ran.length} replayed${on}: ${ran.length - differ} the same, ${differ} differ${rest}\n`,
  );
  const redacted = ran.filter((result) => result.redacted > 0);
  if (redacted.length > 0) {
    const values = redacted.reduce((sum, result) => sum + result.redacted, 0);
    output.note(
      `${plural(redacted.length, "input")} had ${plural(values, "value")} redacted, and so ${redacted.length === 1 ? "was" : "were"} not exactly what came`,
      "yellow",
    );
  }
  const missing = [...new Set(ran.flatMap((result) => result.missing))];
  if (missing.length > 0) {
    output.note(`the version has no ${missing.join(", ")}, whose value the input had`, "yellow");
  }
}

function resultShape(result: Result): unknown {
  if (result.kind === "ran") return result.answer;
  const { id, functionName: name } = result.chosen;
  return { id, function: name, error: { code: result.code, message: result.message } };
}

function concurrencyOf({ concurrency }: ReplayOptions): number {
  if (concurrency === undefined) return CONCURRENCY_DEFAULT;
  const count = countOption("--concurrency", concurrency, 1);
  if (count <= CONCURRENCY_MAX) return count;
  throw usageError(`--concurrency: expected at most ${CONCURRENCY_MAX}, got ${count}`);
}
