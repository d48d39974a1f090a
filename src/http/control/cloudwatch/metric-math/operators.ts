/**
 * Operators between numbers, series and lists. Where only one of two series has a value, the other counts as 0; what
 * divides by zero is dropped. Comparisons and logic give 0 and 1.
 */
import type { Operator } from "./parse-expression.ts";
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

const COMPUTE: Readonly<Record<Operator, (left: number, right: number) => number>> = {
  "+": (left, right) => left + right,
  "-": (left, right) => left - right,
  "*": (left, right) => left * right,
  "/": (left, right) => (right === 0 ? Number.NaN : left / right),
  "^": (left, right) => left ** right,
  "==": (left, right) => Number(left === right),
  "!=": (left, right) => Number(left !== right),
  "<=": (left, right) => Number(left <= right),
  ">=": (left, right) => Number(left >= right),
  "<": (left, right) => Number(left < right),
  ">": (left, right) => Number(left > right),
  AND: (left, right) => Number(left !== 0 && right !== 0),
  OR: (left, right) => Number(left !== 0 || right !== 0),
};

/** @throws ExpressionError for two lists, which AWS does not take either. */
export function combine(operator: Operator, left: MathValue, right: MathValue): MathValue {
  const compute = COMPUTE[operator];
  if (left.kind === "list" && right.kind === "list")
    throw new ExpressionError(`${operator} does not take two arrays of time series`);
  if (left.kind === "list")
    return listOf(left.list.map((one) => between(compute, oneSeries(one), right, one)));
  if (right.kind === "list")
    return listOf(right.list.map((one) => between(compute, left, oneSeries(one), one)));
  if (left.kind === "scalar" && right.kind === "scalar") return scalar(compute(left.value, right.value));
  const shape = left.kind === "series" ? left.series : right.kind === "series" ? right.series : undefined;
  return shape ? oneSeries(between(compute, left, right, shape)) : scalar(Number.NaN);
}

function between(
  compute: (left: number, right: number) => number,
  left: MathValue,
  right: MathValue,
  shape: Series,
): Series {
  const both = [left, right].flatMap((value) => (value.kind === "series" ? [value.series] : []));
  return withPoints(
    shape,
    instantsOf(both).map((at) => [at, compute(valueAt(left, at), valueAt(right, at))]),
  );
}

function valueAt(value: MathValue, at: number): number {
  if (value.kind === "scalar") return value.value;
  return value.kind === "series" ? (value.series.points.get(at) ?? 0) : Number.NaN;
}

/** The same for each value of a number, a series or a list. */
export function mapEach(value: MathValue, compute: (value: number) => number): MathValue {
  return mapSeries(value, compute, (series) =>
    withPoints(
      series,
      [...series.points].map(([at, each]) => [at, compute(each)]),
    ),
  );
}

/** The same for each series. */
export function mapSeries(
  value: MathValue,
  ofNumber: (value: number) => number,
  ofSeries: (series: Series) => Series,
): MathValue {
  switch (value.kind) {
    case "scalar":
      return scalar(ofNumber(value.value));
    case "series":
      return oneSeries(ofSeries(value.series));
    case "list":
      return listOf(value.list.map(ofSeries));
  }
}
