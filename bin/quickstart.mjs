/**
 * `npm run quickstart`: starts a daemon with its data in this checkout, deploys the examples that can run here, calls
 * each by HTTP and by the CLI, and stays up until Ctrl-C. With --once it ends after the calls, with 0 if all went well;
 * --data DIR keeps the data elsewhere than in .lambdad/.
 *
 * Runs under any Node since 20; what it starts brings its own.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, createWriteStream, mkdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { delimiter, dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values: flags } = parseArgs({
  options: {
    once: { type: "boolean", default: false },
    data: { type: "string", default: join(root, ".lambdad") },
  },
});
const dataDir = join(resolve(flags.data), "data");
const logFile = join(resolve(flags.data), "lambdad.log");
const PORT_TRIES = 100;
const EXIT_INTERRUPTED = 130;
const READY_MS_MAX = 30_000;

/** How Go says that it cannot reach its module proxy. */
const NO_NETWORK =
  /dial tcp|no such host|i\/o timeout|proxyconnect|connection refused|network is unreachable/;

/** What is deployed, how it is called, and what this machine needs for it (programs on PATH). */
const EXAMPLES = [
  { folder: "hello-nodejs", way: "handler, JavaScript", path: "/?name=World", data: '{"name":"CLI"}' },
  { folder: "hello-typescript", way: "handler, TypeScript", path: "/?name=World", data: '{"name":"CLI"}' },
  {
    folder: "hello-python",
    way: "handler, Python",
    path: "/?name=World",
    data: '{"name":"CLI"}',
    needs: "python3",
  },
  {
    folder: "hello-go",
    way: "handler, Go",
    path: "/?name=World",
    data: '{"name":"CLI"}',
    needs: "go",
    fetches: NO_NETWORK,
  },
  {
    folder: "hello-shell",
    way: "handler, shell and curl",
    path: "/?name=World",
    data: '{"name":"CLI"}',
    needs: "curl",
  },
  { folder: "counter-lifecycle", way: "lifecycle module", path: "/", data: "{}" },
  { folder: "server-node", way: "server", path: "/any/path", data: "{}" },
  { folder: "upper-filter", way: "filter", path: "/", body: "from http", data: "from the cli" },
];

const isPainted = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code, text) => (isPainted ? `\u001b[${code}m${text}\u001b[0m` : text);
const say = (text = "") => process.stdout.write(`${text}\n`);

let isStopping = false;
const stopAsked = new Promise((resolve) => {
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, () => {
      isStopping = true;
      resolve();
    });
  }
});

process.exitCode = await main();

async function main() {
  mkdirSync(dirname(logFile), { recursive: true, mode: 0o700 });
  const gatewayPort = await freePort(8080, []);
  const controlPort = await freePort(8081, [gatewayPort]);
  const sandboxFlags = await chooseSandbox();
  const daemon = await startDaemon([
    ...["--gateway", `127.0.0.1:${gatewayPort}`],
    ...["--control", `127.0.0.1:${controlPort}`],
    ...["--data", dataDir],
    ...sandboxFlags,
  ]);
  if (daemon === undefined) return 1;
  try {
    say(`${paint(1, "lambdad")} is up: functions at ${daemon.gateway}, control at ${daemon.control}\n`);
    const cli = { env: { ...process.env, LAMBDA_SERVER: daemon.control, LAMBDA_KEY: adminKey() } };
    const failed = [];
    for (const example of EXAMPLES) {
      if (daemon.hasEnded() || isStopping) break;
      if (!(await show(example, cli, gatewayPort))) failed.push(example.folder);
    }
    if (isStopping) return EXIT_INTERRUPTED;
    if (failed.length > 0)
      say(`${paint(31, "failed")}: ${failed.join(", ")} (the daemon's log: ${logFile})\n`);
    if (!flags.once && !daemon.hasEnded()) {
      sayGoodbyeTo(daemon, gatewayPort);
      await Promise.race([stopAsked, daemon.ended]);
      say("\nstopping…");
    }
    if (daemon.hasEnded()) {
      say(`${paint(31, "lambdad ended by itself")}:\n${lastLines()}`);
      return 1;
    }
    return failed.length > 0 ? 1 : 0;
  } finally {
    await daemon.stop();
  }
}

/** The first free port from `first` up; taken ones are stepped over, and said. */
async function freePort(first, without) {
  for (let port = first; port < first + PORT_TRIES; port += 1) {
    if (without.includes(port)) continue;
    if (await isFree(port)) {
      if (port !== first) say(`port ${first} is taken: using ${port}`);
      return port;
    }
  }
  return 0; // The system chooses.
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host: "127.0.0.1", port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** Isolation where the host has it; else plain processes, with a warning that cannot be overlooked. */
async function chooseSandbox() {
  const doctor = await runLambda(["doctor", "--json"], { env: process.env });
  const checks = parseChecks(doctor.stdout);
  const lacking = checks.filter(
    (check) =>
      check.status === "missing" && ["Bubblewrap", "Setpriv", "Namespaces", "Isolation"].includes(check.name),
  );
  if (lacking.length === 0) return [];
  say(
    paint(33, "warning: this machine cannot isolate functions; they run as plain processes with your rights"),
  );
  for (const { name, found, remedy } of lacking)
    say(`  ${name}: ${found}${remedy ? `\n    → ${remedy}` : ""}`);
  say();
  return ["--allow-unsandboxed"];
}

function parseChecks(text) {
  try {
    return JSON.parse(text).checks;
  } catch {
    return []; // The daemon will say what is wrong.
  }
}

async function startDaemon(daemonFlags) {
  const log = createWriteStream(logFile, { mode: 0o600 });
  await once(log, "open");
  const child = spawn(join(root, "bin", "lambdad"), daemonFlags, {
    // Its own group, so that Ctrl-C reaches it through us, once. The pipe tells it when we are gone.
    detached: true,
    stdio: ["ignore", "pipe", log, "pipe"],
    env: { ...process.env, LAMBDAD_WRAPPER_FD: "3" },
  });
  let isEnded = false;
  const ended = new Promise((resolve) => {
    child.on("error", (error) => {
      log.write(`${error.message}\n`);
      resolve();
    });
    child.on("exit", resolve);
  }).then(() => {
    isEnded = true;
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), READY_MS_MAX);
  const ready = await Promise.race([readyLine(child.stdout), ended]);
  clearTimeout(timer);
  if (ready === undefined) {
    await ended;
    const said = lastLines();
    say(`${paint(31, "lambdad did not start")}:\n${said}`);
    if (said.includes("DataFolderMismatch"))
      say(`To begin anew, without what was deployed: rm -r ${dataDir}`);
    return undefined;
  }
  return {
    ...ready,
    ended,
    hasEnded: () => isEnded,
    async stop() {
      child.kill("SIGTERM");
      await ended;
      child.stdio[3].destroy();
      log.end();
    },
  };
}

/** `ready gateway=http://… control=http://…`; undefined if the output ends without it. */
async function readyLine(stdout) {
  for await (const line of createInterface({ input: stdout })) {
    const [, gateway, control] = /^ready gateway=(\S+) control=(\S+)/.exec(line) ?? [];
    if (gateway !== undefined) {
      stdout.resume();
      return { gateway, control };
    }
  }
  return undefined;
}

function adminKey() {
  return readFileSync(join(dataDir, "admin.key"), "utf8").trim();
}

function lastLines() {
  return readFileSync(logFile, "utf8").trimEnd().split("\n").slice(-10).join("\n");
}

/** Deploys one example and calls it twice. False if something went wrong. */
async function show(example, cli, gatewayPort) {
  const { folder, way, needs } = example;
  say(`${paint(1, folder)}  ${paint(2, way)}`);
  if (needs !== undefined && !isOnPath(needs)) {
    say(`  skipped: ${needs} is not installed\n`);
    return true;
  }
  if (process.stdout.isTTY) process.stdout.write("  deploying…");
  const deployed = await runLambda(["deploy", join("examples", folder), "--name", folder, "--json"], cli);
  if (process.stdout.isTTY) process.stdout.write("\r\u001b[K");
  if (deployed.exitCode !== 0 && example.fetches?.test(deployed.stderr)) {
    say(`  skipped: what it depends on cannot be fetched from here\n${indent(deployed.stderr)}\n`);
    return true;
  }
  if (deployed.exitCode !== 0) {
    say(`  ${paint(31, "not deployed")}:\n${indent(deployed.stderr)}\n`);
    return false;
  }
  const { version, readyMs } = JSON.parse(deployed.stdout);
  say(`  deployed  version ${version}${readyMs === undefined ? "" : `, ready in ${Math.round(readyMs)} ms`}`);

  const answer = await callByHttp(example, gatewayPort);
  const url = `http://${folder}.localhost:${gatewayPort}${example.path}`;
  say(`  HTTP      curl ${example.body === undefined ? "" : `-d '${example.body}' `}"${url}"`);
  say(
    `            ${mark(answer.status < 400)} ${answer.text.trimEnd()}  ${paint(2, `${answer.tookMs} ms`)}`,
  );

  const invoked = await runLambda(["invoke", folder, "--data", example.data], cli);
  say(`  CLI       lambda invoke ${folder} --data '${example.data}'`);
  say(
    `            ${mark(invoked.exitCode === 0)} ${(invoked.exitCode === 0 ? invoked.stdout : invoked.stderr).trimEnd()}\n`,
  );
  return answer.status < 400 && invoked.exitCode === 0;
}

function mark(isGood) {
  return isGood ? paint(32, "→") : paint(31, "✗");
}

function indent(text) {
  return text.trimEnd().replace(/^/gm, "    ");
}

/** By loopback and Host header: not every resolver knows that NAME.localhost is this machine. */
function callByHttp({ folder, path, body }, port) {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const call = request(
      {
        host: "127.0.0.1",
        port,
        path,
        method: body === undefined ? "GET" : "POST",
        headers: {
          host: `${folder}.localhost:${port}`,
          ...(body !== undefined && { "content-type": "text/plain" }),
        },
        agent: false,
      },
      async (answer) => {
        let text = "";
        for await (const chunk of answer.setEncoding("utf8")) text += chunk;
        resolve({ status: answer.statusCode, text, tookMs: Math.round(performance.now() - startedAt) });
      },
    );
    call.on("error", reject);
    call.end(body);
  });
}

async function runLambda(args, { env }) {
  const child = spawn(join(root, "bin", "lambda"), args, {
    cwd: root,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr, [exitCode]] = await Promise.all([
    readAll(child.stdout),
    readAll(child.stderr),
    once(child, "close"),
  ]);
  return { stdout, stderr, exitCode };
}

async function readAll(stream) {
  let text = "";
  for await (const chunk of stream.setEncoding("utf8")) text += chunk;
  return text;
}

function isOnPath(program) {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false; // Not here: the next folder may have it.
    }
  });
}

function sayGoodbyeTo(daemon, gatewayPort) {
  say(paint(1, "Try it in another terminal:"));
  say(
    `  export LAMBDAD_DATA=${dataDir}${daemon.control.endsWith(":8081") ? "" : ` LAMBDA_SERVER=${daemon.control}`}`,
  );
  say("  bin/lambda list");
  say("  bin/lambda logs hello-nodejs -f");
  say(`  curl "http://hello-nodejs.localhost:${gatewayPort}/?name=you"`);
  say("  bin/lambda init hello && bin/lambda deploy hello --name greet");
  say(`\nThe daemon's log is ${logFile}. Ctrl-C stops it.`);
}
