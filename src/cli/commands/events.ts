import { CliError, usageError } from "../cli-error.ts";
import type { ApiClient } from "../client.ts";
import type { Command } from "../command.ts";
import { confirm } from "../confirm.ts";
import {
  ATTEMPT_TITLES,
  attemptRows,
  EVENT_TITLES,
  type EventView,
  eventFacts,
  eventRow,
  readEvent,
} from "../event-view.ts";
import { functionName, functionPath } from "../names.ts";
import { formatFacts, formatTable } from "../table.ts";
import { countOption, plural, spanOption } from "../units.ts";
import { Fields } from "../wire.ts";

export interface EventListOptions {
  readonly function?: string;
  readonly state?: string;
  readonly last?: string;
}

export interface WaitOptions {
  readonly timeout?: string;
}

export interface PurgeOptions {
  readonly yes?: boolean;
}

export interface RedriveOptions {
  readonly id?: readonly string[];
  readonly version?: string;
}

const LAST_DEFAULT = 50;
const PAGE = 500;
/** The server answers a wait after this long; it is asked again until ours is over. */
const WAIT_S = 50;

export async function listEvents(command: Command, options: EventListOptions): Promise<void> {
  const last = options.last === undefined ? LAST_DEFAULT : countOption("--last", options.last, 1);
  const query = {
    function: options.function === undefined ? undefined : functionName(options.function),
    state: options.state,
  };
  await printEvents(command, "/v1/events", query, last);
}

export async function listDeadLetters(
  command: Command,
  name: string,
  options: EventListOptions,
): Promise<void> {
  const last = options.last === undefined ? LAST_DEFAULT : countOption("--last", options.last, 1);
  await printEvents(command, functionPath(functionName(name), "/dlq"), {}, last);
}

export async function showEvent({ output, client }: Command, id: string): Promise<void> {
  const answer = await (await client()).json("GET", eventPath(id));
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const event = readEvent(answer);
  await output.write(formatFacts(eventFacts(event)));
  if (event.attempts.length > 0) {
    await output.write(`\n${formatTable(ATTEMPT_TITLES, attemptRows(event))}`);
  }
}

/** The bytes as they are; of a failed call its error, and exit code 1. */
export async function showResult({ output, client }: Command, id: string): Promise<void> {
  const answer = await (await client()).raw("GET", eventPath(id, "/result"));
  const chunks: Uint8Array[] = [];
  for await (const chunk of answer.body) chunks.push(chunk);
  await output.write(Buffer.concat(chunks));
  if (answer.headers["x-amz-function-error"] !== undefined) throw failed(id, "its function failed");
}

export async function cancelEvent({ output, client }: Command, id: string): Promise<void> {
  const answer = await (await client()).json("POST", eventPath(id, "/cancel"), { body: {} });
  if (output.isJson) await output.json(answer);
  else output.note(`${id} is cancelled`);
}

export async function retryEvent({ output, client }: Command, id: string): Promise<void> {
  const answer = await (await client()).json("POST", eventPath(id, "/retry"), { body: {} });
  if (output.isJson) await output.json(answer);
  else output.note(`${id} is queued again`);
}

/** Waits until the event has ended; exit code 1 unless it is done. */
export async function waitForEvent(
  { output, client }: Command,
  id: string,
  options: WaitOptions,
): Promise<void> {
  const timeoutMs =
    options.timeout === undefined ? Number.POSITIVE_INFINITY : spanOption("--timeout", options.timeout);
  const { answer, event } = await untilEnded(await client(), id, timeoutMs);
  if (output.isJson) await output.json(answer);
  else await output.write(`${id} is ${event.state}\n`);
  if (event.state !== "done")
    throw failed(id, `it is ${event.state}: ${event.reason ?? "no reason is known"}`);
}

export async function redriveDeadLetters(
  { output, client }: Command,
  name: string,
  options: RedriveOptions,
): Promise<void> {
  const body = {
    ...(options.id && { ids: options.id }),
    ...(options.version !== undefined && { version: options.version }),
  };
  const path = functionPath(functionName(name), "/dlq/redrive");
  const answer = await (await client()).json("POST", path, { body });
  if (output.isJson) await output.json(answer);
  else output.note(`${plural(new Fields("redrive", answer).number("redriven"), "event")} queued again`);
}

/** As `lambda delete`: naming the function is consent, and only a person at a terminal is asked again. */
export async function purgeDeadLetters(command: Command, name: string, options: PurgeOptions): Promise<void> {
  const { host, output } = command;
  const path = functionPath(functionName(name), "/dlq");
  const api = await command.client();
  if (!options.yes && host.stdin.isTTY && host.stderr.isTTY) {
    const page = new Fields("events", await api.json("GET", path, { query: { limit: PAGE } }));
    const count = page.list("events").length;
    const shown = page.optionalText("next") === undefined ? `${count}` : `${count} or more`;
    if (count > 0 && !(await confirm(command, `Remove ${shown} dead letters of ${name} for good? [y/N] `))) {
      throw usageError(`no dead letter of ${name} was removed`, "answer y, or pass --yes");
    }
  }
  const answer = await api.json("DELETE", path);
  if (output.isJson) await output.json(answer);
  else output.note(`${plural(new Fields("purge", answer).number("removed"), "event")} removed`);
}

async function printEvents(
  { output, client }: Command,
  path: string,
  query: Readonly<Record<string, string | undefined>>,
  last: number,
): Promise<void> {
  const api = await client();
  const answers: unknown[] = [];
  let after: string | undefined;
  do {
    const limit = Math.min(PAGE, last - answers.length);
    const page = new Fields("events", await api.json("GET", path, { query: { ...query, after, limit } }));
    answers.push(...page.list("events"));
    after = page.optionalText("next");
  } while (after !== undefined && answers.length < last);
  if (output.isJson) {
    await output.json({ events: answers });
    return;
  }
  if (answers.length === 0) {
    output.note("no events");
    return;
  }
  const rows = answers.map((answer) => eventRow(readEvent(answer)));
  await output.write(formatTable(EVENT_TITLES, rows));
}

async function untilEnded(
  api: ApiClient,
  id: string,
  timeoutMs: number,
): Promise<{ readonly answer: unknown; readonly event: EventView }> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const left = Math.max(0, until - performance.now());
    const wait = Math.min(WAIT_S, Math.ceil(left / 1_000));
    const answer = await api.json("GET", eventPath(id), { query: { wait } });
    const event = readEvent(answer);
    if (event.endedAt !== undefined) return { answer, event };
    if (performance.now() >= until) {
      throw CliError.local("TimedOut", `${id} is still ${event.state}`, `lambda events show ${id}`);
    }
  }
}

function failed(id: string, why: string): CliError {
  return CliError.local("FunctionFailed", `event ${id}: ${why}`, `lambda events show ${id}`);
}

function eventPath(id: string, rest = ""): string {
  return `/v1/events/${encodeURIComponent(id)}${rest}`;
}
