import { callFunction, createFunction } from "./client.ts";
import { nodeFunction } from "./functions.ts";
import { ceilingRow, inTurn, type Row, ratioRow } from "./measure.ts";
import { startDaemon } from "./processes.ts";
import { loadOf } from "./warm.ts";

const ROUNDS = 5;
const CALLS_MS_MAX = 5;
/** More than AWS lets an account make: 15 a second, and 100 GetFunction. */
const PAUSE_MS = 10;

/** Operations of AWS's API: what they take, and what they do to calls that run beside them. */
export async function measureControl(): Promise<Row[]> {
  await using daemon = await startDaemon();
  await createFunction(daemon, { name: "greet", ...(await nodeFunction()) });
  await callFunction(daemon, "greet");
  const { port, host } = new URL(daemon.controlUrl);
  const operation = (path: string) => ({
    port: Number(port),
    hostHeader: host,
    path,
    headers: [`Authorization: Bearer ${daemon.key}`],
    connections: 1,
  });
  const get = operation("/2015-03-31/functions/greet");
  const list = operation("/2015-03-31/functions");
  const p50 = async (asked: typeof get) => {
    const rounds: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      rounds.push((await loadOf({ ...asked, seconds: 1, warmUp: 0.5 })).p50Us / 1_000);
    }
    return rounds;
  };
  const calls = { port: daemon.gatewayPort, hostHeader: "greet.localhost", path: "/", connections: 1 };
  const p99 = async () => (await loadOf({ ...calls, seconds: 3, warmUp: 1 })).p99Us;
  const p99Beside = async () => {
    const [beside] = await Promise.all([p99(), loadOf({ ...get, pauseMs: PAUSE_MS, seconds: 4, warmUp: 0 })]);
    return beside;
  };
  return [
    ceilingRow("GetFunction, p50", "ms", await p50(get), CALLS_MS_MAX),
    ceilingRow("ListFunctions, p50", "ms", await p50(list), CALLS_MS_MAX),
    ratioRow(
      "warm call, p99, beside 100 GetFunction/s",
      "µs",
      "without them",
      await inTurn(ROUNDS, p99Beside, p99),
      { kind: "at most", ratio: 1.5 },
    ),
  ];
}
