import type { ResponseHead, ResponseSink } from "../../core/invocation.ts";
import { RESPONSE_BYTES_MAX } from "../../core/limits.ts";
import { InvalidFunctionResponse } from "./response-headers.ts";

/**
 * Holds a response back until its function has ended: function URLs with InvokeMode BUFFERED. A function that fails in the
 * middle of its response is then answered like one that failed before.
 */
export class BufferedResponse implements ResponseSink {
  #head: ResponseHead | undefined;
  #chunks: Uint8Array[] = [];
  #bytes = 0;

  start(head: ResponseHead): void {
    this.#head = head;
  }

  write(chunk: Uint8Array): boolean {
    this.#bytes += chunk.byteLength;
    if (this.#bytes > RESPONSE_BYTES_MAX) this.#chunks = [];
    // The bytes may be the sender's own buffer, which it uses again.
    else this.#chunks.push(Uint8Array.from(chunk));
    return true;
  }

  async drained(): Promise<void> {}

  /** Hands on what was held back, if anything was. @throws InvalidFunctionResponse if that is too much. */
  release(to: ResponseSink): void {
    if (!this.#head) return;
    if (this.#bytes > RESPONSE_BYTES_MAX) {
      throw new InvalidFunctionResponse(`the response is larger than ${RESPONSE_BYTES_MAX} bytes`);
    }
    to.start(this.#head);
    for (const chunk of this.#chunks.splice(0)) to.write(chunk);
  }
}
