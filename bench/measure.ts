import type { Plot } from "./plot.ts";
import { timeProcess } from "./processes.ts";

/** One row of the table: a figure, its yardstick from the same run, and the bar that their ratio (or the figure) has to meet. */
export interface Row {
  readonly measure: string;
  readonly value: number;
  readonly unit: string;
  readonly yardstick: string;
  readonly yardstickValue: number | undefined;
  /** What is compared with the bar; undefined where the value itself is. */
  readonly ratio: number | undefined;
  readonly bar: string;
  readonly isMet: boolean | undefined;
  /** Smallest and largest of the runs. */
  readonly spread: readonly [number, number];
  readonly runs: number;
}

/** What a part of the bench has found. */
export interface Found {
  readonly rows: readonly Row[];
  readonly plots?: readonly Plot[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** The smallest value that so large a share is not above. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

const YARDSTICK_RUNS = 5;

/** The same small work, again and again through a run: how much it moves is how much everything else does. */
export async function timesOfYardstick(): Promise<number[]> {
  const times: number[] = [];
  for (let run = 0; run < YARDSTICK_RUNS; run += 1)
    times.push(await timeProcess(process.execPath, ["-e", "0"]));
  return times;
}

/** Runs `measure` and `yardstick` in turn, so that both see the same moods of the machine. */
export async function inTurn(
  runs: number,
  measure: () => Promise<number>,
  yardstick: () => Promise<number>,
): Promise<{ readonly values: number[]; readonly yardsticks: number[] }> {
  const values: number[] = [];
  const yardsticks: number[] = [];
  await measure();
  await yardstick();
  for (let run = 0; run < runs; run++) {
    values.push(await measure());
    yardsticks.push(await yardstick());
  }
  return { values, yardsticks };
}

export function ratioRow(
  measure: string,
  unit: string,
  yardstick: string,
  { values, yardsticks }: { readonly values: number[]; readonly yardsticks: number[] },
  bar: { readonly kind: "at most" | "at least"; readonly ratio: number },
): Row {
  const ratio = median(values.map((value, index) => value / (yardsticks[index] ?? Number.NaN)));
  return {
    measure,
    value: median(values),
    unit,
    yardstick,
    yardstickValue: median(yardsticks),
    ratio,
    bar: `${bar.kind} ${bar.ratio} ×`,
    isMet: bar.kind === "at most" ? ratio <= bar.ratio : ratio >= bar.ratio,
    spread: [Math.min(...values), Math.max(...values)],
    runs: values.length,
  };
}

/** A ratio that is there to be compared with. */
export function plainRatioRow(...[measure, unit, yardstick, both]: RatioFacts): Row {
  const row = ratioRow(measure, unit, yardstick, both, { kind: "at most", ratio: 0 });
  return { ...row, bar: "", isMet: undefined };
}

type RatioFacts = [
  measure: string,
  unit: string,
  yardstick: string,
  both: { readonly values: number[]; readonly yardsticks: number[] },
];

/** A figure that has to reach a bar by itself. */
export function boundRow(measure: string, unit: string, values: readonly number[], atLeast: number): Row {
  const value = median(values);
  return {
    measure,
    value,
    unit,
    yardstick: "",
    yardstickValue: undefined,
    ratio: undefined,
    bar: `at least ${atLeast.toLocaleString("en")} ${unit}`,
    isMet: value >= atLeast,
    spread: [Math.min(...values), Math.max(...values)],
    runs: values.length,
  };
}

/** A figure that must not pass a bar by itself. */
export function ceilingRow(measure: string, unit: string, values: readonly number[], atMost: number): Row {
  const row = boundRow(measure, unit, values, 0);
  return { ...row, bar: `at most ${atMost.toLocaleString("en")} ${unit}`, isMet: row.value <= atMost };
}

/** A figure that is there to be compared with. */
export function plainRow(measure: string, unit: string, values: readonly number[]): Row {
  return { ...boundRow(measure, unit, values, 0), bar: "", isMet: undefined };
}

export function formatRow(row: Row): string[] {
  return [
    row.measure,
    `${format(row.value)} ${row.unit}`,
    `${format(row.spread[0])}–${format(row.spread[1])}`,
    row.yardstickValue === undefined ? "" : `${row.yardstick} ${format(row.yardstickValue)}`,
    row.ratio === undefined ? "" : `${row.ratio.toFixed(2)} ×`,
    row.bar,
    String(row.runs),
    row.isMet === undefined ? "" : row.isMet ? "met" : "MISSED",
  ];
}

export function printTable(rows: readonly Row[]): void {
  const text = rows.map(formatRow);
  const head = ["measure", "median", "min–max", "yardstick", "ratio", "bar", "runs", ""];
  const all = [head, ...text];
  const widths = head.map((_, column) => Math.max(...all.map((line) => line[column]?.length ?? 0)));
  for (const line of all) {
    process.stdout.write(
      `${line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd()}\n`,
    );
  }
}

function format(value: number): string {
  if (!Number.isFinite(value)) return "-";
  return value >= 1_000
    ? Math.round(value).toLocaleString("en")
    : value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
}
