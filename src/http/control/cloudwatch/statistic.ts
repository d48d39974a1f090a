/**
 * CloudWatch's statistics by their names: `Sum`, `p99.9`, `tm90`, `TM(10%:90%)`, `PR(100:2000)` … Of durations only their
 * buckets are kept, so what needs single values is right to the width of one (3 %).
 */
import { PlatformError } from "../../../core/errors.ts";
import type { Bucket, Samples } from "./lambda-metrics.ts";

/** Undefined where no value is in the range that was asked for. */
export type Statistic = (samples: Samples) => number | undefined;

const PLAIN: Readonly<Record<string, Statistic>> = {
  SampleCount: ({ count }) => count,
  Sum: ({ sum }) => sum,
  Average: ({ sum, count }) => sum / count,
  Minimum: ({ min }) => min,
  Maximum: ({ max }) => max,
};

/** @throws PlatformError `ValidationFailed` for what is no statistic. */
export function parseStatistic(name: string): Statistic {
  const found = Object.hasOwn(PLAIN, name) ? PLAIN[name] : (percentile(name) ?? trimmed(name));
  if (found) return found;
  throw new PlatformError(
    "ValidationFailed",
    `The value ${name} for parameter Stat is not supported: give SampleCount, Sum, Average, Minimum, Maximum, a percentile like p99.9, or one of TM, TC, TS, WM, PR and IQM with a range like tm90, TM(10%:90%) or TC(:150)`,
  );
}

function percentile(name: string): Statistic | undefined {
  const percent = new RegExp(`^p(${PERCENT})$`).exec(name)?.[1];
  return percent === undefined ? undefined : (samples) => samples.quantile(Number(percent) / 100);
}

/** 0 to 100, with up to ten decimal places. */
const PERCENT = "(?:100(?:\\.0{1,10})?|\\d{1,2}(?:\\.\\d{1,10})?)";
const SHORT = new RegExp(`^(tm|tc|ts|wm)(${PERCENT})$`);
const PERCENTS = new RegExp(`^(TM|TC|TS|WM)\\((?:(${PERCENT})%)?:(?:(${PERCENT})%)?\\)$`);
const NUMBERS = /^(TM|TC|TS|WM|PR)\((\d+(?:\.\d{1,10})?)?:(\d+(?:\.\d{1,10})?)?\)$/;

function trimmed(name: string): Statistic | undefined {
  if (/^(iqm|IQM)$/.test(name)) return ofKind("TM", byShare(0.25, 0.75));
  const short = SHORT.exec(name);
  if (short) return ofKind(short[1]?.toUpperCase(), byShare(0, Number(short[2]) / 100));
  const percents = PERCENTS.exec(name);
  if (percents && (percents[2] ?? percents[3]) !== undefined) {
    const [low, high] = [Number(percents[2] ?? 0), Number(percents[3] ?? 100)];
    return low < high ? ofKind(percents[1], byShare(low / 100, high / 100)) : undefined;
  }
  const numbers = NUMBERS.exec(name);
  if (!numbers || (numbers[2] ?? numbers[3]) === undefined) return undefined;
  const low = numbers[2] === undefined ? undefined : Number(numbers[2]);
  const high = numbers[3] === undefined ? undefined : Number(numbers[3]);
  if (low !== undefined && high !== undefined && low >= high) return undefined;
  return ofKind(numbers[1], byValue(low, high));
}

/** Values in a range, and how many lie on either side of it. */
interface Part {
  readonly count: number;
  readonly sum: number;
  readonly below: number;
  readonly above: number;
  /** What those outside count as. */
  readonly lowEdge: number;
  readonly highEdge: number;
}

type Range = (samples: Samples) => Part;

function ofKind(kind: string | undefined, range: Range): Statistic | undefined {
  switch (kind) {
    case "TM":
      return (samples) => ratio(range(samples).sum, range(samples).count);
    case "TC":
      return (samples) => range(samples).count;
    case "TS":
      return (samples) => range(samples).sum;
    case "PR":
      return (samples) => (100 * range(samples).count) / samples.count;
    case "WM":
      return (samples) => {
        const { count, sum, below, above, lowEdge, highEdge } = range(samples);
        return ratio(sum + below * lowEdge + above * highEdge, count + below + above);
      };
    default:
      return undefined;
  }
}

/** The values from one rank to another: a percentile is the highest of those up to it. */
function byShare(low: number, high: number): Range {
  return (samples) => {
    const first = Math.floor(low * samples.count);
    const last = Math.ceil(high * samples.count);
    let before = 0;
    let sum = 0;
    for (const { value, count } of samples.buckets()) {
      const taken = Math.min(last, before + count) - Math.max(first, before);
      if (taken > 0) sum += taken * value;
      before += count;
    }
    return {
      count: last - first,
      // All of them are known to the last digit.
      sum: first === 0 && last === samples.count ? samples.sum : sum,
      below: first,
      above: samples.count - last,
      lowEdge: samples.quantile(low),
      highEdge: samples.quantile(high),
    };
  };
}

/** The lower bound is not part of it, the upper one is. */
function byValue(low: number | undefined, high: number | undefined): Range {
  return (samples) => {
    const isBelow = ({ value }: Bucket) => low !== undefined && value <= low;
    const isAbove = ({ value }: Bucket) => high !== undefined && value > high;
    const buckets = samples.buckets();
    const within = buckets.filter((bucket) => !isBelow(bucket) && !isAbove(bucket));
    const count = countOf(within);
    return {
      count,
      sum:
        count === samples.count
          ? samples.sum
          : within.reduce((sum, bucket) => sum + bucket.value * bucket.count, 0),
      below: countOf(buckets.filter(isBelow)),
      above: countOf(buckets.filter((bucket) => isAbove(bucket) && !isBelow(bucket))),
      lowEdge: low ?? samples.min,
      highEdge: high ?? samples.max,
    };
  };
}

function countOf(buckets: readonly Bucket[]): number {
  return buckets.reduce((sum, { count }) => sum + count, 0);
}

function ratio(sum: number, count: number): number | undefined {
  return count === 0 ? undefined : sum / count;
}
