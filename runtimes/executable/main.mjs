// What runs in an executable made by `lambda bundle`: a lifecycle module and an HTTP server, no platform.
//
// `init` once, then it listens; a context from `start` for each request at a time, `run` with Node's own request and
// response, `stop` when a context is idle for half a minute or the program is asked to end (SIGTERM, SIGINT): then it takes
// no more requests, lets those that run end, stops all contexts and leaves with 0. A second signal ends it at once.
import { createServer } from "node:http";
import { inspect } from "node:util";
import { ContextPool } from "../nodejs/lifecycle-contexts.mjs";
import { checkLifecycle } from "../nodejs/lifecycle-module.mjs";
import { serveRequest } from "../nodejs/lifecycle-requests.mjs";
import { FlagError, helpText, readFlags } from "./flags.mjs";
import { openSyslog } from "./syslog.mjs";

const CONTEXT_IDLE_MS = 30_000;
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_KILLED = 130;

/** What `lambda bundle` knew. @typedef {{name: string, version: string, build: string, builtAt: string, node: string, madeBy: string}} About */

/**
 * @param {() => Promise<object>} load the module; not called for `-info`
 * @param {About} about
 */
export async function runExecutable(load, about) {
  const flags = flagsOrLeave(about.name);
  if (flags.help) return void process.stdout.write(helpText(about.name));
  if (flags.info) return void process.stdout.write(`${JSON.stringify(about)}\n`);

  const syslog = flags.syslog === undefined ? undefined : openSyslog(flags.syslog, about.name);
  const failed = (what, error) => {
    const text = `${what}: ${error instanceof Error ? (error.stack ?? error.message) : inspect(error)}`;
    process.stderr.write(`${new Date().toISOString()} ${text}\n`);
    syslog?.write(text);
  };
  // Node says it on stderr and ends the program, which is right: nobody knows what is left of it.
  process.on("uncaughtExceptionMonitor", (error) => syslog?.write(`Uncaught Error: ${inspect(error)}`));
  try {
    const module = checkLifecycle(await load(), about.name);
    await module.init?.({
      functionName: about.name,
      functionVersion: about.version,
      slots: flags.slots,
    });
    await serve({ module, flags, failed, about, syslog });
  } catch (error) {
    failed(error instanceof ListenError ? "Listen Error" : "Init Error", error);
    await syslog?.close();
    // What `init` has begun would keep it.
    process.exit(EXIT_FAILED);
  }
}

/**
 * @param {{module: import("../nodejs/lifecycle-module.mjs").LifecycleModule, flags: import("./flags.mjs").Flags,
 *   failed: (what: string, error: unknown) => void, about: About, syslog: import("./syslog.mjs").Syslog | undefined}} parts
 */
async function serve({ module, flags, failed, about, syslog }) {
  const contexts = new ContextPool(
    {
      start: () => module.start?.(),
      stop: (context) => module.stop?.(context),
      stopFailed: (error) => failed("Stop Error", error),
    },
    { max: flags.slots, idleMs: CONTEXT_IDLE_MS },
  );
  let isLeaving = false;
  const server = createServer(async (request, response) => {
    await serveRequest({ contexts, module, failed }, request, response);
    if (isLeaving) server.closeIdleConnections();
  });
  await new Promise((resolve, reject) => {
    server.once("error", (error) => {
      const isTaken = error.code === "EADDRINUSE";
      reject(
        new ListenError(
          isTaken ? `port ${flags.port} is in use: choose another with -port N` : error.message,
        ),
      );
    });
    server.listen(flags.port, flags.host, () => resolve(undefined));
  });
  const { address, family, port } = server.address();
  const shown = family === "IPv6" ? `[${address}]` : address;
  process.stderr.write(`${about.name} ${about.version} serves on http://${shown}:${port}\n`);
  if (syslog) process.stderr.write(`errors go to ${syslog.where}, too\n`);

  const leave = async () => {
    isLeaving = true;
    for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => process.exit(EXIT_KILLED));
    await new Promise((resolve) => {
      server.close(() => resolve(undefined));
      server.closeIdleConnections();
    });
    await contexts.close();
    await syslog?.close();
    // Timers and connections of the module's own would keep it.
    process.exit(0);
  };
  process.once("SIGTERM", leave);
  process.once("SIGINT", leave);
}

/** Whoever runs it can mend it, so it has no stack. */
class ListenError extends Error {
  name = "ListenError";
  stack = undefined;
}

/** @param {string} program */
function flagsOrLeave(program) {
  try {
    return readFlags(process.argv.slice(2), process.env);
  } catch (error) {
    if (!(error instanceof FlagError)) throw error;
    process.stderr.write(`${program}: ${error.message}\n\n${helpText(program)}`);
    process.exit(EXIT_USAGE);
  }
}
