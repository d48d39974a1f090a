import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { call, callFunction, createFunction } from "./client.ts";
import { NODE_SOURCE, nodeFunction } from "./functions.ts";
import type { Load, LoadResult } from "./load.ts";
import { ceilingRow, type Found, inTurn, plainRow, type Row, ratioRow } from "./measure.ts";
import { startNginx } from "./nginx.ts";
import type { OpenLoad, OpenResult } from "./open-load.ts";
import type { PlotLine } from "./plot.ts";
import { cpuMs, type Daemon, startDaemon, startProcess } from "./processes.ts";

const PROXY = join(import.meta.dirname, "proxy.ts");
const ROUNDS = 5;
const DIRECT_CALLS = 4_000;
const CONNECTIONS = [1, 4, 16, 64, 128];
const LOOP_DELAY_MS_MAX = 10;
const OPEN_RATES = [500, 2_000];

/** Where the same call can be made: our gateway, and proxies in front of the same handler on node:http. */
interface Target {
  readonly name: string;
  readonly port: number;
  readonly hostHeader: string;
  readonly path: string;
  /** Whose CPU counts. */
  readonly pid: number;
}

export async function measureWarm(): Promise<Found> {
  await using daemon = await startDaemon();
  await createFunction(daemon, { name: "greet", ...(await nodeFunction()) });
  await callFunction(daemon, "greet");
  await using upstream = await startProcess(process.execPath, [PROXY, "upstream"]);
  await using proxy = await startProcess(process.execPath, [PROXY, "proxy", upstream.firstLine]);
  await using nginx = await startNginx(Number(upstream.firstLine));

  const path = "/?name=World";
  const gateway: Target = {
    name: "lambdad",
    port: daemon.gatewayPort,
    hostHeader: "greet.localhost",
    path,
    pid: daemon.pid,
  };
  const plain: Target = {
    name: "undici proxy",
    port: Number(proxy.firstLine),
    hostHeader: "localhost",
    path,
    pid: proxy.process.pid ?? 0,
  };
  const others: Target[] = [plain];
  if (nginx) {
    others.push({ name: "nginx", port: nginx.port, hostHeader: "localhost", path, pid: nginx.workerPid });
  }
  const open = await openLoop([gateway, ...others]);
  return {
    rows: [
      ...(await oneConnection(gateway, plain)),
      ...(await manyConnections(gateway, others)),
      await loopDelay(daemon, gateway),
      ...open.rows,
    ],
    plots: [...open.plots, await throughputPlot([gateway, ...others])],
  };
}

async function oneConnection(gateway: Target, plain: Target): Promise<Row[]> {
  const p50 = (target: Target) => async () =>
    (await loadOf({ ...target, connections: 1, seconds: 2, warmUp: 1 })).p50Us;
  const folder = mkdtempSync(join(tmpdir(), "lambdad-bench-direct-"));
  const added: { p50: number[]; p99: number[] } = { p50: [], p99: [] };
  try {
    writeFileSync(join(folder, "index.mjs"), NODE_SOURCE);
    for (let round = 0; round < ROUNDS; round += 1) {
      const through = await loadOf({ ...gateway, connections: 1, seconds: 2, warmUp: 1 });
      const direct = await callDirectly(folder);
      added.p50.push(through.p50Us - direct.p50Us);
      added.p99.push(through.p99Us - direct.p99Us);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return [
    ceilingRow("warm call, over calling its process by the same frames, p50", "µs", added.p50, 100),
    ceilingRow("warm call, over calling its process by the same frames, p99", "µs", added.p99, 1_000),
    ratioRow(
      "warm call, 1 connection, p50",
      "µs",
      "undici proxy",
      await inTurn(ROUNDS, p50(gateway), p50(plain)),
      { kind: "at most", ratio: 1 },
    ),
  ];
}

async function callDirectly(folder: string): Promise<{ readonly p50Us: number; readonly p99Us: number }> {
  const program = join(import.meta.dirname, "direct.ts");
  return JSON.parse(await outputOf([program, folder, String(DIRECT_CALLS)]));
}

async function manyConnections(gateway: Target, others: readonly Target[]): Promise<Row[]> {
  const load = { connections: 64, seconds: 3 };
  const perSecond = (target: Target) => async () =>
    (await loadOf({ ...target, ...load, warmUp: 1 })).perSecond;
  const perCpuSecond = (target: Target) => async () => {
    const before = cpuMs(target.pid);
    const { requests } = await loadOf({ ...target, ...load, warmUp: 0 });
    return (requests * 1_000) / (cpuMs(target.pid) - before);
  };
  const bars: Readonly<Record<string, readonly [perSecond: number, perCpuSecond: number]>> = {
    "undici proxy": [2, 4],
    nginx: [0, 0.5],
  };
  const rows: Row[] = [];
  for (const other of others) {
    const [rate, cpu] = bars[other.name] ?? [0, 0];
    const both = await inTurn(ROUNDS, perSecond(gateway), perSecond(other));
    if (rate > 0) {
      const bar = { kind: "at least", ratio: rate } as const;
      rows.push(ratioRow("warm calls/s, 64 connections", "/s", other.name, both, bar));
    }
    rows.push(
      ratioRow(
        "warm calls per second of gateway CPU, 64 connections",
        "/s",
        other.name,
        await inTurn(ROUNDS, perCpuSecond(gateway), perCpuSecond(other)),
        { kind: "at least", ratio: cpu },
      ),
    );
  }
  return rows;
}

/** How late the daemon comes to things while many clients call at once. */
async function loopDelay(daemon: Daemon, gateway: Target): Promise<Row> {
  const late: number[] = [];
  // It is watched from the first reading on.
  await readLoopDelay(daemon);
  for (let round = 0; round < ROUNDS; round += 1) {
    await loadOf({ ...gateway, connections: 64, seconds: 2, warmUp: 0 });
    late.push(await readLoopDelay(daemon));
  }
  return ceilingRow("event-loop delay of the daemon, 64 connections, p99", "ms", late, LOOP_DELAY_MS_MAX);
}

async function readLoopDelay(daemon: Daemon): Promise<number> {
  const { status, body } = await call({
    port: Number(new URL(daemon.controlUrl).port),
    path: "/metrics",
    headers: { authorization: `Bearer ${daemon.key}` },
  });
  if (status !== 200) throw new Error(`/metrics answered ${status}`);
  return (
    Number(/^lambdad_event_loop_delay_seconds\{quantile="0.99"\} (\S+)$/m.exec(body.toString())?.[1]) * 1_000
  );
}

/** Latencies from intended start times on, which a closed loop would hide. */
async function openLoop(targets: readonly Target[]): Promise<Required<Found>> {
  const rows: Row[] = [];
  const lines: PlotLine[] = [];
  for (const perSecond of OPEN_RATES) {
    for (const target of targets) {
      const result = await openLoadOf({ ...target, perSecond, seconds: 3, warmUp: 1 });
      const what = `open loop at ${perSecond}/s, ${target.name}, p99`;
      rows.push(
        plainRow(
          `${what} (p50 ${Math.round(result.p50Us)} µs, sent late ${Math.round(result.lateUs)} µs)`,
          "µs",
          [result.p99Us],
        ),
      );
      lines.push({
        name: `${target.name}, ${perSecond}/s`,
        points: result.distribution.map(([share, us]) => [1 / (1 - share), us] as const),
      });
    }
  }
  const plot = {
    title: "Latency of warm calls from their intended start (open loop)",
    x: { label: "1 / (1 - quantile): 10 is p90, 100 is p99", isLog: true },
    y: { label: "µs", isLog: true },
    lines,
  };
  return { rows, plots: [plot] };
}

async function throughputPlot(targets: readonly Target[]) {
  const lines: PlotLine[] = [];
  for (const target of targets) {
    const points: [number, number][] = [];
    for (const connections of CONNECTIONS) {
      points.push([
        connections,
        (await loadOf({ ...target, connections, seconds: 1, warmUp: 0.5 })).perSecond,
      ]);
    }
    lines.push({ name: target.name, points });
  }
  return {
    title: "Warm calls per second against connections (closed loop)",
    x: { label: "connections", isLog: true },
    y: { label: "calls/s" },
    lines,
  };
}

/** The generator in a process of its own. */
export async function loadOf(load: Load): Promise<LoadResult> {
  const program = join(import.meta.dirname, "load.ts");
  const result: LoadResult = JSON.parse(await outputOf([program, JSON.stringify(load)]));
  if (result.failed > 0) throw new Error(`${result.failed} of ${result.requests} calls failed`);
  return result;
}

async function openLoadOf(load: OpenLoad): Promise<OpenResult> {
  const program = join(import.meta.dirname, "open-load.ts");
  return JSON.parse(await outputOf([program, JSON.stringify(load)]));
}

async function outputOf(args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [...args], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  for await (const chunk of child.stdout) text += chunk;
  return text;
}
