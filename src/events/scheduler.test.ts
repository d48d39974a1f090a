import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type FakeClock, fakeClock } from "../core/clock.fake.ts";
import { silentLog } from "../core/log.ts";
import type { Schedule } from "../core/schedule.ts";
import { firstFiring } from "../core/schedule-plan.ts";
import { openInstants } from "../core/schedule-times.ts";
import { inBackground } from "../core/scope.ts";
import { sampleFunction, sampleName } from "../store/samples.fake.ts";
import { sampleSchedule } from "../store/schedule-samples.fake.ts";
import { fakeStore } from "../store/store.fake.ts";
import type { Store } from "../store/store.ts";
import { runScheduler } from "./scheduler.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const START = Date.UTC(2027, 0, 1);
const identity = { account: "123456789012", region: "eu-north-1" };

interface Started extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly store: Store;
  save(schedule: Schedule): Promise<void>;
  /** What became of the instants: `HH:MM kind`, earliest first. */
  history(): Promise<string[]>;
  eventCount(): Promise<number>;
  /** Ends what has not ended, as a worker does. */
  finish(): Promise<void>;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

async function start(change: Partial<Schedule> = {}, expression = "0 * * * *"): Promise<Started> {
  const clock = fakeClock(START + 30_000);
  const store = fakeStore();
  await store.registry.saveFunction(sampleFunction("greet"));
  const { schedules, events } = store;
  const run = () =>
    inBackground((signal) =>
      runScheduler({ schedules, events, identity, clock, log: silentLog }, { signal }),
    );
  let running = run();
  const list = () =>
    events.list({ functionName: sampleName("greet"), states: undefined, after: undefined, limit: 999 });
  const started: Started = {
    clock,
    store,
    async save(schedule) {
      const next = firstFiring(schedule, openInstants(schedule.timing), clock.now());
      await schedules.save({ schedule, next });
    },
    async history() {
      const firings = await schedules.firings("s", { before: undefined, limit: 999 });
      return firings
        .reverse()
        .map(({ instantAt, kind }) => `${new Date(instantAt).toISOString().slice(11, 16)} ${kind}`);
    },
    eventCount: async () => (await list()).length,
    async finish() {
      for (const { id, state } of await list()) {
        if (state === "queued") await events.cancel(id, { condition: "Cancelled", message: "done" });
      }
    },
    async stop() {
      await running[Symbol.asyncDispose]();
    },
    async restart() {
      await running[Symbol.asyncDispose]();
      running = run();
    },
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
  await started.save(
    sampleSchedule("s", {
      ...change,
      timing: {
        expression,
        timeZone: "UTC",
        anchorAt: START,
        startAt: undefined,
        endAt: undefined,
        ...change.timing,
      },
    }),
  );
  return started;
}

describe("runScheduler", () => {
  it("enqueues EventBridge's event when the time has come, once", async () => {
    await using scheduler = await start({ qualifier: "prod" });
    const { clock, store } = scheduler;
    await clock.advance(59 * MINUTE);
    assert.equal(await scheduler.eventCount(), 0);
    await clock.advance(30_000);
    await clock.advance(HOUR / 2);
    const [event, ...others] = await store.events.list({
      functionName: undefined,
      states: undefined,
      after: undefined,
      limit: 9,
    });
    assert.ok(event);
    assert.deepEqual([others, event.qualifier, event.origin], [[], "prod", "schedule s"]);
    const work = await store.events.findWork(event.id);
    assert.ok(work?.kind === "call" && work.input.kind === "event");
    assert.deepEqual(JSON.parse(new TextDecoder().decode(work.input.payload)), {
      version: "0",
      id: event.invocationId,
      "detail-type": "Scheduled Event",
      source: "aws.events",
      account: "123456789012",
      time: "2027-01-01T01:00:00Z",
      region: "eu-north-1",
      resources: ["arn:aws:events:eu-north-1:123456789012:rule/s"],
      detail: {},
    });
  });

  it("keeps on from hour to hour", async () => {
    await using scheduler = await start();
    await scheduler.clock.advance(3 * HOUR);
    assert.deepEqual(await scheduler.history(), ["01:00 on-time", "02:00 on-time", "03:00 on-time"]);
  });

  for (const [why, change, expected] of [
    ["the latest missed instant by default", {}, ["01:00 missed", "09:00 late"]],
    ["none", { catchUpMax: 0 }, ["01:00 missed"]],
    ["as many as asked for", { catchUpMax: 3 }, ["01:00 missed", "07:00 late", "08:00 late", "09:00 late"]],
    ["all, where they are few", { catchUpMax: 20 }, [1, 2, 3, 4, 5, 6, 7, 8, 9].map((h) => `0${h}:00 late`)],
    [
      "only the fresh ones",
      { catchUpMax: 20, lateMsMax: 2 * HOUR },
      ["01:00 missed", "08:00 late", "09:00 late"],
    ],
  ] as const) {
    it(`makes up for ${why}, after a time away`, async () => {
      await using scheduler = await start(change);
      await scheduler.stop();
      await scheduler.clock.advance(9 * HOUR + 20 * MINUTE);
      await scheduler.restart();
      await scheduler.clock.advance(MINUTE);
      assert.deepEqual(await scheduler.history(), expected);
      await scheduler.clock.advance(HOUR);
      assert.deepEqual(await scheduler.history(), [...expected, "10:00 on-time"]);
    });
  }

  it("takes an instant within a minute before its start as on time", async () => {
    await using scheduler = await start({ catchUpMax: 0 });
    await scheduler.stop();
    await scheduler.clock.advance(HOUR);
    await scheduler.restart();
    await scheduler.clock.advance(1_000);
    assert.deepEqual(await scheduler.history(), ["01:00 on-time"]);
  });

  it("lets instants pass while an event runs: skip", async () => {
    await using scheduler = await start({ overlap: "skip" });
    await scheduler.clock.advance(2 * HOUR);
    await scheduler.finish();
    await scheduler.clock.advance(HOUR);
    assert.deepEqual(await scheduler.history(), ["01:00 on-time", "02:00 skipped", "03:00 on-time"]);
    assert.equal(await scheduler.eventCount(), 2);
  });

  it("keeps instants waiting while an event runs, and takes them one by one: queue", async () => {
    await using scheduler = await start({ overlap: "queue" });
    await scheduler.clock.advance(3 * HOUR + MINUTE);
    assert.deepEqual(await scheduler.history(), ["01:00 on-time"]);
    await scheduler.finish();
    await scheduler.clock.advance(5_000);
    assert.deepEqual(await scheduler.history(), ["01:00 on-time", "02:00 on-time"]);
    await scheduler.finish();
    await scheduler.clock.advance(5_000);
    await scheduler.finish();
    await scheduler.clock.advance(5_000);
    assert.deepEqual(await scheduler.history(), ["01:00 on-time", "02:00 on-time", "03:00 on-time"]);
  });

  it("lets no more than a hundred instants wait", async () => {
    await using scheduler = await start({ overlap: "queue" }, "* * * * *");
    await scheduler.clock.advance(150 * MINUTE);
    await scheduler.finish();
    await scheduler.clock.advance(2_000);
    const missed = Array.from({ length: 49 }, (_, index) => `00:${`${index + 2}`.padStart(2, "0")} missed`);
    assert.deepEqual(await scheduler.history(), ["00:01 on-time", ...missed, "00:51 on-time"]);
  });

  it("cancels what has not ended: replace", async () => {
    await using scheduler = await start({ overlap: "replace" });
    await scheduler.clock.advance(2 * HOUR);
    const states = await scheduler.store.events.list({
      functionName: undefined,
      states: undefined,
      after: undefined,
      limit: 9,
    });
    assert.deepEqual(states.map(({ state }) => state).sort(), ["cancelled", "queued"]);
  });

  it("does not double or storm when the clock jumps, and goes on after it was put back", async () => {
    for (const jump of [HOUR, -HOUR, DAY, -DAY]) {
      await using scheduler = await start();
      const { clock } = scheduler;
      await clock.advance(2 * HOUR + 10 * MINUTE);
      const before = await scheduler.eventCount();
      clock.jump(jump);
      await clock.advance(5_000);
      assert.ok((await scheduler.eventCount()) - before <= 1, `a storm after ${jump / HOUR} h`);
      clock.jump(-jump);
      await clock.advance(3 * HOUR);
      const firings = await scheduler.store.schedules.firings("s", { before: undefined, limit: 999 });
      const fired = firings.filter(({ eventId }) => eventId !== undefined);
      assert.equal(new Set(fired.map(({ instantAt }) => instantAt)).size, fired.length);
      for (const hour of [1, 2, 3, 4, 5]) {
        const isFired = fired.some(({ instantAt }) => instantAt === START + hour * HOUR);
        assert.ok(isFired, `nothing at ${hour}:00 after a jump of ${jump / HOUR} h`);
      }
      assert.equal(await scheduler.eventCount(), fired.length);
    }
  });

  it("fires each instant once however many schedulers there are, with clocks apart", async () => {
    await using scheduler = await start({}, "*/5 * * * *");
    const { schedules, events } = scheduler.store;
    const others = [-5_000, 5_000].map((skewMs) => {
      const clock = { ...scheduler.clock, now: () => scheduler.clock.now() + skewMs };
      return inBackground((signal) =>
        runScheduler({ schedules, events, identity, clock, log: silentLog }, { signal }),
      );
    });
    await scheduler.clock.advance(HOUR);
    await others[0]?.[Symbol.asyncDispose]();
    await scheduler.clock.advance(HOUR);
    await others[1]?.[Symbol.asyncDispose]();
    const history = await scheduler.history();
    assert.equal(history.length, 24);
    assert.equal(await scheduler.eventCount(), 24);
    assert.ok(
      history.every((line) => line.endsWith("on-time")),
      history.join(),
    );
  });

  it("puts each instant off by the same share of its jitter", async () => {
    await using scheduler = await start({ jitterMs: 20 * MINUTE });
    await scheduler.clock.advance(3 * HOUR - MINUTE);
    const firings = await scheduler.store.schedules.firings("s", { before: undefined, limit: 9 });
    const lateness = firings.map(({ instantAt, firedAt }) => firedAt - instantAt);
    assert.equal(lateness.length, 2);
    assert.ok(
      lateness.every((ms) => ms > 1_000 && ms < 20 * MINUTE + 1_000),
      lateness.join(),
    );
    assert.notEqual(lateness[0], lateness[1]);
  });

  it("removes a schedule that has ended, if it is to", async () => {
    await using scheduler = await start({ endsDeleted: true }, "at(2027-01-01T01:00:00)");
    await scheduler.clock.advance(HOUR);
    assert.equal(await scheduler.store.schedules.find("s"), undefined);
    assert.equal(await scheduler.eventCount(), 1);
  });

  it("stops a schedule that nobody can read, and goes on with the others", async () => {
    await using scheduler = await start();
    const broken = sampleSchedule("broken", {
      timing: {
        expression: "0 * * * *",
        timeZone: "Mars/Olympus",
        anchorAt: 0,
        startAt: undefined,
        endAt: undefined,
      },
    });
    const at = START + HOUR;
    await scheduler.store.schedules.save({ schedule: broken, next: { instantAt: at, dueAt: at } });
    await scheduler.clock.advance(2 * HOUR);
    assert.equal((await scheduler.store.schedules.find("broken"))?.next, undefined);
    assert.equal((await scheduler.history()).length, 2);
  });
});
