import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type CanaryPlan, parseCondition } from "../core/canary.ts";
import { fakeClock } from "../core/clock.fake.ts";
import { isPlatformError } from "../core/errors.ts";
import { silentLog } from "../core/log.ts";
import { runningCanary } from "../core/tried.ts";
import { Tally } from "../records/metrics/tally.ts";
import { sampleName } from "../store/samples.fake.ts";
import { openCanaries } from "./canary-keeper.ts";
import { newFunction, openFakeFunctions } from "./registry.fake.ts";

const f = sampleName("f");
const PLAN: CanaryPlan = {
  share: 0.1,
  forMs: 60_000,
  abortOn: [parseCondition("error-rate>10%"), parseCondition("p99>500ms")],
  callsMin: 20,
};

async function withCanary(plan: Partial<CanaryPlan> = {}, random = () => 0.5) {
  const { functions } = openFakeFunctions({ random });
  await functions.deploy(newFunction("f", "old"));
  await functions.publishAside(f, newFunction("f", "new"));
  const record = await functions.startCanary(f, 2, { ...PLAN, ...plan });
  const tally = new Tally();
  const windows: number[] = [];
  const count = (outcome: "returned" | "threw", calls: number, ms = 5) => {
    for (let call = 0; call < calls; call += 1) {
      tally.ended(outcome);
      tally.duration.record(ms);
    }
  };
  const open = (clock = fakeClock(1_000), list = functions.list.bind(functions)) => {
    const metrics = {
      window: async ({ version, lastMs }: { version: string | undefined; lastMs: number }) => {
        windows.push(lastMs);
        return version === "2" ? tally : new Tally();
      },
    };
    const endCanary = functions.endCanary.bind(functions);
    const get = functions.get.bind(functions);
    const keeper = openCanaries({
      functions: { get, list, endCanary },
      openProjects: () => assert.fail("there is no project"),
      metrics,
      shadows: { find: async () => undefined },
      clock,
      log: silentLog,
    });
    return { keeper, clock };
  };
  const latest = async () => (await functions.get(f)).canaries?.[0];
  return { functions, record, count, open, latest, windows };
}

describe("the keeper of canaries", () => {
  it("ends one at once when enough calls meet a condition, with the figures", async () => {
    const { functions, record, count, open, latest } = await withCanary();
    const { keeper, clock } = open();
    await using _ = keeper;
    keeper.functionChanged(f, record);
    count("threw", 19);
    await clock.advance(5_000);
    assert.equal((await latest())?.decision, undefined, "19 calls decide nothing");
    count("returned", 1);
    await clock.advance(2_000);
    const { decision } = (await latest()) ?? {};
    assert.equal(decision?.outcome, "aborted");
    assert.match(decision?.reason ?? "", /error-rate was 95% of 20 calls/);
    assert.deepEqual([decision?.figures?.calls, decision?.figures?.errors], [20, 19]);
    assert.equal((await functions.get(f)).liveVersion, 1);
  });

  it("lets one go live when its time is over, and by its latency not", async () => {
    for (const [ms, outcome, live] of [
      [5, "promoted", 2],
      [900, "aborted", 1],
    ] as const) {
      const { functions, record, count, open, latest } = await withCanary();
      const { keeper, clock } = open();
      await using _ = keeper;
      keeper.functionChanged(f, record);
      // Too few, so that only the end decides.
      count("returned", 3, ms);
      await clock.advance(55_000);
      assert.equal((await latest())?.decision, undefined);
      await clock.advance(10_000);
      assert.equal((await latest())?.decision?.outcome, outcome);
      const { liveVersion, latest: live$ } = await functions.get(f);
      assert.deepEqual([liveVersion, live$.code.treeId], [live, live === 2 ? "tree-new" : "tree-old"]);
    }
  });

  it("finds those of before a restart, once they can be read, and reads their figures from files", async () => {
    const { functions, count, open, latest, windows } = await withCanary();
    count("threw", 30);
    let failures = 2;
    const { keeper, clock } = open(fakeClock(30_000), async (page) => {
      if (failures-- > 0) throw new Error("not now");
      return await functions.list(page);
    });
    await using _ = keeper;
    await clock.advance(10_000);
    assert.equal((await latest())?.decision?.outcome, "aborted");
    assert.ok(windows.every((lastMs) => lastMs > 15 * 60_000));
  });
});

it("ends one whose time was over while nobody was there", async () => {
  const { open, latest } = await withCanary();
  const { keeper, clock } = open(fakeClock(10_000_000));
  await using _ = keeper;
  await clock.advance(2_000);
  assert.deepEqual(
    [(await latest())?.decision?.outcome, (await latest())?.decision?.reason],
    ["promoted", "its time was over: no condition was met in 0 calls"],
  );
});

describe("a shadow", () => {
  const shadow = { methods: ["GET"] };

  it("ends when its time is over, whatever was counted, with what it has found", async () => {
    const { functions, record, open, latest } = await withCanary({ shadow });
    const { keeper, clock } = open();
    await using _ = keeper;
    keeper.functionChanged(f, record);
    await clock.advance(50_000);
    assert.equal((await latest())?.decision, undefined);
    await clock.advance(20_000);
    const { decision } = (await latest()) ?? {};
    assert.equal(decision?.outcome, "ended");
    assert.equal(decision?.comparison?.copied, 0);
    assert.equal((await functions.get(f)).liveVersion, 1);
  });

  it("takes no calls, and keeps its version while it runs", async () => {
    const { functions } = await withCanary({ shadow }, () => 0);
    const { version, shadow: copies } = await functions.resolve(f, undefined);
    assert.deepEqual([version.label, copies?.tried.version.label], ["$LATEST", "2"]);
    assert.equal(copies?.tried.isCopy, true);
    assert.equal(functions.resolveCached(f, "$LATEST")?.shadow, undefined);
    await assert.rejects(functions.removeVersion(f, 2), /is a shadow/);
    await functions.deploy(newFunction("f", "newer"));
    assert.equal((await functions.resolve(f, undefined)).shadow, undefined);
    await functions.removeVersion(f, 2);
  });
});

describe("a canary", () => {
  it("takes its share of the calls that name nothing, and no others", async () => {
    let drawn = 0;
    const { functions } = await withCanary({ share: 0.25 }, () => drawn);
    const label = async (qualifier?: string) => (await functions.resolve(f, qualifier)).version.label;
    for (const [draw, expected] of [
      [0, "2"],
      [0.24, "2"],
      [0.25, "$LATEST"],
      [0.99, "$LATEST"],
    ] as const) {
      drawn = draw;
      assert.equal(await label(), expected);
      assert.equal(functions.resolveCached(f, undefined)?.version.label, expected);
    }
    drawn = 0;
    assert.deepEqual([await label("$LATEST"), await label("1")], ["$LATEST", "1"]);
  });

  it("gives both sides to who has a key", async () => {
    const { functions } = await withCanary({ sticky: { kind: "ip" } });
    const { canary } = await functions.resolve(f, undefined);
    assert.deepEqual([canary?.live.version.label, canary?.tried.version.label], ["$LATEST", "2"]);
    assert.equal(canary?.live.canary, undefined);
  });

  it("is over when something else changes what is live", async () => {
    const changes = {
      deploy: { change: "deployed", live: 3 },
      rollback: { change: "rolled back to version 1", live: 1 },
      update: { change: "was changed", live: undefined },
    };
    for (const [kind, { change, live }] of Object.entries(changes)) {
      const { functions, latest } = await withCanary({}, () => 0);
      if (kind === "deploy") await functions.deploy(newFunction("f", "newer"));
      else if (kind === "rollback") await functions.rollback(f, 1);
      else await functions.update(f, { code: newFunction("f", "newer").code });
      const { decision } = (await latest()) ?? {};
      assert.equal(decision?.outcome, "superseded", kind);
      assert.match(decision?.reason ?? "", new RegExp(change));
      assert.equal((await functions.get(f)).liveVersion, live);
      assert.equal((await functions.resolve(f, undefined)).version.label, "$LATEST");
    }
  });

  it("is superseded by the next, and ten are remembered", async () => {
    const { functions } = await withCanary();
    for (let version = 3; version <= 14; version += 1) {
      await functions.publishAside(f, newFunction("f", "new"));
      await functions.startCanary(f, version, PLAN);
    }
    const { canaries = [], ...rest } = await functions.get(f);
    assert.equal(canaries.length, 10);
    assert.deepEqual(canaries.map(({ version, decision }) => [version, decision?.outcome]).slice(0, 2), [
      [14, undefined],
      [13, "superseded"],
    ]);
    assert.equal(runningCanary({ canaries, ...rest })?.version, 14);
  });

  it("cannot lose its version, nor end twice, nor be of a version that is not there", async () => {
    const { functions } = await withCanary();
    const isConflict = (error: unknown) => isPlatformError(error, "ResourceConflict");
    await assert.rejects(functions.removeVersion(f, 2), isConflict);
    const decision = { outcome: "aborted", at: 1, reason: "x" } as const;
    await assert.rejects(functions.endCanary(f, 1, decision), isConflict);
    await functions.endCanary(f, 2, decision);
    await assert.rejects(functions.endCanary(f, 2, decision), isConflict);
    await functions.removeVersion(f, 2);
    await assert.rejects(functions.startCanary(f, 2, PLAN), (error) =>
      isPlatformError(error, "VersionNotFound"),
    );
  });
});
