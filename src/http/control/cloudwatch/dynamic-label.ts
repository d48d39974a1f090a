/** `${…}` in the label of a result: figures of what is returned, and properties of the metric it was made of. */

export interface LabelFacts {
  /** What stands there without a label. */
  readonly ownLabel: string;
  /** Ascending. */
  readonly points: readonly (readonly [at: number, value: number])[];
  /** `MetricName`, `Period`, `Dim.FunctionName` …; none of an expression. */
  readonly properties: ReadonlyMap<string, string>;
}

/** What is not known stays as it is. */
export function labelOf(label: string | undefined, facts: LabelFacts): string {
  if (label === undefined) return facts.ownLabel;
  return label.replaceAll(/\$\{([^}]*)\}/g, (whole, name: string) => {
    if (name === "LABEL") return facts.ownLabel;
    const property = /^PROP\('([^']*)'\)$/.exec(name)?.[1];
    if (property !== undefined) return facts.properties.get(property) ?? whole;
    const compute = Object.hasOwn(FIGURES, name) ? FIGURES[name] : undefined;
    if (!compute) return whole;
    return facts.points.length === 0 ? "--" : shown(compute(facts.points.map(([, value]) => value)));
  });
}

const FIGURES: Readonly<Record<string, (values: readonly number[]) => number>> = {
  AVG: (values) => sumOf(values) / values.length,
  SUM: sumOf,
  MIN: lowest,
  MAX: highest,
  FIRST: (values) => values[0] ?? 0,
  LAST: (values) => values.at(-1) ?? 0,
  DATAPOINT_COUNT: (values) => values.length,
  MIN_MAX_RANGE: (values) => highest(values) - lowest(values),
  FIRST_LAST_RANGE: (values) => (values.at(-1) ?? 0) - (values[0] ?? 0),
};

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

function lowest(values: readonly number[]): number {
  return values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
}

function highest(values: readonly number[]): number {
  return values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
}

/** To three places. */
function shown(value: number): string {
  return String(Math.round(value * 1_000) / 1_000);
}
