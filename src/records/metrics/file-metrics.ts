import type { Clock } from "../../core/clock.ts";
import type { FunctionName } from "../../core/ids.ts";
import { METRIC_FUNCTIONS_MAX, METRIC_SERIES_PER_FUNCTION_MAX } from "../../core/limits.ts";
import type { Log } from "../../core/log.ts";
import { inBackground } from "../../core/scope.ts";
import { FunctionMeter, type Line } from "./meters.ts";
import { DAY_MS, MetricFiles, MINUTE_MS, type MinuteRow } from "./metric-files.ts";
import type {
  CallMeters,
  CallSeries,
  EventMeters,
  FunctionTotals,
  MetricPoint,
  MetricQuery,
  Metrics,
  WindowQuery,
} from "./metrics.ts";
import { Tally } from "./tally.ts";

/** Instances of a function that are up, and the most memory that one of them has taken. */
export interface Usage {
  readonly instances: number;
  readonly memoryMib: number;
}

export interface MetricsParts {
  readonly dir: string;
  /** Of a function, asked once a minute if it was called; of all functions without a name. */
  readonly usageOf: (functionName: string | undefined) => Usage;
  readonly clock: Clock;
  readonly log: Log;
  readonly bytesMax?: number;
}

export function openMetrics(parts: MetricsParts): Metrics {
  return new FileMetrics(parts);
}

const SLICE_MS = 10_000;
/** Slices stay in memory for so long. */
const RECENT_MS = 15 * MINUTE_MS;
const ALL = "_all";
const OTHER = "_other";
/** Lines that are turned in one go: some 5 µs each. */
const LINES_PER_TURN = 100;
const FAILURES_SAID_MS = 3_600_000;

/**
 * Counters that a call adds to, in slices of ten seconds. Each slice is encoded when it is over, kept for a quarter of an
 * hour, and becomes part of a row on disk with its minute. With nothing counted, nothing is done.
 */
class FileMetrics implements Metrics {
  readonly #parts: MetricsParts;
  readonly #files: MetricFiles;
  readonly #functions = new Map<string, FunctionMeter>();
  /** How many calls run over all functions; its other counts are sums of theirs. */
  readonly #all: FunctionMeter;
  /** Lines that have been added to in this slice. */
  #touched: Line[] = [];
  /** Lines that have slices. */
  readonly #recent = new Set<Line>();
  #writtenUntil: number;
  /** Reading and writing take turns, so that no slice is read twice, as one and as part of a row. */
  #turn: Promise<unknown> = Promise.resolve();
  #wake: (() => void) | undefined;
  #failedAt = Number.NEGATIVE_INFINITY;
  readonly #turning: AsyncDisposable;

  constructor(parts: MetricsParts) {
    this.#parts = parts;
    this.#files = new MetricFiles(parts);
    this.#writtenUntil = startOfMinute(parts.clock.now());
    this.#all = new FunctionMeter(ALL, undefined, (line) => this.#touch(line));
    this.#turning = inBackground((signal) => this.#turnSlices(signal));
  }

  readonly calls: CallMeters = {
    of: (name, qualifier, version, liveVersion) =>
      this.#of(name).of(qualifier, version, liveVersion, METRIC_SERIES_PER_FUNCTION_MAX),
  };

  readonly events: EventMeters = {
    attempted: (name, ageMs, isFirst) => {
      const tally = this.#of(name).own.touch();
      if (isFirst) tally.received += 1;
      tally.eventAge.record(Math.max(0, ageMs));
    },
    dropped: (name) => {
      this.#of(name).own.touch().dropped += 1;
    },
    undelivered: (name) => {
      this.#of(name).own.touch().undelivered += 1;
    },
  };

  async window({ functionName, version, qualifier, lastMs }: WindowQuery): Promise<Tally> {
    const sinceAt = this.#parts.clock.now() - lastMs;
    const points =
      lastMs <= RECENT_MS
        ? this.#inMemory(functionName, { sinceAt: sinceAt - SLICE_MS + 1, isUnwritten: false })
        : await this.points({ functionName, sinceAt, untilAt: Number.POSITIVE_INFINITY });
    const isAll = version === undefined && qualifier === undefined;
    const sum = new Tally();
    for (const { series, tally } of points) {
      if (series ? fits(series, version, qualifier) : isAll) sum.add(tally);
    }
    return sum;
  }

  async points({ functionName, sinceAt, untilAt }: MetricQuery): Promise<MetricPoint[]> {
    const from = startOfMinute(sinceAt);
    const until = Math.ceil(untilAt / MINUTE_MS) * MINUTE_MS;
    return await this.#inTurn(async () => {
      const written = await this.#files.read({ functionName, sinceAt: from, untilAt: until });
      const waiting = this.#inMemory(functionName, { sinceAt: from, isUnwritten: true }).filter(
        ({ at }) => at < until,
      );
      if (functionName !== undefined) return [...written, ...waiting];
      return [...written, ...waiting.map(({ at, tally }) => ({ at, series: undefined, tally }))];
    });
  }

  async series(): Promise<ReadonlyMap<string, readonly CallSeries[]>> {
    await this.flush();
    return await this.#inTurn(() => this.#files.series());
  }

  totals(functionsMax: number): readonly FunctionTotals[] {
    const shown: FunctionTotals[] = [];
    const other = new Tally();
    let running = 0;
    for (const meter of this.#functions.values()) {
      const tally = meter.totals();
      if (shown.length < functionsMax && meter.name !== OTHER) {
        shown.push({ functionName: meter.name, tally, running: meter.running });
      } else {
        other.add(tally);
        running += meter.running;
      }
    }
    const hasOther = this.#functions.size > shown.length;
    return hasOther ? [...shown, { functionName: OTHER, tally: other, running }] : shown;
  }

  async forget(functionName: FunctionName): Promise<void> {
    const meter = this.#functions.get(functionName);
    for (const line of meter?.lines() ?? []) {
      line.clear();
      this.#recent.delete(line);
    }
    this.#functions.delete(functionName);
    await this.#inTurn(() => this.#files.forget(functionName, this.#parts.clock.now()));
  }

  async flush(): Promise<void> {
    await this.#turnTouched();
    await this.#write(Number.POSITIVE_INFINITY);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const turning = this.#turning[Symbol.asyncDispose]();
    this.#wake?.();
    await turning;
    await this.flush();
  }

  #of(name: string): FunctionMeter {
    return this.#functions.get(name) ?? this.#add(name);
  }

  #add(name: string): FunctionMeter {
    if (this.#functions.size >= METRIC_FUNCTIONS_MAX && name !== OTHER) {
      this.#dropIdle();
      if (this.#functions.size >= METRIC_FUNCTIONS_MAX) return this.#of(OTHER);
    }
    const meter = new FunctionMeter(name, this.#all, (line) => this.#touch(line));
    this.#functions.set(name, meter);
    return meter;
  }

  /** Those that nobody has called for a while; their totals begin anew when they are called again. */
  #dropIdle(): void {
    for (const [name, meter] of this.#functions) if (meter.isIdle) this.#functions.delete(name);
  }

  #touch(line: Line): void {
    this.#touched.push(line);
    this.#wake?.();
  }

  async #turnSlices(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    while (!signal.aborted) {
      if (this.#touched.length === 0 && this.#recent.size === 0) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = undefined;
        continue;
      }
      await clock.sleep(SLICE_MS - (clock.now() % SLICE_MS), { signal }).catch(() => undefined);
      if (signal.aborted) return;
      await this.#turnTouched();
      const now = clock.now();
      const minute = startOfMinute(now);
      if (minute <= this.#writtenUntil) continue;
      this.#writtenUntil = minute;
      // Not waited for: what runs while a slow disk writes is counted in the slices in which it runs.
      void this.#write(minute).then(() => this.#dropBefore(now - RECENT_MS));
    }
  }

  /** Ends the slice of all lines that were added to. */
  async #turnTouched(): Promise<void> {
    // A moment ago: what is turned on a boundary belongs to the slice that has ended there.
    const at = startOfSlice(this.#parts.clock.now() - 1);
    const lines = this.#touched;
    this.#touched = [];
    for (const [index, line] of lines.entries()) {
      if (index > 0 && index % LINES_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
      line.turn(at);
      if (line.hasSlices) this.#recent.add(line);
      if (line.series === undefined) this.#meterOf(line.functionName)?.goOn();
    }
  }

  /** Writes the minutes before `untilAt` that are not on disk. What cannot be written is lost, and that is said. */
  async #write(untilAt: number): Promise<void> {
    await this.#inTurn(async () => {
      try {
        const days = Map.groupBy(this.#takeRows(untilAt), ({ at }) => Math.floor(at / DAY_MS));
        for (const rows of days.values()) await this.#files.append(rows);
      } catch (error) {
        const now = this.#parts.clock.monotonic();
        if (now - this.#failedAt < FAILURES_SAID_MS) return;
        this.#failedAt = now;
        this.#parts.log.error("cannot write metrics; what was counted meanwhile will be missing", { error });
      }
    });
  }

  #takeRows(untilAt: number): MinuteRow[] {
    const rows: MinuteRow[] = [];
    const sums = new Map<number, Tally>();
    for (const line of this.#recent) {
      const { functionName, series } = line;
      for (const [at, tally] of line.takeUnwritten(untilAt, MINUTE_MS)) {
        if (series === undefined) this.#addUsage(tally, functionName === ALL ? undefined : functionName);
        if (functionName !== ALL) rows.push({ functionName, at, series, tally });
        const sum = sums.get(at) ?? new Tally();
        sum.add(tally);
        sums.set(at, sum);
      }
    }
    for (const [at, tally] of sums) rows.push({ functionName: undefined, at, series: undefined, tally });
    return rows;
  }

  #addUsage(tally: Tally, functionName: string | undefined): void {
    const { instances, memoryMib } = this.#parts.usageOf(functionName);
    tally.instancesMax = instances;
    tally.memoryMibMax = memoryMib;
  }

  #dropBefore(at: number): void {
    for (const line of this.#recent) {
      line.dropBefore(at);
      if (!line.hasSlices) this.#recent.delete(line);
    }
    for (const meter of this.#functions.values()) meter.dropIdleSeries();
  }

  #meterOf(name: string): FunctionMeter | undefined {
    return name === ALL ? this.#all : this.#functions.get(name);
  }

  #inMemory(
    functionName: FunctionName | undefined,
    wanted: { readonly sinceAt: number; readonly isUnwritten: boolean },
  ): MetricPoint[] {
    const meters =
      functionName === undefined
        ? [...this.#functions.values(), this.#all]
        : [this.#functions.get(functionName)].filter((meter) => meter !== undefined);
    const now = startOfSlice(this.#parts.clock.now());
    return meters.flatMap((meter) => meter.lines()).flatMap((line) => line.points(now, wanted));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}

function fits(series: CallSeries, version: string | undefined, qualifier: string | undefined): boolean {
  if (qualifier !== undefined && series.qualifier !== qualifier) return false;
  return version === undefined || series.version === version || String(series.liveVersion) === version;
}

function startOfMinute(at: number): number {
  return Math.floor(at / MINUTE_MS) * MINUTE_MS;
}

function startOfSlice(at: number): number {
  return Math.floor(at / SLICE_MS) * SLICE_MS;
}
