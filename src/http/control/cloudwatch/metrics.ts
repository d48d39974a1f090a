/** The operations of CloudWatch that read metrics, over what is counted of functions (AWS/Lambda). */
import { PlatformError } from "../../../core/errors.ts";
import { parseFunctionName } from "../../../core/ids.ts";
import { Tally } from "../../../records/metrics/tally.ts";
import type { ControlParts } from "../parts.ts";
import type { ControlRequest } from "../route.ts";
import {
  type Dimension,
  dimensionsOf,
  findLambdaMetric,
  LAMBDA_METRICS,
  type LambdaMetric,
  type Samples,
  subjectOf,
} from "./lambda-metrics.ts";
import {
  type MetricDataQuery,
  parseGetMetricData,
  parseGetMetricStatistics,
  parseListMetrics,
} from "./metrics-wire.ts";

/** Gives the answer's body; a `Date` is an instant, a `Map` a map, in whatever protocol was spoken. */
type Operation = (parts: ControlParts, request: ControlRequest, body: unknown) => Promise<unknown>;

export const METRICS_OPERATIONS: Readonly<Record<string, Operation>> = {
  GetMetricData: getMetricData,
  GetMetricStatistics: getMetricStatistics,
  ListMetrics: listMetrics,
};

const NAMESPACE = "AWS/Lambda";
const MINUTE_MS = 60_000;
const DATAPOINTS_MAX = 100_800;
const STATISTICS_POINTS_MAX = 1_440;
const METRICS_PER_PAGE = 500;
const RECENT_MS = 3 * 3_600_000;

interface Datapoint {
  readonly at: number;
  readonly samples: Samples;
}

interface Asked {
  readonly Namespace: string;
  readonly MetricName: string;
  readonly Dimensions: readonly Dimension[] | undefined;
  readonly Unit: string | undefined;
  readonly Period: number;
  readonly StartTime: number;
  readonly EndTime: number;
}

async function getMetricData(parts: ControlParts, request: ControlRequest, body: unknown): Promise<unknown> {
  const asked = parseGetMetricData(body);
  const { StartTime, EndTime, ScanBy, MaxDatapoints = DATAPOINTS_MAX, NextToken } = asked;
  checkSpan(StartTime, EndTime);
  checkIds(asked.MetricDataQueries);
  let skip = NextToken === undefined ? 0 : decodeToken(NextToken);
  let room = MaxDatapoints;
  let hasMore = false;
  const results: unknown[] = [];
  for (const query of asked.MetricDataQueries) {
    const { Id, Label, MetricStat, ReturnData = true } = query;
    if (!MetricStat) throw expressionRefused(query);
    const statistic = parseStatistic(MetricStat.Stat);
    if (!ReturnData) continue;
    const found = await readDatapoints(parts, request, {
      ...MetricStat,
      ...MetricStat.Metric,
      StartTime,
      EndTime,
    });
    const points = found === "forbidden" ? [] : found;
    if (ScanBy !== "TimestampAscending") points.reverse();
    const page = points.slice(skip, skip + room);
    hasMore ||= skip + page.length < points.length;
    skip = Math.max(0, skip - points.length);
    room -= page.length;
    results.push({
      Id,
      Label: Label ?? MetricStat.Metric.MetricName,
      Timestamps: page.map(({ at }) => new Date(at)),
      Values: page.map(({ samples }) => statistic(samples)),
      StatusCode: found === "forbidden" ? "Forbidden" : hasMore ? "PartialData" : "Complete",
    });
  }
  const taken = MaxDatapoints - room + (NextToken === undefined ? 0 : decodeToken(NextToken));
  return { MetricDataResults: results, Messages: [], ...(hasMore && { NextToken: encodeToken(taken) }) };
}

async function getMetricStatistics(
  parts: ControlParts,
  request: ControlRequest,
  body: unknown,
): Promise<unknown> {
  const asked = parseGetMetricStatistics(body);
  const { Statistics, ExtendedStatistics, StartTime, EndTime, Period, MetricName } = asked;
  checkSpan(StartTime, EndTime);
  if (!Statistics && !ExtendedStatistics) {
    throw new PlatformError("InvalidRequest", "Must specify either Statistics or ExtendedStatistics");
  }
  const points = Math.ceil((EndTime - StartTime) / (Period * 1_000));
  if (points > STATISTICS_POINTS_MAX) {
    throw new PlatformError(
      "InvalidRequest",
      `You have requested up to ${points.toLocaleString("en-US")} datapoints, which exceeds the limit of 1,440. You may reduce the datapoints requested by increasing Period, or decreasing the time range.`,
    );
  }
  const extended = (ExtendedStatistics ?? []).map((name) => [name, parseStatistic(name)] as const);
  const plain = (Statistics ?? []).map((name) => [name, parseStatistic(name)] as const);
  const found = await readDatapoints(parts, request, asked);
  if (found === "forbidden") {
    throw new PlatformError(
      "Forbidden",
      `the key may not read metrics of ${JSON.stringify(asked.Dimensions ?? [])}`,
    );
  }
  return {
    Label: MetricName,
    Datapoints: found.map(({ at, samples }) => ({
      Timestamp: new Date(at),
      ...Object.fromEntries(plain.map(([name, statistic]) => [name, statistic(samples)])),
      Unit: findLambdaMetric(MetricName)?.unit,
      ...(extended.length > 0 && {
        ExtendedStatistics: new Map(extended.map(([name, statistic]) => [name, statistic(samples)])),
      }),
    })),
  };
}

/** Ascending; none for what Lambda does not have, as on AWS. */
async function readDatapoints(
  parts: ControlParts,
  request: ControlRequest,
  { Namespace, MetricName, Dimensions = [], Unit, Period, StartTime, EndTime }: Asked,
): Promise<Datapoint[] | "forbidden"> {
  const metric = findLambdaMetric(MetricName);
  if (Namespace !== NAMESPACE || !metric || (Unit !== undefined && Unit !== metric.unit)) return [];
  const subject = subjectOf(Dimensions, metric);
  if (!subject) return [];
  const { functionName } = subject;
  const name = functionName === undefined ? undefined : parseFunctionName(functionName);
  if (functionName !== undefined && !name) return [];
  const mayRead = name ? request.caller.mayUse(name) : request.caller.key?.functions === "*";
  if (!mayRead) return "forbidden";
  const sinceAt = Math.floor(StartTime / MINUTE_MS) * MINUTE_MS;
  const points = await parts.metrics.points({ functionName: name, sinceAt, untilAt: EndTime });
  return inPeriods(
    points.filter(({ series }) => subject.wants(series)),
    Period * 1_000,
    metric,
  );
}

function inPeriods(
  points: readonly { readonly at: number; readonly tally: Tally }[],
  periodMs: number,
  metric: LambdaMetric,
): Datapoint[] {
  const periods = new Map<number, Map<number, Tally>>();
  for (const { at, tally } of points) {
    const minute = Math.floor(at / MINUTE_MS) * MINUTE_MS;
    const period = Math.floor(minute / periodMs) * periodMs;
    const minutes = periods.get(period) ?? new Map<number, Tally>();
    const sum = minutes.get(minute) ?? new Tally();
    sum.add(tally);
    periods.set(period, minutes.set(minute, sum));
  }
  return [...periods]
    .sort(([a], [b]) => a - b)
    .flatMap(([at, minutes]) => {
      const samples = metric.samples([...minutes.values()]);
      return samples ? [{ at, samples }] : [];
    });
}

async function listMetrics(parts: ControlParts, request: ControlRequest, body: unknown): Promise<unknown> {
  const asked = parseListMetrics(body);
  const found: { Namespace: string; MetricName: string; Dimensions: Dimension[] }[] = [];
  const add = (metric: LambdaMetric, dimensions: Dimension[]) =>
    found.push({ Namespace: NAMESPACE, MetricName: metric.name, Dimensions: dimensions });
  const series = await parts.metrics.series();
  if (request.caller.key?.functions === "*" && series.size > 0)
    for (const metric of LAMBDA_METRICS) add(metric, []);
  for (const [name, ofFunction] of [...series].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const functionName = parseFunctionName(name);
    if (!functionName || !request.caller.mayUse(name)) continue;
    if (asked.RecentlyActive && !(await wasActive(parts, functionName))) continue;
    const resources = new Map(
      ofFunction
        .flatMap((one) => dimensionsOf(name, one))
        .map((dimensions) => [JSON.stringify(dimensions), dimensions]),
    );
    for (const metric of LAMBDA_METRICS) {
      add(metric, [{ Name: "FunctionName", Value: name }]);
      if (metric.isByResource) for (const dimensions of resources.values()) add(metric, dimensions);
    }
  }
  const wanted = found.filter(
    ({ MetricName, Dimensions }) =>
      (asked.Namespace ?? NAMESPACE) === NAMESPACE &&
      (asked.MetricName ?? MetricName) === MetricName &&
      (asked.Dimensions ?? []).every(({ Name, Value }) =>
        Dimensions.some((one) => one.Name === Name && (Value ?? one.Value) === one.Value),
      ),
  );
  const start = asked.NextToken === undefined ? 0 : decodeToken(asked.NextToken);
  const end = start + METRICS_PER_PAGE;
  return { Metrics: wanted.slice(start, end), ...(end < wanted.length && { NextToken: encodeToken(end) }) };
}

async function wasActive(
  { metrics, clock }: ControlParts,
  functionName: NonNullable<ReturnType<typeof parseFunctionName>>,
): Promise<boolean> {
  const now = clock.now();
  return (await metrics.points({ functionName, sinceAt: now - RECENT_MS, untilAt: now + 1 })).length > 0;
}

/** @throws PlatformError `InvalidRequest` for those that are made of trimmed values, which are not kept. */
function parseStatistic(name: string): (samples: Samples) => number {
  switch (name) {
    case "SampleCount":
      return ({ count }) => count;
    case "Sum":
      return ({ sum }) => sum;
    case "Average":
      return ({ sum, count }) => sum / count;
    case "Minimum":
      return ({ min }) => min;
    case "Maximum":
      return ({ max }) => max;
  }
  const percentile = /^p(100|\d{1,2}(?:\.\d{1,10})?)$/.exec(name)?.[1];
  if (percentile !== undefined) return (samples) => samples.quantile(Number(percentile) / 100);
  throw new PlatformError(
    "InvalidRequest",
    `The value ${name} for parameter Stat is not supported by lambdad: give SampleCount, Sum, Average, Minimum, Maximum or a percentile like p99.9`,
  );
}

function expressionRefused({ Expression, Id }: MetricDataQuery): PlatformError {
  const problem =
    Expression === undefined
      ? "give a MetricStat"
      : "metric math is not supported by lambdad; give a MetricStat";
  return new PlatformError("InvalidRequest", `MetricDataQuery ${Id}: ${problem}`);
}

function checkIds(queries: readonly MetricDataQuery[]): void {
  const ids = new Set<string>();
  for (const { Id } of queries) {
    if (!/^[a-z]\w*$/.test(Id)) {
      throw new PlatformError(
        "ValidationFailed",
        `The value ${Id} for parameter MetricDataQueries.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$.`,
      );
    }
    if (ids.has(Id))
      throw new PlatformError("ValidationFailed", `The parameter MetricDataQueries has the Id ${Id} twice.`);
    ids.add(Id);
  }
}

function checkSpan(startAt: number, endAt: number): void {
  if (startAt < endAt) return;
  throw new PlatformError(
    "ValidationFailed",
    "The parameter StartTime must be less than the parameter EndTime.",
  );
}

function encodeToken(position: number): string {
  return Buffer.from(String(position)).toString("base64url");
}

function decodeToken(token: string): number {
  const text = Buffer.from(token, "base64url").toString();
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new PlatformError("InvalidRequest", "The specified NextToken is invalid.");
}
