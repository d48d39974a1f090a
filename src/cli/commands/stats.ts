import { setTimeout as sleepFor } from "node:timers/promises";
import { METRIC_DAYS_MAX } from "../../core/limits.ts";
import { usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { functionName, functionPath } from "../names.ts";
import { readStat, type StatView } from "../stat-view.ts";
import { formatFacts, formatTable } from "../table.ts";
import { formatInstant, formatSpan, plural, spanOption } from "../units.ts";
import { Fields } from "../wire.ts";

export interface StatsOptions {
  readonly last?: string;
  readonly step?: string;
  readonly version?: string;
  readonly alias?: string;
}

export interface TopOptions {
  readonly every?: string;
  readonly once?: boolean;
}

const DAY_MS = 24 * 3_600_000;
const TOP_LAST_MS = 60_000;
const TOP_EVERY_MS = 2_000;
const TOP_EVERY_MS_MIN = 500;
const CLEAR = "\u001b[H\u001b[J";

export async function showStats(
  command: Command,
  name: string | undefined,
  options: StatsOptions,
): Promise<void> {
  const last = options.last === undefined ? undefined : spanOption("--last", options.last);
  if (last !== undefined && last > METRIC_DAYS_MAX * DAY_MS) {
    throw usageError(
      `--last: metrics are kept for ${METRIC_DAYS_MAX} days, got ${JSON.stringify(options.last)}`,
    );
  }
  if (name !== undefined) return await showOne(command, functionName(name), last, options);
  for (const option of ["step", "version", "alias"] as const) {
    if (options[option] !== undefined) throw usageError(`--${option}: name the function as well`);
  }
  const { output, client } = command;
  const answer = await (await client()).json("GET", "/v1/stats", { query: { last } });
  if (output.isJson) return await output.json(answer);
  const rows = readFunctions(answer);
  if (rows.length === 0) output.note("no functions yet: lambda init hello && lambda deploy hello makes one");
  else await output.write(formatTable([FUNCTION, ...TITLES, INSTANCES], rows.map(functionCells)));
}

async function showOne(
  { output, client }: Command,
  name: string,
  last: number | undefined,
  options: StatsOptions,
): Promise<void> {
  const query = {
    last,
    step: options.step === undefined ? undefined : spanOption("--step", options.step),
    version: options.version,
    qualifier: options.alias,
  };
  const answer = await (await client()).json("GET", functionPath(name, "/stats"), { query });
  if (output.isJson) return await output.json(answer);
  const fields = new Fields("stats", answer);
  const total = readStat(fields.object("total"));
  await output.write(
    formatFacts([
      ["Function", name],
      ["Since", formatInstant(fields.number("fromAt"))],
      ["Calls", countCell(total)],
      ["Throttled", String(total.throttles)],
      ["Duration", spansCell(total.duration)],
      ["Cold starts", total.init ? `${total.coldStarts}, ${spansCell(total.init)}` : "0"],
      ["Most at once", mostAtOnce(total)],
      ["Most memory", total.memoryMibMax > 0 ? `${Math.round(total.memoryMibMax)} MiB` : undefined],
      ["Events", eventsCell(total)],
    ]),
  );
  const versions = fields.list("versions").map((version) => new Fields("version", version));
  if (versions.length > 0) {
    await output.write(
      `\n${formatTable(
        ["VERSION", ...TITLES],
        versions.map((version) => [version.label("version"), ...cells(readStat(version))]),
      )}`,
    );
  }
  const points = fields.list("points").map((point) => new Fields("point", point));
  if (points.length > 1) {
    await output.write(
      `\n${formatTable(
        ["FROM", ...TITLES],
        points.map((point) => [formatInstant(point.number("at")), ...cells(readStat(point))]),
      )}`,
    );
  }
}

/** Like `top`: the functions that do most, on a screen that is written over; once where nobody watches. */
export async function showTop({ host, output, client }: Command, options: TopOptions): Promise<void> {
  const everyMs = options.every === undefined ? TOP_EVERY_MS : spanOption("--every", options.every);
  if (everyMs < TOP_EVERY_MS_MIN) {
    throw usageError(
      `--every: expected at least ${TOP_EVERY_MS_MIN} ms, got ${JSON.stringify(options.every)}`,
    );
  }
  const api = await client();
  const isOnce = options.once || output.isJson || host.stdout.isTTY !== true;
  while (!host.signal.aborted) {
    const answer = await api.json("GET", "/v1/stats", { query: { last: TOP_LAST_MS } });
    if (output.isJson) return await output.json(answer);
    const rows = readFunctions(answer)
      .filter(({ stat, instances }) => stat.invocations + stat.throttles + instances > 0)
      .sort((a, b) => b.stat.invocations - a.stat.invocations);
    const table = formatTable([FUNCTION, ...TITLES, INSTANCES], rows.map(functionCells));
    await output.write(`${isOnce ? "" : CLEAR}${hostLine(answer)}\n${table}`);
    if (isOnce) return;
    await sleepFor(everyMs, undefined, { signal: host.signal }).catch(() => undefined);
  }
}

const FUNCTION = "FUNCTION";
const TITLES = ["CALLS", "ERRORS", "THROTTLED", "P50", "P90", "P99", "COLD"] as const;
const INSTANCES = "INSTANCES";

interface FunctionStat {
  readonly name: string;
  readonly stat: StatView;
  readonly instances: number;
}

function readFunctions(answer: unknown): FunctionStat[] {
  return new Fields("stats", answer).list("functions").map((one) => {
    const fields = new Fields("function", one);
    const instances = fields.object("instances");
    return {
      name: fields.text("function"),
      stat: readStat(fields),
      instances: instances.number("idle") + instances.number("busy") + instances.number("starting"),
    };
  });
}

function functionCells({ name, stat, instances }: FunctionStat): string[] {
  return [name, ...cells(stat), String(instances)];
}

function cells(stat: StatView): string[] {
  const { duration } = stat;
  const spans = duration ? [duration.p50, duration.p90, duration.p99].map(preciseSpan) : ["-", "-", "-"];
  const { invocations, errors, throttles, coldStarts } = stat;
  return [...[invocations, errors, throttles].map(String), ...spans, String(coldStarts)];
}

/** What the daemon itself does; a key that is not for all functions is not told. */
function hostLine(answer: unknown): string {
  const host = new Fields("stats", answer).optionalObject("host");
  if (!host) return "the last minute";
  const [instances, events] = [host.object("instances"), host.object("events")];
  const delay = host.optionalObject("loopDelayMs");
  const late = delay ? `, event loop late by ${preciseSpan(delay.number("p99"))} (p99)` : "";
  const mib = Math.round(host.number("residentBytes") / 1_048_576);
  return `the last minute; ${instances.number("busy")} instances busy, ${instances.number("idle")} idle; ${events.number("queued")} events queued; daemon ${mib} MiB${late}`;
}

function countCell({ invocations, errors, timeouts, crashes }: StatView): string {
  if (errors === 0) return String(invocations);
  const share = ((100 * errors) / invocations).toFixed(1);
  return `${invocations}, ${errors} failed (${share} %; ${timeouts} timed out, ${crashes} crashed)`;
}

/** Known of a function as a whole only, and of instances a minute later. */
function mostAtOnce({ concurrencyMax, instancesMax }: StatView): string | undefined {
  if (concurrencyMax === 0) return undefined;
  return `${concurrencyMax}${instancesMax > 0 ? `, on ${plural(instancesMax, "instance")}` : ""}`;
}

function spansCell(spans: StatView["duration"]): string | undefined {
  if (!spans) return undefined;
  const { p50, p90, p99, max } = spans;
  return `p50 ${preciseSpan(p50)}, p90 ${preciseSpan(p90)}, p99 ${preciseSpan(p99)}, longest ${preciseSpan(max)}`;
}

function eventsCell({ events }: StatView): string | undefined {
  const { received, dropped, undelivered } = events;
  if (received + dropped + undelivered === 0) return undefined;
  return `${received} tried, ${dropped} became dead letters, ${undelivered} results not delivered`;
}

/** Calls take microseconds, too. */
function preciseSpan(spanMs: number): string {
  return spanMs < 10 ? `${Number(spanMs.toPrecision(2))} ms` : formatSpan(spanMs);
}
