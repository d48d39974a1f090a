/**
 * Kills a scheduler around the instants of its schedules, again and again, and counts the events in its database: one
 * per instant, or it did not keep its word. Every schedule has one instant, on a whole second; each process meets those
 * that were made just before it was started, so early that it is there in time on a busy machine as well.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { seededRandom } from "../../src/core/seeded-random.fake.ts";
import { sampleFunction } from "../../src/store/samples.fake.ts";
import { sampleSchedule } from "../../src/store/schedule-samples.fake.ts";
import { openSqliteStore } from "../../src/store/sqlite/sqlite-store.ts";

export interface ScheduleFaultRun {
  /** Processes to be killed, each with an instant of its own. */
  readonly rounds: number;
  readonly schedulesPerRound: number;
  readonly seed: number;
  /** What each process but the last dies of by itself; otherwise it is killed around its instant. */
  readonly fault?: string;
}

export interface ScheduleFaultReport {
  readonly seed: number;
  readonly instants: number;
  readonly kills: number;
  /** Of these, so many in the second before or after an instant. */
  readonly around: number;
  /** Instants without an event, and those with several. */
  readonly missed: readonly string[];
  readonly doubled: readonly string[];
  readonly latenessMsMax: number;
  readonly integrity: string;
}

/** A process should be there so long before its instant. */
const LEAD_MS = 600;
/** How long a process that is to die by itself may take. */
const DEATH_MS_MAX = 60_000;
/** So near to an instant it is killed, before or after. */
const AROUND_MS = 500;
const DRAIN_MS_MAX = 120_000;

/** Runs it, and removes all that it made. Prints the seed first. */
export async function runScheduleFaults(options: ScheduleFaultRun): Promise<ScheduleFaultReport> {
  process.stdout.write(`# seed ${options.seed}\n`);
  const dir = mkdtempSync(join(tmpdir(), "lambdad-schedule-faults-"));
  let child: ChildProcess | undefined;
  let kills = 0;
  try {
    const names: string[] = [];
    const random = seededRandom(options.seed);
    let startMs = 0;
    let around = 0;
    for (let round = 0; round < options.rounds; round += 1) {
      const at = Math.ceil((Date.now() + LEAD_MS + 2 * startMs) / 1000) * 1000;
      names.push(...(await prepare(dir, `s${round}`, at, options.schedulesPerRound)));
      const startedAt = performance.now();
      child = await start(dir, options.fault);
      const gone = once(child, "exit");
      startMs = performance.now() - startedAt;
      if (options.fault === undefined) {
        await Promise.race([sleep(Math.max(0, at + (random() * 2 - 1) * AROUND_MS - Date.now())), gone]);
        child.kill("SIGKILL");
        if (Math.abs(Date.now() - at) <= 2 * AROUND_MS) around += 1;
      } else {
        await Promise.race([gone, sleep(DEATH_MS_MAX)]);
        if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
      }
      await gone;
      if (child.signalCode === "SIGKILL") kills += 1;
    }
    child = await start(dir, undefined);
    const gone = once(child, "exit");
    await drained(dir);
    child.kill("SIGTERM");
    await gone;
    return { ...check(dir, names), seed: options.seed, instants: names.length, kills, around };
  } finally {
    child?.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Schedules of one instant; their names. */
async function prepare(dir: string, prefix: string, at: number, count: number): Promise<string[]> {
  await using store = await openSqliteStore({ dir, log: silentLog, clock: systemClock });
  const greet = sampleFunction("greet");
  if (!(await store.registry.findFunction(greet.name))) await store.registry.saveFunction(greet);
  const names = Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
  const expression = `at(${new Date(at).toISOString().slice(0, 19)})`;
  const timing = { expression, timeZone: "UTC", anchorAt: 0, startAt: undefined, endAt: undefined };
  const next = { instantAt: at, dueAt: at };
  await Promise.all(
    names.map((name) => store.schedules.save({ schedule: sampleSchedule(name, { timing }), next })),
  );
  return names;
}

async function start(dir: string, fault: string | undefined): Promise<ChildProcess> {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, "scheduler-process.ts"), dir, ...(fault === undefined ? [] : [fault])],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  // It may die of its fault before it has said anything.
  await Promise.race([once(child.stdout, "data"), once(child, "exit")]);
  return child;
}

async function drained(dir: string): Promise<void> {
  const endAt = Date.now() + DRAIN_MS_MAX;
  for (;;) {
    const database = new DatabaseSync(join(dir, "lambdad.db"), { readOnly: true, timeout: 5_000 });
    const { open } = { ...database.prepare("SELECT count(next_at) AS open FROM schedule").get() };
    database.close();
    if (open === 0) return;
    if (Date.now() > endAt) throw new Error(`${open} schedules have not fired`);
    await sleep(100);
  }
}

function check(
  dir: string,
  names: readonly string[],
): Pick<ScheduleFaultReport, "missed" | "doubled" | "latenessMsMax" | "integrity"> {
  const database = new DatabaseSync(join(dir, "lambdad.db"), { readOnly: true });
  const counts = new Map<string, number>();
  for (const { origin } of database
    .prepare("SELECT json_extract(head, '$.origin') AS origin FROM event")
    .all()) {
    const name = String(origin).replace("schedule ", "");
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const late = database.prepare("SELECT max(fired_at - instant_at) AS ms FROM schedule_firing").get();
  const integrity = String(database.prepare("PRAGMA integrity_check").get()?.integrity_check);
  database.close();
  return {
    missed: names.filter((name) => !counts.has(name)),
    doubled: [...counts].flatMap(([name, count]) => (count > 1 ? [name] : [])),
    latenessMsMax: Number(late?.ms),
    integrity,
  };
}
