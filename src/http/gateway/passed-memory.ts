/**
 * Memory that a response has passed on and that is given back as soon as it has been sent. The engine lets 64 MiB of such
 * gather before it collects any, and looks through all it has for that, a hundred times in a gibibyte.
 */

/** Less is not worth being given back by itself. */
const FREED_BYTES_MIN = 32 * 1024;
/** What may stand before and between pieces: the head of a frame, or the length of an HTTP chunk. No other's data fits in. */
const FRAMING_BYTES_MAX = 13;

/** Follows the pieces of one response through what was read from a socket, of which they are views. */
export class PassedMemory {
  #memory: ArrayBufferLike | undefined;
  #endAt = 0;

  /** What ends with this piece, if all of it was this response's; nobody else has a view of it then. */
  endingWith({ buffer, byteOffset, byteLength }: Uint8Array): ArrayBuffer | undefined {
    const gapBytes = byteOffset - (buffer === this.#memory ? this.#endAt : 0);
    const isOurs = this.#isFollowed(buffer, byteOffset) && gapBytes >= 0 && gapBytes <= FRAMING_BYTES_MAX;
    this.#endAt = byteOffset + byteLength;
    this.#memory = isOurs ? buffer : undefined;
    const isWhole = isOurs && this.#endAt === buffer.byteLength && buffer.byteLength >= FREED_BYTES_MIN;
    return isWhole && buffer instanceof ArrayBuffer ? buffer : undefined;
  }

  #isFollowed(buffer: ArrayBufferLike, byteOffset: number): boolean {
    return buffer === this.#memory || byteOffset <= FRAMING_BYTES_MAX;
  }
}

/** What was not sent may still be in the kernel's hands, and is left to the engine. */
export function freeSent(memory: ArrayBuffer, error: Error | null | undefined): void {
  if (error || memory.detached) return;
  try {
    memory.transfer(0);
  } catch {
    // The pool that small buffers share, which cannot be taken from them, or memory of WebAssembly.
  }
}
