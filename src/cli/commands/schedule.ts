import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { CliError, usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { functionName, qualifiedName } from "../names.ts";
import { nothingFound } from "../nothing-found.ts";
import {
  FIRING_TITLES,
  firingRow,
  inWords,
  readSchedule,
  SCHEDULE_TITLES,
  type ScheduleView,
  scheduleFacts,
  scheduleRow,
  zonedInstant,
} from "../schedule-view.ts";
import { messageOf } from "../settings.ts";
import { formatFacts, formatTable } from "../table.ts";
import { countOption, spanOption } from "../units.ts";
import { Fields } from "../wire.ts";

export interface ScheduleOptions {
  readonly cron?: string;
  readonly rate?: string;
  readonly at?: string;
  readonly timezone?: string;
  readonly data?: string;
  readonly overlap?: string;
  readonly catchUp?: string;
  readonly jitter?: string;
  readonly start?: string;
  readonly end?: string;
  readonly name?: string;
  readonly description?: string;
  readonly deleteWhenOver?: boolean;
}

export interface ScheduleListOptions {
  readonly function?: string;
}

export interface UpcomingOptions {
  readonly count?: string;
}

export interface HistoryOptions {
  readonly last?: string;
}

const PAGE = 500;
const HISTORY_DEFAULT = 20;

/** Makes a schedule, or replaces the one of that name and says so. */
export async function schedule(command: Command, target: string, options: ScheduleOptions): Promise<void> {
  const { name, qualifier } = qualifiedName(target);
  const { timezone, description, overlap } = options;
  const body = {
    function: name,
    ...(qualifier !== undefined && { qualifier }),
    expression: expressionOf(options),
    ...(timezone !== undefined && { timezone }),
    ...(options.data !== undefined && { input: await dataOption(command, options.data) }),
    ...(overlap !== undefined && { overlap }),
    ...(options.catchUp !== undefined && { catchUp: countOption("--catch-up", options.catchUp) }),
    ...(options.jitter !== undefined && { jitterMs: spanOption("--jitter", options.jitter) }),
    ...(options.start !== undefined && { startAt: dateOption("--start", options.start) }),
    ...(options.end !== undefined && { endAt: dateOption("--end", options.end) }),
    ...(description !== undefined && { description }),
    ...(options.deleteWhenOver === true && { endsDeleted: true }),
  };
  const scheduleName = options.name ?? (qualifier === undefined ? name : defaultName(name, qualifier));
  const { output, client } = command;
  const answer = await (await client()).json("PUT", schedulePath(scheduleName), { body });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const fields = new Fields("answer", answer);
  const made = readSchedule(fields.value("schedule"));
  const replaced = fields.value("replaced");
  await output.write(`Scheduled function "${name}" with ${inWords(made.expression)}\n`);
  if (replaced !== undefined) {
    const { expression } = readSchedule(replaced);
    output.note(
      `it replaces schedule ${made.name} with ${inWords(expression)}; --name keeps several of one function`,
    );
  }
}

export async function listSchedules(
  { output, client }: Command,
  options: ScheduleListOptions,
): Promise<void> {
  const query = { function: options.function === undefined ? undefined : functionName(options.function) };
  const api = await client();
  const found: unknown[] = [];
  let after: string | undefined;
  do {
    const fields = new Fields(
      "schedules",
      await api.json("GET", "/v1/schedules", { query: { ...query, after, limit: PAGE } }),
    );
    found.push(...fields.list("schedules"));
    after = fields.optionalText("next");
  } while (after !== undefined);
  if (output.isJson) {
    await output.json({ schedules: found });
    return;
  }
  if (found.length === 0) {
    output.note(nothingFound("schedules", query, 'lambda schedule NAME --cron "0 * * * *"'));
    return;
  }
  await output.write(formatTable(SCHEDULE_TITLES, found.map(readSchedule).map(scheduleRow)));
}

export async function showSchedule({ output, client }: Command, name: string): Promise<void> {
  const answer = await (await client()).json("GET", schedulePath(name));
  if (output.isJson) await output.json(answer);
  else await output.write(formatFacts(scheduleFacts(readSchedule(answer))));
}

/** One a line, by the clock of the schedule's zone. */
export async function showUpcoming(
  { output, client }: Command,
  name: string,
  options: UpcomingOptions,
): Promise<void> {
  const count = options.count === undefined ? undefined : countOption("--count", options.count, 1);
  const server = await client();
  const answer = await server.json("GET", schedulePath(name, "/next"), { query: { count } });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const instants = new Fields("next", answer).list("instants").map(Number);
  const { state, timeZone } = readSchedule(await server.json("GET", schedulePath(name)));
  if (instants.length === 0) output.note(`${name} does not come any more`);
  else if (state === "paused") output.note(`${name} is paused: these are its times once it is resumed`);
  await output.write(instants.map((at) => `${zonedInstant(timeZone, at)}\n`).join(""));
}

export async function showHistory(
  { output, client }: Command,
  name: string,
  options: HistoryOptions,
): Promise<void> {
  const limit = options.last === undefined ? HISTORY_DEFAULT : countOption("--last", options.last, 1);
  const answer = await (await client()).json("GET", schedulePath(name, "/history"), { query: { limit } });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const history = new Fields("history", answer).list("history");
  if (history.length === 0) output.note(`${name} has not come yet`);
  else await output.write(formatTable(FIRING_TITLES, history.map(firingRow)));
}

export async function setPaused({ output, client }: Command, name: string, isPaused: boolean): Promise<void> {
  const action = isPaused ? "/pause" : "/resume";
  const answer = await (await client()).json("POST", schedulePath(name, action), { body: {} });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const { state, nextAt, timeZone }: ScheduleView = readSchedule(answer);
  output.note(
    `${name} is ${state}${nextAt === undefined ? "" : `, next at ${zonedInstant(timeZone, nextAt)}`}`,
  );
}

export async function runSchedule({ output, client }: Command, name: string): Promise<void> {
  const answer = await (await client()).json("POST", schedulePath(name, "/run"), { body: {} });
  if (output.isJson) await output.json(answer);
  else await output.write(`${new Fields("run", answer).text("eventId")} accepted\n`);
}

export async function deleteSchedule({ output, client }: Command, name: string): Promise<void> {
  await (await client()).json("DELETE", schedulePath(name));
  if (output.isJson) await output.json({ deleted: name });
  else output.note(`deleted schedule ${name}`);
}

function defaultName(name: string, qualifier: string): string {
  return `${name}-${qualifier.replace("$", "")}`;
}

/** The server has the last word on what is inside. */
function expressionOf({ cron, rate, at }: ScheduleOptions): string {
  const given = [cron, rate, at].filter((value) => value !== undefined);
  if (given.length !== 1) throw usageError("expected one of --cron, --rate and --at");
  if (cron !== undefined) {
    const other = /^(rate|at)\(/.exec(cron)?.[1];
    if (other !== undefined) throw usageError(`--cron: ${other}(…) is given by --${other}`);
    return cron;
  }
  if (rate !== undefined) return rate.startsWith("rate(") ? rate : `rate(${rate})`;
  return at?.startsWith("at(") ? at : `at(${at})`;
}

/** A date with or without time, local if it names no zone. */
function dateOption(option: string, text: string): number {
  const at = /^\d{4}-\d{2}-\d{2}/.test(text)
    ? Date.parse(text.length === 10 ? `${text}T00:00` : text)
    : Number.NaN;
  if (!Number.isNaN(at)) return at;
  throw usageError(
    `${option}: expected a date like 2027-01-31 or 2027-01-31T12:00Z, got ${JSON.stringify(text)}`,
  );
}

async function dataOption({ host }: Command, text: string): Promise<string> {
  if (!text.startsWith("@")) return text;
  const file = resolve(host.workingDir, text.slice(1));
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw CliError.local("FileUnusable", `--data: cannot read ${file}: ${messageOf(error)}`);
  }
}

function schedulePath(name: string, rest = ""): string {
  // Targets of rules have slashes in their names.
  if (
    /^[0-9A-Za-z_.-]{1,64}$|^rule\/[0-9A-Za-z_.-]{1,64}\/[0-9A-Za-z_.-]{1,64}$/.test(name) &&
    !/^\.+$/.test(name)
  ) {
    return `/v1/schedules/${encodeURIComponent(name)}${rest}`;
  }
  throw usageError(
    `schedule ${JSON.stringify(name)}: expected 1 to 64 characters of A-Z, a-z, 0-9, -, _ and .; lambda schedule list shows what there is`,
  );
}
