// Runs a lifecycle module: `init` once, a context from `start` for each request at a time, `run` with Node's own request
// and response, `stop` when a context is idle or the process is asked to end.
//
// It connects to the daemon once `init` is over, and serves HTTP on the connections that it made. A request with the header
// `lambdad-probe` asks how `init` went: 204, or 500 with the error as JSON. All others name their invocation in
// `lambdad-invocation-id`, which ties log lines to it.
import { AsyncLocalStorage } from "node:async_hooks";
import { createServer } from "node:http";
import { errorPayload, RuntimeError } from "./errors.mjs";
import { Connections } from "./lifecycle-connections.mjs";
import { ContextPool } from "./lifecycle-contexts.mjs";
import { loadLifecycle } from "./lifecycle-module.mjs";
import { serveRequest } from "./lifecycle-requests.mjs";
import { logError, patchConsole, setRequestId } from "./log.mjs";

const PROBE = "lambdad-probe";
const INVOCATION_ID = "lambdad-invocation-id";
const HEADER_BYTES_MAX = 64 * 1024;
const CONTEXT_IDLE_MS = 30_000;

const socketPath = takeVariable("LAMBDAD_LIFECYCLE_SOCKET");
const modulePath = takeVariable("LAMBDAD_LIFECYCLE_MODULE");
const slots = Number(takeVariable("LAMBDAD_LIFECYCLE_SLOTS"));
const telemetryFd = takeVariable("_LAMBDA_TELEMETRY_LOG_FD");

/** The id of the invocation in which code runs. @type {AsyncLocalStorage<string>} */
const invocations = new AsyncLocalStorage();
tieConsoleToInvocations();

/** @type {import("./lifecycle-module.mjs").LifecycleModule | undefined} */
let module;
/** @type {ContextPool | undefined} */
let contexts;
/** @type {string | undefined} */
let failure;
try {
  contexts = newPool(readIdleMs());
  module = await loadLifecycle(process.cwd(), modulePath);
  await module.init?.({
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    slots,
  });
} catch (error) {
  logError("Init Error", error);
  failure = JSON.stringify(errorPayload(error));
}

const server = createServer(
  // The daemon is the only client and closes what it does not need; were we to, a request might cross that.
  { keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0, maxHeaderSize: HEADER_BYTES_MAX },
  (request, response) => {
    if (takeHeader(request, PROBE) !== undefined || failure !== undefined) answerProbe(response);
    else serve(request, response);
  },
);
// One more than there are slots: the daemon may want a new one before it has closed another.
const connections = new Connections(server, socketPath, slots + 1);
process.once("SIGTERM", leave);

/**
 * @param {import("node:http").IncomingMessage} request
 * @param {import("node:http").ServerResponse} response
 */
function serve(request, response) {
  void invocations.run(takeHeader(request, INVOCATION_ID) ?? "-", () =>
    serveRequest({ contexts, module, failed: logError }, request, response),
  );
}

/** @param {import("node:http").ServerResponse} response */
function answerProbe(response) {
  response.writeHead(failure === undefined ? 204 : 500, { "content-type": "application/json" });
  response.end(failure);
}

async function leave() {
  connections.close();
  await contexts?.close();
  process.exit(0);
}

/** @param {number} idleMs */
function newPool(idleMs) {
  return new ContextPool(
    {
      start: () => module.start?.(),
      stop: (context) => module.stop?.(context),
      stopFailed: (error) => logError("Stop Error", error),
    },
    { max: slots, idleMs },
  );
}

function readIdleMs() {
  const text = process.env.LAMBDAD_CONTEXT_IDLE_MS;
  if (text === undefined) return CONTEXT_IDLE_MS;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new RuntimeError(
    "InvalidSetting",
    `LAMBDAD_CONTEXT_IDLE_MS: expected a number of milliseconds, got "${text}"`,
  );
}

/** What is between lambdad and this file is not for the module to see. @param {string} name */
function takeVariable(name) {
  const value = process.env[name];
  delete process.env[name];
  if (value === undefined) throw new Error(`${name} is missing: this program is started by lambdad`);
  return value;
}

/**
 * @param {import("node:http").IncomingMessage} request
 * @param {string} name in lower case
 * @returns {string | undefined}
 */
function takeHeader(request, name) {
  const { rawHeaders } = request;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    if (rawHeaders[index] !== name) continue;
    // Node makes both of these from the raw ones when first asked, and by their count at the beginning.
    delete request.headers[name];
    delete request.headersDistinct[name];
    const [, value] = rawHeaders.splice(index, 2);
    return value;
  }
  return undefined;
}

function tieConsoleToInvocations() {
  patchConsole(Number(telemetryFd), "-");
  for (const level of ["trace", "debug", "info", "log", "warn", "error", "fatal"]) {
    const write = console[level];
    console[level] = (...values) => {
      setRequestId(invocations.getStore() ?? "-");
      write(...values);
    };
  }
}
