import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Clock } from "../core/clock.ts";
import { type ErrorCode, isPlatformError } from "../core/errors.ts";
import { formatRelease, type ReleaseRef } from "../core/project.ts";
import type { ReleasedRoute, ReleasedSchedule } from "../core/release.ts";
import { sampleAction, sampleRoute } from "../core/route-samples.fake.ts";
import { sampleProjectName } from "../store/project-samples.fake.ts";
import type { Projects } from "../store/projects.ts";
import { sampleName } from "../store/samples.fake.ts";
import { sampleSchedule } from "../store/schedule-samples.fake.ts";
import { fakeStore } from "../store/store.fake.ts";
import { openFunctions } from "./function-registry.ts";
import { openProjectBook } from "./project-book.ts";
import type { WantedRelease } from "./projects.ts";
import { newFunction, wantedRelease } from "./registry.fake.ts";
import { triggersOf } from "./release-triggers.fake.ts";
import { openRouteBook } from "./route-book.ts";
import { resolveWithin } from "./siblings.ts";
import type { Target } from "./target.ts";

const shop = sampleProjectName("shop");
const [a, b, c] = [sampleName("a"), sampleName("b"), sampleName("c")];

function scheduled(name: string, change: Partial<ReleasedSchedule> = {}): ReleasedSchedule {
  const { owner: _, createdAt: __, modifiedAt: ___, ...schedule } = sampleSchedule(name, { functionName: a });
  return { ...schedule, ...change };
}

async function open(changed: Partial<Projects> = {}) {
  const store = fakeStore();
  let now = 1_000;
  const clock: Clock = { now: () => ++now, monotonic: () => now, sleep: async () => {} };
  const { registry, schedules } = store;
  const projects = { ...store.projects, ...changed };
  const functions = openFunctions({ registry, releases: projects, clock, changed: () => undefined });
  const told: string[] = [];
  const listener = {
    releaseStarting: () => undefined,
    releaseMade: () => undefined,
    releaseLive: (ref: ReleaseRef) => void told.push(`live ${formatRelease(ref)}`),
    releaseLetGo: (ref: ReleaseRef) => void told.push(`old ${formatRelease(ref)}`),
  };
  const routeBook = await openRouteBook({ routes: store.routes, functions, domains: ["localhost"], clock });
  const book = openProjectBook({
    ...triggersOf(store, clock),
    routes: routeBook,
    projects,
    registry,
    schedules,
    functions,
    listener,
    clock,
  });
  const started: string[] = [];
  const make = (
    release: WantedRelease,
    options: { readonly mayRemove?: boolean; readonly start?: () => Promise<void> } = {},
  ) =>
    book.make(release, {
      mayRemove: options.mayRemove ?? false,
      async start(_plan, targets) {
        started.push(targets.map(({ version }) => `${version.functionName}${version.label}`).join(" "));
        await options.start?.();
      },
    });
  const live = () =>
    [a, b, c].map((name) => {
      const target = functions.resolveCached(name, undefined);
      return target && `${target.version.label} of ${target.release?.number}`;
    });
  return { store, functions, book, routeBook, make, told, started, live };
}

async function rejects(promise: Promise<unknown>, code: ErrorCode, message = /./): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(isPlatformError(error, code), String(error));
    assert.match(error.message, message);
    return true;
  });
}

describe("a release", () => {
  it("goes live as a whole", async () => {
    const { make, functions, live, told } = await open();
    const plan = await make(wantedRelease({ a: "1", b: "1" }));
    assert.deepEqual([plan.release.number, plan.isMade], [1, false]);
    assert.deepEqual(live(), ["1 of 1", "1 of 1", undefined]);
    await make(wantedRelease({ a: "2", b: "1" }));
    assert.deepEqual(live().slice(0, 2), ["2 of 2", "1 of 2"]);
    const record = await functions.get(a);
    assert.deepEqual(
      [record.liveVersion, record.latest.code.treeId, record.membership],
      [2, "tree-2", { project: shop, release: 2 }],
    );
    assert.deepEqual(told, ["live shop@1", "live shop@2", "old shop@1"]);
  });

  it("is the same one where nothing has changed", async () => {
    const { make, store, started } = await open();
    await make(wantedRelease({ a: "1", b: "1" }, { schedules: [scheduled("s")] }));
    const again = await make(wantedRelease({ b: "1", a: "1" }, { schedules: [scheduled("s")] }));
    assert.deepEqual([again.release.number, again.isMade, again.isLive], [1, true, true]);
    assert.equal((await store.projects.listReleases(shop, { before: undefined, limit: 9 })).length, 1);
    assert.equal(started.length, 1);
  });

  it("has new versions of what has changed only, code or configuration", async () => {
    const { make } = await open();
    await make(wantedRelease({ a: "1", b: "1" }));
    const plan = await make(wantedRelease({ a: "1", b: "2" }));
    assert.deepEqual(
      plan.release.functions.map(({ version }) => version),
      [1, 2],
    );
    assert.deepEqual(plan.difference.functions, [
      { name: "b", change: "changed", from: 1, to: 2, members: ["code"] },
    ]);
    const next = await make(wantedRelease({ a: "1", b: "2" }, { config: { memoryMib: 512 } }));
    assert.deepEqual(
      next.difference.functions.map(({ name, members }) => [name, members]),
      [
        ["a", ["memoryMib"]],
        ["b", ["memoryMib"]],
      ],
    );
  });

  it("changes nothing if anything does not start", async () => {
    const { make, live, store, told } = await open();
    await make(wantedRelease({ a: "1", b: "1" }));
    const start = async () => Promise.reject(new Error("no"));
    await assert.rejects(make(wantedRelease({ a: "2", b: "2", c: "1" }), { start }), /no/);
    assert.deepEqual(live(), ["1 of 1", "1 of 1", undefined]);
    assert.equal(await store.registry.findFunction(c), undefined);
    assert.equal(await store.registry.findVersion(a, 2), undefined);
    assert.deepEqual(told.slice(1), ["old shop@2"]);
    const plan = await make(wantedRelease({ a: "2", b: "2" }));
    assert.deepEqual([plan.release.number, plan.release.functions[0]?.version], [2, 2]);
  });

  it("changes nothing if the store fails", async () => {
    const failing = { isOn: false };
    const store = fakeStore();
    const { make, live } = await open({
      ...store.projects,
      apply: async (change) => {
        if (failing.isOn) throw new Error("disk");
        await store.projects.apply({ ...change, functions: [] });
      },
    });
    failing.isOn = true;
    await assert.rejects(make(wantedRelease({ a: "1" })), /disk/);
    assert.deepEqual(live(), [undefined, undefined, undefined]);
  });

  it("asks before it removes, and what was removed is called no more", async () => {
    const { make, functions } = await open();
    await make(wantedRelease({ a: "1", b: "1" }));
    await rejects(make(wantedRelease({ a: "1" })), "ResourceConflict", /"b".*--prune/);
    await make(wantedRelease({ a: "1" }), { mayRemove: true });
    await rejects(functions.resolve(b, undefined), "FunctionNotFound", /not in the live release/);
    await rejects(functions.resolve(b, "$LATEST"), "FunctionNotFound");
    assert.equal((await functions.resolve(b, "shop@1")).version.label, "1");
  });

  it("refuses what belongs to somebody else", async () => {
    const { make, functions, store } = await open();
    await functions.deploy(newFunction("b", "x"));
    await rejects(make(wantedRelease({ a: "1", b: "1" })), "ResourceConflict", /--adopt/);
    await rejects(make(wantedRelease({ b: "1" }, { adopts: true, isPreview: true })), "ResourceConflict");
    await make(wantedRelease({ a: "1", b: "1" }, { adopts: true }));
    const other = sampleProjectName("other");
    await rejects(
      make(wantedRelease({ b: "1" }, { project: other, adopts: true })),
      "ResourceConflict",
      /"shop"/,
    );
    await store.schedules.save({
      schedule: sampleSchedule("s", { functionName: a }),
      next: undefined,
    });
    const taken = wantedRelease({ a: "1", b: "1" }, { schedules: [scheduled("s")] });
    await rejects(make(taken), "ResourceConflict", /schedule "s"/);
  });

  it("is all that changes its functions", async () => {
    const { make, functions } = await open();
    await make(wantedRelease({ a: "1" }));
    for (const change of [
      functions.deploy(newFunction("a", "2")),
      functions.update(a, { code: newFunction("a", "2").code }),
      functions.rollback(a, 1),
      functions.remove(a),
      functions.removeVersion(a, 1),
    ]) {
      await rejects(change, "ResourceConflict", /project "shop"/);
    }
    await functions.setTags(a, { team: "x" });
    assert.equal((await functions.resolve(a, undefined)).version.label, "1");
  });

  it("refuses none, too many, and schedules that cannot be", async () => {
    const { make } = await open();
    await rejects(make(wantedRelease({})), "InvalidRequest");
    const timing = { ...scheduled("s").timing, expression: "every day" };
    await rejects(
      make(wantedRelease({ a: "1" }, { schedules: [scheduled("s", { timing })] })),
      "InvalidRequest",
    );
  });
});

describe("the routes of a release", () => {
  const all = { mayUse: () => true, mayUseAll: true };
  const route = (key: string, functionName: string, change: object = {}): ReleasedRoute => {
    const {
      id: _,
      createdAt: __,
      modifiedAt: ___,
      ...rest
    } = sampleRoute(key, {
      action: sampleAction(functionName),
      ...change,
    });
    return rest;
  };

  it("go live and back with it, and keep their ids", async () => {
    const { make, book, routeBook, store } = await open();
    const shown = () => routeBook.list().map((each) => `${each.path} ${each.project}`);
    await make(wantedRelease({ a: "1", b: "1" }, { routes: [route("GET /a", "a"), route("GET /b", "b")] }));
    assert.deepEqual(shown(), ["/a shop", "/b shop"]);
    const [id] = routeBook.list().map((each) => each.id);
    const same = await make(
      wantedRelease({ a: "1", b: "1" }, { routes: [route("GET /b", "b"), route("GET /a", "a")] }),
    );
    assert.equal(same.isLive, true);
    const next = await make(
      wantedRelease({ a: "1", b: "1" }, { routes: [route("GET /a", "b"), route("GET /c", "a")] }),
    );
    assert.deepEqual(next.difference.routes, [
      { name: "GET /a on any host", change: "changed" },
      { name: "GET /b on any host", change: "removed" },
      { name: "GET /c on any host", change: "added" },
    ]);
    assert.equal(routeBook.list()[0]?.id, id);
    assert.deepEqual(
      await store.routes.list(),
      [...routeBook.list()].sort((x, y) => (x.id < y.id ? -1 : 1)),
    );
    await book.switchTo(shop, 1, "me");
    assert.deepEqual(shown(), ["/a shop", "/b shop"]);
    await make(wantedRelease({ a: "9" }, { isPreview: true, routes: [route("GET /z", "a")] }));
    assert.deepEqual(shown(), ["/a shop", "/b shop"]);
  });

  it("are not changed by themselves, and take nobody's place", async () => {
    const { make, functions, routeBook } = await open();
    await functions.deploy(newFunction("c"));
    await routeBook.create(route("GET /taken", "c"), all);
    const taken = wantedRelease({ a: "1" }, { routes: [route("GET /taken", "a")] });
    await rejects(make(taken), "ResourceConflict", /conflicts with route/);
    await make(wantedRelease({ a: "1" }, { routes: [route("GET /a", "a")] }));
    const id = routeBook.list().find(({ project }) => project !== undefined)?.id;
    assert.ok(id);
    await rejects(routeBook.remove(id, all), "ResourceConflict", /belongs to project shop/);
    await rejects(
      routeBook.change(id, (before) => before, all),
      "ResourceConflict",
    );
    const unknown = wantedRelease({ a: "1" }, { routes: [route("GET /a", "nobody")] });
    await rejects(make(unknown), "InvalidRequest", /no function "nobody"/);
  });
});

describe("a preview", () => {
  it("is reached by its number only, until it goes live", async () => {
    const { make, functions, live, book } = await open();
    await make(wantedRelease({ a: "1" }));
    const plan = await make(wantedRelease({ a: "2", b: "1" }, { isPreview: true }));
    assert.deepEqual([plan.release.number, live()[0]], [2, "1 of 1"]);
    await rejects(functions.resolve(b, undefined), "FunctionNotFound");
    const labels = async (...named: readonly (readonly [typeof a, string])[]) =>
      Promise.all(named.map(async ([name, by]) => (await functions.resolve(name, by)).version.label));
    assert.deepEqual(await labels([a, "shop@2"], [b, "r2"], [a, "r1"]), ["2", "1", "1"]);
    await book.switchTo(shop, 2, "me");
    assert.deepEqual(live().slice(0, 2), ["2 of 2", "1 of 2"]);
  });

  it("is made live by a deploy of the same", async () => {
    const { make } = await open();
    await make(wantedRelease({ a: "1" }));
    await make(wantedRelease({ a: "2" }, { isPreview: true }));
    const plan = await make(wantedRelease({ a: "2" }));
    assert.deepEqual([plan.release.number, plan.release.functions[0]?.version], [2, 2]);
  });
});

describe("a switch back", () => {
  it("restores functions, settings and schedules together", async () => {
    const { make, book, functions, store } = await open();
    const timing = { ...scheduled("s").timing, expression: "0 3 * * *" };
    await make(wantedRelease({ a: "1", b: "1" }, { schedules: [scheduled("s"), scheduled("t")] }));
    const other = wantedRelease(
      { a: "2", c: "1" },
      { schedules: [scheduled("s", { timing }), scheduled("u")] },
    );
    await make(other, { mayRemove: true });
    const names = async () =>
      (await store.schedules.list({ prefix: "", after: undefined, limit: 9 })).map(
        ({ schedule }) => `${schedule.name} ${schedule.timing.expression}`,
      );
    assert.deepEqual(await names(), ["s 0 3 * * *", "u * * * * *"]);
    const { from, release } = await book.switchTo(shop, undefined, "me");
    assert.deepEqual([from, release.number], [2, 1]);
    assert.deepEqual(await names(), ["s * * * * *", "t * * * * *"]);
    assert.equal((await functions.resolve(a, undefined)).version.label, "1");
    assert.equal((await functions.resolve(b, undefined)).version.label, "1");
    await rejects(functions.resolve(c, undefined), "FunctionNotFound");
    const { switches, nextRelease } = await book.get(shop);
    assert.deepEqual(
      switches.map(({ from, to }) => [from, to]),
      [
        [undefined, 1],
        [1, 2],
        [2, 1],
      ],
    );
    assert.equal(nextRelease, 3);
  });

  it("restores how calls are recorded, and leaves alone what was switched by hand", async () => {
    const { make, book, functions } = await open();
    const recorded = (share: number) => {
      const release = wantedRelease({ a: "1", b: "1" });
      const recording = { share, keepMs: 3_600_000, redact: ["ssn"] };
      return {
        ...release,
        functions: release.functions.map((each) => (each.name === a ? { ...each, recording } : each)),
      };
    };
    const state = async (name = a) => {
      const { settings } = await functions.get(name);
      return (
        settings.recording && [
          settings.recording.isOn,
          settings.recording.share,
          settings.recording.isOfRelease,
        ]
      );
    };
    const byHand = (isOn: boolean) =>
      functions.changeSettings(b, ({ settings }) => ({
        ...settings,
        recording: { isOn, share: 1, keepMs: 3_600_000, redact: [] },
      }));
    await make(wantedRelease({ a: "1", b: "1" }));
    await byHand(true);
    assert.equal(await state(), undefined);
    await make({ ...recorded(0.5), isPreview: true });
    assert.equal(await state(), undefined, "a preview records nothing");
    const made = await make(recorded(0.5));
    assert.deepEqual(
      made.difference.functions.map(({ name, from, to, members }) => [name, from, to, members]),
      [["a", 1, 1, ["recording"]]],
    );
    assert.deepEqual(await state(), [true, 0.5, true]);
    assert.equal((await make(recorded(0.5))).isLive, true);
    await make(recorded(0.1));
    assert.deepEqual(await state(), [true, 0.1, true]);
    await book.switchTo(shop, 1, "me");
    assert.deepEqual(
      [await state(), await state(b)],
      [
        [false, 0.1, true],
        [true, 1, undefined],
      ],
    );
    await book.switchTo(shop, 2, "me");
    assert.deepEqual(
      [await state(), await state(b)],
      [
        [true, 0.5, true],
        [true, 1, undefined],
      ],
    );
    await make(wantedRelease({ b: "1" }), { mayRemove: true });
    assert.deepEqual(await state(), [false, 0.5, true]);
  });

  it("passes over previews, and says when there is nothing before", async () => {
    const { make, book } = await open();
    await make(wantedRelease({ a: "1" }));
    await make(wantedRelease({ a: "2" }, { isPreview: true }));
    await make(wantedRelease({ a: "3" }));
    assert.equal((await book.switchTo(shop, undefined, "me")).release.number, 1);
    await rejects(book.switchTo(shop, undefined, "me"), "VersionNotFound");
    await rejects(book.switchTo(shop, 9, "me"), "ResourceNotFound");
  });

  it("refuses a release of which a function was deleted", async () => {
    const { make, book, functions } = await open();
    await make(wantedRelease({ a: "1", b: "1" }));
    await make(wantedRelease({ a: "1" }), { mayRemove: true });
    await functions.remove(b);
    await rejects(book.switchTo(shop, 1, "me"), "VersionNotFound", /"b" was deleted/);
  });
});

describe("calls out of a release", () => {
  it("stay in it, whatever is live", async () => {
    const { make, functions } = await open();
    await make(wantedRelease({ a: "1", b: "1" }));
    await make(wantedRelease({ a: "2", b: "2", c: "1" }));
    const within = (number: number, name: typeof a) =>
      resolveWithin(functions, { project: shop, number }, name, undefined);
    const label = (target: Target) => `${target.version.label} of ${target.release?.number}`;
    assert.equal(label(await within(1, b)), "1 of 1");
    assert.equal(label(await within(2, b)), "2 of 2");
    await rejects(within(1, c), "VersionNotFound", /not in release 1/);
  });

  it("go where anybody's go when the function is of no project, or asked for by a version", async () => {
    const { make, functions } = await open();
    await functions.deploy(newFunction("c"));
    await make(wantedRelease({ a: "1", b: "1" }));
    await make(wantedRelease({ a: "1", b: "2" }));
    const first = { project: shop, number: 1 };
    assert.equal((await resolveWithin(functions, first, c, undefined)).version.label, "$LATEST");
    assert.equal((await resolveWithin(functions, first, b, "2")).version.label, "2");
  });

  it("never see a mix, at any moment of many switches", async () => {
    const { make, live } = await open();
    const seen = new Set<string>();
    let isOver = false;
    const watching = (async () => {
      while (!isOver) {
        seen.add(String(live().slice(0, 2)));
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    for (let code = 1; code <= 30; code++) await make(wantedRelease({ a: String(code), b: String(code) }));
    isOver = true;
    await watching;
    const mixed = [...seen].filter((pair) => new Set(pair.split(",")).size > 1);
    assert.deepEqual(mixed, []);
  });
});

it("goes with all of its functions", async () => {
  const { make, book, functions, store } = await open();
  await make(wantedRelease({ a: "1", b: "1" }));
  await make(wantedRelease({ a: "1" }), { mayRemove: true });
  assert.deepEqual(await book.remove(shop), ["a", "b"]);
  assert.equal(await store.registry.findFunction(a), undefined);
  await rejects(functions.resolve(a, undefined), "FunctionNotFound");
  await rejects(book.get(shop), "ResourceNotFound");
  await make(wantedRelease({ a: "9" }));
  assert.equal((await functions.resolve(a, "shop@1")).version.code.treeId, "tree-9");
});
