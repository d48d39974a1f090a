import { appendFile, mkdir, readFile, rename, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { FunctionName, InvocationId } from "../../core/ids.ts";
import { DROP_REASONS, type Dropped, type DropReason, type Recording } from "../../core/recording.ts";
import { isMissing, listSegments, newSegment, type Segment } from "../segments.ts";
import { droppedLine, parseLine, parseRecording } from "./recording-line.ts";
import type { RecordingHoldings, RecordingPage, RecordingQuery } from "./recordings.ts";

const SEGMENTS_PER_FUNCTION = 16;
/** A segment takes no more entries after that, so that its end is not much younger than its beginning. */
const SEGMENT_MS_MAX = 3_600_000;
/** In each folder, however small its files. */
const SEGMENTS_MAX = 1_024;
/** A segment on its way to be without an entry; what a crash leaves of it is removed. */
const REWRITTEN = "rewritten";

export interface FolderParts {
  readonly functionName: FunctionName;
  readonly dir: string;
  readonly bytesMax: number;
  readonly run: string;
  nextCount(): number;
  now(): number;
}

/** The recordings of one function: segment files, of which the oldest go. Whatever is done with them is done in turn. */
export class FunctionRecordings {
  readonly #parts: FolderParts;
  #turn: Promise<unknown> = Promise.resolve();
  #segment: Segment | undefined;
  #segmentBytes = 0;
  /** Since the last note. */
  #dropped: Partial<Record<DropReason, number>> = {};

  constructor(parts: FolderParts) {
    this.#parts = parts;
  }

  drop(reason: DropReason, count = 1): void {
    this.#dropped[reason] = (this.#dropped[reason] ?? 0) + count;
  }

  /** Writes whole lines, or counts them as dropped and throws why. */
  append(lines: readonly string[]): Promise<void> {
    return this.#inTurn(async () => {
      const { dir } = this.#parts;
      const dropped = this.#dropped;
      const note = Object.keys(dropped).length > 0 ? droppedLine(dropped) : "";
      const text = note + lines.join("");
      if (text === "") return;
      this.#dropped = {};
      const segment = this.#segmentFor();
      const file = join(dir, segment.name);
      try {
        await mkdir(dir, { recursive: true, mode: 0o700 });
        await appendFile(file, text, { mode: 0o600 });
        this.#segmentBytes += Buffer.byteLength(text);
        await this.#makeRoom(segment);
      } catch (error) {
        for (const reason of DROP_REASONS) if (dropped[reason]) this.drop(reason, dropped[reason]);
        this.drop("disk", lines.length);
        // Part of it may have been written: the file ends where it did before, and nothing more goes into it.
        await truncate(file, this.#segmentBytes).catch(() => undefined);
        this.#segment = undefined;
        throw error;
      }
    });
  }

  list({ limit, before, sinceAt, version, outcome }: RecordingQuery): Promise<RecordingPage> {
    return this.#inTurn(async () => {
      const recordings: RecordingPage["recordings"][number][] = [];
      let next: string | undefined;
      for await (const { line, place } of this.#latestFirst(before)) {
        const parsed = parseLine(line, this.#parts.functionName);
        if (parsed.kind !== "recording") continue;
        const { facts } = parsed;
        if (sinceAt !== undefined && facts.at < sinceAt) continue;
        if (version !== undefined && version !== facts.version && version !== String(facts.liveVersion))
          continue;
        if (outcome !== undefined && outcome !== facts.outcomeKind) continue;
        if (recordings.length === limit) return { recordings, next };
        recordings.push(facts);
        next = place;
      }
      return { recordings, next: undefined };
    });
  }

  find(id: InvocationId): Promise<Recording | undefined> {
    return this.#inTurn(async () => {
      for await (const { line } of this.#latestFirst(undefined)) {
        if (isOf(line, id)) return parseRecording(line, this.#parts.functionName);
      }
      return undefined;
    });
  }

  /** Writes each file that has the invocation anew without it. */
  remove(id: InvocationId): Promise<number> {
    return this.#inTurn(async () => {
      let removed = 0;
      for (const { name } of await listSegments(this.#parts.dir)) {
        const file = join(this.#parts.dir, name);
        const lines = linesOf(await contentOf(file));
        const kept = lines.filter(({ line }) => !isOf(line, id));
        if (kept.length === lines.length) continue;
        removed += lines.length - kept.length;
        if (this.#segment?.name === name) this.#segment = undefined;
        const rewritten = join(this.#parts.dir, REWRITTEN);
        const { atime, mtime } = await stat(file);
        await writeFile(rewritten, Buffer.concat(kept.flatMap(({ line }) => [line, END])), { mode: 0o600 });
        // What is left grows no younger by it.
        await utimes(rewritten, atime, mtime);
        await rename(rewritten, file);
      }
      return removed;
    });
  }

  expire(beforeAt: number): Promise<void> {
    return this.#inTurn(async () => {
      await rm(join(this.#parts.dir, REWRITTEN), { force: true });
      for (const { name, baseAt } of await listSegments(this.#parts.dir)) {
        const file = join(this.#parts.dir, name);
        // Its last entry is no younger than what the file system says.
        if (baseAt >= beforeAt || (await stat(file)).mtimeMs >= beforeAt) continue;
        await rm(file, { force: true });
        if (this.#segment?.name === name) this.#segment = undefined;
      }
    });
  }

  forget(): Promise<void> {
    return this.#inTurn(async () => {
      this.#segment = undefined;
      this.#dropped = {};
      await rm(this.#parts.dir, { recursive: true, force: true });
    });
  }

  holdings(): Promise<RecordingHoldings> {
    return this.#inTurn(async () => {
      const dropped: Record<DropReason, number> = { tooLarge: 0, unread: 0, busy: 0, disk: 0, failed: 0 };
      const count = (more: Partial<Dropped>) => {
        for (const reason of DROP_REASONS) dropped[reason] += more[reason] ?? 0;
      };
      count(this.#dropped);
      const found = { recordings: 0, bytes: 0, damaged: 0 };
      let oldestAt: number | undefined;
      let newestAt: number | undefined;
      for (const { name } of await listSegments(this.#parts.dir)) {
        const content = await contentOf(join(this.#parts.dir, name));
        found.bytes += content.length;
        for (const { line } of linesOf(content)) {
          const parsed = parseLine(line, this.#parts.functionName);
          if (parsed.kind === "damaged") found.damaged += 1;
          else if (parsed.kind === "dropped") count(parsed.dropped);
          else {
            found.recordings += 1;
            oldestAt ??= parsed.facts.at;
            newestAt = parsed.facts.at;
          }
        }
      }
      return { ...found, oldestAt, newestAt, dropped };
    });
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(act);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  #segmentFor(): Segment {
    const { bytesMax, run } = this.#parts;
    const now = this.#parts.now();
    const isFull = this.#segmentBytes >= bytesMax / SEGMENTS_PER_FUNCTION;
    if (this.#segment && !isFull && now - this.#segment.baseAt < SEGMENT_MS_MAX) return this.#segment;
    this.#segment = newSegment(now, run, this.#parts.nextCount());
    this.#segmentBytes = 0;
    return this.#segment;
  }

  async #makeRoom(current: Segment): Promise<void> {
    const segments = await listSegments(this.#parts.dir);
    const sizes = await Promise.all(segments.map(({ name }) => sizeOf(join(this.#parts.dir, name))));
    let total = sizes.reduce((sum, size) => sum + size, 0);
    for (const [at, { name }] of segments.entries()) {
      const isFew = segments.length - at <= SEGMENTS_MAX;
      if ((total <= this.#parts.bytesMax && isFew) || name === current.name) return;
      await rm(join(this.#parts.dir, name), { force: true });
      total -= sizes[at] ?? 0;
    }
  }

  /** Lines with their place, `SEGMENT/OFFSET`; only those before `before`. */
  async *#latestFirst(
    before: string | undefined,
  ): AsyncGenerator<{ readonly line: Buffer; readonly place: string }> {
    const [beforeName, beforeOffset = "0"] = before?.split("/") ?? [];
    for (const { name } of (await listSegments(this.#parts.dir)).reverse()) {
      if (beforeName !== undefined && name > beforeName) continue;
      for (const { line, offset } of linesOf(await contentOf(join(this.#parts.dir, name))).reverse()) {
        if (name === beforeName && offset >= Number(beforeOffset)) continue;
        yield { line, place: `${name}/${offset}` };
      }
    }
  }
}

async function contentOf(file: string): Promise<Buffer> {
  return await readFile(file).catch((error: unknown) => {
    // Expired or made room of since the folder was read.
    if (isMissing(error)) return Buffer.alloc(0);
    throw error;
  });
}

async function sizeOf(file: string): Promise<number> {
  return await stat(file).then(
    ({ size }) => size,
    (error: unknown) => {
      if (isMissing(error)) return 0;
      throw error;
    },
  );
}

const LINE_END = 10;
const END = Buffer.from([LINE_END]);

const NOTHING = Buffer.alloc(0);

/** Oldest first. What a crash has cut, and so has no line end, is an empty line: nobody can take it for a whole one. */
function linesOf(content: Buffer): { readonly line: Buffer; readonly offset: number }[] {
  const lines: { readonly line: Buffer; readonly offset: number }[] = [];
  for (let offset = 0; offset < content.length; ) {
    const end = content.indexOf(LINE_END, offset);
    lines.push({ line: end === -1 ? NOTHING : content.subarray(offset, end), offset });
    offset = end === -1 ? content.length : end + 1;
  }
  return lines;
}

function isOf(line: Buffer, id: InvocationId): boolean {
  return line.subarray(0, 64).includes(`{"id":"${id}"`);
}
