// The Runtime API client of images that are built on a slim Node image (docs/images.md): asks for an event, calls the
// handler, posts what it gave. Buffered answers only; streaming handlers need AWS's base image.
//
//   node client.mjs FILE.EXPORT
//
// Beside it lies trace.cjs of our own runtime.
//
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
import { existsSync } from "node:fs";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import trace from "./trace.cjs";

const API = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime`;
const ROOT = process.env.LAMBDA_TASK_ROOT ?? process.cwd();
// No time limit: the next event may be hours away.
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

/**
 * @param {string} method
 * @param {string} path
 * @param {string} [body]
 * @param {Record<string, string>} [headers]
 * @returns {Promise<{headers: import("node:http").IncomingHttpHeaders, text: string}>}
 */
function ask(method, path, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const asked = request(API + path, { method, agent, headers }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (part) => {
        text += part;
      });
      answer.on("end", () => resolve({ headers: answer.headers, text }));
      answer.on("error", reject);
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

/** @param {unknown} error */
function payloadOf(error) {
  if (!(error instanceof Error)) return { errorType: typeof error, errorMessage: String(error), trace: [] };
  return {
    errorType: error.name,
    errorMessage: error.message,
    trace: String(error.stack ?? "").split("\n"),
  };
}

/** @param {string} path @param {unknown} error */
async function report(path, error) {
  const payload = payloadOf(error);
  console.error(error);
  await ask("POST", path, JSON.stringify(payload), {
    "Lambda-Runtime-Function-Error-Type": payload.errorType,
  });
}

/** @param {string} name `folder/module.export`, the export may be nested. */
async function load(name) {
  const dot = name.indexOf(".", name.lastIndexOf("/") + 1);
  const base = join(ROOT, dot < 0 ? name : name.slice(0, dot));
  const file = ["", ".js", ".mjs", ".cjs"].map((ending) => base + ending).find((path) => existsSync(path));
  if (dot < 0 || file === undefined)
    throw Object.assign(new Error(`Cannot find module '${name}'`), { name: "Runtime.ImportModuleError" });
  const module = await import(pathToFileURL(file).href);
  const path = name.slice(dot + 1).split(".");
  const find = (/** @type {any} */ root) => path.reduce((found, key) => found?.[key], root);
  const handler = find(module) ?? find(module.default);
  if (typeof handler === "function") return handler;
  throw Object.assign(new Error(`${name} is undefined or not exported`), { name: "Runtime.HandlerNotFound" });
}

/** @param {import("node:http").IncomingHttpHeaders} headers */
function contextOf(headers) {
  const text = (/** @type {string} */ name) => String(headers[`lambda-runtime-${name}`] ?? "");
  const clientContext = text("client-context");
  return {
    awsRequestId: text("aws-request-id"),
    invokedFunctionArn: text("invoked-function-arn"),
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    ...(clientContext !== "" && { clientContext: JSON.parse(clientContext) }),
    callbackWaitsForEmptyEventLoop: false,
    getRemainingTimeInMillis: () => Number(text("deadline-ms")) - Date.now(),
  };
}

// Before any code of the function runs.
trace.offerTrace();
let handler;
try {
  handler = await load(process.argv[2] ?? process.env._HANDLER ?? "");
} catch (error) {
  await report("/init/error", error);
  process.exit(1);
}
for (;;) {
  const { headers, text } = await ask("GET", "/invocation/next");
  const id = String(headers["lambda-runtime-aws-request-id"]);
  const traceId = headers["lambda-runtime-trace-id"];
  trace.setTrace(traceId === undefined ? undefined : String(traceId));
  try {
    const result = await handler(JSON.parse(text), contextOf(headers));
    await ask("POST", `/invocation/${id}/response`, JSON.stringify(result) ?? "null");
  } catch (error) {
    await report(`/invocation/${id}/error`, error);
  }
}
