import type { FunctionName } from "../../core/ids.ts";
import type { OutcomeKind } from "../../core/invocation.ts";
import type { Tally } from "./tally.ts";

/** Which calls are counted together. */
export interface CallSeries {
  /** As the caller named it: an alias, a number, `$LATEST`; undefined if not at all. */
  readonly qualifier: string | undefined;
  /** `$LATEST` or a number. */
  readonly version: string;
  /** The number that `$LATEST` equalled then. */
  readonly liveVersion: number | undefined;
}

/** Counts calls. Nothing here waits, throws or allocates: it is on the path of every call. */
export interface CallMeters {
  /** The meter of a series: of the same one the same object, to be asked for with each call. */
  of(
    name: FunctionName,
    qualifier: string | undefined,
    version: string,
    liveVersion: number | undefined,
  ): CallMeter;
}

export interface CallMeter {
  /** A call runs, or waits for an instance; `left` follows. */
  entered(): void;
  left(): void;
  /** It was refused because too many ran. */
  throttled(): void;
  /** How it ended. `initMs` is set if it had to start its instance. */
  ended(outcome: OutcomeKind, durationMs: number, initMs: number | undefined): void;
}

/** Counts what becomes of events. */
export interface EventMeters {
  /** An attempt begins of an event that is so old. */
  attempted(name: FunctionName, ageMs: number, isFirst: boolean): void;
  /** It ended without success. */
  dropped(name: FunctionName): void;
  /** A destination did not take its result. */
  undelivered(name: FunctionName): void;
}

/** What was counted in a span that begins at `at` (ms since epoch) and takes a minute at most. */
export interface MetricPoint {
  readonly at: number;
  /** Undefined: what belongs to the function as a whole, such as how many calls ran at once. */
  readonly series: CallSeries | undefined;
  readonly tally: Tally;
}

export interface MetricQuery {
  /** Undefined: all functions together, where all points are without a series. */
  readonly functionName: FunctionName | undefined;
  /** ms since epoch, `untilAt` exclusive; whole minutes, into which both are widened. */
  readonly sinceAt: number;
  readonly untilAt: number;
}

export interface WindowQuery {
  readonly functionName: FunctionName;
  /** `$LATEST` or a number; a number counts what ran while it was live, too. Undefined: all. */
  readonly version: string | undefined;
  /** Only calls that were made by that alias or number. */
  readonly qualifier?: string | undefined;
  readonly lastMs: number;
}

export interface FunctionTotals {
  readonly functionName: string;
  /** Since the daemon was started, or later for a function that was long not called. */
  readonly tally: Tally;
  /** Calls that run or wait now. */
  readonly running: number;
}

/**
 * What was counted, per function and version, in steps of ten seconds for a while and of minutes for fifteen days.
 * What has not been written when the daemon is killed is lost: a minute at most.
 */
export interface MetricReader {
  /** What happened in the last ms: to ten seconds where that is a quarter of an hour at most, else to a minute. */
  window(query: WindowQuery): Promise<Tally>;
  /** In no order. A span may come in several points. */
  points(query: MetricQuery): Promise<MetricPoint[]>;
  /** Which series of a function are kept; of all that are. */
  series(): Promise<ReadonlyMap<string, readonly CallSeries[]>>;
  /** At most `functionsMax`; the others come together as `_other`. */
  totals(functionsMax: number): readonly FunctionTotals[];
  forget(functionName: FunctionName): Promise<void>;
}

export interface Metrics extends MetricReader, AsyncDisposable {
  readonly calls: CallMeters;
  readonly events: EventMeters;
  /** Resolves when all that was counted so far would survive. */
  flush(): Promise<void>;
}
