import { callFunction, createFunction } from "./client.ts";
import { nodeFunction } from "./functions.ts";
import { boundRow, inTurn, type Row, ratioRow } from "./measure.ts";
import { startDaemon } from "./processes.ts";
import { loadOf } from "./warm.ts";

const ROUNDS = 3;
const CLIENTS = 64;
const SECONDS = 3;

/**
 * Events are worked on while they are accepted, so each figure is that of a daemon that does both. What they do to calls
 * that somebody waits for is compared with what as many clients do to them that wait as well.
 */
export async function measureEvents(): Promise<Row[]> {
  await using daemon = await startDaemon();
  await createFunction(daemon, { name: "greet", ...(await nodeFunction()) });
  await createFunction(daemon, { name: "work", ...(await nodeFunction()) });
  await callFunction(daemon, "greet");
  await callFunction(daemon, "work");

  const load = { port: daemon.gatewayPort, path: "/?name=World", seconds: SECONDS, warmUp: 1 };
  let count = 0;
  const accepted = async () => {
    // What waits for a function is bounded, so each time it is another one.
    const name = `events-${count++}`;
    await createFunction(daemon, { name, ...(await nodeFunction()) });
    const headers = ["Prefer: respond-async"];
    const hostHeader = `${name}.localhost`;
    return (await loadOf({ ...load, hostHeader, connections: CLIENTS, headers, status: 202 })).perSecond;
  };
  const waiting = async () =>
    (await loadOf({ ...load, hostHeader: "work.localhost", connections: CLIENTS })).perSecond;
  const p99Beside = (others: () => Promise<number>) => async () => {
    const calls = loadOf({ ...load, hostHeader: "greet.localhost", connections: 1 });
    const [result] = await Promise.all([calls, others()]);
    return result.p99Us;
  };

  const rates: number[] = [];
  for (let round = 0; round < ROUNDS; round++) rates.push(await accepted());
  return [
    boundRow(`events accepted/s, ${CLIENTS} connections, synced`, "/s", rates, 5_000),
    ratioRow(
      `warm call beside ${CLIENTS} connections of events, p99`,
      "µs",
      "beside as many of calls",
      await inTurn(ROUNDS, p99Beside(accepted), p99Beside(waiting)),
      { kind: "at most", ratio: 2 },
    ),
  ];
}
