// The managed Node runtime: runs inside a sandbox, one process per instance, and turns frames into handler calls.
// It starts generic (connected, loaded, waiting), so that it can be kept ready for any function; the first frame makes
// it one function's. Start time is what this folder is written for: few files, nothing imported before it is needed.
import { connect, FRAME } from "./connection.mjs";
import { errorPayload, UnhandledPromiseRejection } from "./errors.mjs";
import { loadHandler } from "./handler.mjs";
import { logError, patchConsole } from "./log.mjs";
import { serve } from "./serve.mjs";

const { _LAMBDAD_SOCKET: socketPath, _LAMBDA_TELEMETRY_LOG_FD: telemetryFd } = process.env;
delete process.env._LAMBDAD_SOCKET;
delete process.env._LAMBDA_TELEMETRY_LOG_FD;

const connection = await connect(socketPath);
const { label } = await connection.nextFrame();
/** @type {{handler: string, taskRoot: string, runtime: string, environment: Record<string, string>, responseBytesMax: number}} */
const specialisation = JSON.parse(label);
// Before Node 24 Lambda had callbacks; which rules hold goes by the runtime's name, not by the binary that runs.
const hasCallbacks = Number(/^nodejs(\d+)/.exec(specialisation.runtime)?.[1] ?? 24) < 24;

Object.assign(process.env, specialisation.environment);
process.chdir(specialisation.taskRoot);
patchConsole(telemetryFd === undefined ? undefined : Number(telemetryFd), hasCallbacks ? "undefined" : "-");

const failures = {
  /** What to do with an error that nobody caught; the call that runs replaces it. @type {(error: unknown, exitCode: number) => void} */
  report: failInit,
};
process.on("uncaughtException", (error) => {
  logError("Uncaught Exception", error);
  failures.report(error, 129);
});
process.on("unhandledRejection", (reason, promise) => {
  const error = new UnhandledPromiseRejection(reason, promise);
  logError("Unhandled Promise Rejection", error);
  failures.report(error, 128);
});

// While it loads, only the function's own work keeps the process alive: a wait that nothing can end, ends it.
connection.unref();
try {
  const loaded = await loadHandler(specialisation.taskRoot, specialisation.handler, hasCallbacks);
  await serve({
    connection,
    loaded,
    hasCallbacks,
    failures,
    responseBytesMax: specialisation.responseBytesMax,
  });
} catch (error) {
  logError(hasCallbacks ? "Uncaught Exception" : "Init Error", error);
  failInit(error, hasCallbacks ? 129 : 1);
}

/** @param {unknown} error @param {number} exitCode */
function failInit(error, exitCode) {
  const payload = errorPayload(error);
  connection.send(FRAME.initError, 0, payload.errorType, JSON.stringify(payload));
  connection.end(() => process.exit(exitCode));
}
