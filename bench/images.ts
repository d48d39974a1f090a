import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleepFor } from "node:timers/promises";
import { Pool } from "undici";
import { type Daemon, startDaemon } from "../tests/docker/daemon.ts";
import { startEngine, type TestEngine, withoutEngine } from "../tests/docker/engine.ts";
import { importImages } from "../tests/docker/images.ts";
import { inTurn, type Row, ratioRow } from "./measure.ts";
import { startProcess } from "./processes.ts";

const PROXY = join(import.meta.dirname, "proxy.ts");
const COLD_RUNS = 10;
const WARM_RUNS = 30;
/** Calls of one run, whose median counts: what else a host does now and then is in few of them. */
const WARM_CALLS = 30;
/** Before anything counts, on either side: what is compiled in the first hundreds of calls is no warm call's. */
const WARMING_CALLS = 400;
const BURST = 20;
/** A bridge, as functions have and `docker run` has by itself: the test's engine is started without its own. */
const NETWORK = "bench";
const UNTIL_RUNNING_MS_MAX = 120_000;
/** An engine works on for a moment when it has told that a container runs. */
const SETTLE_MS = 40;
const SAME_TIMES = 2;

/** Functions made of images, against the engine's own command and against the port it publishes. */
export async function measureImages(): Promise<Row[]> {
  const missing = withoutEngine();
  if (missing !== undefined) {
    process.stderr.write(`images are left out: ${missing}\n`);
    return [];
  }
  await using engine = await startEngine();
  await importImages(engine);
  await using daemon = await startDaemon(engine.socketPath);
  await engine.docker("network", "create", NETWORK);
  try {
    return [
      ...(await measureFilter(engine, daemon)),
      await measureServer(engine, daemon),
      await measureBurst(engine, daemon),
    ];
  } finally {
    // An engine that is stopped leaves the bridge and its rules on the host.
    await engine.docker("network", "rm", NETWORK);
  }
}

async function measureFilter(engine: TestEngine, daemon: Daemon): Promise<Row[]> {
  await deploy(daemon, "filter", "test/box:1");
  const call = async () => {
    const startedAt = performance.now();
    const answer = await daemon.call("filter", { method: "POST", body: "hello" });
    const said = await answer.text();
    if (answer.status !== 200 || said !== "hello")
      throw new Error(`a call was answered with ${answer.status}: ${said}`);
    return performance.now() - startedAt;
  };
  // Not beside what the daemon does behind a call: removing its container, and getting the next one ready.
  const bare = async () => {
    await untilRunning(engine, 2);
    return await dockerRun(engine);
  };
  let changes = 0;
  // A version that was made by a change of settings has no container yet, and the one before has let go of its own.
  const cold = async () => {
    changes += 1;
    await daemon.lambda("env", "set", "filter", `CHANGE=${changes}`);
    await untilRunning(engine, 0);
    return await call();
  };
  const ready = async () => {
    await untilRunning(engine, 2);
    return await call();
  };
  return [
    ratioRow("first call of an image (filter)", "ms", "docker run -i", await inTurn(COLD_RUNS, cold, bare), {
      kind: "at most",
      ratio: 1.25,
    }),
    ratioRow("the same, containers ready", "ms", "docker run -i", await inTurn(COLD_RUNS, ready, bare), {
      kind: "at most",
      ratio: 0.3,
    }),
  ];
}

/** Against a proxy of ten lines in front of the port that the engine publishes. */
async function measureServer(engine: TestEngine, daemon: Daemon): Promise<Row> {
  await deploy(daemon, "web", "test/web:1");
  const id = (await engine.docker("ps", "-q", "--filter", "ancestor=test/web:1")).trim();
  const address = (
    await engine.docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", id)
  ).trim();
  // A process of its own, as the daemon is: in the client's it would be called without waking anybody.
  await using proxy = await startProcess(process.execPath, [PROXY, "proxy", `http://${address}:8000`]);
  const clients = [new Pool(daemon.gateway), new Pool(`http://127.0.0.1:${proxy.firstLine}`)] as const;
  const timed =
    (client: Pool, path: string, calls = WARM_CALLS) =>
    async () => {
      const took: number[] = [];
      for (let call = 0; call < calls; call += 1) {
        const startedAt = performance.now();
        const { body, statusCode } = await client.request({ method: "GET", path });
        await body.arrayBuffer();
        if (statusCode !== 200) throw new Error(`a call was answered with ${statusCode}`);
        took.push(performance.now() - startedAt);
      }
      return took.sort((one, other) => one - other)[calls >> 1] ?? 0;
    };
  await timed(clients[0], "/web/hello", WARMING_CALLS)();
  await timed(clients[1], "/hello", WARMING_CALLS)();
  const measured = await inTurn(WARM_RUNS, timed(clients[0], "/web/hello"), timed(clients[1], "/hello"));
  await Promise.all(clients.map((client) => client.close()));
  return ratioRow("warm call of an image (server)", "ms", "undici proxy to its port", measured, {
    kind: "at most",
    ratio: 1.3,
  });
}

/** Each call takes a container of its own, and there is none. */
async function measureBurst(engine: TestEngine, daemon: Daemon): Promise<Row> {
  for (const name of ["filter", "web"]) await daemon.lambda("delete", name, "--yes");
  await deploy(daemon, "burst", "test/box:1");
  await daemon.lambda("env", "set", "burst", "CHANGE=1");
  await untilRunning(engine, 0);
  const startedAt = performance.now();
  const answers = await Promise.all(
    Array.from({ length: BURST }, () =>
      daemon.call("burst", { method: "POST", body: "hello" }).then(({ status }) => status),
    ),
  );
  const tookMs = performance.now() - startedAt;
  const failed = answers.filter((status) => status !== 200).length;
  return {
    measure: `${BURST} cold calls at once (filter)`,
    value: tookMs,
    unit: "ms",
    yardstick: "failed calls",
    yardstickValue: failed,
    ratio: undefined,
    bar: "no failed call",
    isMet: failed === 0,
    spread: [tookMs, tookMs],
    runs: 1,
  };
}

async function deploy(daemon: Daemon, name: string, image: string): Promise<void> {
  // A host with other work takes longer than the default allows to start a container.
  const { exitCode, stderr } = await daemon.lambda(
    ...["deploy", "--image", image, "--name", name, "--timeout", "60"],
  );
  if (exitCode !== 0) throw new Error(`lambda deploy failed: ${stderr}`);
}

/** The container is removed behind it, as ours are: `--rm` would have it wait for that. */
async function dockerRun(engine: TestEngine): Promise<number> {
  const name = `bare-${process.pid}`;
  const startedAt = performance.now();
  const child = spawn(
    "docker",
    ["-H", `unix://${engine.socketPath}`, "run", "-i", "--name", name, "--network", NETWORK, "test/box:1"],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  child.stdin.end("hello");
  const [answer, [exitCode]] = await Promise.all([text(child.stdout), once(child, "exit")]);
  const tookMs = performance.now() - startedAt;
  if (exitCode !== 0 || answer !== "hello") throw new Error(`docker run left with ${exitCode}: ${answer}`);
  await engine.docker("rm", name);
  return tookMs;
}

/** Until so many containers run and no other is there, and nothing has changed for a moment. */
async function untilRunning(engine: TestEngine, count: number): Promise<void> {
  const giveUpAt = performance.now() + UNTIL_RUNNING_MS_MAX;
  for (let times = 0; times < SAME_TIMES; ) {
    const states = (await engine.docker("ps", "-a", "--format", "{{.State}}")).split("\n");
    const there = states.filter((state) => state !== "");
    times = there.length === count && there.every((state) => state === "running") ? times + 1 : 0;
    if (performance.now() > giveUpAt) throw new Error(`${count} containers were to run: ${there.join(" ")}`);
    await sleepFor(SETTLE_MS);
  }
}
