import type { Socket } from "node:net";
import type { HttpResponse } from "../message.ts";
import { nodeHttp } from "../node-http.ts";

/** The answer to one plain request: its head waits for the first bytes of its body, so that both leave in one write. */
export class PlainResponse implements HttpResponse {
  readonly req: { readonly method: string };
  readonly socket: Socket;
  readonly #ended: (keepsAlive: boolean) => void;
  #head: string | undefined;
  #hasHead = false;
  #isBodiless = false;
  #isChunked = false;
  #keepsAlive: boolean;
  #isDestroyed = false;
  writableEnded = false;

  /** `ended` is called once all of the answer has been given to the socket. */
  constructor(
    socket: Socket,
    method: string,
    options: { readonly keepsAlive: boolean; readonly ended: (keepsAlive: boolean) => void },
  ) {
    this.socket = socket;
    this.req = { method };
    this.#keepsAlive = options.keepsAlive;
    this.#ended = options.ended;
  }

  get destroyed(): boolean {
    return this.#isDestroyed || this.socket.destroyed;
  }

  get headersSent(): boolean {
    return this.#hasHead;
  }

  get writableNeedDrain(): boolean {
    return this.socket.writableNeedDrain;
  }

  /** Nobody who waits for it sends a plain request. */
  writeContinue(): void {}

  writeHead(status: number, headers: readonly string[]): this {
    this.#hasHead = true;
    this.#isBodiless = status === 204 || status === 304 || this.req.method === "HEAD";
    let hasLength = false;
    let head = `HTTP/1.1 ${status} ${nodeHttp.STATUS_CODES[status] ?? "unknown"}\r\n`;
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] ?? "";
      // By its length nearly every name is told apart without a comparison of text.
      if (name.length === 14 && name.toLowerCase() === "content-length") hasLength = true;
      else if (name.length === 10 && name.toLowerCase() === "connection") {
        this.#keepsAlive &&= headers[i + 1]?.toLowerCase() !== "close";
        continue;
      }
      head += `${name}: ${headers[i + 1]}\r\n`;
    }
    headEnds ??= newHeadEnds();
    head += this.#keepsAlive ? headEnds.keepsAlive : headEnds.closes;
    this.#isChunked = !hasLength && !this.#isBodiless;
    if (this.#isChunked) head += "Transfer-Encoding: chunked\r\n";
    this.#head = `${head}\r\n`;
    return this;
  }

  flushHeaders(): void {
    if (this.#head === undefined) return;
    this.socket.write(this.#head, "latin1");
    this.#head = undefined;
  }

  write(chunk: Uint8Array, sent?: (error?: Error | null) => void): boolean {
    if (this.writableEnded || this.destroyed) return true;
    const { socket } = this;
    if (this.#isBodiless || chunk.byteLength === 0) {
      this.flushHeaders();
      return true;
    }
    socket.cork();
    if (this.#isChunked) {
      socket.write(`${this.#head ?? ""}${chunk.byteLength.toString(16)}\r\n`, "latin1");
      this.#head = undefined;
      socket.write(chunk, sent);
      socket.write("\r\n", "latin1");
    } else {
      this.flushHeaders();
      socket.write(chunk, sent);
    }
    socket.uncork();
    return !socket.writableNeedDrain;
  }

  end(body: string | Uint8Array = "", encoding: BufferEncoding = "utf8"): this {
    if (this.writableEnded || this.destroyed) return this;
    if (body.length > 0 && !this.#isBodiless) this.#writeLast(body, encoding);
    else if (this.#isChunked) this.#sendText(LAST_CHUNK);
    else this.flushHeaders();
    this.writableEnded = true;
    this.#ended(this.#keepsAlive);
    return this;
  }

  destroy(): this {
    this.#isDestroyed = true;
    this.socket.destroy();
    return this;
  }

  once(event: "drain", listener: () => void): this {
    this.socket.once(event, listener);
    return this;
  }

  off(event: "drain", listener: () => void): this {
    this.socket.off(event, listener);
    return this;
  }

  #writeLast(body: string | Uint8Array, encoding: BufferEncoding): void {
    if (this.#isChunked) {
      this.write(typeof body === "string" ? Buffer.from(body, encoding) : body);
      this.#sendText(LAST_CHUNK);
    } else if (typeof body === "string" && (encoding === "latin1" || isAscii(body))) {
      this.#sendText(body);
    } else {
      this.write(typeof body === "string" ? Buffer.from(body, encoding) : body);
    }
  }

  /** Latin-1 keeps every byte as it is. */
  #sendText(text: string): void {
    this.socket.write(this.#head === undefined ? text : this.#head + text, "latin1");
    this.#head = undefined;
  }
}

/** How long a connection may be idle between two requests (seconds). */
export const KEEP_ALIVE_S = 75;
const LAST_CHUNK = "0\r\n\r\n";

/** Cheaper than to look at each character: one that is no ASCII takes more than a byte. */
function isAscii(text: string): boolean {
  return Buffer.byteLength(text) === text.length;
}

interface HeadEnds {
  readonly keepsAlive: string;
  readonly closes: string;
}

/** What each head has at its end, until the second is over: asking for the time costs more than all else here. */
let headEnds: HeadEnds | undefined;

function newHeadEnds(): HeadEnds {
  const now = Date.now();
  const forget = () => {
    headEnds = undefined;
  };
  setTimeout(forget, 1_000 - (now % 1_000)).unref();
  const date = `Date: ${new Date(now).toUTCString()}\r\n`;
  return {
    keepsAlive: `${date}Connection: keep-alive\r\nKeep-Alive: timeout=${KEEP_ALIVE_S}\r\n`,
    closes: `${date}Connection: close\r\n`,
  };
}
