// The runtime's end of the framed socket; the format is described in src/protocol/lambda/frames.ts of lambdad.
"use strict";

const { connect: connectSocket } = require("node:net");

const FRAME = Object.freeze({
  specialise: 1,
  invoke: 2,
  recall: 3,
  rehearse: 4,
  load: 5,
  ready: 16,
  initError: 17,
  response: 18,
  error: 19,
  streamHead: 20,
  streamChunk: 21,
  streamEnd: 22,
  idle: 23,
  recalled: 24,
  rehearsed: 25,
});

/** @typedef {{type: number, callId: number, label: string, body: Buffer}} Frame */

/** Up to here one copy and one write cost less than several writes. */
const COPIED_BYTES_MAX = 16 * 1024;
const RETRY_MS = 1;
const RETRIES_MAX = 10_000;

/**
 * Connects to the daemon, which may make the socket a moment after it has started us.
 *
 * @param {string | undefined} path
 * @returns {Promise<Connection>}
 */
async function connect(path) {
  if (!path) throw new Error("this program is started by lambdad");
  for (let retry = 0; ; retry++) {
    const socket = connectSocket({ path });
    const failure = await new Promise((resolve) => {
      socket.once("connect", () => resolve(undefined));
      socket.once("error", resolve);
    });
    if (failure === undefined) return new Connection(socket);
    // Not made yet, not listened on yet, or not opened to us yet.
    const isEarly = ["ENOENT", "ECONNREFUSED", "EACCES"].includes(failure.code);
    if (!isEarly || retry >= RETRIES_MAX) throw failure;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

class Connection {
  /** @type {import("node:net").Socket} */
  #socket;
  /** @type {Buffer[]} */
  #parts = [];
  #partsBytes = 0;
  #wanted = 4;
  /** @type {Frame[]} */
  #frames = [];
  /** @type {((frame: Frame) => void) | undefined} */
  #onFrame;
  /** @type {Buffer[]} */
  #queue = [];
  #queueBytes = 0;

  /** @param {import("node:net").Socket} socket */
  constructor(socket) {
    this.#socket = socket;
    socket.removeAllListeners("error");
    socket.on("error", () => {});
    // Nobody is there any more to work for.
    socket.on("close", () => process.exit(1));
    socket.on("data", (chunk) => this.#read(chunk));
  }

  /** @param {(frame: Frame) => void} onFrame */
  set onFrame(onFrame) {
    this.#onFrame = onFrame;
    for (const frame of this.#frames.splice(0)) onFrame(frame);
  }

  /** @returns {Promise<Frame>} */
  nextFrame() {
    // Two may have come at once.
    const waiting = this.#frames.shift();
    if (waiting) return Promise.resolve(waiting);
    return new Promise((resolve) => {
      this.#onFrame = (frame) => {
        this.#onFrame = undefined;
        resolve(frame);
      };
    });
  }

  ref() {
    this.#socket.ref();
  }

  unref() {
    this.#socket.unref();
  }

  /**
   * Queues a frame; it goes out with the others of this tick, or with `flush`.
   *
   * @param {number} type
   * @param {number} callId
   * @param {string} label
   * @param {string | Uint8Array} body
   */
  send(type, callId, label, body) {
    const isCopied = typeof body === "string" || body.length <= COPIED_BYTES_MAX;
    const frame = encode(type, callId, label, body, isCopied);
    if (this.#queue.length === 0) queueMicrotask(() => this.flush());
    this.#queue.push(frame);
    this.#queueBytes += frame.length;
    if (isCopied) return;
    this.#queue.push(Buffer.from(body.buffer, body.byteOffset, body.length));
    this.#queueBytes += body.length;
  }

  flush() {
    const queue = this.#queue;
    if (queue.length === 0) return;
    const bytes = this.#queueBytes;
    this.#queue = [];
    this.#queueBytes = 0;
    if (queue.length === 1 || bytes <= COPIED_BYTES_MAX) {
      this.#socket.write(queue.length === 1 ? queue[0] : Buffer.concat(queue, bytes));
      return;
    }
    this.#socket.cork();
    for (const part of queue) this.#socket.write(part);
    this.#socket.uncork();
  }

  /**
   * Calls `then` once the daemon has taken enough of what was sent; at once while little is on its way.
   *
   * @param {() => void} then
   */
  whenDrained(then) {
    if (this.#queueBytes > COPIED_BYTES_MAX) this.flush();
    if (this.#socket.writableNeedDrain) this.#socket.once("drain", then);
    else then();
  }

  /**
   * Calls `then` when all that was sent has left this process.
   *
   * @param {() => void} then
   */
  end(then) {
    this.flush();
    this.#socket.removeAllListeners("close");
    this.#socket.once("close", then);
    this.#socket.end(then);
  }

  /**
   * A connection like this one on which nobody is: what it writes is given to `written`, and it reads what `receive` is given.
   *
   * @param {(bytes: Buffer) => void} written
   * @returns {{connection: Connection, receive: (bytes: Buffer) => void}}
   */
  rehearsal(written) {
    const value = () => {};
    const socket = Object.create(this.#socket, {
      on: { value },
      removeAllListeners: { value },
      write: { value: written },
    });
    const connection = new Connection(socket);
    return { connection, receive: (bytes) => connection.#read(bytes) };
  }

  /** @param {Buffer} chunk */
  #read(chunk) {
    this.#parts.push(chunk);
    this.#partsBytes += chunk.length;
    if (this.#partsBytes < this.#wanted) return;
    const buffer = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts, this.#partsBytes);
    let at = 0;
    this.#wanted = 4;
    while (buffer.length - at >= 4) {
      const end = at + 4 + buffer.readUInt32BE(at);
      if (end > buffer.length) {
        this.#wanted = end - at;
        break;
      }
      const bodyAt = at + 13 + buffer.readUInt32BE(at + 9);
      this.#deliver({
        type: buffer.readUInt8(at + 4),
        callId: buffer.readUInt32BE(at + 5),
        label: buffer.toString("utf8", at + 13, bodyAt),
        body: buffer.subarray(bodyAt, end),
      });
      at = end;
    }
    this.#partsBytes = buffer.length - at;
    this.#parts = this.#partsBytes === 0 ? [] : [buffer.subarray(at)];
  }

  /** @param {Frame} frame */
  #deliver(frame) {
    if (this.#onFrame) this.#onFrame(frame);
    else this.#frames.push(frame);
  }
}

/**
 * All of a frame, or all but its body.
 *
 * @param {number} type
 * @param {number} callId
 * @param {string} label
 * @param {string | Uint8Array} body
 */
function encode(type, callId, label, body, isWhole = true) {
  const labelBytes = Buffer.byteLength(label);
  const bodyBytes = typeof body === "string" ? Buffer.byteLength(body) : body.length;
  const frame = Buffer.allocUnsafe(13 + labelBytes + (isWhole ? bodyBytes : 0));
  frame.writeUInt32BE(9 + labelBytes + bodyBytes, 0);
  frame.writeUInt8(type, 4);
  frame.writeUInt32BE(callId, 5);
  frame.writeUInt32BE(labelBytes, 9);
  frame.write(label, 13);
  if (typeof body === "string") frame.write(body, 13 + labelBytes);
  else if (isWhole) frame.set(body, 13 + labelBytes);
  return frame;
}

module.exports = { FRAME, connect, encode };
