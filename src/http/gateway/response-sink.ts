/**
 * Sends a response while the function makes it.
 *
 * A server's head and bytes pass through. A handler's stream either has a content type of its own, or it is
 * `application/vnd.awslambda.http-integration-response`: a JSON prelude (status, headers, cookies), eight NUL bytes,
 * then the body.
 *
 * What the function does wrong is kept in `problem` instead of being thrown at whoever brings the bytes, which are
 * then ignored. When the client has gone they are as well: the function runs to its end.
 */
import type { ResponseHead, ResponseSink } from "../../core/invocation.ts";
import type { HttpResponse } from "../message.ts";
import { freeSent, PassedMemory } from "./passed-memory.ts";
import { preludeOf } from "./payload-v2.ts";
import {
  addServerHeaders,
  checkedStatus,
  InvalidFunctionResponse,
  isBodiless,
  type ReplyHeaders,
  ResponseHeaders,
} from "./response-headers.ts";

const INTEGRATION_TYPE = "application/vnd.awslambda.http-integration-response";
const PRELUDE_END = Buffer.alloc(8);
const PRELUDE_BYTES_MAX = 64 * 1024;
/** A client that takes nothing of what waits for it for so long is cut off. */
export const WRITE_STALL_MS_MAX = 60_000;

export class StreamedResponse implements ResponseSink {
  readonly #response: HttpResponse;
  readonly #reply: ReplyHeaders;
  readonly #isHead: boolean;
  readonly #memory = new PassedMemory();
  #prelude: Buffer | undefined;
  #bytesLeft: number | undefined;
  #problem: InvalidFunctionResponse | undefined;
  #hasStarted = false;

  constructor(response: HttpResponse, reply: ReplyHeaders) {
    this.#response = response;
    this.#reply = reply;
    this.#isHead = response.req.method === "HEAD";
  }

  /** What is wrong with the response; if it has begun already, the client must be cut off. */
  get problem(): InvalidFunctionResponse | undefined {
    return this.#problem;
  }

  start(head: ResponseHead): void {
    this.#hasStarted = true;
    this.#judged(() => {
      if (head.kind === "http") this.#begin(...this.#serverHead(head));
      else if (isIntegration(head.contentType)) this.#prelude = Buffer.alloc(0);
      else this.#begin(200, rawHeaders(head.contentType, this.#reply));
    });
  }

  write(chunk: Uint8Array): boolean {
    return this.#write(chunk, this.#memory);
  }

  /** What others have as well, and may read later. */
  writeShared(chunk: Uint8Array): void {
    this.#write(chunk, undefined);
  }

  #write(chunk: Uint8Array, passed: PassedMemory | undefined): boolean {
    if (this.#problem || this.#isGone()) return true;
    const bytes = this.#prelude ? this.#afterPrelude(this.#prelude, chunk) : chunk;
    if (bytes.byteLength === 0) return true;
    if (this.#bytesLeft !== undefined && bytes.byteLength > this.#bytesLeft) {
      // More than announced would be read as the next response.
      this.#problem = new InvalidFunctionResponse("the body is longer than its content-length");
      this.#response.destroy();
      return true;
    }
    if (this.#bytesLeft !== undefined) this.#bytesLeft -= bytes.byteLength;
    const memory = passed?.endingWith(bytes);
    return this.#response.write(bytes, memory && ((error) => freeSent(memory, error)));
  }

  drained(): Promise<void> {
    const { socket } = this.#response;
    if (this.#isGone() || !socket || !this.#response.writableNeedDrain) return Promise.resolve();
    // Whatever moves on the socket sets the time anew; at its end the server destroys it.
    socket.setTimeout(WRITE_STALL_MS_MAX);
    return new Promise((resolve) => {
      const done = () => {
        socket.setTimeout(0);
        this.#response.off("drain", done);
        socket.off("close", done);
        resolve();
      };
      this.#response.once("drain", done);
      socket.once("close", done);
    });
  }

  /** After the function has returned. Look at `problem` then. */
  end(): void {
    if (this.#problem || this.#isGone()) return;
    if (!this.#hasStarted) this.#problem = new InvalidFunctionResponse("the response was never begun");
    else if (this.#prelude)
      this.#problem = new InvalidFunctionResponse("the response ended within its prelude");
    else if (this.#bytesLeft) {
      this.#problem = new InvalidFunctionResponse("the body is shorter than its content-length");
    } else this.#response.end();
  }

  #serverHead(head: ResponseHead & { kind: "http" }): [status: number, headers: string[]] {
    const status = checkedStatus(head.status);
    const headers = new ResponseHeaders(this.#reply);
    addServerHeaders(headers, head.rawHeaders);
    const flat = headers.finish();
    const { contentLength } = headers;
    if (contentLength !== undefined && status !== 204) flat.push("content-length", String(contentLength));
    if (!this.#isHead && !isBodiless(status)) this.#bytesLeft = contentLength;
    return [status, flat];
  }

  #begin(status: number, headers: string[]): void {
    if (this.#isGone()) return;
    const response = this.#response;
    response.writeHead(status, headers);
    // Most heads are followed by bytes at once and go out with them; one that is not must not wait.
    setImmediate(() => {
      if (!response.writableEnded && !response.destroyed) response.flushHeaders();
    });
  }

  /** What of `chunk` belongs to the body. */
  #afterPrelude(before: Buffer, chunk: Uint8Array): Uint8Array {
    const bytes = Buffer.concat([before, chunk]);
    const end = bytes.indexOf(PRELUDE_END, Math.max(0, before.byteLength - PRELUDE_END.byteLength + 1));
    if ((end === -1 ? bytes.byteLength : end) > PRELUDE_BYTES_MAX) {
      this.#problem = new InvalidFunctionResponse(`the prelude is larger than ${PRELUDE_BYTES_MAX} bytes`);
      return NOTHING;
    }
    if (end === -1) {
      this.#prelude = bytes;
      return NOTHING;
    }
    this.#prelude = undefined;
    this.#judged(() => {
      const { status, headers } = preludeOf(bytes.subarray(0, end), this.#reply);
      this.#begin(status, headers);
    });
    return this.#problem ? NOTHING : bytes.subarray(end + PRELUDE_END.byteLength);
  }

  #judged(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (!(error instanceof InvalidFunctionResponse)) throw error;
      this.#problem = error;
    }
  }

  #isGone(): boolean {
    return this.#response.destroyed || this.#response.socket?.destroyed === true;
  }
}

const NOTHING = new Uint8Array(0);

function isIntegration(contentType: string): boolean {
  return contentType.toLowerCase().startsWith(INTEGRATION_TYPE);
}

function rawHeaders(contentType: string, reply: ReplyHeaders): string[] {
  const headers = new ResponseHeaders(reply);
  headers.add("content-type", contentType);
  return headers.finish();
}
