import { call, callFunction, createFunction } from "./client.ts";
import { nodeFunction } from "./functions.ts";
import { boundRow, inTurn, median, plainRatioRow, type Row, ratioRow } from "./measure.ts";
import { type Daemon, startDaemon, startPlainProxy } from "./processes.ts";
import { loadOf } from "./warm.ts";

const ROUNDS = 5;
const CLIENTS = 64;
/** As long as what may wait for a function is not reached. */
const SECONDS = 2;
/** Where that is not in the way: 2,000 calls a round, so that the slowest hundredth is 20. */
const ASKED_SECONDS = 4;
/** Of what is there to be compared with. */
const PLAIN_ROUNDS = 3;
const RATE_MIN = 5_000;
/** A little more, so that it is reached where an answer is late now and then. */
const RATE_ASKED = 5_500;
/**
 * Calls that somebody waits for, at times of their own: a loop without pauses would be a load of its own. A connection sends
 * late only if its last answer is, and what it takes counts from the sending; how late it was sent is told beside it.
 */
const CALLS = { perSecond: 500, connections: 4 };

/**
 * Events are worked on while they are accepted, so each figure is that of a daemon that does both. What they do to calls
 * that somebody waits for is compared with a daemon that has nothing else to do: while 64 clients have as many events taken
 * as have to be, and while they have as many taken as they can, which leaves no CPU idle; then also with what as many
 * clients do to them that wait as well. How much of it is the machine's, where the clients, the writer and the functions
 * take two cores from whatever else runs, a plain proxy beside the same events tells, which shares nothing else with them.
 */
export async function measureEvents(): Promise<Row[]> {
  await using daemon = await startDaemon();
  await createFunction(daemon, { name: "greet", ...(await nodeFunction()) });
  await createFunction(daemon, { name: "work", ...(await nodeFunction()) });
  await callFunction(daemon, "greet");
  await callFunction(daemon, "work");
  await using plain = await startPlainProxy();

  const load = { port: daemon.gatewayPort, path: "/?name=World", seconds: SECONDS, warmUp: 0.5 };
  let count = 0;
  /** What waits for a function is bounded, so that each full load is of another one, with its instances. */
  const another = async () => {
    const name = `events-${count++}`;
    await createFunction(daemon, { name, ...(await nodeFunction()) });
    await loadOf({ ...load, hostHeader: `${name}.localhost`, connections: CLIENTS, seconds: 0.3 });
    return name;
  };
  const accepted = async (name: string, perSecond?: number) => {
    const taken = await loadOf({
      ...load,
      ...(perSecond !== undefined && { seconds: ASKED_SECONDS }),
      hostHeader: `${name}.localhost`,
      connections: CLIENTS,
      headers: ["Prefer: respond-async"],
      status: 202,
      ...(perSecond !== undefined && { perSecond }),
    });
    return taken.perSecond;
  };
  const waiting = () => loadOf({ ...load, hostHeader: "work.localhost", connections: CLIENTS });
  const late: number[] = [];
  const calls = async (of: object = CALLS) => {
    const result = await loadOf({ ...load, hostHeader: "greet.localhost", connections: 1, ...of });
    late.push(result.lateUs);
    return result;
  };
  const idle = async () => (await calls()).p99Us;
  const asking = { ...CALLS, seconds: ASKED_SECONDS };
  const idleLong = async () => (await calls(asking)).p99Us;
  const proxied = { ...asking, port: plain.port, hostHeader: "localhost" };
  const idleProxy = async () => (await calls(proxied)).p99Us;
  const besideEvents = (rates: number[], perSecond: number | undefined, of?: object) => async () => {
    const name = perSecond === undefined ? await another() : "work";
    const [result, taken] = await Promise.all([calls(of), accepted(name, perSecond)]);
    rates.push(taken);
    // What still waits goes with it.
    if (perSecond === undefined) await removeFunction(daemon, name);
    return result.p99Us;
  };
  const besideWaiting = async () => (await Promise.all([calls({}), waiting()]))[0].p99Us;

  const [asked, full]: [number[], number[]] = [[], []];
  const twice = { kind: "at most", ratio: 2 } as const;
  const besideAsked = await inTurn(ROUNDS, besideEvents(asked, RATE_ASKED, asking), idleLong);
  const sentLate = Math.round(median(late.splice(0)));
  const proxyBesideAsked = await inTurn(PLAIN_ROUNDS, besideEvents([], RATE_ASKED, proxied), idleProxy);
  const besideFull = await inTurn(ROUNDS, besideEvents(full, undefined), idle);
  return [
    boundRow(`events accepted/s, ${CLIENTS} connections, synced`, "/s", full, RATE_MIN),
    boundRow(
      `events accepted/s, ${CLIENTS} connections that ask for ${RATE_ASKED}/s, synced`,
      "/s",
      asked,
      RATE_MIN,
    ),
    ratioRow(
      `warm call beside ${RATE_ASKED} events/s, p99 (sent late ${sentLate} µs)`,
      "µs",
      "beside nothing",
      besideAsked,
      twice,
    ),
    plainRatioRow(
      `call through a plain proxy beside ${RATE_ASKED} events/s, p99`,
      "µs",
      "beside nothing",
      proxyBesideAsked,
    ),
    ratioRow("warm call beside all events there is CPU for, p99", "µs", "beside nothing", besideFull, twice),
    ratioRow(
      `warm call beside ${CLIENTS} connections of events, p99`,
      "µs",
      "beside as many of calls",
      await inTurn(ROUNDS, besideEvents([], undefined, {}), besideWaiting),
      twice,
    ),
  ];
}

async function removeFunction(daemon: Daemon, name: string): Promise<void> {
  const { status, body } = await call({
    port: Number(new URL(daemon.controlUrl).port),
    method: "DELETE",
    path: `/v1/functions/${name}`,
    headers: { authorization: `Bearer ${daemon.key}` },
  });
  if (status !== 204) throw new Error(`removing ${name}: ${status} ${body.toString().slice(0, 500)}`);
}
