/**
 * Kills a daemon under a load of events, again and again, and finds out whether it kept its word.
 *
 *   driver (this process) ──► daemon ──► function ──► recorder
 *      └ ledger, synced         ▲ killed                └ ledger, synced
 *
 * Outside the blast radius are the driver, which notes each request before it sends it and each acknowledgement when it
 * has come, and the recorder. At the end the daemon works off what is left, is stopped, and its database is read.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { ATTEMPTS_KEPT_MAX } from "../../src/core/limits.ts";
import { seededRandom } from "../../src/core/seeded-random.fake.ts";
import { instanceName } from "../../src/wiring/host.ts";
import { sandboxRoot } from "../../src/wiring/run-root.ts";
import { openLedger, readLedger } from "./ledger.ts";

const ROOT = join(import.meta.dirname, "../..");
/** Starts with nothing to recover, to compare the others with. */
const CALM_STARTS = 5;
/** How long after a start, or an end, something of a killed daemon may be there. */
const CENSUS_MS = 10_000;
const EVENT_STATES = ["queued", "running", "done", "failed", "expired", "cancelled"];

export interface FaultRun {
  /** How often the daemon is killed. */
  readonly kills: number;
  /** A host so slow that this time is over first has it killed less often, which the report says. */
  readonly withinMs?: number;
  readonly seed: number;
  /** A fault that every daemon gets but the last; without one it is killed at a random moment. */
  readonly fault?: string;
  /**
   * Milliseconds to the kill, uniformly: after every fifth start from the first request, after the others from the first
   * acknowledgement, however long that takes a busy machine.
   */
  readonly killAfterMs?: readonly [number, number];
}

export interface FaultReport {
  readonly seed: number;
  readonly kills: number;
  readonly requests: number;
  readonly acknowledged: number;
  /** Acknowledged events that are not there, or neither ended as they should nor wait for another attempt. */
  readonly lost: readonly string[];
  /** Events that ran more than once. */
  readonly repeated: number;
  /** Runs of an event that no lost attempt explains. */
  readonly unexplained: readonly string[];
  /** Events that were running when the daemon was killed, over all kills. */
  readonly inFlight: number;
  /** From the spawn to the ready line, after a kill. */
  readonly readyMsMedian: number;
  readonly readyMsMax: number;
  /** The same with the least to recover: a new data folder, and one that was left in order. */
  readonly calmReadyMs: readonly number[];
  /** Sandboxes that killed daemons left behind. */
  readonly orphans: number;
  /** Processes and folders of sandboxes that outlived the last daemon, or its start by `CENSUS_MS`. */
  readonly leaked: readonly string[];
  readonly integrity: string;
  readonly states: Readonly<Record<string, number>>;
}

/** Runs it, and removes all that it made. Prints the seed first. */
export async function runFaults(options: FaultRun): Promise<FaultReport> {
  process.stdout.write(`# seed ${options.seed}\n`);
  const dir = mkdtempSync(join(tmpdir(), "lambdad-faults-"));
  const random = seededRandom(options.seed);
  const recorder = await startRecorder(join(dir, "effects"));
  const ledger = openLedger(join(dir, "ledger"));
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  let daemon: Daemon | undefined;
  const readyMs: number[] = [];
  const calmReadyMs: number[] = [];
  const orphans = new Set<string>();
  let kills = 0;
  let inFlight = 0;
  try {
    daemon = await startDaemon(join(dir, "data"));
    calmReadyMs.push(Math.round(daemon.readyMs));
    await deploy(dir, daemon, recorder.port);
    await daemon.stop();
    for (let start = 0; start < CALM_STARTS; start++) {
      daemon = await startDaemon(join(dir, "data"));
      calmReadyMs.push(Math.round(daemon.readyMs));
      await daemon.stop();
    }

    let request = 0;
    const noMoreAt = performance.now() + (options.withinMs ?? Number.POSITIVE_INFINITY);
    while (kills < options.kills && performance.now() < noMoreAt) {
      try {
        daemon = await startDaemon(join(dir, "data"), options.fault);
      } catch (error) {
        if (!(error instanceof DiedOfFault)) throw error;
        // What its predecessors left to do was enough to come by the point.
        kills += 1;
        inFlight += countRunning(join(dir, "data"));
        continue;
      }
      // The first has no killed predecessor.
      if (kills > 0) readyMs.push(daemon.readyMs);
      else calmReadyMs.push(Math.round(daemon.readyMs));
      const running = daemon;
      const [least, most] = options.killAfterMs ?? [5, 500];
      const killInMs = least + random() * (most - least);
      const sending: Promise<void>[] = [];
      let countedFrom = kills % 5 === 0 ? performance.now() : undefined;
      // Where a fault is armed, the daemon dies by itself; the time bounds only how long that may take.
      const waitsForFault = options.fault?.startsWith("die:") === true;
      const atMost = performance.now() + 60_000;
      const isOver = () => {
        const now = performance.now();
        return (
          now >= atMost || (!waitsForFault && countedFrom !== undefined && now >= countedFrom + killInMs)
        );
      };
      while (!isOver() && !running.hasExited()) {
        const key = `r${request++}`;
        sending.push(
          ledger
            .note({ key })
            .then(() => accept(running, agent, key))
            .then(
              async (id) => {
                if (id === undefined) return;
                await ledger.note({ key, id });
                countedFrom ??= performance.now();
              },
              // Not acknowledged: nothing was promised.
              () => undefined,
            ),
        );
        // About 200 a second.
        await sleep(5);
      }
      await running.kill();
      if (running.signal() !== "SIGKILL") throw new Error(`the daemon was not killed: ${running.said()}`);
      kills += 1;
      for (const id of sandboxesIn(runDirOf(dir))) orphans.add(id);
      await Promise.all(sending);
      inFlight += countRunning(join(dir, "data"));
    }

    daemon = await startDaemon(join(dir, "data"));
    readyMs.push(daemon.readyMs);
    const adopted = await traces(runDirOf(dir), orphans);
    await drained(daemon);
    await daemon.stop();
    const left = await traces(runDirOf(dir), [
      ...orphans,
      ...sandboxesIn(runDirOf(dir)),
      join(dir, "data"),
      runDirOf(dir),
    ]);
    const census = { orphans: orphans.size, leaked: [...adopted, ...left] };
    return {
      ...check(dir),
      ...readiness(readyMs),
      ...census,
      seed: options.seed,
      kills,
      inFlight,
      calmReadyMs,
    };
  } finally {
    agent.destroy();
    await daemon?.kill();
    recorder.process.kill("SIGTERM");
    ledger[Symbol.dispose]();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** An acknowledged event is there, its attempts are numbered without a gap, and each of its runs has an attempt. */
function check(
  dir: string,
): Pick<
  FaultReport,
  "requests" | "acknowledged" | "lost" | "repeated" | "unexplained" | "integrity" | "states"
> {
  const lines = readLedger(join(dir, "ledger"));
  const acknowledged = lines.flatMap(({ id }) => (typeof id === "string" ? [id] : []));
  const database = new DatabaseSync(join(dir, "data", "lambdad.db"), { readOnly: true });
  const rows = new Map(
    database
      .prepare(
        "SELECT sequence, state, attempt, attempts, json_extract(head, '$.invocationId') AS call FROM event",
      )
      .all()
      .map((row) => [`evt_${Number(row.sequence).toString(36).padStart(11, "0")}`, row]),
  );
  const integrity = String(database.prepare("PRAGMA integrity_check").get()?.integrity_check);
  database.close();

  const begun = new Map<string, number>();
  for (const { what, call } of readLedger(join(dir, "effects"))) {
    if (what === "begin") begun.set(String(call), (begun.get(String(call)) ?? 0) + 1);
  }
  const kept = new Set(["queued", "done", "failed", "expired"]);
  const lost = acknowledged.filter((id) => !kept.has(EVENT_STATES[Number(rows.get(id)?.state)] ?? ""));
  const states: Record<string, number> = {};
  const unexplained: string[] = [];
  let repeated = 0;
  for (const [id, row] of rows) {
    const state = EVENT_STATES[Number(row.state)] ?? "?";
    states[state] = (states[state] ?? 0) + 1;
    const attempts: { number: number; outcome: string }[] = JSON.parse(String(row.attempts ?? "[]"));
    const runs = begun.get(String(row.call)) ?? 0;
    if (runs > 1) repeated += 1;
    // Of very many attempts the middle is not kept; then only their order can be told.
    const isWhole = attempts.length < ATTEMPTS_KEPT_MAX;
    const isNumbered = attempts.every(({ number }, index) =>
      isWhole ? number === index + 1 : number > (attempts[index - 1]?.number ?? 0),
    );
    // Only an attempt that a kill cut off may have run as well as the one that ended.
    const released = attempts.filter(({ outcome }) => outcome === "released").length;
    const last = attempts.at(-1)?.number ?? 0;
    if (!isNumbered || runs > last - released || Number(row.attempt) !== last) {
      unexplained.push(
        `${id} is ${state}, ran ${runs} times, began ${row.attempt} attempts: ${row.attempts}`,
      );
    }
  }
  return {
    requests: lines.filter(({ id }) => id === undefined).length,
    acknowledged: acknowledged.length,
    lost,
    repeated,
    unexplained,
    integrity,
    states,
  };
}

/** Where the daemon of this run has its sandboxes. */
function runDirOf(dir: string): string {
  return join(sandboxRoot(process.env), instanceName(join(dir, "data")));
}

function sandboxesIn(runDir: string): readonly string[] {
  return existsSync(runDir) ? readdirSync(runDir).filter((name) => name.startsWith("sb-")) : [];
}

/** Folders and processes with one of these names that are there for as long as `CENSUS_MS`. */
async function traces(runDir: string, names: Iterable<string>): Promise<readonly string[]> {
  const wanted = new Set(names);
  const until = performance.now() + CENSUS_MS;
  for (;;) {
    const folders = sandboxesIn(runDir).filter((name) => wanted.has(name));
    const found = [...folders, ...processesNaming(wanted)];
    if (found.length === 0 || performance.now() > until) return found;
    await sleep(100);
  }
}

/** Processes that have one of these names in their command line or environment. */
function processesNaming(names: ReadonlySet<string>): readonly string[] {
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid))
    .flatMap((pid) => {
      try {
        const said =
          readFileSync(`/proc/${pid}/cmdline`, "utf8") + readFileSync(`/proc/${pid}/environ`, "utf8");
        return [...names].filter((name) => said.includes(name)).map((name) => `process ${pid} of ${name}`);
      } catch {
        // It has ended.
        return [];
      }
    });
}

function readiness(readyMs: readonly number[]): Pick<FaultReport, "readyMsMedian" | "readyMsMax"> {
  const sorted = readyMs.map(Math.round).sort((a, b) => a - b);
  return { readyMsMedian: sorted[Math.floor(sorted.length / 2)] ?? 0, readyMsMax: sorted.at(-1) ?? 0 };
}

interface Daemon {
  readonly gatewayPort: number;
  readonly controlPort: number;
  readonly dataDir: string;
  /** From the spawn to the ready line. */
  readonly readyMs: number;
  hasExited(): boolean;
  signal(): string | null;
  said(): string;
  kill(): Promise<void>;
  stop(): Promise<void>;
}

/** The daemon killed itself before it was ready. */
class DiedOfFault extends Error {}

/**
 * The daemon itself, without the start script, so that it is what a signal reaches.
 *
 * @throws DiedOfFault
 */
async function startDaemon(dataDir: string, fault?: string): Promise<Daemon> {
  const startedAt = performance.now();
  const listen = ["--gateway", "127.0.0.1:0", "--control", "127.0.0.1:0"];
  const child = spawn(
    process.execPath,
    [join(ROOT, "src/lambdad.ts"), "--data", dataDir, ...listen, "--allow-unsandboxed"],
    {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...(fault !== undefined && { LAMBDAD_FAULT: fault }) },
    },
  );
  const exited = once(child, "exit");
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const line = await firstLine(child, exited, () => said).catch((error: unknown) => {
    throw fault !== undefined && child.signalCode === "SIGKILL" ? new DiedOfFault(fault) : error;
  });
  const readyMs = performance.now() - startedAt;
  const ports = /gateway=\S+:(\d+) control=\S+:(\d+)/.exec(line);
  if (!ports) throw new Error(`the daemon is not ready: ${line} ${said}`);
  return {
    gatewayPort: Number(ports[1]),
    controlPort: Number(ports[2]),
    dataDir,
    readyMs,
    hasExited: () => child.exitCode !== null || child.signalCode !== null,
    signal: () => child.signalCode,
    said: () => said,
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
    async stop() {
      child.kill("SIGTERM");
      await exited;
      if (child.exitCode !== 0) throw new Error(`the daemon left with ${child.exitCode}: ${said}`);
    },
  };
}

export async function startRecorder(
  file: string,
): Promise<{ readonly process: ChildProcess; readonly port: number }> {
  writeFileSync(file, "");
  const child = spawn(process.execPath, [join(import.meta.dirname, "recorder.ts"), file], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  return { process: child, port: Number(await firstLine(child, once(child, "exit"), () => "")) };
}

async function firstLine(child: ChildProcess, exited: Promise<unknown>, said: () => string): Promise<string> {
  if (!child.stdout) throw new Error("no output to read");
  const line = once(child.stdout.setEncoding("utf8"), "data") as Promise<[string]>;
  const gone = exited.then((): never => {
    throw new Error(`it left before it was ready: ${said()}`);
  });
  gone.catch(() => undefined);
  return (await Promise.race([line, gone]))[0].trim();
}

const HANDLER = (port: number) => `
import { Agent, get } from "node:http";
const agent = new Agent({ keepAlive: true });
const tell = (what, call) => new Promise((resolve, reject) => {
  get({ host: "127.0.0.1", port: ${port}, path: "/?what=" + what + "&call=" + call, agent }, (answer) => {
    answer.resume().on("end", resolve);
  }).on("error", reject);
});
export const handler = async (event, { awsRequestId }) => {
  await tell("begin", awsRequestId);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await tell("end", awsRequestId);
};
`;

async function deploy(dir: string, daemon: Daemon, recorderPort: number): Promise<void> {
  const folder = join(dir, "work");
  mkdirSync(folder);
  writeFileSync(join(folder, "index.mjs"), HANDLER(recorderPort));
  const key = readFileSync(join(daemon.dataDir, "admin.key"), "utf8").trim();
  const server = `http://127.0.0.1:${daemon.controlPort}`;
  const child = spawn(
    join(ROOT, "bin/lambda"),
    ["--server", server, "--key", key, "deploy", folder, "--name", "work", "--max", "4", "--timeout", "60"],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const [code] = await once(child, "exit");
  if (code !== 0) throw new Error(`cannot deploy: ${said}`);
}

/** The id of the event once it is accepted; undefined if it was refused. */
function accept(daemon: Daemon, agent: Agent, key: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const body = JSON.stringify({ key });
    const outgoing = request(
      {
        host: "127.0.0.1",
        port: daemon.gatewayPort,
        path: "/work",
        method: "POST",
        agent,
        headers: { prefer: "respond-async", "content-length": Buffer.byteLength(body) },
      },
      (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (piece: string) => (text += piece));
        answer.on("error", reject);
        answer.on("end", () => resolve(answer.statusCode === 202 ? JSON.parse(text).eventId : undefined));
      },
    );
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

async function drained(daemon: Daemon): Promise<void> {
  const until = performance.now() + 300_000;
  while (performance.now() < until) {
    const database = new DatabaseSync(join(daemon.dataDir, "lambdad.db"), { readOnly: true });
    // What a function failed at comes again in a minute or two, and is not waited for.
    const due = database.prepare(
      "SELECT count(*) AS n FROM event WHERE state = 1 OR (state = 0 AND due_at <= ?)",
    );
    const open = Number(due.get(Date.now())?.n);
    database.close();
    if (open === 0) return;
    await sleep(50);
  }
}

/** What was running when the daemon was killed. Nobody has the database open then. */
function countRunning(dataDir: string): number {
  const file = join(dataDir, "lambdad.db");
  if (!existsSync(file)) return 0;
  const database = new DatabaseSync(file);
  const count = Number(database.prepare("SELECT count(*) AS n FROM event WHERE state = 1").get()?.n);
  database.close();
  return count;
}
