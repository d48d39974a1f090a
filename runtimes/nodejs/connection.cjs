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
/** All of a frame before its label. */
const HEAD_BYTES = 13;
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
  /** Small frames that wait to go out together. */
  #unsent = Buffer.allocUnsafeSlow(COPIED_BYTES_MAX);
  #unsentBytes = 0;
  #flushLater = () => this.flush();

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
   * Queues a frame; it goes out with the others of this tick, or with `flush`. Large ones go at once, behind these.
   *
   * @param {number} type
   * @param {number} callId
   * @param {string} label
   * @param {string | Uint8Array} body
   */
  send(type, callId, label, body) {
    const labelBytes = label === "" ? 0 : Buffer.byteLength(label);
    const bodyBytes = typeof body === "string" ? Buffer.byteLength(body) : body.length;
    const bytes = HEAD_BYTES + labelBytes + bodyBytes;
    if (this.#unsentBytes + bytes > COPIED_BYTES_MAX) this.flush();
    if (bytes > COPIED_BYTES_MAX) {
      const head = Buffer.allocUnsafe(HEAD_BYTES + labelBytes);
      writeHead(head, 0, type, callId, label, labelBytes, bodyBytes);
      this.#socket.cork();
      this.#socket.write(head);
      this.#socket.write(body);
      this.#socket.uncork();
      return;
    }
    if (this.#unsentBytes === 0) queueMicrotask(this.#flushLater);
    const bodyAt = writeHead(this.#unsent, this.#unsentBytes, type, callId, label, labelBytes, bodyBytes);
    if (typeof body === "string") this.#unsent.write(body, bodyAt);
    else this.#unsent.set(body, bodyAt);
    this.#unsentBytes += bytes;
  }

  flush() {
    if (this.#unsentBytes === 0) return;
    this.#socket.write(this.#unsent.subarray(0, this.#unsentBytes));
    this.#unsentBytes = 0;
    // What the kernel has not taken is still to be read from there.
    if (this.#socket.writableLength > 0) this.#unsent = Buffer.allocUnsafeSlow(COPIED_BYTES_MAX);
  }

  /**
   * Calls `then` once the daemon has taken enough of what was sent; at once while little is on its way.
   *
   * @param {() => void} then
   */
  whenDrained(then) {
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
 * All of a frame.
 *
 * @param {number} type
 * @param {number} callId
 * @param {string} label
 * @param {string | Uint8Array} body
 */
function encode(type, callId, label, body) {
  const labelBytes = Buffer.byteLength(label);
  const bytes = Buffer.from(body);
  const head = Buffer.allocUnsafe(HEAD_BYTES + labelBytes);
  writeHead(head, 0, type, callId, label, labelBytes, bytes.length);
  return Buffer.concat([head, bytes]);
}

/**
 * Gives where the body begins.
 *
 * @param {Buffer} to
 * @param {number} at
 * @param {number} type
 * @param {number} callId
 * @param {string} label
 * @param {number} labelBytes
 * @param {number} bodyBytes
 */
function writeHead(to, at, type, callId, label, labelBytes, bodyBytes) {
  to.writeUInt32BE(HEAD_BYTES - 4 + labelBytes + bodyBytes, at);
  to.writeUInt8(type, at + 4);
  to.writeUInt32BE(callId, at + 5);
  to.writeUInt32BE(labelBytes, at + 9);
  if (labelBytes > 0) to.write(label, at + HEAD_BYTES);
  return at + HEAD_BYTES + labelBytes;
}

module.exports = { FRAME, connect, encode };
