import type { OutcomeKind } from "../../core/invocation.ts";
import type { CallMeter, CallSeries, MetricPoint } from "./metrics.ts";
import { Tally } from "./tally.ts";

/** What was counted in ten seconds that are over, encoded: a tally takes ten times as much. */
interface Slice {
  readonly at: number;
  readonly text: string;
  isWritten: boolean;
}

/** A tally that is being added to, and those of a while before it. */
export class Line {
  readonly functionName: string;
  readonly series: CallSeries | undefined;
  readonly #slices: Slice[] = [];
  readonly #tally = new Tally();
  readonly #total: Tally | undefined;
  readonly #touched: (line: Line) => void;
  #isTouched = false;

  constructor(parts: {
    readonly functionName: string;
    readonly series: CallSeries | undefined;
    /** Gets all that was counted. */
    readonly total: Tally | undefined;
    readonly touched: (line: Line) => void;
  }) {
    this.functionName = parts.functionName;
    this.series = parts.series;
    this.#total = parts.total;
    this.#touched = parts.touched;
  }

  /** The tally, to be added to at once. */
  touch(): Tally {
    if (!this.#isTouched) {
      this.#isTouched = true;
      this.#touched(this);
    }
    return this.#tally;
  }

  /** The slice that began at `at` is over. */
  turn(at: number): void {
    this.#isTouched = false;
    const text = JSON.stringify(this.#tally.encode());
    // Forgotten meanwhile.
    if (text === "{}") return;
    this.#slices.push({ at, text, isWritten: false });
    this.#total?.add(this.#tally);
    this.#tally.clear();
  }

  get hasSlices(): boolean {
    return this.#slices.length > 0;
  }

  get isIdle(): boolean {
    return !this.#isTouched && !this.hasSlices;
  }

  /** What has been counted and is not in the total yet. */
  addRest(sum: Tally): void {
    sum.add(this.#tally);
  }

  /** Slices from `sinceAt` on, only those that are not on disk if asked so; the last is that of now. */
  points(now: number, { sinceAt, isUnwritten }: { sinceAt: number; isUnwritten: boolean }): MetricPoint[] {
    const { series } = this;
    const points = this.#slices
      .filter(({ at, isWritten }) => at >= sinceAt && !(isUnwritten && isWritten))
      .map(({ at, text }) => ({ at, series, tally: decode(text) }));
    if (!this.#isTouched) return points;
    const tally = new Tally();
    tally.add(this.#tally);
    return [...points, { at: now, series, tally }];
  }

  /** Slices that are not on disk, by minute; they count as written from now on. */
  takeUnwritten(untilAt: number, minuteMs: number): Map<number, Tally> {
    const minutes = new Map<number, Tally>();
    for (const slice of this.#slices) {
      if (slice.isWritten || slice.at >= untilAt) continue;
      slice.isWritten = true;
      const at = Math.floor(slice.at / minuteMs) * minuteMs;
      const tally = minutes.get(at) ?? new Tally();
      tally.addEncoded(JSON.parse(slice.text));
      minutes.set(at, tally);
    }
    return minutes;
  }

  dropBefore(at: number): void {
    const kept = this.#slices.findIndex((slice) => slice.at >= at);
    this.#slices.splice(0, kept < 0 ? this.#slices.length : kept);
  }

  clear(): void {
    this.#slices.length = 0;
    this.#tally.clear();
  }
}

/** Counts the calls of one series. */
class SeriesMeter implements CallMeter {
  readonly line: Line;
  readonly #owner: FunctionMeter;
  #running = 0;

  constructor(owner: FunctionMeter, line: Line) {
    this.#owner = owner;
    this.line = line;
  }

  entered(): void {
    this.#running += 1;
    this.#owner.enter();
  }

  left(): void {
    this.#running -= 1;
    this.#owner.leave();
  }

  throttled(): void {
    this.line.touch().throttled += 1;
  }

  ended(outcome: OutcomeKind, durationMs: number, initMs: number | undefined): void {
    const tally = this.line.touch();
    tally.ended(outcome);
    tally.duration.record(durationMs);
    if (initMs !== undefined) tally.init.record(initMs);
  }

  get isIdle(): boolean {
    return this.#running === 0 && this.line.isIdle;
  }
}

/** Counts what a function does; one more is for all of them together. */
export class FunctionMeter {
  readonly name: string;
  /** What belongs to no series. */
  readonly own: Line;
  readonly #all: FunctionMeter | undefined;
  readonly #touched: (line: Line) => void;
  readonly #total = new Tally();
  #series: SeriesMeter[] = [];
  #running = 0;

  constructor(name: string, all: FunctionMeter | undefined, touched: (line: Line) => void) {
    this.name = name;
    this.#all = all;
    this.#touched = touched;
    this.own = this.#newLine(undefined);
  }

  get running(): number {
    return this.#running;
  }

  get isIdle(): boolean {
    return this.#running === 0 && this.lines().every((line) => line.isIdle);
  }

  lines(): Line[] {
    return [this.own, ...this.#series.map(({ line }) => line)];
  }

  /** Of more series than `max` at a time, the rest are counted as one. */
  of(
    qualifier: string | undefined,
    version: string,
    liveVersion: number | undefined,
    max: number,
  ): SeriesMeter {
    for (const meter of this.#series) {
      const { series } = meter.line;
      if (
        series?.version === version &&
        series.qualifier === qualifier &&
        series.liveVersion === liveVersion
      ) {
        return meter;
      }
    }
    if (this.#series.length >= max && version !== OTHER) {
      this.dropIdleSeries();
      if (this.#series.length >= max) return this.of(undefined, OTHER, undefined, max);
    }
    const meter = new SeriesMeter(this, this.#newLine({ qualifier, version, liveVersion }));
    this.#series.push(meter);
    return meter;
  }

  enter(): void {
    this.#running += 1;
    const tally = this.own.touch();
    if (this.#running > tally.concurrencyMax) tally.concurrencyMax = this.#running;
    this.#all?.enter();
  }

  leave(): void {
    this.#running -= 1;
    this.#all?.leave();
  }

  /** A slice begins: calls that go on run in it, too. */
  goOn(): void {
    if (this.#running > 0) this.own.touch().concurrencyMax = this.#running;
  }

  /** All that was counted since the meter was made. */
  totals(): Tally {
    const sum = new Tally();
    sum.add(this.#total);
    for (const line of this.lines()) line.addRest(sum);
    return sum;
  }

  dropIdleSeries(): void {
    if (this.#series.some(({ isIdle }) => isIdle)) {
      this.#series = this.#series.filter(({ isIdle }) => !isIdle);
    }
  }

  #newLine(series: CallSeries | undefined): Line {
    return new Line({ functionName: this.name, series, total: this.#total, touched: this.#touched });
  }
}

const OTHER = "_other";

function decode(text: string): Tally {
  const tally = new Tally();
  tally.addEncoded(JSON.parse(text));
  return tally;
}
