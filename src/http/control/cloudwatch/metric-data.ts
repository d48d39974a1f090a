/** GetMetricData: metrics and expressions over them, a page at a time. */
import { PlatformError } from "../../../core/errors.ts";
import type { ControlParts } from "../parts.ts";
import type { ControlRequest } from "../route.ts";
import { readDatapoints } from "./datapoints.ts";
import { labelOf } from "./dynamic-label.ts";
import { Evaluator } from "./metric-math/evaluate.ts";
import { ExpressionError, type Series } from "./metric-math/series.ts";
import { type MetricDataQuery, parseGetMetricData } from "./metrics-wire.ts";
import { checkSpan, decodeToken, encodeToken } from "./paging.ts";
import { parseStatistic } from "./statistic.ts";

const DATAPOINTS_MAX = 100_800;
/** Of an expression that comes from no metric and says none. */
const PERIOD_MS_DEFAULT = 300_000;
/** An expression of metrics that may not be read may not be, either. */
type Found = { readonly series: readonly Series[]; readonly isForbidden: boolean };
type Request = ReturnType<typeof parseGetMetricData>;

export async function getMetricData(
  parts: ControlParts,
  request: ControlRequest,
  body: unknown,
): Promise<unknown> {
  const asked = parseGetMetricData(body);
  checkSpan(asked.StartTime, asked.EndTime);
  checkQueries(asked.MetricDataQueries);
  const metrics = await readMetrics(parts, request, asked);
  const find = expressionsOf(asked, metrics);
  const whole: Result[] = asked.MetricDataQueries.flatMap((query) => {
    const found = metrics.get(query.Id) ?? find(query);
    return query.ReturnData === false ? [] : resultsOf(query, found);
  });
  return inPages(whole, asked);
}

interface Result {
  readonly Id: string;
  readonly Label: string;
  readonly points: readonly (readonly [at: number, value: number])[];
  readonly isForbidden: boolean;
}

async function readMetrics(
  parts: ControlParts,
  request: ControlRequest,
  { MetricDataQueries, StartTime, EndTime }: Request,
): Promise<Map<string, Found>> {
  const metrics = new Map<string, Found>();
  for (const { Id, MetricStat } of MetricDataQueries) {
    if (!MetricStat) continue;
    const statistic = parseStatistic(MetricStat.Stat);
    const found = await readDatapoints(parts, request, {
      ...MetricStat,
      ...MetricStat.Metric,
      StartTime,
      EndTime,
    });
    const points = new Map<number, number>();
    for (const { at, samples } of found === "forbidden" ? [] : found) {
      const value = statistic(samples);
      if (value !== undefined) points.set(at, value);
    }
    const label = MetricStat.Metric.MetricName;
    const series = [{ label, periodMs: MetricStat.Period * 1_000, points, isMetric: true }];
    metrics.set(Id, { series, isForbidden: found === "forbidden" });
  }
  return metrics;
}

function expressionsOf(
  { MetricDataQueries, StartTime, EndTime }: Request,
  metrics: ReadonlyMap<string, Found>,
): (query: MetricDataQuery) => Found {
  const periods = [...metrics.values()].flatMap(({ series }) => series.map(({ periodMs }) => periodMs));
  const periodMs = periods.length === 0 ? PERIOD_MS_DEFAULT : Math.min(...periods);
  const evaluator = new Evaluator({
    metrics: new Map([...metrics].flatMap(([id, { series }]) => series.map((one) => [id, one]))),
    expressions: new Map(
      MetricDataQueries.flatMap(({ Id, Expression, Period }) =>
        Expression === undefined
          ? []
          : [[Id, { text: Expression, periodMs: Period === undefined ? periodMs : Period * 1_000 }]],
      ),
    ),
    startAt: StartTime,
    endAt: EndTime,
  });
  const isForbidden = [...metrics.values()].some((found) => found.isForbidden);
  return ({ Id }) => {
    try {
      const series = evaluator.seriesOf(Id);
      return isForbidden ? { series: [], isForbidden } : { series, isForbidden };
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      throw new PlatformError("ValidationFailed", `Error in expression '${Id}': ${error.message}`);
    }
  };
}

function resultsOf(query: MetricDataQuery, { series, isForbidden }: Found): Result[] {
  const { Id, Label, MetricStat } = query;
  if (isForbidden)
    return [{ Id, Label: Label ?? MetricStat?.Metric.MetricName ?? Id, points: [], isForbidden }];
  return series.map((one) => {
    const points = [...one.points];
    const properties = propertiesOf(query);
    const ownLabel = MetricStat || series.length > 1 ? one.label : Id;
    const label = labelOf(Label, { ownLabel, points, properties });
    // As a graph shows the series of one expression: its label, then the metric's.
    const isPrefix = series.length > 1 && !Label?.includes("LABEL}");
    return { Id, Label: isPrefix ? `${Label ?? Id} ${ownLabel}`.trim() : label, points, isForbidden };
  });
}

function propertiesOf({ MetricStat }: MetricDataQuery): Map<string, string> {
  if (!MetricStat) return new Map();
  const { Metric, Period, Stat } = MetricStat;
  return new Map([
    ["MetricName", Metric.MetricName],
    ["Namespace", Metric.Namespace],
    ["Period", String(Period)],
    ["Stat", Stat],
    ...(Metric.Dimensions ?? []).map(({ Name, Value }) => [`Dim.${Name}`, Value] as const),
  ]);
}

function inPages(whole: readonly Result[], asked: Request): unknown {
  const { ScanBy, MaxDatapoints = DATAPOINTS_MAX, NextToken } = asked;
  const start = NextToken === undefined ? 0 : decodeToken(NextToken);
  let skip = start;
  let room = MaxDatapoints;
  let hasMore = false;
  const MetricDataResults: unknown[] = [];
  for (const { Id, Label, points, isForbidden } of whole) {
    const ordered = ScanBy === "TimestampAscending" ? points : points.toReversed();
    const page = ordered.slice(skip, skip + room);
    hasMore ||= skip + page.length < points.length;
    skip = Math.max(0, skip - points.length);
    room -= page.length;
    MetricDataResults.push({
      Id,
      Label,
      Timestamps: page.map(([at]) => new Date(at)),
      Values: page.map(([, value]) => value),
      StatusCode: isForbidden ? "Forbidden" : hasMore ? "PartialData" : "Complete",
    });
  }
  const taken = start + MaxDatapoints - room;
  return { MetricDataResults, Messages: [], ...(hasMore && { NextToken: encodeToken(taken) }) };
}

/** @throws PlatformError `ValidationFailed` */
function checkQueries(queries: readonly MetricDataQuery[]): void {
  const ids = new Set<string>();
  for (const { Id, MetricStat, Expression } of queries) {
    if (!/^[a-z]\w*$/.test(Id))
      throw invalid(
        `The value ${Id} for parameter MetricDataQueries.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$.`,
      );
    if (ids.has(Id)) throw invalid(`The parameter MetricDataQueries has the Id ${Id} twice.`);
    ids.add(Id);
    if ((MetricStat === undefined) === (Expression === undefined))
      throw invalid(`MetricDataQuery ${Id}: give either a MetricStat or an Expression`);
  }
}

function invalid(message: string): PlatformError {
  return new PlatformError("ValidationFailed", message);
}
