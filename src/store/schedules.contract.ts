import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { isPlatformError } from "../core/errors.ts";
import type { FiringKind, Rule } from "../core/schedule.ts";
import { sampleEvent } from "./event-samples.fake.ts";
import { sampleFunction, sampleName } from "./samples.fake.ts";
import { sampleScheduleRecord } from "./schedule-samples.fake.ts";
import type { Firing } from "./schedules.ts";
import type { Store } from "./store.ts";

const at = (ms: number) => ({ instantAt: ms, dueAt: ms });
const PAGE = { prefix: "", after: undefined, limit: 10 };

function firing(name: string, instantAt: number, change: Partial<Firing> = {}): Firing {
  return {
    name,
    firedAt: instantAt,
    instants: [{ instantAt, kind: "on-time", event: sampleEvent("greet", name) }],
    moves: { from: at(instantAt), to: at(instantAt + 60_000) },
    ...change,
  };
}

/** The promises of schedules.ts. `open` gives an empty store. */
export function describeSchedules(name: string, open: () => Promise<Store>): void {
  let store: Store;
  beforeEach(async () => {
    store = await open();
    await store.registry.saveFunction(sampleFunction("greet"));
  });
  afterEach(() => store[Symbol.asyncDispose]());

  const eventCount = async () =>
    (
      await store.events.list({
        functionName: sampleName("greet"),
        states: undefined,
        after: undefined,
        limit: 100,
      })
    ).length;

  describe(`${name}: Schedules`, () => {
    it("keeps, lists, replaces and removes them", async () => {
      const { schedules } = store;
      const a = sampleScheduleRecord("a", 60_000, { input: "{}", qualifier: "prod" });
      const target = sampleScheduleRecord("rule/r/1", undefined);
      for (const record of [target, a]) await schedules.save(record);
      assert.deepEqual(await schedules.find("a"), a);
      assert.equal(await schedules.find("b"), undefined);
      assert.deepEqual(await schedules.list(PAGE), [a, target]);
      assert.deepEqual(await schedules.list({ ...PAGE, prefix: "rule/r/" }), [target]);
      assert.deepEqual(await schedules.list({ ...PAGE, after: "a", limit: 1 }), [target]);
      const paused = sampleScheduleRecord("a", undefined, { isPaused: true });
      await schedules.save(paused);
      assert.deepEqual(await schedules.find("a"), paused);
      assert.deepEqual([await schedules.remove("a"), await schedules.remove("a")], [true, false]);
    });

    it("refuses one of a function that is not there, and loses them with their function", async () => {
      const { schedules } = store;
      await assert.rejects(
        schedules.save(sampleScheduleRecord("x", 1, { functionName: sampleName("nobody") })),
        (error) => isPlatformError(error, "FunctionNotFound"),
      );
      await schedules.save(sampleScheduleRecord("s", 60_000));
      await schedules.fire(firing("s", 60_000));
      await store.registry.deleteFunction(sampleName("greet"));
      assert.deepEqual(await schedules.list(PAGE), []);
      assert.deepEqual(await schedules.firings("s", { before: undefined, limit: 9 }), []);
    });

    it("gives what is due, longest overdue first", async () => {
      const { schedules } = store;
      for (const [id, due] of [
        ["late", 1_000],
        ["later", 2_000],
        ["idle", undefined],
        ["latest", 500],
      ] as const) {
        await schedules.save(sampleScheduleRecord(id, due));
      }
      const due = async (until: number, limit: number) =>
        (await schedules.due(until, limit)).map(({ schedule }) => schedule.name);
      assert.deepEqual(await due(1_999, 9), ["latest", "late"]);
      assert.deepEqual(await due(2_000, 9), ["latest", "late", "later"]);
      assert.deepEqual(await due(2_000, 1), ["latest"]);
    });

    it("fires an instant once, whoever claims it again", async () => {
      const { schedules } = store;
      await schedules.save(sampleScheduleRecord("s", 60_000));
      const [id] = (await schedules.fire(firing("s", 60_000))) ?? [];
      assert.ok(id);
      assert.equal((await store.events.find(id))?.origin, "test");
      assert.deepEqual((await schedules.find("s"))?.next, at(120_000));
      assert.equal(await schedules.fire(firing("s", 60_000)), undefined, "it waits for another one now");
      await schedules.save(sampleScheduleRecord("s", 60_000));
      assert.deepEqual(await schedules.fire(firing("s", 60_000)), [undefined], "the instant is claimed");
      assert.deepEqual((await schedules.find("s"))?.next, at(120_000));
      assert.equal(await eventCount(), 1);
    });

    it("gives an instant to one of many that ask at once", async () => {
      const { schedules } = store;
      await schedules.save(sampleScheduleRecord("s", 60_000));
      const claims = await Promise.all(Array.from({ length: 20 }, () => schedules.fire(firing("s", 60_000))));
      assert.equal(claims.filter((claim) => claim !== undefined).length, 1);
      assert.equal(await eventCount(), 1);
    });

    it("changes nothing where the schedule is gone, paused or moved", async () => {
      const { schedules } = store;
      assert.equal(await schedules.fire(firing("gone", 60_000)), undefined);
      await schedules.save(sampleScheduleRecord("paused", undefined));
      assert.equal(await schedules.fire(firing("paused", 60_000)), undefined);
      await schedules.save(sampleScheduleRecord("moved", 90_000));
      assert.equal(await schedules.fire(firing("moved", 60_000)), undefined);
      assert.deepEqual((await schedules.find("moved"))?.next, at(90_000));
      assert.equal(await eventCount(), 0);
    });

    it("lets a missed instant fire after all", async () => {
      const { schedules } = store;
      await schedules.save(sampleScheduleRecord("s", 60_000));
      const missed = { instantAt: 60_000, kind: "missed" as FiringKind, event: undefined };
      await schedules.fire(firing("s", 60_000, { instants: [missed] }));
      await schedules.save(sampleScheduleRecord("s", 60_000));
      const [id] = (await schedules.fire(firing("s", 60_000))) ?? [];
      assert.ok(id);
      const history = await schedules.firings("s", { before: undefined, limit: 9 });
      assert.deepEqual(history, [{ instantAt: 60_000, firedAt: 60_000, kind: "on-time", eventId: id }]);
    });

    it("fires by hand without moving, and tells its history latest first", async () => {
      const { schedules } = store;
      await schedules.save(sampleScheduleRecord("s", 60_000));
      const byHand = { instantAt: 30_001, kind: "by-hand" as FiringKind, event: sampleEvent("greet") };
      await schedules.fire(firing("s", 30_001, { instants: [byHand], moves: undefined }));
      const skipped = { instantAt: 60_000, kind: "skipped" as FiringKind, event: undefined };
      await schedules.fire(firing("s", 60_000, { instants: [skipped], moves: undefined }));
      const told = async (before: number | undefined, limit: number) =>
        (await schedules.firings("s", { before, limit })).map(({ instantAt, kind }) => [instantAt, kind]);
      assert.deepEqual(await told(undefined, 9), [
        [60_000, "skipped"],
        [30_001, "by-hand"],
      ]);
      assert.deepEqual(await told(60_000, 9), [[30_001, "by-hand"]]);
      assert.deepEqual((await schedules.find("s"))?.next, at(60_000));
    });

    it("knows its events that have not ended", async () => {
      const { schedules, events } = store;
      await schedules.save(sampleScheduleRecord("s", 60_000));
      const [first] = (await schedules.fire(firing("s", 60_000))) ?? [];
      const [second] = (await schedules.fire(firing("s", 120_000))) ?? [];
      assert.ok(first && second);
      assert.deepEqual((await schedules.openEvents("s")).sort(), [first, second].sort());
      await events.cancel(first, { condition: "Cancelled", message: "" });
      assert.deepEqual(await schedules.openEvents("s"), [second]);
    });
  });

  describe(`${name}: Rules`, () => {
    const rule = (id: string, change: Partial<Rule> = {}): Rule => ({
      name: id,
      description: "",
      expression: "rate(1 minute)",
      isEnabled: true,
      roleArn: undefined,
      tags: {},
      anchorAt: 0,
      ...change,
    });

    it("keeps rules, and changes their targets in the same step", async () => {
      const { schedules, rules } = store;
      await rules.save(rule("b"), []);
      await rules.save(rule("ab"), []);
      await schedules.save(sampleScheduleRecord("rule/b/1", undefined));
      const changed = sampleScheduleRecord("rule/b/1", 60_000, { description: "changed" });
      await rules.save(rule("b", { isEnabled: false }), [changed, sampleScheduleRecord("rule/b/gone", 1)]);
      assert.deepEqual(await rules.find("b"), rule("b", { isEnabled: false }));
      assert.deepEqual(await schedules.list(PAGE), [changed]);
      assert.deepEqual(
        (await rules.list(PAGE)).map(({ name: id }) => id),
        ["ab", "b"],
      );
      assert.deepEqual(
        (await rules.list({ ...PAGE, prefix: "a" })).map(({ name: id }) => id),
        ["ab"],
      );
      assert.deepEqual([await rules.remove("b"), await rules.remove("b")], [true, false]);
    });
  });
}
