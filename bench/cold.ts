import { spawnSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { createFunction, setConcurrency } from "./client.ts";
import {
  type BenchFunction,
  frameworkFunction,
  nodeFunction,
  pythonFunction,
  slowFunction,
  staticFunction,
} from "./functions.ts";
import { type Found, inTurn, median, quantile, type Row, ratioRow } from "./measure.ts";
import { openConnection } from "./one-connection.ts";
import type { Plot, PlotLine } from "./plot.ts";
import { type Daemon, privateMibBySandbox, startDaemon, timeProcess } from "./processes.ts";

const RUNS = 30;
const FRAMEWORK_RUNS = 10;
const INSTANCES = 100;
const IDLE_INSTANCES = 10;
/** Between a deploy and the first call: a sandbox is ready by then. */
const PAUSE_MS = 300;
/** Its modules are packed by then, too. */
const PACKED_MS = 2_000;

export async function measureCold(): Promise<Found> {
  await using daemon = await startDaemon();
  const seen: Seen = { first: [], many: [] };
  const rows = [
    ...(await nodeRows(daemon, seen)),
    ...(await pythonRows(daemon, seen)),
    ...(await staticRows(daemon, seen)),
    ...(await frameworkRows(daemon, seen)),
    ...(await manyRows("Node", slowFunction("nodejs24.x"), undefined, seen)),
    ...(await manyRows("Python", slowFunction("python3.12"), 250, seen)),
  ];
  const first: Plot = {
    title: "First calls of functions that have never run",
    x: { label: "share of calls" },
    y: { label: "ms", isLog: true },
    lines: seen.first,
  };
  const many: Plot = {
    title: `0 to ${INSTANCES}: answers to calls that came at once, less the second they take`,
    x: { label: "ms" },
    y: { label: "instances" },
    lines: seen.many,
  };
  return { rows, plots: [first, many] };
}

/** What the plots show of it. */
interface Seen {
  readonly first: PlotLine[];
  readonly many: PlotLine[];
}

function distributionOf(name: string, values: readonly number[]): PlotLine {
  const sorted = [...values].sort((a, b) => a - b);
  return { name, points: sorted.map((value, index) => [(index + 1) / sorted.length, value] as const) };
}

async function nodeRows(daemon: Daemon, seen: Seen): Promise<Row[]> {
  const node = () => timeProcess(process.execPath, ["-e", "0"]);
  const { values, yardsticks } = await inTurn(
    RUNS,
    firstCall(daemon, "node", async () => nodeFunction()),
    node,
  );
  seen.first.push(distributionOf("Node", values), distributionOf("node -e 0", yardsticks));
  const p99 = {
    values: [quantile(values, 0.99)],
    yardsticks: [median(yardsticks)],
  };
  return [
    ratioRow("first call, Node handler, p50", "ms", "node -e 0", { values, yardsticks }, atMost(0.15)),
    ratioRow("first call, Node handler, p99", "ms", "node -e 0", p99, atMost(0.6)),
    await memoryRow("Node", nodeFunction(), 9),
  ];
}

async function pythonRows(daemon: Daemon, seen: Seen): Promise<Row[]> {
  const python = interpreterOf("python3");
  if (!python) return [];
  const bare = () => timeProcess(python, ["-I", "-S", "-c", "0"]);
  const measured = await inTurn(
    RUNS,
    firstCall(daemon, "python", async () => pythonFunction()),
    bare,
  );
  seen.first.push(distributionOf("Python", measured.values));
  return [
    ratioRow("first call, Python handler, p50", "ms", "python3 -I -S -c 0", measured, atMost(0.5)),
    await memoryRow("Python", pythonFunction(), 2),
  ];
}

async function staticRows(daemon: Daemon, seen: Seen): Promise<Row[]> {
  const made = await staticFunction();
  if (!made || spawnSync("bwrap", ["--version"]).status !== 0) return [];
  const inside = [
    "--unshare-all",
    "--ro-bind",
    "/",
    "/",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
    "--tmpfs",
    "/tmp",
  ];
  const bare = () => timeProcess("bwrap", [...inside, "/bin/true"]);
  const measured = await inTurn(
    RUNS,
    firstCall(daemon, "static", async () => made),
    bare,
  );
  seen.first.push(distributionOf("static executable", measured.values));
  return [ratioRow("first call, static executable, p50", "ms", "bare bwrap", measured, atMost(1.5))];
}

async function frameworkRows(daemon: Daemon, seen: Seen): Promise<Row[]> {
  const made = await frameworkFunction();
  if (!made) return [];
  const plain = () => timeProcess(process.execPath, ["-e", made.startPlainly]);
  const measured = await inTurn(
    FRAMEWORK_RUNS,
    firstCall(daemon, "framework", async () => made, PACKED_MS),
    plain,
  );
  seen.first.push(distributionOf("Node with express", measured.values));
  return [
    ratioRow("first call, Node with express, p50", "ms", "the same started by node", measured, atMost(0.6)),
  ];
}

/** As many calls at once, each of which keeps an instance for a second: how long until the last has one. */
async function manyRows(
  name: string,
  made: Promise<BenchFunction>,
  barMs: number | undefined,
  seen: Seen,
): Promise<Row[]> {
  await using daemon = await startDaemon();
  const { runtime, handler, zip } = await made;
  await createFunction(daemon, { name: "many", zip, runtime, handler });
  await setConcurrency(daemon, "many", INSTANCES);
  await sleep(PAUSE_MS * 2);
  const connections = await Promise.all(
    Array.from({ length: INSTANCES }, () => openConnection(daemon.gatewayPort)),
  );
  const startedAt = performance.now();
  const answeredMs: number[] = [];
  const statuses = await Promise.all(
    connections.map(async (connection) => {
      const status = await connection.call("many");
      answeredMs.push(performance.now() - startedAt - 1_000);
      return status;
    }),
  );
  seen.many.push({ name, points: answeredMs.map((ms, index) => [ms, index + 1] as const) });
  const tookMs = performance.now() - startedAt - 1_000;
  for (const connection of connections) connection.close();
  const failed = statuses.filter((status) => status !== 200).length;
  return [
    {
      measure: `0 to ${INSTANCES} instances, ${name} (${failed} failed)`,
      value: tookMs,
      unit: "ms",
      yardstick: "",
      yardstickValue: undefined,
      ratio: undefined,
      bar: barMs === undefined ? "none failed" : `at most ${barMs} ms`,
      isMet: failed === 0 && (barMs === undefined || tookMs <= barMs),
      spread: [tookMs, tookMs],
      runs: 1,
    },
  ];
}

/** Of what a process holds for itself alone. */
async function memoryRow(name: string, made: Promise<BenchFunction>, barMib: number): Promise<Row> {
  await using daemon = await startDaemon();
  const { runtime, handler, zip } = await made;
  const connection = await openConnection(daemon.gatewayPort);
  for (let index = 0; index < IDLE_INSTANCES; index += 1) {
    await createFunction(daemon, { name: `idle-${index}`, zip, runtime, handler });
    await connection.call(`idle-${index}`);
  }
  connection.close();
  const sizes = privateMibBySandbox(daemon.pid);
  const value = median(sizes);
  return {
    measure: `private memory per idle instance, ${name}`,
    value,
    unit: "MiB",
    yardstick: "",
    yardstickValue: undefined,
    ratio: undefined,
    bar: `at most ${barMib} MiB`,
    isMet: value <= barMib,
    spread: [Math.min(...sizes), Math.max(...sizes)],
    runs: sizes.length,
  };
}

/** Creates a function that has never run, and times its first call on a connection that is open already. */
function firstCall(
  daemon: Daemon,
  prefix: string,
  make: () => Promise<BenchFunction>,
  pauseMs = PAUSE_MS,
): () => Promise<number> {
  let count = 0;
  return async () => {
    const name = `${prefix}-${count++}`;
    await createFunction(daemon, { name, ...(await make()) });
    const connection = await openConnection(daemon.gatewayPort);
    await sleep(pauseMs);
    const startedAt = performance.now();
    const status = await connection.call(name);
    const tookMs = performance.now() - startedAt;
    connection.close();
    if (status !== 200) throw new Error(`${name} answered ${status}`);
    return tookMs;
  };
}

function atMost(ratio: number) {
  return { kind: "at most", ratio } as const;
}

/** The real interpreter behind shims. */
function interpreterOf(name: string): string | undefined {
  const asked = spawnSync(name, ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" });
  return asked.status === 0 ? asked.stdout.trim() : undefined;
}
