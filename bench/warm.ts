import { spawn } from "node:child_process";
import { join } from "node:path";
import { callFunction, createFunction } from "./client.ts";
import { nodeFunction } from "./functions.ts";
import type { Load, LoadResult } from "./load.ts";
import { inTurn, type Row, ratioRow } from "./measure.ts";
import { cpuMs, startDaemon, startProcess } from "./processes.ts";

const PROXY = join(import.meta.dirname, "proxy.ts");
const ROUNDS = 5;

export async function measureWarm(): Promise<Row[]> {
  await using daemon = await startDaemon();
  await createFunction(daemon, { name: "greet", ...(await nodeFunction()) });
  await callFunction(daemon, "greet");
  await using upstream = await startProcess(process.execPath, [PROXY, "upstream"]);
  await using proxy = await startProcess(process.execPath, [PROXY, "proxy", upstream.firstLine]);

  const gateway = { port: daemon.gatewayPort, hostHeader: "greet.localhost", path: "/?name=World" };
  const plain = { port: Number(proxy.firstLine), hostHeader: "localhost", path: "/?name=World" };
  const p50 = (target: typeof gateway) => async () =>
    (await loadOf({ ...target, connections: 1, seconds: 2, warmUp: 1 })).p50Us;
  const perSecond = (target: typeof gateway) => async () =>
    (await loadOf({ ...target, connections: 64, seconds: 3, warmUp: 1 })).perSecond;
  const cpuPerCall = (target: typeof gateway, pid: number) => async () => {
    const before = cpuMs(pid);
    const { requests } = await loadOf({ ...target, connections: 64, seconds: 3, warmUp: 0 });
    return ((cpuMs(pid) - before) * 1_000) / requests;
  };

  return [
    ratioRow(
      "warm call, 1 connection, p50",
      "µs",
      "undici proxy",
      await inTurn(ROUNDS, p50(gateway), p50(plain)),
      { kind: "at most", ratio: 1 },
    ),
    ratioRow(
      "warm calls/s, 64 connections",
      "/s",
      "undici proxy",
      await inTurn(ROUNDS, perSecond(gateway), perSecond(plain)),
      { kind: "at least", ratio: 2 },
    ),
    ratioRow(
      "gateway CPU per warm call, 64 connections",
      "µs",
      "undici proxy",
      await inTurn(ROUNDS, cpuPerCall(gateway, daemon.pid), cpuPerCall(plain, proxy.process.pid ?? 0)),
      { kind: "at most", ratio: 0.5 },
    ),
  ];
}

/** The generator in a process of its own. */
export async function loadOf(load: Load): Promise<LoadResult> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "load.ts"), JSON.stringify(load)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  for await (const chunk of child.stdout) text += chunk;
  const result: LoadResult = JSON.parse(text);
  if (result.failed > 0) throw new Error(`${result.failed} of ${result.requests} calls failed`);
  return result;
}
