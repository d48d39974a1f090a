import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { callFunction, createFunction } from "./client.ts";
import { nodeFunction } from "./functions.ts";
import { inTurn, type Row, ratioRow } from "./measure.ts";
import { residentMib, startDaemon } from "./processes.ts";
import { loadOf } from "./warm.ts";

const FUNCTIONS = 1_000;
const BAR_MIB = 120;
/** What counts as "unchanged within noise" between two daemons measured in turn. */
const NOISE = 1.15;

export async function measureIdle(): Promise<Row[]> {
  const dataDir = mkdtempSync(join(tmpdir(), "lambdad-bench-idle-"));
  try {
    const warm = await warmWithManyFunctions(dataDir);
    const resident = await residentAfterRestart(dataDir);
    return [
      ratioRow(`warm p50 with ${FUNCTIONS} functions`, "µs", "with one", warm, {
        kind: "at most",
        ratio: NOISE,
      }),
      {
        measure: `idle daemon with ${FUNCTIONS} functions, resident`,
        value: resident,
        unit: "MiB",
        yardstick: "",
        yardstickValue: undefined,
        ratio: undefined,
        bar: `at most ${BAR_MIB} MiB`,
        isMet: resident <= BAR_MIB,
        spread: [resident, resident],
        runs: 1,
      },
    ];
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function warmWithManyFunctions(dataDir: string): Promise<{ values: number[]; yardsticks: number[] }> {
  await using small = await startDaemon();
  await using large = await startDaemon(dataDir);
  const made = await nodeFunction();
  for (const daemon of [small, large]) {
    await createFunction(daemon, { name: "greet", ...made });
    await callFunction(daemon, "greet");
  }
  for (let i = 0; i < FUNCTIONS; i++) await createFunction(large, { name: `function-${i}`, ...made });
  const p50 = (port: number) => async () =>
    (await loadOf({ port, hostHeader: "greet.localhost", path: "/", connections: 1, seconds: 2, warmUp: 1 }))
      .p50Us;
  return await inTurn(5, p50(large.gatewayPort), p50(small.gatewayPort));
}

/** What it holds when nothing has happened but its start and one call. */
async function residentAfterRestart(dataDir: string): Promise<number> {
  await using daemon = await startDaemon(dataDir);
  await callFunction(daemon, "greet");
  return residentMib(daemon.pid);
}
