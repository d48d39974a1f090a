// Handlers that write their response as a stream: `handler(event, responseStream, context)`.
"use strict";

const { Writable } = require("node:stream");
const { FRAME } = require("./connection.cjs");
const { RuntimeError } = require("./errors.cjs");
const { logError } = require("./log.cjs");

/** So much at most in one frame, so that the daemon never holds more than that of an unfinished one. */
const CHUNK_BYTES_MAX = 64 * 1024;

/**
 * @param {import("./handler.cjs").LoadedHandler} loaded
 * @param {unknown} event
 * @param {any} context
 * @param {import("./serve.cjs").Reply} reply
 * @param {{connection: any, callId: number, hasCallbacks: boolean}} call
 */
function runStreaming(loaded, event, context, reply, { connection, callId, hasCallbacks }) {
  if (hasCallbacks) context.callbackWaitsForEmptyEventLoop = true;
  const stream = new ResponseStream(connection, callId, loaded.highWaterMark, () => reply.close());
  const ended = new Promise((resolve) => stream.once("close", resolve));
  // An error that the handler's own stream code raises is told by the handler, or by the stream that never ends.
  stream.on("error", () => {});
  const fail = (error) => {
    if (reply.isOpen) {
      reply.fail(error);
      stream.destroy();
      return;
    }
    // The response was complete; what failed behind it is for the log only.
    logError("Invoke Error", error);
    reply.askForNext();
  };
  reply.onLoopEmpty = () => {
    if (reply.isOpen) fail(new Error("Response stream is not finished."));
    else reply.askForNext();
  };
  const run = async () => {
    const running = loaded.handler(event, stream, context);
    if (typeof running?.then !== "function") {
      throw new RuntimeError("MalformedStreamingHandler", "Streaming does not support non-async handlers.");
    }
    if ((await running) !== undefined) console.warn("Streaming handlers ignore return values.");
    await ended;
    if (!stream.writableFinished) throw new Error("Response stream is not finished.");
    // Before Node 24 the next call waits until nothing of this one is left in the event loop.
    if (!hasCallbacks || !context.callbackWaitsForEmptyEventLoop) reply.askForNext();
    else reply.onLoopEmpty = () => reply.askForNext();
  };
  run().catch(fail);
}

class ResponseStream extends Writable {
  #connection;
  #callId;
  #contentType = "application/octet-stream";
  #hasStarted = false;
  /** @type {() => void} */
  #onComplete;
  /** Lambda's own hook: HttpResponseStream puts the HTTP head in front of the body by it. @type {((write: (chunk: string | Uint8Array) => void) => void) | undefined} */
  _onBeforeFirstWrite;

  /**
   * @param {any} connection
   * @param {number} callId
   * @param {number | undefined} highWaterMark
   * @param {() => void} onComplete
   */
  constructor(connection, callId, highWaterMark, onComplete) {
    super({ decodeStrings: true, ...(highWaterMark !== undefined && { highWaterMark }) });
    this.#onComplete = onComplete;
    this.#connection = connection;
    this.#callId = callId;
  }

  /** @param {string} contentType */
  setContentType(contentType) {
    if (this.#hasStarted) {
      throw new RuntimeError("InvalidStreamingOperation", "Cannot set content-type, too late.");
    }
    this.#contentType = String(contentType);
  }

  /** Objects are written as JSON. @override */
  write(chunk, ...rest) {
    return super.write(asChunk(chunk), ...rest);
  }

  /** @override */
  end(chunk, ...rest) {
    return chunk == null || typeof chunk === "function"
      ? super.end(chunk, ...rest)
      : super.end(asChunk(chunk), ...rest);
  }

  /** @override */
  _write(chunk, _encoding, done) {
    this.#start();
    this.#send(chunk);
    this.#connection.whenDrained(done);
  }

  /** @override */
  _final(done) {
    this.#start();
    this.#connection.send(FRAME.streamEnd, this.#callId, "", "");
    this.#connection.flush();
    this.#onComplete();
    done();
  }

  #start() {
    if (this.#hasStarted) return;
    this.#hasStarted = true;
    this.#connection.send(FRAME.streamHead, this.#callId, this.#contentType, "");
    this._onBeforeFirstWrite?.((chunk) => this.#send(Buffer.from(chunk)));
  }

  /** @param {Uint8Array} chunk */
  #send(chunk) {
    for (let at = 0; at < chunk.length; at += CHUNK_BYTES_MAX) {
      const piece = chunk.subarray(at, at + CHUNK_BYTES_MAX);
      this.#connection.send(FRAME.streamChunk, this.#callId, "", piece);
    }
  }
}

/** @param {any} chunk */
function asChunk(chunk) {
  return typeof chunk === "string" || chunk instanceof Uint8Array ? chunk : JSON.stringify(chunk);
}

module.exports = { runStreaming };
