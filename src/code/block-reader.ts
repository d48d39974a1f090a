import { createReadStream } from "node:fs";
import type { FileHandle } from "node:fs/promises";

const WINDOW_BYTES = 64 * 1024;

/**
 * Reads of a few bytes here and there in a file, mostly onwards: archive headers come in tens of thousands, and a
 * system call for each would take seconds.
 */
export class BlockReader {
  readonly size: number;
  readonly #file: FileHandle;
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;

  constructor(file: FileHandle, size: number) {
    this.#file = file;
    this.size = size;
  }

  /** Exactly `length` bytes, which stay valid; undefined if the file ends before that. */
  async read(position: number, length: number): Promise<Buffer | undefined> {
    if (position < 0 || position + length > this.size) return undefined;
    if (length > WINDOW_BYTES) return await this.#fetch(position, length);
    const window = this.#window;
    const start = position - this.#windowStart;
    if (start >= 0 && start + length <= window.length) return window.subarray(start, start + length);
    const fresh = await this.#fetch(position, Math.min(WINDOW_BYTES, this.size - position));
    if (!fresh || fresh.length < length) return undefined;
    this.#window = fresh;
    this.#windowStart = position;
    return fresh.subarray(0, length);
  }

  /** Bytes from `position` to before `end`, piece by piece. */
  async *stream(position: number, end: number): AsyncGenerator<Uint8Array> {
    if (position >= end) return;
    if (end - position <= WINDOW_BYTES) {
      const all = await this.read(position, end - position);
      if (all) yield all;
      return;
    }
    yield* createReadStream("", { fd: this.#file, start: position, end: end - 1, autoClose: false });
  }

  async #fetch(position: number, length: number): Promise<Buffer | undefined> {
    const buffer = Buffer.allocUnsafe(length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await this.#file.read(buffer, filled, length - filled, position + filled);
      if (bytesRead === 0) return undefined;
      filled += bytesRead;
    }
    return buffer;
  }
}
