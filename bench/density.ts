import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../src/core/clock.ts";
import { parseFunctionName } from "../src/core/ids.ts";
import { silentLog } from "../src/core/log.ts";
import { openSqliteStore } from "../src/store/sqlite/sqlite-store.ts";
import { callFunction, createFunction, setConcurrency } from "./client.ts";
import { nodeFunction, slowFunction } from "./functions.ts";
import { type Found, inTurn, plainRow, type Row, ratioRow } from "./measure.ts";
import { openConnection } from "./one-connection.ts";
import type { PlotLine } from "./plot.ts";
import { type Daemon, privateMib, residentMib, runtimeProcesses, startDaemon } from "./processes.ts";
import { loadOf } from "./warm.ts";

const INSTANCES = 1_000;
const REGISTERED = 100_000;
const SAVED_AT_ONCE = 500;
const STEPS = { Node: [1, 10, 25, 50], Python: [1, 10, 50, 100] } as const;
const NOISE = 1.1;
const ROUNDS = 5;

/** What many idle instances take, and whether they and many functions that are only registered are in anybody's way. */
export async function measureDensity(): Promise<Found> {
  const lines: PlotLine[] = [];
  const rows: Row[] = [];
  for (const [name, runtime] of [
    ["Node", "nodejs24.x"],
    ["Python", "python3.12"],
  ] as const) {
    const points = await memoryByInstances(runtime, STEPS[name]);
    lines.push({ name, points });
    const [count = 1, mib = 0] = points.at(-1) ?? [];
    rows.push(
      plainRow(
        `private memory of all processes per idle instance, of ${count} of one function, ${name}`,
        "MiB",
        [mib / count],
      ),
    );
  }
  const plot = {
    title: "Private memory of all sandboxes against idle instances of one function",
    x: { label: "idle instances" },
    y: { label: "MiB" },
    lines,
  };
  return { rows: [...rows, await idleRow(), await registeredRow()], plots: [plot] };
}

async function memoryByInstances(
  runtime: "nodejs24.x" | "python3.12",
  steps: readonly number[],
): Promise<(readonly [number, number])[]> {
  await using daemon = await startDaemon();
  await createFunction(daemon, { name: "many", ...(await slowFunction(runtime)) });
  const points: (readonly [number, number])[] = [];
  for (const count of steps) {
    await haveInstances(daemon, "many", count);
    const mib = runtimeProcesses(daemon.pid).reduce((sum, pid) => sum + privateMib(pid), 0);
    points.push([count, mib]);
  }
  return points;
}

/** As many calls at once, each of which takes a second. */
async function haveInstances(daemon: Daemon, name: string, count: number): Promise<void> {
  await setConcurrency(daemon, name, count);
  const connections = await Promise.all(
    Array.from({ length: count }, () => openConnection(daemon.gatewayPort)),
  );
  const statuses = await Promise.all(connections.map((connection) => connection.call(name)));
  for (const connection of connections) connection.close();
  const failed = statuses.filter((status) => status !== 200);
  if (failed.length > 0) throw new Error(`of ${count} calls some failed: ${failed.join(" ")}`);
}

async function idleRow(): Promise<Row> {
  await using empty = await startDaemon();
  await using full = await startDaemon(undefined, ["--instances-max", String(INSTANCES + 100)]);
  for (const daemon of [empty, full]) {
    await createFunction(daemon, { name: "greet", ...(await nodeFunction()) });
    await callFunction(daemon, "greet");
  }
  const made = await slowFunction("python3.12");
  const names = Array.from({ length: INSTANCES / 100 }, (_, index) => `many-${index}`);
  for (const name of names) await createFunction(full, { name, ...made });
  for (const name of names) await haveInstances(full, name, 100);
  const there = runtimeProcesses(full.pid).length;
  const measured = await inTurn(ROUNDS, p50Of(full), p50Of(empty));
  return ratioRow(
    `warm p50 with ${INSTANCES} idle instances (${there} processes)`,
    "µs",
    "with none",
    measured,
    {
      kind: "at most",
      ratio: NOISE,
    },
  );
}

async function registeredRow(): Promise<Row> {
  const dataDir = mkdtempSync(join(tmpdir(), "lambdad-bench-registered-"));
  try {
    await using one = await startDaemon();
    await createFunction(one, { name: "greet", ...(await nodeFunction()) });
    await callFunction(one, "greet");
    {
      await using daemon = await startDaemon(dataDir);
      await createFunction(daemon, { name: "greet", ...(await nodeFunction()) });
    }
    await register(dataDir, REGISTERED);
    await using daemon = await startDaemon(dataDir);
    await callFunction(daemon, "greet");
    await callFunction(daemon, `registered-${REGISTERED - 1}`);
    const measured = await inTurn(ROUNDS, p50Of(daemon), p50Of(one));
    const title = `warm p50 with ${REGISTERED} functions (start ${Math.round(daemon.startMs)} ms, ${Math.round(residentMib(daemon.pid))} MiB)`;
    return ratioRow(title, "µs", "with one", measured, { kind: "at most", ratio: NOISE });
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Straight into the store of a daemon that does not run: by the API it would take a quarter of an hour. */
async function register(dataDir: string, count: number): Promise<void> {
  await using store = await openSqliteStore({ dir: dataDir, log: silentLog, clock: systemClock });
  const record = await store.registry.findFunction(nameOf("greet"));
  if (!record) throw new Error("the function to copy is not there");
  for (let from = 0; from < count; from += SAVED_AT_ONCE) {
    const names = Array.from({ length: Math.min(SAVED_AT_ONCE, count - from) }, (_, index) =>
      nameOf(`registered-${from + index}`),
    );
    await Promise.all(
      names.map((name) =>
        store.registry.saveFunction({
          ...record,
          name,
          generation: 1,
          latest: { ...record.latest, functionName: name },
        }),
      ),
    );
  }
}

function nameOf(text: string) {
  const name = parseFunctionName(text);
  if (!name) throw new Error(`${text} is no name of a function`);
  return name;
}

function p50Of(daemon: Daemon): () => Promise<number> {
  return async () => {
    const load = { port: daemon.gatewayPort, hostHeader: "greet.localhost", path: "/", connections: 1 };
    return (await loadOf({ ...load, seconds: 2, warmUp: 1 })).p50Us;
  };
}
