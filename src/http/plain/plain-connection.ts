import type { Socket } from "node:net";
import { HEADER_BYTES_MAX } from "../../core/limits.ts";
import { PLAIN_BODY_BYTES_MAX, type PlainHead, PlainRequest, parsePlainHead } from "./plain-request.ts";
import { KEEP_ALIVE_S, PlainResponse } from "./plain-response.ts";
import type { SharedReading } from "./shared-reading.ts";

export interface PlainConnectionParts {
  readonly reading: SharedReading;
  /** Takes one request after the other; the next one comes when its response has ended. */
  readonly handler: (request: PlainRequest, response: PlainResponse) => void;
  /** Takes the socket over, with all in it that has not been served, when something comes that is not plain. */
  readonly handOver: (socket: Socket) => void;
}

/** For the first request to arrive. */
const FIRST_MS_MAX = 10_000;
/** What is read ahead while a call runs; then the client has to wait. */
const EARLY_BYTES_MAX = PLAIN_BODY_BYTES_MAX;

/**
 * Serves a connection as long as its requests are plain (plain-request.ts), one at a time and in order. The first that is
 * not, and all behind it, are node:http's: so are requests that trickle in, for it has the time limits for them.
 *
 *   idle ──► busy ──► idle …
 *     │        │
 *     │        └────► closed (the answer was the last one)
 *     └─► left (node:http's), closed
 */
export class PlainConnection {
  readonly #parts: PlainConnectionParts;
  readonly #socket: Socket;
  #state: "idle" | "busy" | "left" | "closed" = "idle";
  /** Received and not served yet. */
  #received: Buffer | undefined;
  /** The head in `#received` was read before, and its body waited for. */
  #awaitsBody = false;
  /** Of the last request. */
  #known: PlainHead | undefined;
  #closesWhenIdle = false;

  constructor(parts: PlainConnectionParts) {
    this.#parts = parts;
    const { socket } = parts.reading;
    this.#socket = socket;
    parts.reading.receiver = this.#receive;
    socket.on("end", this.#onEnd).on("error", ignore).on("timeout", this.#onTimeout);
    socket.setTimeout(FIRST_MS_MAX);
  }

  /** Ends it as soon as no call runs on it. */
  closeWhenIdle(): void {
    this.#closesWhenIdle = true;
    if (this.#state === "idle") this.#close();
  }

  /** Whether it is still served here. */
  get isOpen(): boolean {
    return this.#state === "idle" || this.#state === "busy";
  }

  cut(): void {
    if (this.isOpen) this.#socket.destroy();
  }

  /** What of `bytes` is to stay is copied. */
  readonly #receive = (bytes: Buffer, count: number): void => {
    if (!this.isOpen) return;
    const came = bytes.subarray(0, count);
    this.#received = this.#received ? Buffer.concat([this.#received, came]) : came;
    if (this.#state === "idle") this.#serveReceived();
    else if (this.#received.length > EARLY_BYTES_MAX) this.#socket.pause();
    if (this.#received?.buffer === bytes.buffer) this.#received = Buffer.from(this.#received);
  };

  /** Whoever ends its side is gone: node:http does not answer it either. */
  readonly #onEnd = (): void => {
    this.#socket.end();
  };

  /** A call may take its time; a client that takes nothing of what waits for it may not. */
  readonly #onTimeout = (): void => {
    const { bytesRead } = this.#socket;
    // After the loop stood still, timers come before what has been sent meanwhile: that is read in the same turn.
    setImmediate(() => {
      if (this.#socket.bytesRead !== bytesRead || !this.isOpen) return;
      if (this.#state === "idle" || this.#socket.writableLength > 0) this.#socket.destroy();
    });
  };

  #serveReceived(): void {
    while (this.#state === "idle" && this.#received) {
      const request = this.#nextRequest(this.#received);
      if (request === "incomplete") return;
      if (request === "not plain") {
        this.#leave();
        return;
      }
      this.#serve(request);
    }
  }

  #nextRequest(received: Buffer): { request: PlainRequest; closes: boolean } | "incomplete" | "not plain" {
    const text = received.toString("latin1", 0, HEADER_BYTES_MAX);
    const head = parsePlainHead(text, this.#known);
    if (!head || head.fields.contentLength > PLAIN_BODY_BYTES_MAX) return "not plain";
    const bodyAt = head.bytes;
    const end = bodyAt + head.fields.contentLength;
    if (end > received.length) {
      // Many clients send head and body in two pieces; one that needs more of them is watched by node:http.
      if (this.#awaitsBody) return "not plain";
      this.#awaitsBody = true;
      return "incomplete";
    }
    // What comes behind the last request should not be there.
    if (head.fields.closes && end < received.length) return "not plain";
    this.#awaitsBody = false;
    this.#known = head;
    this.#received = end === received.length ? undefined : received.subarray(end);
    const body = end === bodyAt ? undefined : Buffer.from(received.subarray(bodyAt, end));
    return { request: new PlainRequest(this.#socket, head, body), closes: head.fields.closes };
  }

  #serve({ request, closes }: { readonly request: PlainRequest; readonly closes: boolean }): void {
    this.#state = "busy";
    this.#allowSilence();
    const response = new PlainResponse(this.#socket, request.method, {
      keepsAlive: !closes && !this.#closesWhenIdle,
      ended: (keepsAlive) => this.#answered(keepsAlive),
    });
    this.#parts.handler(request, response);
  }

  #answered(keepsAlive: boolean): void {
    if (this.#state !== "busy") return;
    if (!keepsAlive || this.#closesWhenIdle) {
      this.#close();
      return;
    }
    this.#state = "idle";
    this.#allowSilence();
    if (!this.#received) return;
    if (this.#socket.isPaused()) this.#socket.resume();
    // Not from within the answer before it: as many answers may be waiting as requests fit in what is read ahead.
    queueMicrotask(() => this.#serveReceived());
  }

  /** Each byte that moves sets the time anew; to set the timer itself is dear. */
  #allowSilence(): void {
    const silenceMsMax = KEEP_ALIVE_S * 1_000;
    if (this.#socket.timeout !== silenceMsMax) this.#socket.setTimeout(silenceMsMax);
  }

  #close(): void {
    this.#state = "closed";
    this.#received = undefined;
    this.#socket.end(() => this.#socket.destroy());
  }

  #leave(): void {
    this.#state = "left";
    const socket = this.#socket;
    this.#parts.reading.receiver = undefined;
    socket.off("end", this.#onEnd).off("error", ignore).off("timeout", this.#onTimeout);
    socket.setTimeout(0);
    socket.pause();
    const received = this.#received;
    this.#received = undefined;
    if (received) socket.unshift(Buffer.from(received));
    this.#parts.handOver(socket);
    socket.resume();
  }
}

/** `close` follows, which says all that matters. */
function ignore(): void {}
