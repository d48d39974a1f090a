import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { call, callFunction, createFunction, zipOf } from "./client.ts";
import { ceilingRow, type Found, plainRow } from "./measure.ts";
import type { OpenResult } from "./open-load.ts";
import { type Daemon, startDaemon } from "./processes.ts";

const DEPLOYS = 100;
const PER_SECOND = 500;
const SECONDS_MAX = 300;
/** Between two deploys: without, no version would live for as long as its first instance takes to start. */
const PAUSE_MS = 200;

export interface Switched {
  readonly calls: OpenResult;
  readonly deploysMs: readonly number[];
}

export async function measureSwitch(): Promise<Found> {
  const { calls, deploysMs } = await deployUnderLoad();
  return {
    rows: [
      ceilingRow(`calls that failed during ${DEPLOYS} deploys, of ${calls.requests}`, "", [calls.failed], 0),
      ceilingRow(`calls that an old version answered during ${DEPLOYS} deploys`, "", [calls.stale], 0),
      plainRow(`one of ${DEPLOYS} deploys, at ${PER_SECOND} calls/s`, "ms", deploysMs),
      plainRow(`calls during ${DEPLOYS} deploys, p99`, "µs", [calls.p99Us]),
    ],
  };
}

/**
 * A hundred deploys while calls come in at a steady rate. Each version answers its number; an answer that is lower than the
 * last number whose deploy had been answered when its request was sent is stale.
 */
export async function deployUnderLoad(): Promise<Switched> {
  await using daemon = await startDaemon();
  await createFunction(daemon, { name: "live", ...(await versionOf(0)) });
  await callFunction(daemon, "live");
  const archives = await Promise.all(Array.from({ length: DEPLOYS }, (_, index) => versionOf(index + 1)));

  const load = {
    port: daemon.gatewayPort,
    hostHeader: "live.localhost",
    path: "/",
    perSecond: PER_SECOND,
    seconds: SECONDS_MAX,
    warmUp: 0,
    tellsStale: true,
  };
  const program = join(import.meta.dirname, "open-load.ts");
  const generator = spawn(process.execPath, [program, JSON.stringify(load)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  let text = "";
  generator.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  const deploysMs: number[] = [];
  for (const [index, { zip }] of archives.entries()) {
    const startedAt = performance.now();
    await updateCode(daemon, zip);
    deploysMs.push(performance.now() - startedAt);
    generator.stdin.write(`${index + 1}\n`);
    await sleep(PAUSE_MS);
  }
  generator.stdin.end("stop\n");
  await once(generator, "exit");
  return { calls: JSON.parse(text), deploysMs };
}

async function versionOf(number: number) {
  const content = `export const handler = async () => ({ statusCode: 200, body: "${number}" });\n`;
  return { zip: await zipOf({ "index.mjs": { content } }), runtime: "nodejs24.x", handler: "index.handler" };
}

async function updateCode(daemon: Daemon, zip: Uint8Array): Promise<void> {
  const { status, body } = await call({
    port: Number(new URL(daemon.controlUrl).port),
    method: "PUT",
    path: "/2015-03-31/functions/live/code",
    headers: { authorization: `Bearer ${daemon.key}`, "content-type": "application/json" },
    body: JSON.stringify({ ZipFile: Buffer.from(zip).toString("base64") }),
  });
  if (status !== 200) throw new Error(`UpdateFunctionCode: ${status} ${body.toString().slice(0, 500)}`);
}
