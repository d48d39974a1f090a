/**
 * Others that run Lambda functions on one machine. serverless-offline comes from npm, without install scripts, into a folder of
 * its own that is kept between runs; without a registry its rows are left out.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../src/core/free-port.fake.ts";
import { call, callFunction, createFunction } from "./client.ts";
import { NODE_SOURCE, nodeFunction } from "./functions.ts";
import { type Found, inTurn, ratioRow } from "./measure.ts";
import { startDaemon } from "./processes.ts";
import { loadOf } from "./warm.ts";

/** The last line of serverless that asks for no account. */
const PACKAGES = ["serverless@3.40.0", "serverless-offline@13.9.0"];
const START_MS_MAX = 60_000;
const ROUNDS = 3;

export async function measurePeers(): Promise<Found> {
  await using peer = await startServerlessOffline();
  if (!peer) {
    process.stderr.write("serverless-offline cannot be had here; its rows are left out\n");
    return { rows: [] };
  }
  await using daemon = await startDaemon();
  await createFunction(daemon, { name: "greet", ...(await nodeFunction()) });
  await callFunction(daemon, "greet");
  const ours = { port: daemon.gatewayPort, hostHeader: "greet.localhost", path: "/?name=World" };
  const theirs = { port: peer.port, hostHeader: "localhost", path: "/?name=World" };
  const p50 = (target: typeof ours) => async () =>
    (await loadOf({ ...target, connections: 1, seconds: 2, warmUp: 1 })).p50Us;
  const perSecond = (target: typeof ours) => async () =>
    (await loadOf({ ...target, connections: 16, seconds: 2, warmUp: 1 })).perSecond;
  const name = "serverless-offline";
  return {
    rows: [
      ratioRow("warm call, 1 connection, p50", "µs", name, await inTurn(ROUNDS, p50(ours), p50(theirs)), {
        kind: "at most",
        ratio: 1,
      }),
      ratioRow(
        "warm calls/s, 16 connections",
        "/s",
        name,
        await inTurn(ROUNDS, perSecond(ours), perSecond(theirs)),
        {
          kind: "at least",
          ratio: 1,
        },
      ),
    ],
  };
}

async function startServerlessOffline(): Promise<(AsyncDisposable & { readonly port: number }) | undefined> {
  const dir = join(tmpdir(), `lambdad-bench-serverless-${process.getuid?.() ?? 0}`);
  mkdirSync(dir, { recursive: true });
  if (!existsSync(join(dir, "node_modules/serverless-offline"))) {
    writeFileSync(join(dir, "package.json"), '{"private":true}');
    const args = ["install", "--ignore-scripts", "--no-audit", "--no-fund", ...PACKAGES];
    if (spawnSync("npm", args, { cwd: dir }).status !== 0) return undefined;
  }
  const [port, lambdaPort] = [await freePort(), await freePort()];
  writeFileSync(join(dir, "index.mjs"), NODE_SOURCE);
  writeFileSync(join(dir, "serverless.yml"), configuration(port, lambdaPort));
  const child = spawn(
    process.execPath,
    [join(dir, "node_modules/serverless/bin/serverless.js"), "offline", "start"],
    {
      cwd: dir,
      stdio: "ignore",
      env: { ...process.env, SLS_TELEMETRY_DISABLED: "1", SLS_NOTIFICATIONS_MODE: "off", CI: "1" },
    },
  );
  const exited = once(child, "exit");
  const stop = async () => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
    await exited;
    clearTimeout(timer);
  };
  const giveUpAt = performance.now() + START_MS_MAX;
  while ((await call({ port, path: "/?name=World" }).catch(() => undefined))?.status !== 200) {
    if (performance.now() > giveUpAt || child.exitCode !== null) {
      await stop();
      return undefined;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return { port, [Symbol.asyncDispose]: stop };
}

function configuration(port: number, lambdaPort: number): string {
  return `
service: bench
frameworkVersion: "3"
configValidationMode: off
provider: { name: aws, runtime: nodejs20.x, region: us-east-1 }
plugins: [serverless-offline]
custom:
  serverless-offline: { httpPort: ${port}, lambdaPort: ${lambdaPort}, noPrependStageInUrl: true }
functions:
  greet:
    handler: index.handler
    events: [{ httpApi: "GET /" }]
`;
}
