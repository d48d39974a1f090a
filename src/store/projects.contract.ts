import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { isPlatformError } from "../core/errors.ts";
import { newRouteId } from "../core/ids.ts";
import { type ProjectRecord, RELEASES_MAX, type Release } from "../core/release.ts";
import { sampleRoute } from "../core/route-samples.fake.ts";
import { sampleHook } from "./hook-samples.fake.ts";
import { sampleProjectName, sampleRelease } from "./project-samples.fake.ts";
import type { ProjectChange } from "./projects.ts";
import { sampleFunction, sampleName, sampleVersion } from "./samples.fake.ts";
import { sampleScheduleRecord } from "./schedule-samples.fake.ts";
import { sampleSource } from "./source-samples.fake.ts";
import type { Store } from "./store.ts";

const shop = sampleProjectName("shop");

function record(generation: number, change: Partial<ProjectRecord> = {}): ProjectRecord {
  return {
    name: shop,
    generation,
    createdAt: 1,
    liveRelease: undefined,
    nextRelease: 1,
    switches: [],
    ...change,
  };
}

function changeOf(change: Partial<ProjectChange>): ProjectChange {
  return {
    project: record(1),
    release: undefined,
    functions: [],
    schedules: { saved: [], removed: [] },
    routes: { saved: [], removed: [] },
    hooks: [],
    sources: [],
    ...change,
  };
}

/** The promises of projects.ts. `open` gives an empty store. */
export function describeProjects(name: string, open: () => Promise<Store>): void {
  let store: Store;
  beforeEach(async () => {
    store = await open();
  });
  afterEach(() => store[Symbol.asyncDispose]());

  describe(`${name}: Projects`, () => {
    it("makes all of a change in one step", async () => {
      const { projects, registry, schedules } = store;
      const membership = { project: shop, release: 1 };
      const greet = sampleFunction("greet", { liveVersion: 1, nextVersion: 2, membership });
      const owner = { project: shop, isLive: true };
      const hook = sampleHook("push", { owner });
      const source = sampleSource({ owner: { ...owner, name: "orders" } });
      const { owner: _, qualifier: __, tags, generation, createdAt, modifiedAt, ...written } = source;
      const { id, description, functionName, provider, hmac, isPaused } = hook;
      const release = sampleRelease(
        1,
        { greet: 1 },
        {
          hooks: [{ id, name: "push", description, functionName, provider, hmac, isPaused }],
          sources: [{ ...written, name: "orders" }],
        },
      );
      const switches = [{ at: 5, by: "me", from: undefined, to: 1 }];
      const project = record(1, { liveRelease: 1, nextRelease: 2, switches });
      const nightly = sampleScheduleRecord("nightly", 60_000, { owner: { kind: "project", project: shop } });
      const route = sampleRoute("GET /orders", { project: shop });
      await projects.apply({
        project,
        release,
        functions: [{ record: greet, published: sampleVersion("greet", "1") }],
        schedules: { saved: [nightly], removed: [] },
        routes: { saved: [route], removed: [] },
        hooks: [hook],
        sources: [source],
      });
      assert.deepEqual(await projects.find(shop), project);
      assert.deepEqual(await projects.findRelease(shop, 1), release);
      assert.deepEqual(await registry.findFunction(sampleName("greet")), greet);
      assert.deepEqual(await registry.findVersion(sampleName("greet"), 1), sampleVersion("greet", "1"));
      assert.deepEqual(await schedules.find("nightly"), nightly);
      assert.deepEqual(await store.routes.list(), [route]);
      assert.deepEqual(await store.hooks.find(hook.id), hook);
      assert.deepEqual(await store.sources.find(source.id), source);
      const taken = {
        schedules: { saved: [], removed: ["nightly"] },
        routes: { saved: [{ ...route, id: newRouteId() }], removed: [route.id] },
      };
      await projects.apply(changeOf({ project: record(2), ...taken }));
      assert.equal(await schedules.find("nightly"), undefined);
      assert.deepEqual(await store.routes.list(), taken.routes.saved);
    });

    it("moves hooks and sources to other functions of a release, with what they are", async () => {
      const { projects, hooks, sources, registry } = store;
      for (const name of ["greet", "other"]) await registry.saveFunction(sampleFunction(name));
      const [hook, source] = [sampleHook("push"), sampleSource()];
      await projects.apply(changeOf({ hooks: [hook], sources: [source] }));
      const functionName = sampleName("other");
      const moved = {
        hooks: [{ ...hook, functionName }],
        sources: [{ ...source, functionName, generation: 2 }],
      };
      await projects.apply(changeOf({ project: record(2), ...moved }));
      await registry.deleteFunction(sampleName("greet"));
      assert.deepEqual(await hooks.findByName("push"), moved.hooks[0]);
      assert.deepEqual(await sources.find(source.id), moved.sources[0]);
      await registry.deleteFunction(functionName);
      assert.deepEqual([await hooks.find(hook.id), await sources.find(source.id)], [undefined, undefined]);
    });

    it("makes nothing of a change of which anything is refused", async () => {
      const { projects, registry } = store;
      await registry.saveFunction(sampleFunction("old", { generation: 1 }));
      const wrong = [
        { record: sampleFunction("new"), published: sampleVersion("new", "1") },
        { record: sampleFunction("old", { generation: 9 }), published: undefined },
      ];
      const change = changeOf({ release: sampleRelease(1, { new: 1, old: 1 }), functions: wrong });
      await rejects(projects.apply(change), "ResourceConflict");
      assert.equal(await projects.find(shop), undefined);
      assert.equal(await projects.findRelease(shop, 1), undefined);
      assert.equal(await registry.findFunction(sampleName("new")), undefined);
    });

    it("refuses a change of what somebody else has changed", async () => {
      await store.projects.apply(changeOf({}));
      await rejects(store.projects.apply(changeOf({})), "ResourceConflict");
      await rejects(store.projects.apply(changeOf({ project: record(3) })), "ResourceConflict");
    });

    it("lists projects and releases in pages, and removes them together", async () => {
      const { projects } = store;
      const other = { ...record(1), name: sampleProjectName("a-shop") };
      await projects.apply(changeOf({ project: other }));
      for (const number of [1, 2, 3]) {
        await projects.apply(changeOf({ project: record(number), release: sampleRelease(number, {}) }));
      }
      const names = async (after: string | undefined) =>
        (await projects.list({ after, limit: 9 })).map((project) => project.name);
      assert.deepEqual([await names(undefined), await names("a-shop")], [["a-shop", "shop"], ["shop"]]);
      const numbers = async (before: number | undefined, limit: number) =>
        (await projects.listReleases(shop, { before, limit })).map(({ number }) => number);
      assert.deepEqual([await numbers(undefined, 2), await numbers(2, 9)], [[3, 2], [1]]);
      assert.deepEqual([await projects.remove(shop), await projects.remove(shop)], [true, false]);
      assert.equal(await projects.findRelease(shop, 1), undefined);
      assert.deepEqual(await names(undefined), ["a-shop"]);
    });

    it("forgets the oldest release that is not live when there are too many", async () => {
      const { projects } = store;
      const made = (number: number): Release => sampleRelease(number, {});
      for (let number = 1; number <= RELEASES_MAX + 1; number++) {
        const project = record(number, { liveRelease: 1 });
        await projects.apply(changeOf({ project, release: made(number) }));
      }
      assert.deepEqual(await projects.findRelease(shop, 1), made(1));
      assert.equal(await projects.findRelease(shop, 2), undefined);
      assert.deepEqual(await projects.findRelease(shop, 3), made(3));
    });
  });
}

async function rejects(promise: Promise<unknown>, code: "ResourceConflict"): Promise<void> {
  await assert.rejects(promise, (error) => isPlatformError(error, code));
}
