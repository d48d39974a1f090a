/** The metrics of the namespace AWS/Lambda that are kept here, and what each makes of what was counted. */
import type { CallSeries } from "../../../records/metrics/metrics.ts";
import { Tally } from "../../../records/metrics/tally.ts";

export interface Bucket {
  readonly value: number;
  readonly count: number;
}

/** Values of a metric in a period, as CloudWatch aggregates them. */
export interface Samples {
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  /** `share` from 0 to 1. */
  quantile(share: number): number;
  /** All of them, ascending; of durations the middles of what they are counted in. */
  buckets(): readonly Bucket[];
}

export interface LambdaMetric {
  readonly name: string;
  readonly unit: "Count" | "Milliseconds";
  /** Whether it is told by alias and version, too. */
  readonly isByResource: boolean;
  /** Of the minutes of a period; undefined if there is nothing to tell. */
  samples(minutes: readonly Tally[]): Samples | undefined;
}

/** Of all metrics, those that some tool asks for: provisioned concurrency and event sources have more. */
export const LAMBDA_METRICS: readonly LambdaMetric[] = [
  ofCalls("Invocations", ({ invocations }) => marks(invocations, invocations)),
  ofCalls("Errors", ({ errors, invocations }) => marks(errors, invocations)),
  ofCalls("Throttles", ({ throttled, invocations }) => marks(throttled, throttled + invocations)),
  {
    name: "Duration",
    unit: "Milliseconds",
    isByResource: true,
    samples: (minutes) => spans(sumOf(minutes).duration),
  },
  {
    name: "ConcurrentExecutions",
    unit: "Count",
    isByResource: false,
    samples: (minutes) =>
      values(minutes.map(({ concurrencyMax }) => concurrencyMax).filter((most) => most > 0)),
  },
  ofEvents("AsyncEventsReceived", ({ received }) => marks(received, received)),
  ofEvents("AsyncEventsDropped", ({ dropped }) => marks(dropped, dropped)),
  ofEvents("DestinationDeliveryFailures", ({ undelivered }) => marks(undelivered, undelivered)),
  {
    name: "AsyncEventAge",
    unit: "Milliseconds",
    isByResource: false,
    samples: (minutes) => spans(sumOf(minutes).eventAge),
  },
];

export function findLambdaMetric(name: string): LambdaMetric | undefined {
  return LAMBDA_METRICS.find((metric) => metric.name === name);
}

function ofCalls(name: string, samples: (sum: Tally) => Samples | undefined): LambdaMetric {
  return { name, unit: "Count", isByResource: true, samples: (minutes) => samples(sumOf(minutes)) };
}

function ofEvents(name: string, samples: (sum: Tally) => Samples | undefined): LambdaMetric {
  return { name, unit: "Count", isByResource: false, samples: (minutes) => samples(sumOf(minutes)) };
}

function sumOf(minutes: readonly Tally[]): Tally {
  const sum = new Tally();
  for (const minute of minutes) sum.add(minute);
  return sum;
}

/** Lambda sends a 1 for each call that counts, and a 0 for each other one. */
function marks(marked: number, all: number): Samples | undefined {
  if (all === 0) return undefined;
  return {
    count: all,
    sum: marked,
    min: marked === all ? 1 : 0,
    max: marked > 0 ? 1 : 0,
    quantile: (share) => (share * all > all - marked ? 1 : 0),
    buckets: () => [
      { value: 0, count: all - marked },
      { value: 1, count: marked },
    ],
  };
}

function spans(distribution: Tally["duration"]): Samples | undefined {
  const { count, sum, min, max } = distribution;
  if (count === 0) return undefined;
  const quantile = (share: number) => distribution.quantile(share) ?? 0;
  return { count, sum, min, max, quantile, buckets: () => distribution.buckets() };
}

function values(found: readonly number[]): Samples | undefined {
  if (found.length === 0) return undefined;
  const sorted = [...found].sort((a, b) => a - b);
  return {
    count: sorted.length,
    sum: sorted.reduce((sum, value) => sum + value, 0),
    min: sorted[0] ?? 0,
    max: sorted.at(-1) ?? 0,
    buckets: () => sorted.map((value) => ({ value, count: 1 })),
    quantile: (share) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0,
  };
}

export interface Dimension {
  readonly Name: string;
  readonly Value: string;
}

/** Whose values are asked for. */
export interface MetricSubject {
  /** Undefined: all functions together. */
  readonly functionName: string | undefined;
  readonly wants: (series: CallSeries | undefined) => boolean;
}

/** Undefined for dimensions that no metric of Lambda has together. */
export function subjectOf(dimensions: readonly Dimension[], metric: LambdaMetric): MetricSubject | undefined {
  const named = new Map(dimensions.map(({ Name, Value }) => [Name, Value]));
  if (named.size !== dimensions.length) return undefined;
  const functionName = named.get("FunctionName");
  const resource = named.get("Resource");
  const executed = named.get("ExecutedVersion");
  const known = [functionName, resource, executed].filter((value) => value !== undefined).length;
  if (known !== named.size) return undefined;
  if (functionName === undefined) {
    return named.size === 0 ? { functionName, wants: () => true } : undefined;
  }
  if (resource === undefined) return executed === undefined ? { functionName, wants: () => true } : undefined;
  const [name, qualifier, ...rest] = resource.split(":");
  if (!metric.isByResource || name !== functionName || rest.length > 0) return undefined;
  return {
    functionName,
    wants: (series) =>
      series !== undefined &&
      calledAs(series) === qualifier &&
      (executed === undefined || series.version === executed),
  };
}

/** Calls in a release that is tried are counted apart, for a decision that AWS has no word for. */
function calledAs({ qualifier }: CallSeries): string | undefined {
  return qualifier?.includes("@") ? undefined : qualifier;
}

/** The dimensions under which calls of a series are found, besides that of the function alone. */
export function dimensionsOf(functionName: string, series: CallSeries): Dimension[][] {
  const { version } = series;
  const qualifier = calledAs(series);
  const name = { Name: "FunctionName", Value: functionName };
  const resource = {
    Name: "Resource",
    Value: qualifier === undefined ? functionName : `${functionName}:${qualifier}`,
  };
  const isAlias = qualifier !== undefined && qualifier !== version;
  const executed = { Name: "ExecutedVersion", Value: version };
  return [[name, resource], ...(isAlias ? [[name, resource, executed]] : [])];
}
