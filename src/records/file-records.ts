import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../core/clock.ts";
import type { FunctionName, InvocationId } from "../core/ids.ts";
import { LOG_BYTES_PER_FUNCTION_MAX, LOG_LINE_BYTES_MAX } from "../core/limits.ts";
import type { Log } from "../core/log.ts";
import { inBackground } from "../core/scope.ts";
import { cutText } from "./cut-text.ts";
import { Follower } from "./follower.ts";
import { FunctionLog, type LogContext } from "./function-log.ts";
import { LogRecorder, lineCutText } from "./invocation-recorder.ts";
import { lineFilter } from "./line-filter.ts";
import { readStored } from "./log-reader.ts";
import { OpenFiles } from "./open-files.ts";
import type {
  InvocationFacts,
  InvocationRecorder,
  LineOrigin,
  LogLine,
  LogQuery,
  LogStream,
  Records,
} from "./records.ts";
import { listSegments, newRun, SegmentFiles } from "./segments.ts";
import { Unstarted } from "./unstarted.ts";

/**
 * Opens the records in `dir`, one folder of segment files per function. Logs of earlier runs can be read at once.
 * `bytesPerFunctionMax` bounds what is kept on disk of each function; the oldest goes first.
 */
export function openRecords(parts: {
  readonly dir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly bytesPerFunctionMax?: number;
}): Records {
  return new FileRecords(parts);
}

const SEGMENT_BYTES_MAX = 4 * 1024 * 1024;
/** In memory, over all functions, waiting to be written. Lines beyond that are dropped and counted. */
const BUFFERED_BYTES_MAX = 8 * 1024 * 1024;
const FLUSH_MS = 50;
/** A log with this much to write does not wait for the next flush. */
const FLUSH_BYTES = 64 * 1024;
/** An invocation that has printed nothing for so long gets its START written, so that it shows while it runs. */
const START_LATE_MS = 200;
const FAILURES_SAID_MS = 60_000;
const WRITES_AT_ONCE = 4;
const OPEN_FILES_MAX = 64;
/** Logs kept in memory; idle ones beyond that are let go of, and begin a new segment when they are used again. */
const LOGS_MAX = 2_048;

class FileRecords implements Records {
  readonly #dir: string;
  readonly #clock: Clock;
  readonly #bytesPerFunctionMax: number;
  readonly #files = new OpenFiles(OPEN_FILES_MAX);
  readonly #logs = new Map<FunctionName, FunctionLog>();
  readonly #unstarted = new Unstarted();
  readonly #context: LogContext;
  readonly #flusher: AsyncDisposable;
  #toWrite = new Set<FunctionLog>();
  #writing: Promise<void> | undefined;
  #wake: (() => void) | undefined;

  constructor({
    dir,
    clock,
    log,
    bytesPerFunctionMax = LOG_BYTES_PER_FUNCTION_MAX,
  }: Parameters<typeof openRecords>[0]) {
    this.#dir = dir;
    this.#clock = clock;
    this.#bytesPerFunctionMax = bytesPerFunctionMax;
    this.#context = this.#newContext(log);
    this.#flusher = inBackground((signal) => this.#flushNowAndThen(signal));
  }

  begin(facts: InvocationFacts): InvocationRecorder {
    const recorder = new LogRecorder(
      this.#logOf(facts.functionName),
      facts,
      this.#context.now(),
      this.#unstarted,
    );
    this.#wake?.();
    return recorder;
  }

  line(origin: LineOrigin, stream: LogStream, text: string, of?: InvocationId): void {
    const line = cutText(text, LOG_LINE_BYTES_MAX);
    const log = this.#logOf(origin.functionName);
    log.addLine(origin, of, stream, line.text);
    if (line.cutBytes > 0) log.addLine(origin, of, "platform", lineCutText(line.cutBytes));
  }

  async *read(query: LogQuery, { signal }: { readonly signal: AbortSignal }): AsyncGenerator<LogLine> {
    const { functionName, sinceAt, untilAt, last } = query;
    const wants = lineFilter(query);
    const log = this.#logOf(functionName);
    const follower = new Follower(functionName, wants);
    // From here on the follower has the lines; up to `end` they are in the files once the log is written.
    using _following = query.follow ? log.follow(follower) : undefined;
    const end = log.end();
    await log.write();
    const stored = { dir: this.#dirOf(functionName), functionName, end, sinceAt, untilAt, last, wants };
    if (!query.follow) return yield* readStored(stored, signal);
    try {
      yield* readStored(stored, signal);
    } catch (error) {
      // To stop following is how following ends, also while it is catching up.
      if (signal.aborted) return;
      throw error;
    }
    yield* follower.lines(signal);
  }

  async expire(functionName: FunctionName, beforeAt: number): Promise<void> {
    const dir = this.#dirOf(functionName);
    const segments = await listSegments(dir);
    for (const [index, { name }] of segments.entries()) {
      const next = segments[index + 1];
      // Lines of a segment are from before the next one was begun.
      if (next && next.baseAt <= beforeAt) await rm(join(dir, name), { force: true });
    }
  }

  async forget(functionName: FunctionName): Promise<void> {
    const log = this.#logs.get(functionName);
    this.#logs.delete(functionName);
    await log?.forget();
    const dir = this.#dirOf(functionName);
    await this.#files.closeFolder(dir);
    await rm(dir, { recursive: true, force: true });
  }

  async flush(): Promise<void> {
    await this.#writeAll(new Set([...this.#logs.values(), ...this.#toWrite]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#context.isClosed) this.#unstarted.startUntil(Number.POSITIVE_INFINITY);
    this.#context.isClosed = true;
    const flusher = this.#flusher[Symbol.asyncDispose]();
    this.#wake?.();
    await flusher;
    await this.flush();
    await this.#files[Symbol.asyncDispose]();
  }

  #newContext(log: Log): LogContext {
    let newestAt = 0;
    let count = 0;
    let failedAt = Number.NEGATIVE_INFINITY;
    return {
      // Never backwards, so that the order of entries is the order of their times.
      now: () => (newestAt = Math.max(newestAt, this.#clock.now())),
      run: newRun(),
      nextCount: () => count++,
      isClosed: false,
      bufferedBytes: 0,
      bufferedBytesMax: BUFFERED_BYTES_MAX,
      wantsWriting: (wanting) => {
        this.#toWrite.add(wanting);
        if (wanting.waitingBytes >= FLUSH_BYTES) this.#writeInBackground();
        this.#wake?.();
      },
      failed: (error) => {
        // Now and then, not for each of thousands of lines; the logs say how much they lost.
        if (this.#clock.monotonic() - failedAt < FAILURES_SAID_MS) return;
        failedAt = this.#clock.monotonic();
        log.error("cannot write function logs", { error });
      },
    };
  }

  #logOf(functionName: FunctionName): FunctionLog {
    const known = this.#logs.get(functionName);
    if (known) return known;
    const files = new SegmentFiles({
      dir: this.#dirOf(functionName),
      files: this.#files,
      bytesMax: this.#bytesPerFunctionMax,
    });
    const segmentBytesMax = Math.min(SEGMENT_BYTES_MAX, Math.ceil(this.#bytesPerFunctionMax / 4));
    const log = new FunctionLog({ functionName, context: this.#context, files, segmentBytesMax });
    this.#logs.set(functionName, log);
    return log;
  }

  #dirOf(functionName: FunctionName): string {
    return join(this.#dir, functionName);
  }

  async #flushNowAndThen(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#toWrite.size === 0 && this.#unstarted.isEmpty) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = undefined;
        continue;
      }
      await this.#clock.sleep(FLUSH_MS, { signal }).catch(() => undefined);
      this.#unstarted.startUntil(this.#context.now() - START_LATE_MS);
      this.#writeInBackground();
      this.#dropIdleLogs();
    }
  }

  /** One round at a time; what comes meanwhile is written in the next. */
  #writeInBackground(): void {
    if (this.#writing !== undefined) return;
    const logs = this.#toWrite;
    this.#toWrite = new Set();
    this.#writing = this.#writeAll(logs).finally(() => {
      this.#writing = undefined;
    });
  }

  async #writeAll(logs: ReadonlySet<FunctionLog>): Promise<void> {
    const rest = logs.values();
    const writeInTurn = async () => {
      for (const log of rest) await log.write();
    };
    await Promise.all(Array.from({ length: WRITES_AT_ONCE }, writeInTurn));
  }

  #dropIdleLogs(): void {
    if (this.#logs.size <= LOGS_MAX) return;
    for (const [name, log] of this.#logs) {
      if (this.#logs.size <= LOGS_MAX) return;
      if (log.isIdle) this.#logs.delete(name);
    }
  }
}
