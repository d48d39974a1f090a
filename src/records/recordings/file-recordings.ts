import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../../core/clock.ts";
import { type FunctionName, type InvocationId, parseFunctionName } from "../../core/ids.ts";
import { RECORDING_BYTES_PER_FUNCTION_MAX } from "../../core/limits.ts";
import type { Log } from "../../core/log.ts";
import type { DropReason, Recording } from "../../core/recording.ts";
import { inBackground } from "../../core/scope.ts";
import { isMissing, newRun } from "../segments.ts";
import { FunctionRecordings } from "./function-recordings.ts";
import { recordingLine } from "./recording-line.ts";
import type {
  RecordingHoldings,
  RecordingPage,
  RecordingQuery,
  Recordings,
  TakenInvocation,
} from "./recordings.ts";

/** In memory, over all functions, waiting to be made safe and written. What comes beyond is dropped and counted. */
export const WAITING_BYTES_MAX = 16 * 1024 * 1024;
/** Of an invocation, what its payloads do not count. */
const ENTRY_BYTES = 1_024;
const FAILURES_SAID_MS = 60_000;
const WRITE_MS = 50;
const WRITE_BYTES = 1024 * 1024;

/** Opens the recordings in `dir`, a folder of files per function. Those of earlier runs can be read at once. */
export function openRecordings(parts: {
  readonly dir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly bytesPerFunctionMax?: number;
}): Recordings & { readonly failed: Promise<never> } {
  return new FileRecordings(parts);
}

class FileRecordings implements Recordings {
  readonly failed: Promise<never>;
  readonly #parts: Parameters<typeof openRecordings>[0];
  readonly #run = newRun();
  readonly #folders = new Map<FunctionName, FunctionRecordings>();
  readonly #writer: AsyncDisposable;
  #waiting: TakenInvocation[] = [];
  #waitingBytes = 0;
  #count = 0;
  #newestAt = 0;
  #failedAt = Number.NEGATIVE_INFINITY;
  #isClosed = false;
  #wake: (() => void) | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(parts: Parameters<typeof openRecordings>[0]) {
    this.#parts = parts;
    const writer = inBackground((signal) => this.#writeNowAndThen(signal));
    this.failed = writer.failed;
    this.#writer = writer;
  }

  add(taken: TakenInvocation): void {
    const bytes = bytesOf(taken);
    if (this.#isClosed || this.#waitingBytes + bytes > WAITING_BYTES_MAX) {
      this.drop(taken.functionName, "busy");
      return;
    }
    this.#waiting.push(taken);
    this.#waitingBytes += bytes;
    this.#wake?.();
  }

  drop(functionName: FunctionName, reason: DropReason): void {
    this.#folderOf(functionName).drop(reason);
  }

  async list(functionName: FunctionName, query: RecordingQuery): Promise<RecordingPage> {
    await this.flush();
    return await this.#folderOf(functionName).list(query);
  }

  async find(functionName: FunctionName, id: InvocationId): Promise<Recording | undefined> {
    await this.flush();
    return await this.#folderOf(functionName).find(id);
  }

  async search(
    id: InvocationId,
    isWanted: (functionName: FunctionName) => boolean,
  ): Promise<Recording | undefined> {
    for (const functionName of await this.functionNames()) {
      const found = isWanted(functionName) ? await this.find(functionName, id) : undefined;
      if (found) return found;
    }
    return undefined;
  }

  async remove(functionName: FunctionName, id: InvocationId): Promise<number> {
    await this.flush();
    return await this.#folderOf(functionName).remove(id);
  }

  async forget(functionName: FunctionName): Promise<void> {
    this.#waiting = this.#waiting.filter((taken) => {
      if (taken.functionName !== functionName) return true;
      this.#waitingBytes -= bytesOf(taken);
      return false;
    });
    await this.flush();
    await this.#folderOf(functionName).forget();
    this.#folders.delete(functionName);
  }

  async expire(functionName: FunctionName, beforeAt: number): Promise<void> {
    await this.#folderOf(functionName).expire(beforeAt);
  }

  async holdings(functionName: FunctionName): Promise<RecordingHoldings> {
    await this.flush();
    return await this.#folderOf(functionName).holdings();
  }

  async functionNames(): Promise<readonly FunctionName[]> {
    await this.flush();
    const names = await readdir(this.#parts.dir).catch((error: unknown) => {
      if (isMissing(error)) return [];
      throw error;
    });
    return names.flatMap((name) => parseFunctionName(name) ?? []);
  }

  /** Written in turn, so that what is asked for after this is on disk. */
  async flush(): Promise<void> {
    const done = this.#writing.then(() => this.#writeWaiting());
    this.#writing = done;
    await done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    const writer = this.#writer[Symbol.asyncDispose]();
    this.#wake?.();
    await writer;
    await this.flush();
    // What was dropped last has no entry behind it that would bring its note along.
    for (const [functionName, folder] of this.#folders) await this.#append(functionName, folder, []);
  }

  #folderOf(functionName: FunctionName): FunctionRecordings {
    const known = this.#folders.get(functionName);
    if (known) return known;
    const folder = new FunctionRecordings({
      functionName,
      dir: join(this.#parts.dir, functionName),
      bytesMax: this.#parts.bytesPerFunctionMax ?? RECORDING_BYTES_PER_FUNCTION_MAX,
      run: this.#run,
      nextCount: () => this.#count++,
      // Never backwards, so that names of files sort by age.
      now: () => (this.#newestAt = Math.max(this.#newestAt, this.#parts.clock.now())),
    });
    this.#folders.set(functionName, folder);
    return folder;
  }

  async #writeNowAndThen(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#waiting.length === 0) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = undefined;
        continue;
      }
      await this.#parts.clock.sleep(WRITE_MS, { signal }).catch(() => undefined);
      await this.flush();
    }
  }

  /** Makes one safe in each turn of the loop: whoever calls a function comes first. */
  async #writeWaiting(): Promise<void> {
    while (this.#waiting.length > 0) {
      const lines = new Map<FunctionName, string[]>();
      let bytes = 0;
      while (this.#waiting.length > 0 && bytes < WRITE_BYTES) {
        const taken = this.#waiting.shift();
        if (!taken) break;
        const line = this.#lineOf(taken);
        if (line !== undefined) {
          bytes += line.length;
          const known = lines.get(taken.functionName);
          if (known) known.push(line);
          else lines.set(taken.functionName, [line]);
        }
        this.#waitingBytes -= bytesOf(taken);
        await nextTurn();
      }
      for (const [functionName, texts] of lines) {
        await this.#append(functionName, this.#folderOf(functionName), texts);
      }
    }
  }

  #lineOf(taken: TakenInvocation): string | undefined {
    try {
      return recordingLine(taken, randomBytes(8).toString("hex"));
    } catch (error) {
      // What cannot be made safe is not written.
      this.drop(taken.functionName, "failed");
      // Its message may quote what was to be redacted.
      const name = error instanceof Error ? error.name : "unknown";
      this.#say("cannot redact an invocation, so it is not recorded", taken.functionName, name);
      return undefined;
    }
  }

  async #append(
    functionName: FunctionName,
    folder: FunctionRecordings,
    lines: readonly string[],
  ): Promise<void> {
    try {
      await folder.append(lines);
    } catch (error) {
      this.#say("cannot write recordings", functionName, error);
    }
  }

  /** Now and then, not for each of thousands; the figures say how many. */
  #say(text: string, functionName: FunctionName, error: unknown): void {
    if (this.#parts.clock.monotonic() - this.#failedAt < FAILURES_SAID_MS) return;
    this.#failedAt = this.#parts.clock.monotonic();
    this.#parts.log.error(text, { function: functionName, error });
  }
}

function bytesOf({ input, outcome }: TakenInvocation): number {
  const given = input.kind === "event" ? input.payload : input.body;
  const returned = outcome.body instanceof Uint8Array ? outcome.body.byteLength : 0;
  return ENTRY_BYTES + (given?.byteLength ?? 0) + returned;
}
