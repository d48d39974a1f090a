/**
 * Row R34 of the failure matrix: the clock of a whole daemon is put forward and back by an hour and by a day, and it is
 * stopped meanwhile as a machine that sleeps. libfaketime changes the time on the wall alone, by a file.
 */
import assert from "node:assert/strict";
import { globSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { FIRING_KINDS } from "../../src/core/schedule.ts";
import { makeFolder, skipWithout, startDaemon, type TestDaemon, until } from "../e2e/daemon.fake.ts";
import { startRecorder } from "./event-faults.ts";
import { readLedger } from "./ledger.ts";

const TIMES = Number(process.env.FAULTS_TIMES ?? 50);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const JUMPS = [HOUR, -HOUR, 24 * HOUR, -24 * HOUR];
/** Every so many jumps the daemon is stopped for a while, and the clock goes on without it. */
const SLEEP_EVERY = 5;
const SLEEP_MS = 3_000;
/** So long before a whole minute the clock is put. */
const LEAD_MS = 2_000;
const WITHIN_MS = 120_000;
/** What may fire after a jump: one to make up for, what came in the last minute, and the next. */
const AT_ONCE_MAX = 3;
const SCHEDULES = { minutes: "* * * * *", hours: "0 * * * *", days: "0 0 * * *" };

const [library] = globSync("/usr/lib/*/faketime/libfaketimeMT.so.1");

it(`fires no instant twice and does nothing in a storm when its clock jumps, ${TIMES} times`, {
  skip: library === undefined && skipWithout("faketime", false),
}, async (t) => {
  assert.ok(library, "faketime is not installed");
  using dir = makeFolder();
  const dataDir = join(dir.path, "data");
  const effects = join(dir.path, "effects");
  const wall = fakeWall(join(dir.path, "clock"));
  const recorder = await startRecorder(effects);
  const counts = { jumps: 0, stops: 0, fired: 0, late: 0, missed: 0, atOnceMax: 0, events: 0, timeouts: 0 };
  try {
    await using daemon = await startDaemon({ dataDir, env: wall.environment(library) });
    await deploy(daemon, recorder.port);
    for (const [name, cron] of Object.entries(SCHEDULES)) {
      const made = await daemon.lambda("schedule", "work", "--name", name, "--cron", cron);
      assert.equal(made.code, 0, made.stderr);
    }
    let before = firingsIn(dataDir);
    let countedAt = performance.now();
    for (; counts.jumps < TIMES; counts.jumps++) {
      const isRunning = callsThatRun(daemon, effects);
      await isRunning.begun;
      const sleeps = counts.jumps % SLEEP_EVERY === SLEEP_EVERY - 1;
      if (sleeps) {
        process.kill(daemon.pid, "SIGSTOP");
        await sleep(SLEEP_MS);
        counts.stops += 1;
      }
      const delta = JUMPS[counts.jumps % JUMPS.length] ?? HOUR;
      const known = firingsIn(dataDir);
      const expected = wall.jump(delta, (instantAt) => hasFired(known, "minutes", instantAt));
      if (sleeps) process.kill(daemon.pid, "SIGCONT");

      await isRunning.ended();
      counts.events += 1;
      counts.timeouts += 1;
      await until(() => hasFired(firingsIn(dataDir), "minutes", expected), WITHIN_MS).catch((cause) => {
        const jump = `jump ${counts.jumps} of ${delta / HOUR} h${sleeps ? ", asleep" : ""}`;
        throw new Error(`${jump}: ${expected} did not fire; ${stateOf(dataDir, expected)}`, { cause });
      });
      const now = firingsIn(dataDir);
      const most = AT_ONCE_MAX + Math.ceil((performance.now() - countedAt) / MINUTE);
      for (const name of Object.keys(SCHEDULES)) {
        const atOnce = fired(now, name).length - fired(before, name).length;
        assert.ok(atOnce <= most, `${name} fired ${atOnce} times after a jump of ${delta / HOUR} h`);
        counts.atOnceMax = Math.max(counts.atOnceMax, atOnce);
      }
      before = now;
      countedAt = performance.now();
    }
    await until(() => openEvents(dataDir) === 0, WITHIN_MS);
  } finally {
    recorder.process.kill("SIGTERM");
  }
  const firings = firingsIn(dataDir);
  const names = Object.keys(SCHEDULES).flatMap((name) =>
    fired(firings, name).map(({ instantAt }) => `${name} ${instantAt}`),
  );
  const told = readLedger(effects).filter(({ what }) => what === "begin");
  const instants = told.flatMap(({ instant }) => (instant ? [String(instant)] : []));
  assert.deepEqual(instants.toSorted(), names.toSorted(), "each instant ran once");
  assert.equal(new Set(told.map(({ call }) => call)).size, told.length, "no call ran twice");
  counts.fired = names.length;
  counts.late = firings.filter(({ kind }) => kind === "late").length;
  counts.missed = firings.filter(({ kind }) => kind === "missed").length;
  t.diagnostic(JSON.stringify(counts));
  assert.ok(counts.late > 0, "something was made up for");
});

/** The time that the daemon sees. */
function fakeWall(file: string) {
  let offsetMs = 0;
  const write = () => {
    // As a whole: it is read at any moment.
    writeFileSync(`${file}.new`, `${offsetMs < 0 ? "-" : "+"}${Math.abs(offsetMs) / 1_000}`);
    renameSync(`${file}.new`, file);
  };
  write();
  return {
    environment: (library: string) => ({
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      NO_FAKE_STAT: "1",
    }),
    /** By `deltaMs`, to just before the next whole minute that is not `taken`, which is returned. */
    jump(deltaMs: number, taken: (instantAt: number) => boolean): number {
      const realNow = Date.now();
      let instantAt = Math.ceil((realNow + offsetMs + deltaMs + LEAD_MS) / MINUTE) * MINUTE;
      while (taken(instantAt)) instantAt += MINUTE;
      offsetMs = instantAt - LEAD_MS - realNow;
      write();
      return instantAt;
    },
  };
}

const HANDLER = (port: number) => `
import { get } from "node:http";
const tell = (query) => new Promise((resolve, reject) => {
  const path = "/?" + new URLSearchParams(query);
  get({ host: "127.0.0.1", port: ${port}, path }, (answer) => answer.resume().on("end", resolve)).on("error", reject);
});
export const handler = async (event, { awsRequestId: call }) => {
  const name = event.resources?.[0].split("/").at(-1);
  await tell({ what: "begin", call, instant: name ? name + " " + Date.parse(event.time) : "" });
  if (event.rawPath === "/slow") await new Promise((resolve) => setTimeout(resolve, 1500));
  if (event.rawPath === "/hangs") await new Promise(() => setInterval(() => undefined, 1000));
  return "worked";
};
`;

async function deploy(daemon: TestDaemon, recorderPort: number): Promise<void> {
  using folder = makeFolder({ "index.mjs": HANDLER(recorderPort) });
  await daemon.deploy(folder.path, "work", "--timeout", "60");
  await daemon.deploy(folder.path, "hangs", "--timeout", "4");
}

/** A call, an event and a call that will time out, all of which run when the clock jumps. */
function callsThatRun(daemon: TestDaemon, effects: string) {
  const begunBefore = slowBegun(effects);
  const call = daemon.call("work", "/slow");
  const accepted = daemon.call("work", "/slow", { body: "{}", headers: { prefer: "respond-async" } });
  const hanging = daemon.call("hangs", "/hangs");
  return {
    begun: until(() => slowBegun(effects) >= begunBefore + 3, WITHIN_MS),
    async ended() {
      const { status, text } = await call;
      assert.deepEqual([status, text], [200, "worked"]);
      const timedOut = await hanging;
      assert.deepEqual([timedOut.status, /FunctionTimedOut/.test(timedOut.text)], [504, true], timedOut.text);
      const { eventId } = JSON.parse((await accepted).text);
      const asked = await daemon.control("GET", `/v1/events/${eventId}?wait=60`);
      const { state, attempts } = JSON.parse(asked.text);
      assert.deepEqual([state, attempts.length], ["done", 1], asked.text);
    },
  };
}

function slowBegun(effects: string): number {
  return readLedger(effects).filter(({ what, instant }) => what === "begin" && !instant).length;
}

interface Firing {
  readonly name: string;
  readonly instantAt: number;
  readonly kind: string;
}

function firingsIn(dataDir: string): readonly Firing[] {
  using database = new DatabaseSync(join(dataDir, "lambdad.db"), { readOnly: true, timeout: 5_000 });
  return database
    .prepare("SELECT schedule_id, instant_at, kind FROM schedule_firing")
    .all()
    .map((row) => ({
      name: String(row.schedule_id),
      instantAt: Number(row.instant_at),
      kind: FIRING_KINDS[Number(row.kind)] ?? "?",
    }));
}

function fired(firings: readonly Firing[], name: string): readonly Firing[] {
  return firings.filter((firing) => firing.name === name && ["on-time", "late"].includes(firing.kind));
}

function hasFired(firings: readonly Firing[], name: string, instantAt: number): boolean {
  return fired(firings, name).some((firing) => firing.instantAt === instantAt);
}

/** What is known of the schedule around that instant. */
function stateOf(dataDir: string, instantAt: number): string {
  using database = new DatabaseSync(join(dataDir, "lambdad.db"), { readOnly: true, timeout: 5_000 });
  const next = database.prepare("SELECT instant_at, next_at FROM schedule WHERE id = 'minutes'").get();
  const around = database
    .prepare(
      "SELECT instant_at, kind, fired_at FROM schedule_firing WHERE schedule_id = 'minutes' AND instant_at BETWEEN ? AND ?",
    )
    .all(instantAt - 5 * MINUTE, instantAt + 5 * MINUTE);
  return `next ${JSON.stringify(next)}, around it ${JSON.stringify(around)}`;
}

function openEvents(dataDir: string): number {
  using database = new DatabaseSync(join(dataDir, "lambdad.db"), { readOnly: true, timeout: 5_000 });
  return Number(database.prepare("SELECT count(*) AS n FROM event WHERE state < 2").get()?.n);
}
