/** The operations of CloudWatch that read metrics, over what is counted of functions (AWS/Lambda). */
import { PlatformError } from "../../../core/errors.ts";
import { parseFunctionName } from "../../../core/ids.ts";
import type { ControlParts } from "../parts.ts";
import type { ControlRequest } from "../route.ts";
import { NAMESPACE, readDatapoints } from "./datapoints.ts";
import {
  type Dimension,
  dimensionsOf,
  findLambdaMetric,
  LAMBDA_METRICS,
  type LambdaMetric,
} from "./lambda-metrics.ts";
import { getMetricData } from "./metric-data.ts";
import { parseGetMetricStatistics, parseListMetrics } from "./metrics-wire.ts";
import { checkSpan, decodeToken, encodeToken } from "./paging.ts";
import { parseStatistic } from "./statistic.ts";

/** Gives the answer's body; a `Date` is an instant, a `Map` a map, in whatever protocol was spoken. */
type Operation = (parts: ControlParts, request: ControlRequest, body: unknown) => Promise<unknown>;

export const METRICS_OPERATIONS: Readonly<Record<string, Operation>> = {
  GetMetricData: getMetricData,
  GetMetricStatistics: getMetricStatistics,
  ListMetrics: listMetrics,
};

const STATISTICS_POINTS_MAX = 1_440;
const METRICS_PER_PAGE = 500;
const RECENT_MS = 3 * 3_600_000;

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
        ExtendedStatistics: new Map(
          extended.flatMap(([name, statistic]) => {
            const value = statistic(samples);
            return value === undefined ? [] : [[name, value]];
          }),
        ),
      }),
    })),
  };
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
