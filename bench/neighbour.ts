import { callFunction, createFunction, setConcurrency, zipOf } from "./client.ts";
import { nodeFunction } from "./functions.ts";
import { type Found, inTurn, type Row, ratioRow } from "./measure.ts";
import { startDaemon } from "./processes.ts";
import { loadOf } from "./warm.ts";

const ROUNDS = 5;
const FLOOD_CONNECTIONS = 32;
const FLOOD_INSTANCES = 4;
const SECONDS = 2;
/** What a call of the flood does: hardly anything, or nothing but computing for 5 ms, on as many processes as it may have. */
const FLOODS = {
  "small calls": "export const handler = async () => 1;\n",
  "calls that compute": `export const handler = async () => { const until = performance.now() + 5; while (performance.now() < until); return 1; };\n`,
};

/** One function is flooded up to its limit; another is called as before. */
export async function measureNeighbour(): Promise<Found> {
  await using daemon = await startDaemon();
  await createFunction(daemon, { name: "quiet", ...(await nodeFunction()) });
  await callFunction(daemon, "quiet");
  const load = { port: daemon.gatewayPort, path: "/?name=World", seconds: SECONDS, warmUp: 1 };
  const quiet = async () => (await loadOf({ ...load, hostHeader: "quiet.localhost", connections: 1 })).p99Us;
  const besideFlood = (name: string) => async () => {
    // Beyond its limit it is told to come back, which is no failure of what is measured.
    const flood = loadOf({
      ...load,
      hostHeader: `${name}.localhost`,
      connections: FLOOD_CONNECTIONS,
      seconds: SECONDS + 0.5,
      anyStatus: true,
    });
    const p99 = await quiet();
    await flood;
    return p99;
  };
  const rows: Row[] = [];
  for (const [index, [what, content]] of Object.entries(FLOODS).entries()) {
    const name = `loud-${index}`;
    const zip = await zipOf({ "index.mjs": { content } });
    await createFunction(daemon, { name, zip, runtime: "nodejs24.x", handler: "index.handler" });
    await setConcurrency(daemon, name, FLOOD_INSTANCES);
    await callFunction(daemon, name);
    const measured = await inTurn(ROUNDS, besideFlood(name), quiet);
    const measure = `warm call beside a function flooded to its limit of ${FLOOD_INSTANCES} with ${what}, p99`;
    rows.push(ratioRow(measure, "µs", "alone", measured, { kind: "at most", ratio: 2 }));
  }
  return { rows };
}
