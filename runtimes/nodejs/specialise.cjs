// What makes a generic runtime process one function's: environment, console, what becomes of errors, its code.
"use strict";

const { statSync } = require("node:fs");
const Module = require("node:module");
const { FRAME } = require("./connection.cjs");
const { loadHandler } = require("./handler.cjs");
const { logError, patchConsole } = require("./log.cjs");
const { serve } = require("./serve.cjs");

/**
 * @typedef {{handler: string, taskRoot: string, runtime: string, environment: Record<string, string>,
 *   responseBytesMax: number, awaitsCode: boolean, awaitsPack: boolean}} Specialisation
 */

/**
 * `environment` is the one of the process, with nothing between; `emptyRoot` the folder at whose place the code appears.
 *
 * @typedef {{connection: any, environment: NodeJS.ProcessEnv, emptyRoot: string | undefined, logDescriptor: number | undefined}} Parts
 */

/**
 * @param {Parts} parts
 * @param {import("./connection.cjs").Frame} frame
 */
async function specialise({ connection, environment, emptyRoot, logDescriptor }, { label, body }) {
  /** @type {Specialisation} */
  const specialisation = JSON.parse(label);
  const { handler, taskRoot, runtime, responseBytesMax, awaitsCode, awaitsPack } = specialisation;
  // Before Node 24 Lambda had callbacks; which rules hold goes by the runtime's name, not by the binary that runs.
  const hasCallbacks = Number(/^nodejs(\d+)/.exec(runtime)?.[1] ?? 24) < 24;
  setEnvironment(environment, specialisation.environment);
  const noRequestId = hasCallbacks ? "undefined" : "-";
  patchConsole(logDescriptor, noRequestId);
  /** What is done with an error that nobody caught; serving replaces it. */
  const failures = {
    /** @param {unknown} error @param {number} exitCode */
    report: (error, exitCode) => failInit(connection, error, exitCode),
  };
  watchFailures(failures);
  const isThere = !awaitsCode || (!awaitsPack && emptyRoot !== undefined && appears(taskRoot, emptyRoot));
  const pack = isThere ? body : (await connection.nextFrame()).body;
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

/**
 * Most of it is there already where the process was kept ready, and setting a variable costs more than looking at it.
 *
 * @param {NodeJS.ProcessEnv} environment
 * @param {Record<string, string>} wanted
 */
function setEnvironment(environment, wanted) {
  const { NODE_PATH: searched, HOME: home } = environment;
  for (const [name, value] of Object.entries(wanted)) {
    if (environment[name] !== value) environment[name] = value;
  }
  // Read at the start of the process, which may have been before there was a function.
  // @ts-expect-error Not for everybody, but what everybody uses who changes them.
  if (environment.NODE_PATH !== searched || environment.HOME !== home) Module._initPaths();
}

/**
 * Most often the code has appeared meanwhile, or is about to. To look costs less than to fall asleep and be told.
 *
 * @param {string} taskRoot
 * @param {string} emptyRoot
 */
function appears(taskRoot, emptyRoot) {
  const giveUpAt = performance.now() + APPEARS_MS_MAX;
  do {
    if (identityOf(taskRoot) !== emptyRoot) return true;
  } while (performance.now() < giveUpAt);
  return false;
}

const APPEARS_MS_MAX = 0.5;

/**
 * What tells a folder from all others; undefined if there is none.
 *
 * @param {string | undefined} folder
 */
function identityOf(folder) {
  const found = folder === undefined ? undefined : statSync(folder, { throwIfNoEntry: false });
  return found && `${found.dev} ${found.ino}`;
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

module.exports = { identityOf, specialise };
