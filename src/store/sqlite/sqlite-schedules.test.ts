import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { promisify } from "node:util";
import { systemClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { sampleFunction } from "../samples.fake.ts";
import { sampleScheduleRecord } from "../schedule-samples.fake.ts";
import { describeSchedules } from "../schedules.contract.ts";
import { openSqliteStore } from "./sqlite-store.ts";

const root = await mkdtemp(join(tmpdir(), "lambdad-schedules-"));
after(() => rm(root, { recursive: true }));
let count = 0;
const open = (dir = `${++count}`) =>
  openSqliteStore({ dir: join(root, dir), log: silentLog, clock: systemClock });

describeSchedules("sqlite", () => open());

describe("several processes on one database", () => {
  it("claim each instant once between them", async () => {
    const dir = `${++count}`;
    {
      await using store = await open(dir);
      await store.registry.saveFunction(sampleFunction("greet"));
      await store.schedules.save(sampleScheduleRecord("s", 60_000));
    }
    const file = join(root, dir, "lambdad.db");
    const claimer = join(import.meta.dirname, "schedule-claimer.fake.ts");
    const run = promisify(execFile);
    const processes = [1, 2, 3].map(() => run(process.execPath, [claimer, file, "200", "s"]));
    const claims = (await Promise.all(processes)).map(({ stdout }) => Number(stdout));
    assert.equal(
      claims.reduce((sum, claimed) => sum + claimed),
      200,
      claims.join(),
    );
  });
});

describe("the history of a schedule", () => {
  it("forgets what is older than eight days, but never the last hundred", async () => {
    await using store = await open();
    await store.registry.saveFunction(sampleFunction("greet"));
    const dayMs = 86_400_000;
    await store.schedules.save(sampleScheduleRecord("s", dayMs));
    const fireAt = (instantAt: number) =>
      store.schedules.fire({
        name: "s",
        firedAt: instantAt,
        instants: [{ instantAt, kind: "skipped", event: undefined }],
        moves: undefined,
      });
    const length = async () => (await store.schedules.firings("s", { before: undefined, limit: 999 })).length;
    for (let day = 1; day <= 120; day += 1) await fireAt(day * dayMs);
    assert.equal(await length(), 100);
    for (let minute = 1; minute <= 150; minute += 1) await fireAt(120 * dayMs + minute);
    assert.equal(await length(), 158);
  });
});
