// The loop of a managed runtime: a call comes in, the handler runs, its result goes out, and the next is asked for.
// While a call runs, the connection does not keep the event loop alive; so an empty loop means that nothing of the
// function is left that could finish it.
"use strict";

const { FRAME } = require("./connection.cjs");
const { logError, setRequestId } = require("./log.cjs");
const { setTrace } = require("./trace.cjs");

/** @typedef {{requestId: string, deadlineMs: number, leftMs?: number, functionArn: string, traceId?: string, clientContext?: string}} CallHead */

/**
 * Says that the runtime is ready and serves from then on.
 *
 * @param {{connection: any, loaded: import("./handler.cjs").LoadedHandler, hasCallbacks: boolean,
 *   failures: {report: (error: unknown, exitCode: number) => void}, responseBytesMax: number}} parts
 */
function serve(parts) {
  const { connection, loaded, hasCallbacks, failures, responseBytesMax } = parts;
  const { runStreaming } = loaded.isStreaming ? require("./streaming.cjs") : {};
  const describeContext = contextMaker(hasCallbacks);
  /** @type {Reply | undefined} */
  let current;
  /** Calls that were sent ahead; each begins when the one before has ended. @type {import("./connection.cjs").Frame[]} */
  let ahead = [];

  function goOn() {
    const next = ahead.shift();
    if (next) begin(next);
    else connection.ref();
  }

  /** @param {number} callId */
  function recall(callId) {
    const left = ahead.filter((frame) => frame.callId !== callId);
    if (left.length < ahead.length) connection.send(FRAME.recalled, callId, "", "");
    ahead = left;
  }

  /** @param {import("./connection.cjs").Frame} frame */
  function begin({ callId, label, body }) {
    /** @type {CallHead} */
    const head = JSON.parse(label);
    head.deadlineMs ??= Date.now() + (head.leftMs ?? 0);
    const reply = new Reply(connection, callId, hasCallbacks, responseBytesMax);
    reply.onIdle = goOn;
    current = reply;
    setRequestId(head.requestId);
    try {
      setTrace(head.traceId);
      const context = describeContext(head);
      const event = JSON.parse(body.toString("utf8"));
      if (runStreaming) runStreaming(loaded, event, context, reply, { connection, callId, hasCallbacks });
      else if (hasCallbacks) runWithCallback(loaded.handler, event, context, reply);
      else void runAsync(loaded.handler, event, context, reply);
    } catch (error) {
      reply.fail(error);
    }
  }

  process.on("beforeExit", () => current?.onLoopEmpty());
  failures.report = (error, exitCode) => {
    current?.failLast(error);
    connection.end(() => process.exit(exitCode));
  };
  connection.ref();
  connection.send(FRAME.ready, 0, "", "");
  // At once, since a call may have come already that takes its time.
  connection.flush();
  connection.onFrame = (/** @type {import("./connection.cjs").Frame} */ frame) => {
    // Of code that was seen before.
    if (frame.type === FRAME.load) return;
    if (frame.type === FRAME.recall) recall(frame.callId);
    else if (current && !current.isIdle) ahead.push(frame);
    else {
      connection.unref();
      begin(frame);
    }
  };
}

/** The one answer to one call. */
class Reply {
  isOpen = true;
  isIdle = false;
  /** Called once, when the next call may begin. */
  onIdle = () => {};
  #connection;
  #callId;
  #hasCallbacks;
  #responseBytesMax;
  /** What an empty event loop means for this call; by default, that its promise will never settle. */
  onLoopEmpty = () => {
    if (!this.isOpen) return;
    const { RuntimeError } = require("./errors.cjs");
    this.fail(
      new RuntimeError("NodeJsExit", "The event loop became empty before the handler's promise settled"),
    );
  };

  /**
   * @param {any} connection
   * @param {number} callId
   * @param {boolean} hasCallbacks
   * @param {number} responseBytesMax
   */
  constructor(connection, callId, hasCallbacks, responseBytesMax) {
    this.#connection = connection;
    this.#callId = callId;
    this.#hasCallbacks = hasCallbacks;
    this.#responseBytesMax = responseBytesMax;
  }

  /** @param {unknown} value */
  respond(value) {
    if (!this.isOpen) return;
    let text;
    try {
      text = JSON.stringify(value) ?? "null";
    } catch {
      this.fail(this.#stringifyError());
      return;
    }
    this.isOpen = false;
    if (Buffer.byteLength(text) > this.#responseBytesMax) this.#sendTooLarge();
    else this.#connection.send(FRAME.response, this.#callId, "", text);
    this.askForNext();
  }

  /** @param {unknown} error */
  fail(error) {
    if (!this.isOpen) return;
    logError("Invoke Error", error);
    this.failLast(error);
    this.askForNext();
  }

  /** The process ends behind this error, so no further call is asked for. @param {unknown} error */
  failLast(error) {
    if (!this.isOpen) return;
    this.isOpen = false;
    const { errorPayload } = require("./errors.cjs");
    const payload = errorPayload(error);
    this.#connection.send(FRAME.error, this.#callId, payload.errorType, JSON.stringify(payload));
  }

  /** For an answer that went out by other ways. */
  close() {
    this.isOpen = false;
  }

  askForNext() {
    if (this.isIdle) return;
    this.isIdle = true;
    this.#connection.send(FRAME.idle, this.#callId, "", "");
    // At once: a handler that ends the process behind its answer must not take the answer with it.
    this.#connection.flush();
    this.onIdle();
  }

  #stringifyError() {
    const { RuntimeError } = require("./errors.cjs");
    const message = "Unable to stringify response body";
    return this.#hasCallbacks ? new Error(message) : new RuntimeError("JSONStringifyError", message);
  }

  #sendTooLarge() {
    const errorType = "Function.ResponseSizeTooLarge";
    const errorMessage = `Response payload size exceeded maximum allowed payload size (${this.#responseBytesMax} bytes).`;
    this.#connection.send(FRAME.error, this.#callId, errorType, JSON.stringify({ errorType, errorMessage }));
  }
}

/**
 * Since Node 24: what the handler returns or throws is the answer.
 *
 * @param {Function} handler
 * @param {unknown} event
 * @param {object} context
 * @param {Reply} reply
 */
async function runAsync(handler, event, context, reply) {
  let answer;
  try {
    const result = await handler(event, context);
    answer = () => reply.respond(result);
  } catch (error) {
    answer = () => reply.fail(error);
  }
  // After a rejection that the handler left behind unhandled: that one is the answer then.
  setImmediate(answer);
}

/**
 * Up to Node 22: a promise, the callback, or one of three methods of the context, whichever is first. What the callback
 * is given waits for an empty event loop unless the handler says otherwise.
 *
 * @param {Function} handler
 * @param {unknown} event
 * @param {any} context
 * @param {Reply} reply
 */
function runWithCallback(handler, event, context, reply) {
  let isDone = false;
  const first =
    (answer) =>
    (/** @type {unknown[]} */ ...values) => {
      if (isDone) return;
      isDone = true;
      answer(...values);
    };
  const succeed = first((result) => reply.respond(result));
  const fail = first((error) => reply.fail(error ?? "handled"));
  const done = first((error, result) => (error == null ? reply.respond(result) : reply.fail(error)));
  const callback = first((error, result) => {
    if (error != null) reply.fail(error);
    else if (!context.callbackWaitsForEmptyEventLoop) reply.respond(result);
    else reply.onLoopEmpty = () => setImmediate(() => reply.respond(result));
  });
  Object.assign(context, { callbackWaitsForEmptyEventLoop: true, succeed, fail, done });
  const whenPromised = reply.onLoopEmpty;
  reply.onLoopEmpty = () => reply.respond(null);
  try {
    const result = handler(event, context, callback);
    if (typeof result?.then !== "function") return;
    if (!isDone) reply.onLoopEmpty = whenPromised;
    // As in runAsync: a rejection that was left behind unhandled is the answer.
    result.then(
      (value) => setImmediate(succeed, value),
      (error) => setImmediate(fail, error),
    );
  } catch (error) {
    fail(error);
  }
}

/**
 * Makes each call's context. What the environment says is read once.
 *
 * @param {boolean} hasCallbacks
 * @returns {(head: CallHead) => object}
 */
function contextMaker(hasCallbacks) {
  const { env } = process;
  const fixed = {
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
  };
  return ({ requestId, deadlineMs, functionArn, traceId, clientContext }) => ({
    ...fixed,
    clientContext: clientContext === undefined ? undefined : parseClientContext(clientContext),
    identity: undefined,
    invokedFunctionArn: functionArn,
    awsRequestId: requestId,
    tenantId: undefined,
    ...(hasCallbacks ? {} : { xRayTraceId: traceId }),
    getRemainingTimeInMillis: () => deadlineMs - Date.now(),
  });
}

/** @param {string} text */
function parseClientContext(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`Cannot parse ClientContext as json: ${error}`);
  }
}

module.exports = { serve };
