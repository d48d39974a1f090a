import type { FunctionName, SandboxId } from "../core/ids.ts";
import type { Follower } from "./follower.ts";
import {
  droppedEntry,
  droppedText,
  endEntry,
  endLines,
  invocationEntry,
  lineEntry,
  newLine,
  noteLine,
  originEntry,
  removedEntry,
  removedText,
  startEntry,
  startLines,
} from "./log-entry.ts";
import type { LogEnd } from "./log-reader.ts";
import type { Report } from "./platform-lines.ts";
import type { LineOrigin, LogLine, LogStream } from "./records.ts";
import { newSegment, type Segment, type SegmentFiles } from "./segments.ts";

/** What all logs share. */
export interface LogContext {
  now(): number;
  /** Of this run of the daemon; the next count is another each time. */
  readonly run: string;
  nextCount(): number;
  /** Nothing is taken any more. */
  isClosed: boolean;
  /** Bytes in memory that wait to be written, over all functions. */
  bufferedBytes: number;
  readonly bufferedBytesMax: number;
  /** Called when a log has something to write. */
  wantsWriting(log: FunctionLog): void;
  /** A write failed; lines were lost. */
  failed(error: unknown): void;
}

/** Entries of one segment that wait to be written. */
interface Chunk {
  readonly segment: Segment;
  /** What of it is filled is `bytes`. Bytes rather than texts: those of thousands of calls would be moved by each collection. */
  buffer: Buffer;
  bytes: number;
  lines: number;
}

const CHUNK_BYTES_MIN = 4 * 1024;

function grown(buffer: Buffer, bytesMin: number): Buffer {
  const larger = Buffer.allocUnsafe(Math.max(2 * buffer.length, bytesMin));
  buffer.copy(larger);
  return larger;
}

/**
 * The log of one function: takes entries, buffers them, writes them into segments, and passes lines on to whoever
 * follows. An entry gets its place (segment and offset) when it is taken, so that a reader knows exactly which entries
 * are stored before it began to follow.
 */
export class FunctionLog {
  readonly functionName: FunctionName;
  /** Invocations that have begun and not ended. */
  openInvocations = 0;
  readonly #context: LogContext;
  readonly #files: SegmentFiles;
  readonly #segmentBytesMax: number;
  readonly #followers = new Set<Follower>();
  readonly #refs = new Map<SandboxId, { readonly ref: number; readonly origin: LineOrigin }>();
  #nextRef = 0;
  #segment: Segment | undefined;
  #segmentBytes = 0;
  #waiting: Chunk[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> = Promise.resolve();
  #isWriting = false;
  /** The last segment that could not be written to; nothing more goes into it. */
  #lostSegment: Segment | undefined;
  #dropped = 0;
  #isForgotten = false;

  constructor(parts: {
    readonly functionName: FunctionName;
    readonly context: LogContext;
    readonly files: SegmentFiles;
    readonly segmentBytesMax: number;
  }) {
    this.functionName = parts.functionName;
    this.#context = parts.context;
    this.#files = parts.files;
    this.#segmentBytesMax = parts.segmentBytesMax;
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Nothing would be lost if this were let go of. */
  get isIdle(): boolean {
    const isQuiet = this.openInvocations === 0 && this.#followers.size === 0;
    return isQuiet && this.#waiting.length === 0 && !this.#isWriting && this.#dropped === 0;
  }

  addLine(origin: LineOrigin, invocationId: string | undefined, stream: LogStream, text: string): void {
    const place = this.#place(origin, 1);
    if (!place) return;
    const at = this.#context.now();
    const entry = lineEntry(place.ref, { stream, at: at - place.segment.baseAt, invocationId, text });
    this.#take(place, entry, Buffer.byteLength(entry), 1);
    if (this.#followers.size === 0) return;
    this.#tell([newLine(this.functionName, origin, { at, invocationId, stream, text })]);
  }

  addStart(origin: LineOrigin, invocationId: string, at: number): void {
    const place = this.#place(origin, 1);
    if (!place) return;
    const entry = startEntry(place.ref, invocationId, at - place.segment.baseAt);
    this.#take(place, entry, entry.length, 1);
    if (this.#followers.size > 0) this.#tell(startLines(this.functionName, origin, invocationId, at));
  }

  addEnd(origin: LineOrigin, report: Report): void {
    const place = this.#place(origin, 2);
    if (!place) return;
    const at = this.#context.now();
    const entry = endEntry(place.ref, at - place.segment.baseAt, report);
    this.#take(place, entry, Buffer.byteLength(entry), 2);
    if (this.#followers.size > 0) this.#tell(endLines(this.functionName, origin, at, report));
  }

  /** An invocation that printed nothing, as one entry. */
  addInvocation(origin: LineOrigin, startAt: number, report: Report): void {
    const place = this.#place(origin, 3);
    if (!place) return;
    const at = this.#context.now();
    const entry = invocationEntry(place.ref, startAt - place.segment.baseAt, at - startAt, report);
    this.#take(place, entry, report.errorType === undefined ? entry.length : Buffer.byteLength(entry), 3);
    if (this.#followers.size === 0) return;
    this.#tell([
      ...startLines(this.functionName, origin, report.invocationId, startAt),
      ...endLines(this.functionName, origin, at, report),
    ]);
  }

  /** Where the log ends now, what is still in memory included. */
  end(): LogEnd {
    const segment = this.#currentSegment();
    return { segment, bytes: this.#segmentBytes };
  }

  follow(follower: Follower): Disposable {
    this.#followers.add(follower);
    return { [Symbol.dispose]: () => void this.#followers.delete(follower) };
  }

  /** Resolves when all that was taken before has been written, or was lost. */
  async write(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#writeWaiting());
    await this.#writing;
  }

  /** Takes nothing more and writes nothing more; resolves when no write is under way. */
  async forget(): Promise<void> {
    this.#isForgotten = true;
    await this.write();
  }

  /** Makes room for an entry of that origin; undefined if it has to be dropped. */
  #place(origin: LineOrigin, lines: number): { readonly segment: Segment; readonly ref: number } | undefined {
    if (this.#isForgotten || this.#context.isClosed) return undefined;
    const { bufferedBytes, bufferedBytesMax } = this.#context;
    // Half of the memory at most, so that one function's flood does not cost the others their lines.
    if (bufferedBytes >= bufferedBytesMax || this.#waitingBytes >= bufferedBytesMax / 2) {
      this.#dropped += lines;
      return undefined;
    }
    if (this.#dropped > 0) this.#confessDropped();
    const segment = this.#currentSegment();
    return { segment, ref: this.#refOf(origin, segment) };
  }

  #currentSegment(): Segment {
    if (this.#segment && this.#segmentBytes < this.#segmentBytesMax) return this.#segment;
    const segment = newSegment(this.#context.now(), this.#context.run, this.#context.nextCount());
    this.#segment = segment;
    this.#segmentBytes = 0;
    this.#refs.clear();
    this.#nextRef = 0;
    return segment;
  }

  #refOf(origin: LineOrigin, segment: Segment): number {
    const known = this.#refs.get(origin.sandboxId);
    if (known && known.origin.version === origin.version && known.origin.liveVersion === origin.liveVersion) {
      return known.ref;
    }
    const ref = this.#nextRef++;
    const entry = originEntry(ref, origin);
    this.#refs.set(origin.sandboxId, { ref, origin });
    this.#take({ segment }, entry, Buffer.byteLength(entry), 0);
    return ref;
  }

  #take({ segment }: { readonly segment: Segment }, entry: string, bytes: number, lines: number): void {
    let chunk = this.#waiting.at(-1);
    if (chunk?.segment !== segment) {
      chunk = { segment, buffer: Buffer.allocUnsafe(CHUNK_BYTES_MIN), bytes: 0, lines: 0 };
      this.#waiting.push(chunk);
    }
    if (chunk.bytes + bytes > chunk.buffer.length) chunk.buffer = grown(chunk.buffer, chunk.bytes + bytes);
    chunk.buffer.write(entry, chunk.bytes);
    chunk.bytes += bytes;
    chunk.lines += lines;
    this.#segmentBytes += bytes;
    this.#waitingBytes += bytes;
    this.#context.bufferedBytes += bytes;
    this.#context.wantsWriting(this);
  }

  #confessDropped(): void {
    const count = this.#dropped;
    this.#dropped = 0;
    // Should this entry be lost too, all that it stands for is counted again.
    this.#note((at) => droppedEntry(at, count), droppedText(count), count);
  }

  #note(entryAt: (at: number) => string, text: string, lines: number): void {
    const segment = this.#currentSegment();
    const at = this.#context.now();
    const entry = entryAt(at - segment.baseAt);
    this.#take({ segment }, entry, entry.length, lines);
    this.#tell([noteLine(this.functionName, at, text)]);
  }

  #tell(lines: readonly LogLine[]): void {
    for (const follower of this.#followers) for (const line of lines) follower.push(line);
  }

  async #writeWaiting(): Promise<void> {
    this.#isWriting = true;
    const chunks = this.#waiting;
    this.#waiting = [];
    for (const chunk of chunks) {
      await this.#writeChunk(chunk);
      this.#waitingBytes -= chunk.bytes;
      this.#context.bufferedBytes -= chunk.bytes;
    }
    this.#isWriting = false;
  }

  async #writeChunk({ segment, buffer, bytes, lines }: Chunk): Promise<void> {
    if (this.#isForgotten) return;
    try {
      if (this.#lostSegment === segment) this.#dropped += lines;
      else {
        const removed = await this.#files.append(segment, buffer.subarray(0, bytes));
        if (removed > 0) this.#note((at) => removedEntry(at, removed), removedText(removed), 0);
      }
    } catch (error) {
      // The segment may end in half an entry, and origins named in what was lost are unknown in it: begin another.
      this.#lostSegment = segment;
      if (this.#segment === segment) this.#segment = undefined;
      this.#dropped += lines;
      this.#context.failed(error);
    }
  }
}
