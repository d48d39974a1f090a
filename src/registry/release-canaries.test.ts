import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type CanaryPlan, canarySeries, parseCondition } from "../core/canary.ts";
import { fakeClock } from "../core/clock.fake.ts";
import { isPlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import { silentLog } from "../core/log.ts";
import { formatRelease, type ReleaseRef } from "../core/project.ts";
import { Tally } from "../records/metrics/tally.ts";
import { sampleProjectName } from "../store/project-samples.fake.ts";
import type { Projects } from "../store/projects.ts";
import { sampleName } from "../store/samples.fake.ts";
import { fakeStore } from "../store/store.fake.ts";
import { openCanaries } from "./canary-keeper.ts";
import { openFunctions } from "./function-registry.ts";
import { openProjectBook } from "./project-book.ts";
import type { WantedRelease } from "./projects.ts";
import { newFunction, wantedRelease } from "./registry.fake.ts";
import { triggersOf } from "./release-triggers.fake.ts";
import { openRouteBook } from "./route-book.ts";
import { resolveWithin } from "./siblings.ts";
import { lastingQualifier } from "./target.ts";

const shop = sampleProjectName("shop");
const [a, b, c] = [sampleName("a"), sampleName("b"), sampleName("c")];
const PLAN: CanaryPlan = {
  share: 0.25,
  forMs: 60_000,
  abortOn: [parseCondition("error-rate>10%")],
  callsMin: 20,
};

async function open(changed: Partial<Projects> = {}) {
  const store = fakeStore();
  const clock = fakeClock(1_000);
  const drawn = { value: 0.9 };
  const told: string[] = [];
  const watchers: ((name: typeof a, record: FunctionRecord | undefined) => void)[] = [];
  const projects = { ...store.projects, ...changed };
  const functions = openFunctions({
    registry: store.registry,
    releases: projects,
    clock,
    async changed(name) {
      const record = await functions.get(name).catch(() => undefined);
      for (const watch of watchers) watch(name, record);
    },
    random: () => drawn.value,
  });
  const book = openProjectBook({
    ...triggersOf(store, clock),
    projects,
    registry: store.registry,
    schedules: store.schedules,
    functions,
    routes: await openRouteBook({ routes: store.routes, functions, domains: ["localhost"], clock }),
    listener: {
      releaseStarting: () => undefined,
      releaseMade: () => undefined,
      releaseLive: (ref: ReleaseRef) => void told.push(`on ${formatRelease(ref)}`),
      releaseLetGo: (ref: ReleaseRef) => void told.push(`off ${formatRelease(ref)}`),
    },
    clock,
  });
  const make = (release: WantedRelease) => book.make(release, { mayRemove: true, start: async () => {} });
  /** What a call from outside runs if it is drawn so. */
  const find = async (name: typeof a, value = drawn.value) => {
    drawn.value = value;
    const { version, release } = await functions.resolve(name, undefined);
    return `${version.label} of ${release?.number}`;
  };
  const latest = async () => (await book.get(shop)).canaries?.[0];
  return { store, clock, functions, book, make, find, latest, told, watchers };
}

/** Release 1 is live, and 2 is tried, in which only `a` is another version. */
async function openTried(plan: Partial<CanaryPlan> = {}) {
  const opened = await open();
  await opened.make(wantedRelease({ a: "1", b: "1" }));
  await opened.make(wantedRelease({ a: "2", b: "1" }, { canary: { ...PLAN, ...plan } }));
  return opened;
}

const isConflict = (error: unknown) => isPlatformError(error, "ResourceConflict");

describe("a release that is tried", () => {
  it("takes its share of the calls from outside, of unchanged functions too", async () => {
    const { find, functions, told } = await openTried();
    assert.deepEqual([await find(a, 0.24), await find(b, 0.24)], ["2 of 2", "1 of 2"]);
    assert.deepEqual([await find(a, 0.25), await find(b, 0.25)], ["1 of 1", "1 of 1"]);
    assert.deepEqual(told, ["on shop@1", "on shop@2"]);
    // What is kept started is that, too.
    const latest = await functions.resolve(a, "$LATEST");
    assert.deepEqual([latest.version.label, latest.release?.number, latest.canary], ["1", 1, undefined]);
  });

  it("keeps the calls of its functions, and those of the live ones, where they are", async () => {
    const { functions } = await openTried();
    for (const [number, label] of [
      [1, "1"],
      [2, "2"],
    ] as const) {
      const target = await resolveWithin(functions, { project: shop, number }, a, undefined);
      assert.deepEqual([target.version.label, target.release?.number], [label, number]);
      assert.equal(lastingQualifier(target), `shop@${number}`);
    }
    const entering = await functions.resolve(a, undefined);
    assert.equal(lastingQualifier(entering), undefined, "an event from outside is drawn when it is claimed");
  });

  it("gives both sides to who has a key, the same for all functions", async () => {
    const { functions } = await openTried({ sticky: { kind: "ip" } });
    const sides = [
      (await functions.resolve(a, undefined)).canary,
      (await functions.resolve(b, undefined)).canary,
    ];
    assert.deepEqual(
      sides.map((side) => [side?.live.release?.number, side?.tried.release?.number]),
      [
        [1, 2],
        [1, 2],
      ],
    );
    assert.equal(sides[0]?.startedAt, sides[1]?.startedAt);
  });

  it("goes live in one step when it is promoted, and nowhere when it is aborted", async () => {
    for (const outcome of ["promoted", "aborted"] as const) {
      const { book, find, latest, told, functions } = await openTried();
      await book.endCanary(shop, 2, { outcome, at: 5, reason: "x" }, "me");
      const live = outcome === "promoted" ? ["2 of 2", "1 of 2"] : ["1 of 1", "1 of 1"];
      assert.deepEqual([await find(a, 0), await find(b, 0)], live);
      assert.equal((await book.get(shop)).liveRelease, outcome === "promoted" ? 2 : 1);
      assert.deepEqual((await latest())?.decision, { outcome, at: 5, reason: "x" });
      assert.equal(told.at(-1), outcome === "promoted" ? "off shop@1" : "off shop@2");
      assert.equal((await functions.get(b)).membership?.tried, undefined);
      await assert.rejects(book.endCanary(shop, 2, { outcome, at: 6, reason: "y" }, "me"), isConflict);
    }
  });

  it("is over in the same write when something else changes what is live", async () => {
    const changes = {
      deploy: { live: 3, outcome: "superseded", reason: "release 3 was made live by me" },
      "the same": { live: 2, outcome: "promoted", reason: "it was made live by me" },
      "what is live": { live: 1, outcome: "superseded", reason: "release 1 was made live by me" },
      rollback: { live: 1, outcome: "superseded", reason: "release 1 was made live by me" },
    };
    for (const [kind, { live, outcome, reason }] of Object.entries(changes)) {
      const { book, make, find, latest, functions } = await openTried();
      if (kind === "deploy") await make(wantedRelease({ a: "3", b: "1" }));
      else if (kind === "the same") await make(wantedRelease({ a: "2", b: "1" }));
      else if (kind === "what is live") await make(wantedRelease({ a: "1", b: "1" }));
      else await book.switchTo(shop, 1, "me");
      assert.equal((await book.get(shop)).liveRelease, live, kind);
      const { decision } = (await latest()) ?? {};
      assert.deepEqual([decision?.outcome, decision?.reason], [outcome, reason], kind);
      assert.match(await find(b, 0), new RegExp(`of ${live}$`));
      for (const name of [a, b]) assert.equal((await functions.get(name)).membership?.tried, undefined);
    }
  });

  it("goes on beside a preview, and is superseded by the next", async () => {
    const { make, find, latest, book, functions } = await openTried();
    await make(wantedRelease({ a: "p", b: "p" }, { isPreview: true }));
    assert.deepEqual([await find(a, 0), (await latest())?.decision], ["2 of 2", undefined]);
    await make(wantedRelease({ b: "4", c: "4" }, { canary: PLAN }));
    assert.deepEqual([await find(a, 0), await find(b, 0)], ["1 of 1", "3 of 4"], "a is not in release 4");
    const { canaries = [] } = await book.get(shop);
    assert.deepEqual(
      canaries.map(({ release, decision }) => [release, decision?.outcome]),
      [
        [4, undefined],
        [2, "superseded"],
      ],
    );
    assert.equal((await functions.get(a)).membership?.tried, undefined);
    await assert.rejects(functions.remove(c), isConflict, "calls in release 4 need it");
    await assert.rejects(functions.resolve(c, undefined), "it is in no live release");
  });

  it("needs a live one beside it, takes nothing over, and is none where nothing differs", async () => {
    const { make, functions, latest } = await open();
    await assert.rejects(make(wantedRelease({ a: "1" }, { canary: PLAN })), (error) =>
      isPlatformError(error, "InvalidRequest"),
    );
    await make(wantedRelease({ a: "1" }));
    await functions.deploy(newFunction("b"));
    await assert.rejects(make(wantedRelease({ a: "1", b: "2" }, { canary: PLAN, adopts: true })), isConflict);
    const plan = await make(wantedRelease({ a: "1" }, { canary: PLAN }));
    assert.deepEqual([plan.isLive, await latest()], [true, undefined]);
  });
});

describe("a release as a shadow", () => {
  const shadow = { methods: ["GET"] };

  it("takes no calls, but is where copies of those from outside go", async () => {
    const { find, functions } = await openTried({ shadow });
    assert.deepEqual([await find(a, 0), await find(b, 0)], ["1 of 1", "1 of 1"]);
    const { shadow: copies } = await functions.resolve(a, undefined);
    assert.deepEqual(
      [copies?.tried.version.label, copies?.tried.release?.number, copies?.tried.isCopy],
      ["2", 2, true],
    );
    assert.equal(copies?.report.key, "@shop");
    for (const number of [1, 2]) {
      const within = await resolveWithin(functions, { project: shop, number }, a, undefined);
      assert.equal(within.shadow, undefined, "what calls in a release is copied no more");
    }
    assert.equal((await functions.resolve(a, "$LATEST")).shadow, undefined);
  });

  it("is ended, or superseded, like a canary", async () => {
    const { book, make, functions, latest } = await openTried({ shadow });
    await book.endCanary(shop, 2, { outcome: "ended", at: 5, reason: "x" }, "me");
    assert.equal((await functions.resolve(a, undefined)).shadow, undefined);
    await make(wantedRelease({ a: "2", b: "1" }, { canary: { ...PLAN, shadow } }));
    assert.ok((await functions.resolve(a, undefined)).shadow);
    await make(wantedRelease({ a: "3", b: "1" }));
    assert.equal((await latest())?.decision?.outcome, "superseded");
    assert.equal((await functions.resolve(a, undefined)).shadow, undefined);
  });
});

describe("the keeper of canaries, of a release", () => {
  async function keep(opened: Awaited<ReturnType<typeof openTried>>) {
    const tallies = new Map<string, Tally>();
    const count = (name: string, outcome: "returned" | "threw", calls: number) => {
      const tally = tallies.get(name) ?? new Tally();
      tallies.set(name, tally);
      for (let call = 0; call < calls; call += 1) {
        tally.ended(outcome);
        tally.duration.record(5);
      }
    };
    const { functions, book, clock, watchers, latest } = opened;
    const started = (await latest())?.startedAt ?? 0;
    const keeper = openCanaries({
      functions,
      openProjects: async () => book,
      metrics: {
        async window({ functionName, qualifier }) {
          const sum = new Tally();
          assert.equal(qualifier, canarySeries({ project: shop, number: 2 }, started));
          sum.add(tallies.get(functionName) ?? new Tally());
          return sum;
        },
      },
      shadows: { find: async () => undefined },
      clock,
      log: silentLog,
    });
    watchers.push((name, record) => keeper.functionChanged(name, record));
    return { keeper, count };
  }

  it("judges all of its functions together, and goes back in time", async () => {
    const opened = await openTried();
    const { keeper, count } = await keep(opened);
    await using _ = keeper;
    count("a", "returned", 10);
    count("b", "threw", 9);
    await opened.clock.advance(3_000);
    assert.equal((await opened.latest())?.decision, undefined, "19 calls decide nothing");
    count("b", "threw", 1);
    await opened.clock.advance(3_000);
    const { decision } = (await opened.latest()) ?? {};
    assert.equal(decision?.outcome, "aborted");
    assert.match(decision?.reason ?? "", /error-rate was 50% of 20 calls/);
    assert.deepEqual(
      decision?.figures?.functions?.map(({ name, calls, errors }) => [name, calls, errors]),
      [
        ["a", 10, 0],
        ["b", 10, 10],
      ],
    );
    assert.equal(await opened.find(b, 0), "1 of 1");
  });

  it("makes it live when its time is over", async () => {
    const opened = await openTried();
    const { keeper, count } = await keep(opened);
    await using _ = keeper;
    count("a", "returned", 3);
    await opened.clock.advance(70_000);
    assert.equal((await opened.latest())?.decision?.outcome, "promoted");
    assert.equal(await opened.find(b, 0.9), "1 of 2");
    const { switches } = await opened.book.get(shop);
    assert.deepEqual([switches.at(-1)?.to, switches.at(-1)?.by], [2, "its canary"]);
  });

  it("lets one go back that cannot go live, and says why", async () => {
    const opened = await openTried();
    const { keeper } = await keep(opened);
    await using _ = keeper;
    await opened.store.registry.deleteVersion(a, 2);
    await opened.clock.advance(70_000);
    const { decision } = (await opened.latest()) ?? {};
    assert.equal(decision?.outcome, "aborted");
    assert.match(decision?.reason ?? "", /could not go live: .*version 2 of "a" was deleted/);
  });
});
