// The managed Node runtime: runs inside a sandbox, one process per instance, and turns frames into handler calls.
// It starts generic (connected, loaded, waiting), so that it can be kept ready for any function; the first frame makes
// it one function's. Start time is what this folder is written for: CommonJS, since an ES module costs twice as much to
// load, few files, and nothing loaded before it is needed.
"use strict";

const { connect, FRAME } = require("./connection.cjs");
const { loadHandler } = require("./handler.cjs");
const { logError, patchConsole } = require("./log.cjs");
const { serve } = require("./serve.cjs");
const { offerTrace } = require("./trace.cjs");

/**
 * @typedef {{handler: string, taskRoot: string, runtime: string, environment: Record<string, string>,
 *   responseBytesMax: number, awaitsCode: boolean}} Specialisation
 */

void main();

async function main() {
  const { _LAMBDAD_SOCKET: socketPath, _LAMBDA_TELEMETRY_LOG_FD: logDescriptor } = process.env;
  delete process.env._LAMBDAD_SOCKET;
  delete process.env._LAMBDA_TELEMETRY_LOG_FD;
  const connection = await connect(socketPath);
  let frame = await connection.nextFrame();
  if (frame.type === FRAME.rehearse) {
    await require("./rehearsal.cjs").rehearse(frame);
    connection.send(FRAME.rehearsed, 0, "", "");
    frame = await connection.nextFrame();
  }
  await specialise(connection, frame, logDescriptor);
}

/**
 * @param {any} connection
 * @param {import("./connection.cjs").Frame} frame
 * @param {string | undefined} logDescriptor
 */
async function specialise(connection, { label, body }, logDescriptor) {
  /** @type {Specialisation} */
  const specialisation = JSON.parse(label);
  const { handler, taskRoot, runtime, environment, responseBytesMax, awaitsCode } = specialisation;
  // Before Node 24 Lambda had callbacks; which rules hold goes by the runtime's name, not by the binary that runs.
  const hasCallbacks = Number(/^nodejs(\d+)/.exec(runtime)?.[1] ?? 24) < 24;
  Object.assign(process.env, environment);
  offerTrace();
  // Read at the start of the process, which may have been before there was a function.
  require("node:module").Module._initPaths();
  const noRequestId = hasCallbacks ? "undefined" : "-";
  patchConsole(logDescriptor === undefined ? undefined : Number(logDescriptor), noRequestId);
  /** What is done with an error that nobody caught; serving replaces it. */
  const failures = {
    /** @param {unknown} error @param {number} exitCode */
    report: (error, exitCode) => failInit(connection, error, exitCode),
  };
  watchFailures(failures);
  const pack = awaitsCode ? (await connection.nextFrame()).body : body;
  process.chdir(taskRoot);
  // What is loaded later is read as usual: the pack would stay in memory for it.
  const endPack = pack.length > 0 ? require("./unpack.cjs").usePack(pack, taskRoot) : undefined;
  // While it loads, only the function's own work keeps the process alive: a wait that nothing can end, ends it.
  connection.unref();
  process.once("beforeExit", failEndlessInit);
  try {
    const loaded = await loadHandler(taskRoot, handler, hasCallbacks);
    process.off("beforeExit", failEndlessInit);
    endPack?.();
    serve({ connection, loaded, hasCallbacks, failures, responseBytesMax });
  } catch (error) {
    process.off("beforeExit", failEndlessInit);
    logError(hasCallbacks ? "Uncaught Exception" : "Init Error", error);
    failInit(connection, error, hasCallbacks ? 129 : 1);
  }

  function failEndlessInit() {
    const { RuntimeError } = require("./errors.cjs");
    const error = new RuntimeError("NodeJsExit", "The event loop became empty before the module had loaded");
    logError("Init Error", error);
    failInit(connection, error, 1);
  }
}

/** @param {{report: (error: unknown, exitCode: number) => void}} failures */
function watchFailures(failures) {
  process.on("uncaughtException", (error) => {
    logError("Uncaught Exception", error);
    failures.report(error, 129);
  });
  process.on("unhandledRejection", (reason, promise) => {
    const { UnhandledPromiseRejection } = require("./errors.cjs");
    const error = new UnhandledPromiseRejection(reason, promise);
    logError("Unhandled Promise Rejection", error);
    failures.report(error, 128);
  });
}

/**
 * @param {any} connection
 * @param {unknown} error
 * @param {number} exitCode
 */
function failInit(connection, error, exitCode) {
  const payload = require("./errors.cjs").errorPayload(error);
  connection.send(FRAME.initError, 0, payload.errorType, JSON.stringify(payload));
  connection.end(() => process.exit(exitCode));
}
