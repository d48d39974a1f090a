/** The functions of metric math that have all they need in their arguments and the span that was asked for. */
import { mapEach, mapSeries } from "./operators.ts";
import type { Expression } from "./parse-expression.ts";
import {
  ExpressionError,
  instantsOf,
  listOf,
  type MathValue,
  oneSeries,
  type Series,
  scalar,
  withPoints,
} from "./series.ts";

export interface Evaluation {
  readonly value: (argument: Expression) => MathValue;
  /** All metrics of the request; with a text, those whose id has it. */
  readonly metrics: (text: string | undefined) => readonly Series[];
  /** Every instant of the span, at that distance. */
  readonly instants: (periodMs: number) => readonly number[];
  /** Of a series that comes from no metric. */
  readonly periodMs: number;
}

type MathFunction = (args: readonly Expression[], evaluation: Evaluation) => MathValue;

/** AWS has these, too; each needs something that is not here. */
const ABSENT: Readonly<Record<string, string>> = {
  ANOMALY_DETECTION_BAND: "no models of metrics are learned",
  INSIGHT_RULE_METRIC: "there are no rules of Contributor Insights",
  SERVICE_QUOTA: "there are no service quotas",
  DB_PERF_INSIGHTS: "there are no databases",
  LAMBDA: "there are no data sources of other metrics",
  SEARCH: "name the metrics one by one",
};

/** @throws ExpressionError */
export function callFunction(name: string, args: readonly Expression[], evaluation: Evaluation): MathValue {
  const found = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
  if (found) {
    const [least, most, call] = found;
    if (args.length < least || args.length > most)
      throw new ExpressionError(
        `${name} takes ${least === most ? least : `${least} to ${most}`} arguments, not ${args.length}`,
      );
    return call(args, evaluation);
  }
  const absence = Object.hasOwn(ABSENT, name) ? ABSENT[name] : undefined;
  throw new ExpressionError(
    absence === undefined
      ? `there is no function ${name}: give one of ${Object.keys(FUNCTIONS).sort().join(", ")}`
      : `${name} is not supported by lambdad: ${absence}`,
  );
}

const FUNCTIONS: Readonly<Record<string, readonly [least: number, most: number, call: MathFunction]>> = {
  ABS: each(Math.abs),
  CEIL: each(Math.ceil),
  FLOOR: each(Math.floor),
  LOG: each(Math.log),
  LOG10: each(Math.log10),
  AVG: aggregate(
    (values) => sumOf(values) / values.length,
    // Of several series, those without a value count as 0.
    (values, all) => sumOf(values) / all,
  ),
  SUM: aggregate(sumOf),
  MIN: aggregate((values) => values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)),
  MAX: aggregate((values) => values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)),
  STDDEV: aggregate(deviationOf),
  DATAPOINT_COUNT: aggregate((values) => values.length),
  DIFF: behind((value, before) => value - before),
  DIFF_TIME: behind((_value, _before, seconds) => seconds),
  RATE: behind((value, before, seconds) => (value - before) / seconds),
  RUNNING_SUM: [1, 1, ([first], { value }) => mapSeries(value(given(first)), (one) => one, runningSum)],
  FILL: [2, 2, fill],
  IF: [2, 3, choose],
  METRICS: [
    0,
    1,
    ([text], { metrics }) => {
      if (text !== undefined && text.kind !== "text")
        throw new ExpressionError("METRICS takes a text in quotes");
      return listOf(metrics(text?.text));
    },
  ],
  METRIC_COUNT: [1, 1, ([first], { value }) => scalar(seriesIn(value(given(first))).length)],
  PERIOD: [
    1,
    1,
    ([first], { value }) => {
      const of = value(given(first));
      if (of.kind !== "series" || !of.series.isMetric)
        throw new ExpressionError("PERIOD takes a metric, and not the result of an expression");
      return scalar(of.series.periodMs / 1_000);
    },
  ],
  TIME_SERIES: [
    1,
    1,
    ([first], { value, instants, periodMs }) => {
      const number = numberIn(value(given(first)), "TIME_SERIES");
      const empty: Series = { label: "", periodMs, points: new Map(), isMetric: false };
      return oneSeries(
        withPoints(
          empty,
          instants(periodMs).map((at) => [at, number]),
        ),
      );
    },
  ],
  FIRST: [1, 1, ([first], { value }) => oneSeries(oneOf(seriesIn(value(given(first))), 0))],
  LAST: [1, 1, ([first], { value }) => oneSeries(oneOf(seriesIn(value(given(first))), -1))],
  REMOVE_EMPTY: [
    1,
    1,
    ([first], { value }) => listOf(seriesIn(value(given(first))).filter(({ points }) => points.size > 0)),
  ],
  SLICE: [
    2,
    3,
    ([first, from, to], { value }) => {
      const list = seriesIn(value(given(first)));
      const start = numberIn(value(given(from)), "SLICE");
      return listOf(list.slice(start, to === undefined ? undefined : numberIn(value(to), "SLICE")));
    },
  ],
  SORT: [3, 4, sort],
  MINUTE: ofTime((at) => at.getUTCMinutes()),
  HOUR: ofTime((at) => at.getUTCHours()),
  // Monday is 1.
  DAY: ofTime((at) => at.getUTCDay() || 7),
  DATE: ofTime((at) => at.getUTCDate()),
  MONTH: ofTime((at) => at.getUTCMonth() + 1),
  YEAR: ofTime((at) => at.getUTCFullYear()),
  EPOCH: ofTime((at) => at.getTime() / 1_000),
};

function each(compute: (value: number) => number): readonly [number, number, MathFunction] {
  return [1, 1, ([first], { value }) => mapEach(value(given(first)), compute)];
}

/** Of one series a number, of several a series of what they have at the same instant. */
function aggregate(
  compute: (values: readonly number[]) => number,
  acrossAll: (values: readonly number[], all: number) => number = compute,
): readonly [number, number, MathFunction] {
  return [
    1,
    1,
    ([first], { value }) => {
      const of = value(given(first));
      if (of.kind === "scalar") return of;
      if (of.kind === "series") return scalar(compute([...of.series.points.values()]));
      const [shape] = of.list;
      if (!shape) return listOf([]);
      const across = instantsOf(of.list).map((at) => {
        const values = of.list.flatMap(({ points }) => points.get(at) ?? []);
        return [at, acrossAll(values, of.list.length)] as const;
      });
      return oneSeries({ ...withPoints(shape, across), label: "" });
    },
  ];
}

/** From each value and the one before it. */
function behind(
  compute: (value: number, before: number, seconds: number) => number,
): readonly [number, number, MathFunction] {
  const ofSeries = (series: Series) => {
    const points = [...series.points];
    return withPoints(
      series,
      points.slice(1).map(([at, value], index) => {
        const [beforeAt, before] = points[index] ?? [at, value];
        return [at, compute(value, before, (at - beforeAt) / 1_000)];
      }),
    );
  };
  return [1, 1, ([first], { value }) => mapSeries(value(given(first)), () => 0, ofSeries)];
}

function runningSum(series: Series): Series {
  let sum = 0;
  return withPoints(
    series,
    [...series.points].map(([at, value]) => {
      sum += value;
      return [at, sum];
    }),
  );
}

function ofTime(read: (at: Date) => number): readonly [number, number, MathFunction] {
  return [
    1,
    1,
    ([first], { value, instants }) =>
      mapSeries(
        value(given(first)),
        () => Number.NaN,
        (series) =>
          withPoints(
            series,
            instants(series.periodMs).map((at) => [at, read(new Date(at))]),
          ),
      ),
  ];
}

/** By a number, by another series, by the value before (REPEAT), or along a line between two (LINEAR). */
function fill([first, filler]: readonly Expression[], { value, instants }: Evaluation): MathValue {
  const of = value(given(first));
  const by = given(filler);
  if (by.kind === "word" && by.word !== "REPEAT" && by.word !== "LINEAR")
    throw new ExpressionError(`FILL takes a number, a time series, REPEAT or LINEAR, not ${by.word}`);
  const made = by.kind === "word" ? undefined : value(by);
  if (made?.kind === "list")
    throw new ExpressionError("FILL takes one time series to fill with, not several");
  const filled = (series: Series) => {
    const points = [...series.points];
    let index = -1;
    const fillerAt = (at: number): number | undefined => {
      if (made?.kind === "scalar") return made.value;
      if (made?.kind === "series") return made.series.points.get(at);
      while ((points[index + 1]?.[0] ?? Number.POSITIVE_INFINITY) < at) index += 1;
      const [before, after] = [points[index], points[index + 1]];
      if (!before || (by.kind === "word" && by.word === "REPEAT")) return before?.[1];
      return after && before[1] + ((after[1] - before[1]) * (at - before[0])) / (after[0] - before[0]);
    };
    const all = [...new Set([...instants(series.periodMs), ...series.points.keys()])].sort((a, b) => a - b);
    return withPoints(
      series,
      all.map((at) => [at, series.points.get(at) ?? fillerAt(at) ?? Number.NaN]),
    );
  };
  return mapSeries(of, (number) => number, filled);
}

/** The condition is looked at instant by instant where it is a series; without a third argument the rest is dropped. */
function choose(
  [condition, yes, no]: readonly Expression[],
  { value, instants, periodMs }: Evaluation,
): MathValue {
  const asked = value(given(condition));
  const whenTrue = value(given(yes));
  const whenFalse = no === undefined ? undefined : value(no);
  for (const each of [asked, whenTrue, whenFalse])
    if (each?.kind === "list") throw new ExpressionError("IF takes numbers and single time series");
  const shape = [asked, whenTrue, whenFalse].find((each) => each?.kind === "series");
  if (shape?.kind !== "series")
    return asked.kind === "scalar" && asked.value !== 0 ? whenTrue : (whenFalse ?? scalar(Number.NaN));
  if (asked.kind === "scalar") {
    const taken = asked.value === 0 ? whenFalse : whenTrue;
    if (taken?.kind === "series") return taken;
    const empty = { ...shape.series, periodMs: shape.series.periodMs || periodMs };
    return oneSeries(
      withPoints(
        empty,
        taken?.kind === "scalar" ? instants(empty.periodMs).map((at) => [at, taken.value]) : [],
      ),
    );
  }
  if (asked.kind !== "series") return asked;
  return oneSeries(
    withPoints(
      asked.series,
      [...asked.series.points].map(([at, isTrue]) => [
        at,
        isTrue === 0 ? valueAt(whenFalse, at, Number.NaN) : valueAt(whenTrue, at, 0),
      ]),
    ),
  );
}

function valueAt(value: MathValue | undefined, at: number, missing: number): number {
  if (value?.kind === "scalar") return value.value;
  return value?.kind === "series" ? (value.series.points.get(at) ?? missing) : missing;
}

const SORTED_BY: Readonly<Record<string, (values: readonly number[]) => number>> = {
  AVG: (values) => sumOf(values) / values.length,
  SUM: sumOf,
  MIN: (values) => Math.min(...values),
  MAX: (values) => Math.max(...values),
};

function sort([first, by, order, most]: readonly Expression[], { value }: Evaluation): MathValue {
  const compute = by?.kind === "word" && Object.hasOwn(SORTED_BY, by.word) ? SORTED_BY[by.word] : undefined;
  const isAscending = order?.kind === "word" && order.word === "ASC";
  if (!compute || order?.kind !== "word" || !/^(ASC|DESC)$/.test(order.word))
    throw new ExpressionError("SORT takes an array, one of AVG, SUM, MIN, MAX, and ASC or DESC");
  const ranked = seriesIn(value(given(first)))
    .map((series) => ({ series, rank: series.points.size === 0 ? 0 : compute([...series.points.values()]) }))
    .sort((a, b) => (isAscending ? a.rank - b.rank : b.rank - a.rank))
    .map(({ series }) => series);
  return listOf(most === undefined ? ranked : ranked.slice(0, numberIn(value(most), "SORT")));
}

function given(argument: Expression | undefined): Expression {
  if (!argument) throw new ExpressionError("an argument is missing");
  return argument;
}

function seriesIn(value: MathValue): readonly Series[] {
  if (value.kind === "list") return value.list;
  if (value.kind === "series") return [value.series];
  throw new ExpressionError("a number stands where time series are needed");
}

function oneOf(list: readonly Series[], index: number): Series {
  const found = list.at(index);
  if (!found) throw new ExpressionError("there is no time series to take");
  return found;
}

function numberIn(value: MathValue, name: string): number {
  if (value.kind !== "scalar") throw new ExpressionError(`${name} takes a number here, and not time series`);
  return value.value;
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

function deviationOf(values: readonly number[]): number {
  const mean = sumOf(values) / values.length;
  return Math.sqrt(sumOf(values.map((value) => (value - mean) ** 2)) / values.length);
}
