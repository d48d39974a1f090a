/** What expressions are computed with: numbers, series of numbers in time, and lists of those. */

export interface Series {
  readonly label: string;
  readonly periodMs: number;
  /** By their instants, ascending; a missing instant has no value. */
  readonly points: ReadonlyMap<number, number>;
  /** The period of a metric may be asked for, that of what was computed may not. */
  readonly isMetric: boolean;
}

export type MathValue =
  | { readonly kind: "scalar"; readonly value: number }
  | { readonly kind: "series"; readonly series: Series }
  | { readonly kind: "list"; readonly list: readonly Series[] };

export const scalar = (value: number): MathValue => ({ kind: "scalar", value });
export const oneSeries = (series: Series): MathValue => ({ kind: "series", series });
export const listOf = (list: readonly Series[]): MathValue => ({ kind: "list", list });

/** What cannot be computed, for whoever wrote the expression. */
export class ExpressionError extends Error {
  override readonly name = "ExpressionError";
}

/** The same series with other points; what is no number is dropped, as a division by zero is. */
export function withPoints(series: Series, points: Iterable<readonly [number, number]>): Series {
  const kept = new Map<number, number>();
  for (const [at, value] of points) if (Number.isFinite(value)) kept.set(at, value);
  return { ...series, points: kept, isMetric: false };
}

/** Every instant that any of them has, ascending. */
export function instantsOf(list: readonly Series[]): readonly number[] {
  const [only] = list;
  if (only && list.length === 1) return [...only.points.keys()];
  const all = new Set(list.flatMap(({ points }) => [...points.keys()]));
  return [...all].sort((a, b) => a - b);
}
