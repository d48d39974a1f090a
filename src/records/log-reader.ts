import { open } from "node:fs/promises";
import { join } from "node:path";
import type { FunctionName } from "../core/ids.ts";
import { EntryDecoder } from "./log-entry.ts";
import type { LogLine } from "./records.ts";
import { isLater, isMissing, listSegments, type Segment } from "./segments.ts";

/** Where a log ended at some moment: a segment and its size then. */
export interface LogEnd {
  readonly segment: Segment;
  readonly bytes: number;
}

export interface StoredQuery {
  readonly dir: string;
  readonly functionName: FunctionName;
  readonly end: LogEnd;
  readonly sinceAt: number | undefined;
  readonly untilAt: number | undefined;
  readonly last: number | undefined;
  readonly wants: (line: LogLine) => boolean;
}

/**
 * How much later than its time a line can have been written: the START of an invocation without output is written with
 * its end, or at the latest when START_LATE_MS have passed; the rest is for a loop that was busy.
 */
const LATE_MS_MAX = 1_000;
/** Read and decoded in one go, a few milliseconds of work; traffic is served in between. */
const STEP_BYTES = 64 * 1024;

/** Stored lines up to `end` in order of time. @throws `signal.reason` when aborted. */
export async function* readStored(query: StoredQuery, signal: AbortSignal): AsyncGenerator<LogLine> {
  const segments = await relevantSegments(query);
  if (query.last === undefined) yield* inOrder(linesOf(segments, query, signal));
  else yield* await readLast(segments, query.last, query, signal);
}

async function relevantSegments({ dir, end, sinceAt, untilAt }: StoredQuery): Promise<Segment[]> {
  const segments = (await listSegments(dir)).filter((segment) => !isLater(segment, end.segment));
  return segments.filter(({ baseAt }, index) => {
    const nextBaseAt = segments[index + 1]?.baseAt;
    const isOver = sinceAt !== undefined && nextBaseAt !== undefined && nextBaseAt < sinceAt;
    const isAhead = untilAt !== undefined && baseAt - LATE_MS_MAX > untilAt;
    return !isOver && !isAhead;
  });
}

/** The last lines, from the newest segment backwards: only as much is read as is needed. */
async function readLast(
  segments: readonly Segment[],
  last: number,
  query: StoredQuery,
  signal: AbortSignal,
): Promise<LogLine[]> {
  let found: LogLine[] = [];
  for (const segment of segments.toReversed()) {
    const lines: LogLine[] = [];
    for await (const step of linesOf([segment], query, signal)) lines.push(...step);
    found = [...lines, ...found].sort(byTime);
    // Nothing in an older segment is newer than this one's base, so lines from there cannot be among the last.
    const newer = found.filter(({ at }) => at > segment.baseAt).length;
    found = found.slice(Math.max(0, found.length - last));
    if (newer >= last) break;
  }
  return found;
}

/** Sorts what may be out of order, and holds back no more than that. */
async function* inOrder(steps: AsyncIterable<readonly LogLine[]>): AsyncGenerator<LogLine> {
  let held: LogLine[] = [];
  let newestAt = 0;
  let enough = 0;
  for await (const step of steps) {
    for (const line of step) {
      held.push(line);
      if (line.at > newestAt) newestAt = line.at;
    }
    // Sorting what is held for each step anew would be quadratic; waiting until it has doubled is not.
    if (held.length < enough) continue;
    held.sort(byTime);
    const isSettled = (line: LogLine) => line.at <= newestAt - LATE_MS_MAX;
    const settled = held.findLastIndex(isSettled) + 1;
    yield* held.slice(0, settled);
    held = held.slice(settled);
    enough = held.length * 2;
  }
  yield* held.sort(byTime);
}

function byTime(a: LogLine, b: LogLine): number {
  return a.at - b.at;
}

/** The wanted lines of segments in the order in which they were written, a step at a time. */
async function* linesOf(
  segments: readonly Segment[],
  { dir, functionName, end, wants }: StoredQuery,
  signal: AbortSignal,
): AsyncGenerator<LogLine[]> {
  for (const segment of segments) {
    const decoder = new EntryDecoder(functionName, segment.baseAt);
    const bytesMax = segment.name === end.segment.name ? end.bytes : Number.POSITIVE_INFINITY;
    for await (const entries of entriesOf(join(dir, segment.name), bytesMax)) {
      signal.throwIfAborted();
      yield entries.flatMap((entry) => decoder.decode(entry)).filter(wants);
    }
  }
}

/** Whole lines of a file; a torn one at its end is left out. None if the file has been removed meanwhile. */
async function* entriesOf(path: string, bytesMax: number): AsyncGenerator<string[]> {
  const file = await open(path, "r").catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (!file) return;
  try {
    let rest: Buffer = Buffer.alloc(0);
    for (let position = 0; position < bytesMax; ) {
      const buffer = Buffer.allocUnsafe(Math.min(STEP_BYTES, bytesMax - position));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      const read = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
      const end = read.lastIndexOf(NEWLINE) + 1;
      rest = read.subarray(end);
      if (end > 0) yield read.toString("utf8", 0, end - 1).split("\n");
    }
  } finally {
    await file.close();
  }
}

const NEWLINE = 0x0a;
