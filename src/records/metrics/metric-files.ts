/**
 * Points on disk: a folder per day (UTC), in it a file per function, in it a line of JSON per series and minute. Days go
 * as a whole, when they are too old or when all together take too much. A line that cannot be read, such as one that was
 * cut by a crash, is passed over.
 *
 * `_all` has what all functions did together, `_series` each series once per day and run: it is all that a list needs.
 */
import { appendFile, mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { FunctionName } from "../../core/ids.ts";
import { METRIC_BYTES_MAX, METRIC_DAYS_MAX } from "../../core/limits.ts";
import type { CallSeries, MetricPoint, MetricQuery } from "./metrics.ts";
import { Tally } from "./tally.ts";

export const MINUTE_MS = 60_000;
export const DAY_MS = 24 * 60 * MINUTE_MS;
const ALL = "_all";
const SERIES = "_series";
const WRITES_AT_ONCE = 4;
const DAY = /^\d{4}-\d\d-\d\d$/;

/** A minute of a series; of the function itself, or of all of them, without one. */
export interface MinuteRow extends MetricPoint {
  readonly functionName: string | undefined;
}

export class MetricFiles {
  readonly #dir: string;
  readonly #bytesMax: number;
  /** Bytes per day, oldest first; unknown until the folder was looked at. */
  #days: Map<string, number> | undefined;
  /** What `_series` of the day has from this run. */
  readonly #told = new Set<string>();
  #toldDay = "";

  constructor(parts: { readonly dir: string; readonly bytesMax?: number | undefined }) {
    this.#dir = parts.dir;
    this.#bytesMax = parts.bytesMax ?? METRIC_BYTES_MAX;
  }

  /** Appends rows of one day. @throws what the file system does; then part of them may have been written. */
  async append(rows: readonly MinuteRow[]): Promise<void> {
    const [first] = rows;
    if (!first) return;
    const day = dayOf(first.at);
    const days = await this.#makeRoom(day);
    const texts = new Map<string, string>();
    for (const row of rows) {
      const file = row.functionName ?? ALL;
      texts.set(file, `${texts.get(file) ?? "\n"}${lineOf(row)}\n`);
    }
    texts.set(SERIES, this.#newSeries(day, rows));
    const rest = texts.entries();
    const writeInTurn = async () => {
      for (const [file, text] of rest) {
        if (text === "") continue;
        await appendFile(this.#fileOf(day, file), text, { mode: 0o600 });
        days.set(day, (days.get(day) ?? 0) + Buffer.byteLength(text));
      }
    };
    await Promise.all(Array.from({ length: WRITES_AT_ONCE }, writeInTurn));
  }

  async read({ functionName, sinceAt, untilAt }: MetricQuery): Promise<MetricPoint[]> {
    const points: MetricPoint[] = [];
    for (const day of await this.#listDays()) {
      const startsAt = Date.parse(day);
      if (startsAt >= untilAt || startsAt + DAY_MS <= sinceAt) continue;
      for await (const line of this.#lines(day, functionName ?? ALL)) {
        const at = Number(/^\{"m":(\d+)/.exec(line)?.[1]) * MINUTE_MS;
        if (!(at >= sinceAt && at < untilAt)) continue;
        const point = parsePoint(line, at);
        if (point) points.push(point);
      }
    }
    return points;
  }

  async series(): Promise<Map<string, CallSeries[]>> {
    const found = new Map<string, Map<string, CallSeries>>();
    for (const day of await this.#listDays()) {
      for await (const line of this.#lines(day, SERIES)) {
        const row = parseRow(line);
        const name = row?.f;
        if (!row || typeof name !== "string") continue;
        if (row.gone === true) found.delete(name);
        else {
          const series = found.get(name) ?? new Map<string, CallSeries>();
          const one = seriesIn(row);
          if (one) series.set(keyOf(one), one);
          found.set(name, series);
        }
      }
    }
    return new Map([...found].map(([name, series]) => [name, [...series.values()]]));
  }

  async forget(functionName: FunctionName, now: number): Promise<void> {
    const days = await this.#listDays();
    for (const day of days) await rm(this.#fileOf(day, functionName), { force: true });
    for (const told of this.#told) if (told.startsWith(`${functionName} `)) this.#told.delete(told);
    if (days.length === 0) return;
    const day = dayOf(now);
    await this.#makeRoom(day);
    await appendFile(this.#fileOf(day, SERIES), `\n${JSON.stringify({ f: functionName, gone: true })}\n`);
  }

  #newSeries(day: string, rows: readonly MinuteRow[]): string {
    if (day !== this.#toldDay) this.#told.clear();
    this.#toldDay = day;
    let text = "";
    for (const { functionName, series } of rows) {
      if (functionName === undefined) continue;
      const told = `${functionName} ${series ? keyOf(series) : ""}`;
      if (this.#told.has(told)) continue;
      this.#told.add(told);
      text += `\n${JSON.stringify({ f: functionName, ...membersOf(series) })}\n`;
    }
    return text;
  }

  async #makeRoom(today: string): Promise<Map<string, number>> {
    this.#days ??= await this.#survey();
    const days = this.#days;
    if (!days.has(today)) {
      await mkdir(join(this.#dir, today), { recursive: true, mode: 0o700 });
      days.set(today, 0);
    }
    let total = 0;
    for (const bytes of days.values()) total += bytes;
    const oldest = dayOf(Date.parse(today) - METRIC_DAYS_MAX * DAY_MS);
    for (const [day, bytes] of [...days].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (day >= oldest && (total <= this.#bytesMax || day === today)) break;
      await rm(join(this.#dir, day), { recursive: true, force: true });
      days.delete(day);
      total -= bytes;
    }
    if (total > this.#bytesMax) {
      throw new Error(`metrics of one day take more than ${this.#bytesMax} bytes`);
    }
    return days;
  }

  async #survey(): Promise<Map<string, number>> {
    const days = new Map<string, number>();
    for (const day of await this.#listDays()) {
      let bytes = 0;
      for (const file of await readdir(join(this.#dir, day))) {
        bytes += (await stat(join(this.#dir, day, file))).size;
      }
      days.set(day, bytes);
    }
    return days;
  }

  async #listDays(): Promise<string[]> {
    const names = await readdir(this.#dir).catch(ifMissing([]));
    return names.filter((name) => DAY.test(name)).sort();
  }

  async *#lines(day: string, file: string): AsyncGenerator<string> {
    const text = await readFile(this.#fileOf(day, file), "utf8").catch(ifMissing(""));
    yield* text.split("\n").filter((line) => line !== "");
  }

  #fileOf(day: string, file: string): string {
    return join(this.#dir, day, `${file}.jsonl`);
  }
}

function ifMissing<T>(instead: T): (error: unknown) => T {
  return (error) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return instead;
    throw error;
  };
}

function dayOf(at: number): string {
  return new Date(at).toISOString().slice(0, 10);
}

function lineOf({ at, series, tally }: MinuteRow): string {
  return JSON.stringify({ m: Math.floor(at / MINUTE_MS), ...membersOf(series), ...tally.encode() });
}

function membersOf(series: CallSeries | undefined): Record<string, unknown> {
  return series ? { q: series.qualifier, v: series.version, l: series.liveVersion } : {};
}

function parsePoint(line: string, at: number): MetricPoint | undefined {
  const row = parseRow(line);
  if (!row) return undefined;
  const tally = new Tally();
  tally.addEncoded(row);
  return { at, series: seriesIn(row), tally };
}

function parseRow(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const row: unknown = JSON.parse(line);
    return typeof row === "object" && row !== null ? { ...row } : undefined;
  } catch {
    // A crash has cut it.
    return undefined;
  }
}

function seriesIn({ q, v, l }: Readonly<Record<string, unknown>>): CallSeries | undefined {
  if (typeof v !== "string") return undefined;
  return {
    qualifier: typeof q === "string" ? q : undefined,
    version: v,
    liveVersion: typeof l === "number" ? l : undefined,
  };
}

/** A text of its own for each series of a function. */
export function keyOf({ qualifier, version, liveVersion }: CallSeries): string {
  return `${qualifier ?? ""} ${version} ${liveVersion ?? ""}`;
}
