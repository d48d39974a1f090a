/** What was counted of a metric, period by period. */
import { parseFunctionName } from "../../../core/ids.ts";
import { Tally } from "../../../records/metrics/tally.ts";
import type { ControlParts } from "../parts.ts";
import type { ControlRequest } from "../route.ts";
import {
  type Dimension,
  findLambdaMetric,
  type LambdaMetric,
  type Samples,
  subjectOf,
} from "./lambda-metrics.ts";

export const NAMESPACE = "AWS/Lambda";
const MINUTE_MS = 60_000;

export interface Datapoint {
  readonly at: number;
  readonly samples: Samples;
}

export interface AskedMetric {
  readonly Namespace: string;
  readonly MetricName: string;
  readonly Dimensions: readonly Dimension[] | undefined;
  readonly Unit: string | undefined;
  readonly Period: number;
  readonly StartTime: number;
  readonly EndTime: number;
}

/** Ascending; none for what Lambda does not have, as on AWS. */
export async function readDatapoints(
  parts: ControlParts,
  request: ControlRequest,
  { Namespace, MetricName, Dimensions = [], Unit, Period, StartTime, EndTime }: AskedMetric,
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
