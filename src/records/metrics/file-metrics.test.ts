import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fakeClock } from "../../core/clock.fake.ts";
import { type FunctionName, parseFunctionName } from "../../core/ids.ts";
import { type Log, silentLog } from "../../core/log.ts";
import { openMetrics } from "./file-metrics.ts";
import type { Metrics } from "./metrics.ts";

const dir = mkdtempSync(join(tmpdir(), "metrics-test-"));
after(() => rmSync(dir, { recursive: true, force: true }));

let folders = 0;
const MINUTE = 60_000;
const START = Date.UTC(2027, 0, 1, 12);

function named(name: string): FunctionName {
  const parsed = parseFunctionName(name);
  assert.ok(parsed);
  return parsed;
}
const f = named("f");

function open(
  more: { folder?: string; clock?: ReturnType<typeof fakeClock>; bytesMax?: number; log?: Log } = {},
) {
  const folder = more.folder ?? join(dir, String(folders++));
  const clock = more.clock ?? fakeClock(START);
  const metrics = openMetrics({
    dir: folder,
    clock,
    usageOf: () => ({ instances: 2, memoryMib: 41 }),
    log: more.log ?? silentLog,
    ...(more.bytesMax !== undefined && { bytesMax: more.bytesMax }),
  });
  return { metrics, clock, folder };
}

interface Called {
  readonly name?: FunctionName;
  readonly qualifier?: string;
  readonly version?: string;
  readonly live?: number;
  readonly outcome?: "returned" | "threw";
  readonly ms?: number;
  readonly initMs?: number;
}

function call(metrics: Metrics, called: Called = {}): void {
  const { name = f, qualifier, version = "$LATEST", live = 1, outcome = "returned", ms = 5, initMs } = called;
  const meter = metrics.calls.of(name, qualifier, version, live);
  meter.entered();
  meter.ended(outcome, ms, initMs);
  meter.left();
}

async function sum(metrics: Metrics, functionName: FunctionName | undefined = f) {
  const points = await metrics.points({ functionName, sinceAt: 0, untilAt: Number.MAX_SAFE_INTEGER });
  return {
    invocations: points.reduce((count, { tally }) => count + tally.invocations, 0),
    errors: points.reduce((count, { tally }) => count + tally.errors, 0),
    concurrencyMax: Math.max(0, ...points.map(({ tally }) => tally.concurrencyMax)),
  };
}

describe("metrics", () => {
  it("tell what was counted at once, after a slice, after a minute and after a restart", async () => {
    const { metrics, clock, folder } = open();
    call(metrics);
    call(metrics, { outcome: "threw" });
    const expected = { invocations: 2, errors: 1, concurrencyMax: 1 };
    assert.deepEqual(await sum(metrics), expected);
    await clock.advance(10_000);
    assert.deepEqual(await sum(metrics), expected);
    await clock.advance(MINUTE);
    assert.deepEqual(await sum(metrics), expected);
    call(metrics);
    await metrics[Symbol.asyncDispose]();
    await using again = open({ folder, clock }).metrics;
    call(again);
    assert.deepEqual(await sum(again), { invocations: 4, errors: 1, concurrencyMax: 1 });
    assert.deepEqual((await sum(again, undefined)).invocations, 4);
  });

  it("give a window to ten seconds, by version and by alias", async () => {
    const { metrics, clock } = open();
    await using _ = metrics;
    call(metrics, { ms: 100, live: 1 });
    await clock.advance(40_000);
    call(metrics, { ms: 10, live: 2, outcome: "threw" });
    call(metrics, { ms: 20, qualifier: "prod", version: "2" });
    const window = async (lastMs: number, version?: string, qualifier?: string) => {
      const tally = await metrics.window({ functionName: f, version, qualifier, lastMs });
      return [tally.invocations, tally.errors, tally.duration.max];
    };
    assert.deepEqual(await window(MINUTE), [3, 1, 100]);
    assert.deepEqual(await window(5_000), [2, 1, 20]);
    assert.deepEqual(await window(MINUTE, "2"), [2, 1, 20]);
    assert.deepEqual(await window(MINUTE, "$LATEST"), [2, 1, 100]);
    assert.deepEqual(await window(MINUTE, "2", "prod"), [1, 0, 20]);
    assert.deepEqual(await window(MINUTE, "3"), [0, 0, 0]);
    await clock.advance(20 * MINUTE);
    assert.deepEqual(await window(5 * MINUTE), [0, 0, 0]);
    assert.deepEqual(await window(60 * MINUTE, "2"), [2, 1, 20]);
  });

  it("count the most calls at once, also of those that go on for minutes", async () => {
    const { metrics, clock } = open();
    await using _ = metrics;
    const meters = [1, 2, 3].map(() => metrics.calls.of(f, undefined, "$LATEST", 1));
    for (const meter of meters) meter.entered();
    await clock.advance(3 * MINUTE);
    for (const meter of meters) meter.left();
    call(metrics, { name: named("g") });
    const points = await metrics.points({ functionName: f, sinceAt: START, untilAt: START + 3 * MINUTE });
    const inMinute = (minute: number) =>
      points
        .filter(({ at }) => at === START + minute * MINUTE)
        .map(({ tally }) => [tally.concurrencyMax, tally.instancesMax, tally.memoryMibMax]);
    assert.deepEqual([inMinute(0), inMinute(1)], [[[3, 2, 41]], [[3, 2, 41]]]);
    assert.deepEqual(
      metrics.totals(10).map(({ functionName, running }) => [functionName, running]),
      [
        ["f", 0],
        ["g", 0],
      ],
    );
  });

  it("count what becomes of events", async () => {
    const { metrics } = open();
    await using _ = metrics;
    metrics.events.attempted(f, 120, true);
    metrics.events.attempted(f, 60_000, false);
    metrics.events.dropped(f);
    metrics.events.undelivered(f);
    const tally = await metrics.window({ functionName: f, version: undefined, lastMs: MINUTE });
    assert.deepEqual(
      [tally.received, tally.dropped, tally.undelivered, tally.eventAge.count, tally.eventAge.max],
      [1, 1, 1, 2, 60_000],
    );
  });

  it("list series that were called, and none of a function that was forgotten", async () => {
    const { metrics, folder, clock } = open();
    call(metrics);
    call(metrics, { qualifier: "prod", version: "3" });
    call(metrics, { name: named("gone") });
    await metrics.flush();
    await metrics.forget(named("gone"));
    await metrics[Symbol.asyncDispose]();
    await using again = open({ folder, clock }).metrics;
    assert.deepEqual(
      await again.series(),
      new Map([
        [
          "f",
          [
            { qualifier: undefined, version: "$LATEST", liveVersion: 1 },
            { qualifier: "prod", version: "3", liveVersion: 1 },
          ],
        ],
      ]),
    );
    assert.deepEqual(await sum(again, named("gone")), { invocations: 0, errors: 0, concurrencyMax: 0 });
    call(again, { name: named("gone") });
    assert.ok((await again.series()).has("gone"));
  });

  it("pass over lines that a crash has cut, and go on behind them", async () => {
    const { metrics, folder, clock } = open();
    call(metrics);
    await metrics[Symbol.asyncDispose]();
    const file = join(folder, "2027-01-01", "f.jsonl");
    appendFileSync(file, readFileSync(file, "utf8").trimEnd().slice(0, 30));
    const again = open({ folder, clock }).metrics;
    call(again);
    await again.flush();
    assert.equal((await sum(again)).invocations, 2);
    await again[Symbol.asyncDispose]();
    writeFileSync(file, 'x\n{"m":\n[1]\n"a"\n{"m":30000000,"duration":"x","returned":{}}\n');
    await using last = open({ folder, clock }).metrics;
    assert.equal((await sum(last)).invocations, 0);
  });

  it("keep fifteen days, and of those as many as have room", async () => {
    const { metrics, clock, folder } = open();
    for (let day = 0; day < 20; day += 1) {
      call(metrics);
      await metrics.flush();
      clock.jump(24 * 60 * MINUTE);
    }
    assert.equal(readdirSync(folder).length, 16);
    await metrics[Symbol.asyncDispose]();
    const small = open({ folder, clock, bytesMax: 2_500 });
    await using _ = small.metrics;
    call(small.metrics);
    await small.metrics.flush();
    const days = readdirSync(folder).sort();
    assert.ok(days.length < 16 && days.at(-1) === "2027-01-21", days.join());
  });

  it("say once that they cannot be written, and go on counting", async () => {
    const said: string[] = [];
    const log: Log = { ...silentLog, error: (message) => void said.push(message) };
    const folder = join(dir, String(folders++));
    writeFileSync(folder, "a file, where a folder should be");
    const { metrics } = open({ folder, log });
    await using _ = metrics;
    call(metrics);
    await metrics.flush();
    call(metrics);
    await metrics.flush();
    assert.equal(said.length, 1);
    const tally = await metrics.window({ functionName: f, version: undefined, lastMs: 5 * MINUTE });
    assert.equal(tally.invocations, 2);
  });

  it("are bounded: more series or functions than may be are counted together", async () => {
    const { metrics } = open();
    await using _ = metrics;
    for (let version = 1; version <= 100; version += 1) call(metrics, { version: String(version) });
    const lines = await metrics.points({ functionName: f, sinceAt: 0, untilAt: Number.MAX_SAFE_INTEGER });
    assert.equal(lines.filter(({ series }) => series?.version === "_other").length, 1);
    assert.equal((await sum(metrics)).invocations, 100);
    for (let count = 0; count < 2_100; count += 1) call(metrics, { name: named(`n${count}`) });
    const totals = metrics.totals(50);
    assert.equal(totals.length, 51);
    assert.equal(
      totals.reduce((calls, { tally }) => calls + tally.invocations, 0),
      2_200,
    );
    assert.equal(totals.at(-1)?.functionName, "_other");
  });
});
