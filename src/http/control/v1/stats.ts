/** What functions did in a span of time, counted while they ran. */
import { PlatformError } from "../../../core/errors.ts";
import type { FunctionName } from "../../../core/ids.ts";
import { METRIC_DAYS_MAX } from "../../../core/limits.ts";
import type { Distribution } from "../../../records/metrics/distribution.ts";
import type { CallSeries, MetricPoint } from "../../../records/metrics/metrics.ts";
import { Tally } from "../../../records/metrics/tally.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, jsonReply, type Reply } from "../route.ts";
import { nameOf } from "./named-function.ts";
import { wholeNumber } from "./wire.ts";

const MINUTE_MS = 60_000;
const LAST_MS_MAX = METRIC_DAYS_MAX * 24 * 60 * MINUTE_MS;
const LAST_MS_DEFAULT = 60 * MINUTE_MS;
const FUNCTIONS_MAX = 1_000;
const FUNCTIONS_PER_STEP = 500;
const POINTS_DEFAULT = 60;
const POINTS_MAX = 1_500;

/** `GET /v1/stats`: each function that was called, and the daemon itself. */
export async function getStats(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { lastMs, fromAt, untilAt } = spanIn(parts, request);
  const functions: Record<string, unknown>[] = [];
  for await (const functionName of readableFunctions(parts, request)) {
    const tally = await parts.metrics.window({ functionName, version: undefined, lastMs });
    functions.push({ function: functionName, ...statShape(tally), instances: parts.instances(functionName) });
  }
  const { instances } = await parts.status();
  return jsonReply(200, {
    fromAt,
    untilAt,
    functions,
    // What a key for some functions may not know of the others.
    ...(request.caller.key?.functions === "*" && {
      host: { ...parts.hostLoad.read(), instances, events: parts.ledger.counts() },
    }),
  });
}

async function* readableFunctions(
  parts: ControlParts,
  request: ControlRequest,
): AsyncGenerator<FunctionName> {
  let after: string | undefined;
  let shown = 0;
  for (;;) {
    const page = await parts.functions.list({ after, limit: FUNCTIONS_PER_STEP });
    for (const { name } of page) {
      after = name;
      if (!request.caller.mayUse(name)) continue;
      shown += 1;
      if (shown > FUNCTIONS_MAX) return;
      yield name;
    }
    if (page.length < FUNCTIONS_PER_STEP) return;
  }
}

/** `GET …/stats`: one function in all, by version, and in steps of time. */
export async function getFunctionStats(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const functionName = nameOf(request);
  await parts.functions.get(functionName);
  const { lastMs, fromAt, untilAt } = spanIn(parts, request);
  const stepMs = stepIn(request, lastMs);
  const version = versionIn(request);
  const qualifier = request.query.get("qualifier") ?? undefined;
  const isPart = version !== undefined || qualifier !== undefined;
  const all = await parts.metrics.points({ functionName, sinceAt: fromAt, untilAt });
  const wanted = all.filter(({ series }) => {
    if (!series) return !isPart;
    const fits = version === undefined || [series.version, numberOf(series)].includes(version);
    return fits && (qualifier === undefined || series.qualifier === qualifier);
  });
  const byVersion = Map.groupBy(
    wanted.filter(({ series }) => series),
    ({ series }) => (series ? numberOf(series) : ""),
  );
  const bySteps = Map.groupBy(wanted, ({ at }) => Math.floor(at / stepMs) * stepMs);
  return jsonReply(200, {
    function: functionName,
    fromAt,
    untilAt,
    stepMs,
    total: statShape(sumOf(wanted)),
    instances: parts.instances(functionName),
    versions: [...byVersion]
      .sort(([a], [b]) => Number(b) - Number(a) || (a < b ? -1 : 1))
      .map(([number, points]) => ({ version: number, ...statShape(sumOf(points)) })),
    points: [...bySteps]
      .sort(([a], [b]) => a - b)
      .map(([at, points]) => ({ at, ...statShape(sumOf(points)) })),
  });
}

function spanIn(parts: ControlParts, { query }: ControlRequest) {
  const lastMs = wholeNumber(query, "last", 1_000, LAST_MS_MAX) ?? LAST_MS_DEFAULT;
  const untilAt = parts.clock.now() + 1;
  return { lastMs, fromAt: untilAt - 1 - lastMs, untilAt };
}

function stepIn({ query }: ControlRequest, lastMs: number): number {
  const asked = wholeNumber(query, "step", MINUTE_MS, LAST_MS_MAX);
  if (asked === undefined) {
    return Math.max(1, Math.ceil(lastMs / POINTS_DEFAULT / MINUTE_MS)) * MINUTE_MS;
  }
  if (asked % MINUTE_MS === 0 && lastMs / asked <= POINTS_MAX) return asked;
  throw new PlatformError(
    "InvalidRequest",
    `step: expected whole minutes (multiples of ${MINUTE_MS}) and at most ${POINTS_MAX} of them, got "${asked}"`,
  );
}

function versionIn({ query }: ControlRequest): string | undefined {
  const version = query.get("version") ?? undefined;
  if (version === undefined || /^(\$LATEST|[1-9]\d*)$/.test(version)) return version;
  throw new PlatformError(
    "InvalidRequest",
    `version: expected a number or $LATEST, got ${JSON.stringify(version)}`,
  );
}

/** The number that ran, also where it was called as `$LATEST`. */
function numberOf({ version, liveVersion }: CallSeries): string {
  return String(liveVersion ?? version);
}

function sumOf(points: readonly MetricPoint[]): Tally {
  const sum = new Tally();
  for (const { tally } of points) sum.add(tally);
  return sum;
}

function statShape(tally: Tally): Record<string, unknown> {
  return {
    invocations: tally.invocations,
    errors: tally.errors,
    timeouts: tally.timedOut,
    crashes: tally.crashed,
    throttles: tally.throttled,
    durationMs: spanShape(tally.duration),
    coldStarts: tally.init.count,
    initMs: spanShape(tally.init),
    concurrencyMax: tally.concurrencyMax,
    instancesMax: tally.instancesMax,
    memoryMibMax: tally.memoryMibMax,
    events: {
      received: tally.received,
      dropped: tally.dropped,
      undelivered: tally.undelivered,
      ageMs: spanShape(tally.eventAge),
    },
  };
}

/** Undefined, and left out, where there was nothing to measure. */
function spanShape(spans: Distribution): Record<string, number> | undefined {
  if (spans.count === 0) return undefined;
  const at = (share: number) => round(spans.quantile(share) ?? 0);
  return {
    mean: round(spans.sum / spans.count),
    p50: at(0.5),
    p90: at(0.9),
    p99: at(0.99),
    min: round(spans.min),
    max: round(spans.max),
  };
}

function round(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
