import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { IdleHistogram } from "./idle-histogram.ts";
import { type FunctionFacts, KeepAliveRule } from "./keep-alive-rule.ts";

const MINUTE_MS = 60_000;

interface Named {
  readonly name: string;
}

const instances = new Map<string, Named>();

/** The same name is the same instance, within a test and beyond: rules of their own do not know of each other. */
function instanceOf(name: string): Named {
  const found = instances.get(name) ?? { name };
  instances.set(name, found);
  return found;
}

function facts(
  key: string,
  changes: Partial<FunctionFacts<Named>> & { readonly lastUsedAt?: number; readonly sizeMib?: number } = {},
): FunctionFacts<Named> {
  const { lastUsedAt = 0, sizeMib = 10, ...rest } = changes;
  return {
    key,
    uses: 1,
    startMs: 5,
    isBusy: false,
    idle: [{ instance: instanceOf(key), lastUsedAt, sizeMib }],
    ...rest,
  };
}

function newRule(changes: { readonly idleMibMax?: number } = {}) {
  return new KeepAliveRule({ idleMsMax: 10 * MINUTE_MS, idleMibMax: 1_000, ...changes });
}

function namesOf({ letGo }: { readonly letGo: readonly Named[] }): string[] {
  return letGo.map(({ name }) => name);
}

describe("the rule by which instances stay", () => {
  it("lets go of what has been idle too long, whatever it is worth", () => {
    const rule = newRule();
    const dear = facts("dear", { uses: 1_000_000 });
    assert.deepEqual(namesOf(rule.sweep(9 * MINUTE_MS, [dear], 0)), []);
    assert.deepEqual(namesOf(rule.sweep(10 * MINUTE_MS, [dear], 0)), ["dear"]);
  });

  it("keeps what is called often, slow to start and small", () => {
    for (const [why, more, less] of [
      ["calls", facts("more", { uses: 50 }), facts("less", { uses: 2 })],
      ["start", facts("more", { startMs: 400 }), facts("less")],
      ["size", facts("more"), facts("less", { sizeMib: 90 })],
    ] as const) {
      const sizes = [more, less].flatMap(({ idle }) => idle.map(({ sizeMib }) => sizeMib));
      const rule = newRule({ idleMibMax: Math.max(...sizes) });
      assert.deepEqual(namesOf(rule.sweep(1_000, [more, less], 0)), ["less"], why);
    }
  });

  it("lets what was dear once grow old beside what is used", () => {
    const rule = newRule({ idleMibMax: 10 });
    const old = facts("old", { uses: 100 });
    rule.sweep(0, [old], 0);
    for (let round = 1; round < 200; round += 1) {
      const fresh = facts(`fresh-${round}`, { uses: 2, lastUsedAt: round });
      if (namesOf(rule.sweep(round, [old, fresh], 0)).includes("old")) return;
    }
    assert.fail("it was never let go");
  });

  it("makes as much room as the host is short of", () => {
    const all = [facts("a", { uses: 1 }), facts("b", { uses: 2 }), facts("c", { uses: 3 })];
    assert.deepEqual(namesOf(newRule().sweep(0, all, 15)), ["a", "b"]);
  });

  it("gives one instance's part of the calls to each of several", () => {
    const idle = ["x1", "x2", "x3", "x4"].map((name) => ({
      instance: instanceOf(name),
      lastUsedAt: 0,
      sizeMib: 10,
    }));
    const rule = newRule({ idleMibMax: 40 });
    const decision = rule.sweep(0, [facts("y", { uses: 30 }), facts("x", { uses: 80, idle })], 0);
    assert.deepEqual(namesOf(decision), ["x1"]);
  });

  it("names the one that is worth least", () => {
    const rule = newRule();
    const all = [facts("a", { uses: 9 }), facts("b", { uses: 2 })];
    rule.sweep(0, all, 0);
    assert.equal(rule.leastWorth(all)?.name, "b");
    assert.equal(rule.leastWorth([facts("none", { idle: [] })]), undefined);
  });

  it("starts a slow one again before the call that comes every hour", () => {
    const rule = newRule();
    const starts: number[] = [];
    let isUp = true;
    let uses = 0;
    let lastUsedAt = 0;
    for (let minute = 0; minute <= 60 * 24; minute += 1) {
      const now = minute * MINUTE_MS;
      if (minute % 60 === 0) {
        uses += 1;
        lastUsedAt = now;
        isUp = true;
      }
      const idle = isUp ? [{ instance: instanceOf("slow"), lastUsedAt, sizeMib: 10 }] : [];
      const { letGo, start } = rule.sweep(now, [facts("slow", { uses, startMs: 400, idle })], 0);
      if (letGo.length > 0) isUp = false;
      if (start.length > 0) {
        starts.push(minute % 60);
        isUp = true;
        lastUsedAt = now;
      }
    }
    assert.ok(starts.length >= 10, `${starts.length} starts`);
    assert.deepEqual(new Set(starts), new Set([54]));
  });

  it("foresees nothing for those that start quickly", () => {
    const rule = newRule();
    for (let hour = 0; hour < 24; hour += 1) {
      const now = hour * 60 * MINUTE_MS;
      rule.sweep(now, [facts("quick", { uses: hour, lastUsedAt: now })], 0);
      const { start } = rule.sweep(now + 55 * MINUTE_MS, [facts("quick", { uses: hour, idle: [] })], 0);
      assert.deepEqual(start, []);
    }
  });
});

describe("the histogram of idle times", () => {
  it("says nothing before it has seen enough, or what it has seen has no pattern", () => {
    const few = new IdleHistogram();
    for (let count = 0; count < 9; count += 1) few.add(MINUTE_MS);
    const flat = new IdleHistogram();
    for (let bin = 0; bin < 240; bin += 1) flat.add(bin * MINUTE_MS);
    const outside = new IdleHistogram();
    for (let count = 0; count < 40; count += 1) outside.add(count < 15 ? MINUTE_MS : 5 * 60 * MINUTE_MS);
    assert.deepEqual([few.window(), flat.window(), outside.window()], [undefined, undefined, undefined]);
  });

  it("spans what usually happens, with a tenth to spare", () => {
    const histogram = new IdleHistogram();
    for (let count = 0; count < 100; count += 1) histogram.add(30 * MINUTE_MS);
    assert.deepEqual(histogram.window(), {
      startAfterMs: 27 * MINUTE_MS,
      endAfterMs: 31 * MINUTE_MS * 1.1,
    });
  });
});
