import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { isPlatformError } from "../core/errors.ts";
import type { DeployRule, Hook, HookDelivery } from "../core/hook.ts";
import { HOOK_DELIVERIES_KEPT_MAX, HOOK_REFUSALS_KEPT_MAX } from "../core/limits.ts";
import { sampleEvent } from "./event-samples.fake.ts";
import { sampleDelivery, sampleHook } from "./hook-samples.fake.ts";
import { type DeploymentEnding, NO_MARKS, type ReplayMarks, type Taken } from "./hooks.ts";
import { sampleFunction, sampleName } from "./samples.fake.ts";
import type { Store } from "./store.ts";

const DEPLOY: DeployRule = { repo: "/repo", branch: "main", path: "", credential: undefined };
const PAGE = { after: undefined, limit: 10 };
const LATEST = { before: undefined, limit: 2_000 };

/** The promises of hooks.ts. `open` gives an empty store. */
export function describeHooks(name: string, open: () => Promise<Store>): void {
  let store: Store;
  beforeEach(async () => {
    store = await open();
    await store.registry.saveFunction(sampleFunction("greet"));
  });
  afterEach(() => store[Symbol.asyncDispose]());

  async function saved(hookName: string, change: Partial<Hook> = {}): Promise<Hook> {
    const hook = sampleHook(hookName, change);
    await store.hooks.save(hook);
    return hook;
  }

  const eventCount = () => store.events.counts(sampleName("greet")).queued;

  describe(`${name}: Hooks`, () => {
    it("keeps, finds, lists, replaces and removes them", async () => {
      const { hooks } = store;
      const b = await saved("b", {
        provider: "hmac",
        hmac: { header: "x-sig", algorithm: "sha512", idHeader: "x-id", timestampHeader: undefined },
        secrets: [{ id: "s1", sealed: "x", createdAt: 1, expiresAt: undefined }],
        deploy: { ...DEPLOY, credential: { kind: "ssh-key", sealed: "y", knownHosts: undefined } },
      });
      const a = await saved("a", { qualifier: "prod" });
      assert.deepEqual(await hooks.find(b.id), b);
      assert.deepEqual(await hooks.findByName("a"), a);
      assert.equal(await hooks.findByName("c"), undefined);
      assert.deepEqual(await hooks.list(PAGE), [a, b]);
      assert.deepEqual(await hooks.list({ after: "a", limit: 1 }), [b]);
      const paused = { ...a, isPaused: true };
      await hooks.save(paused);
      assert.deepEqual(await hooks.find(a.id), paused);
      assert.deepEqual([await hooks.remove(a.id), await hooks.remove(a.id)], [true, false]);
    });

    it("refuses one whose name is taken, or of a function that is not there unless it deploys", async () => {
      await saved("a");
      await assert.rejects(saved("a"), (error) => isPlatformError(error, "ResourceConflict"));
      const functionName = sampleName("other");
      await assert.rejects(saved("b", { functionName }), (error) =>
        isPlatformError(error, "FunctionNotFound"),
      );
      await saved("b", { functionName, deploy: DEPLOY });
    });

    it("loses them with their function", async () => {
      const hook = await saved("a");
      await store.hooks.take(sampleDelivery(hook), NO_MARKS);
      await store.registry.deleteFunction(hook.functionName);
      assert.equal(await store.hooks.find(hook.id), undefined);
      assert.deepEqual(await store.hooks.deliveries(hook.id, LATEST), []);
      await assert.rejects(store.hooks.take(sampleDelivery(hook), NO_MARKS), (error) =>
        isPlatformError(error, "ResourceNotFound"),
      );
    });

    it("enqueues the event of a delivery together with it", async () => {
      const hook = await saved("a");
      const event = sampleEvent("greet", "x");
      const delivery = takenOf(
        await store.hooks.take(sampleDelivery(hook, { outcome: "accepted", event }), NO_MARKS),
      );
      assert.equal(eventCount(), 1);
      assert.ok(delivery.eventId);
      assert.equal((await store.events.find(delivery.eventId))?.invocationId, event.invocationId);
      assert.deepEqual(await store.hooks.findDelivery(hook.id, delivery.id), delivery);
    });

    it("knows a delivery again by its ids, whatever else it says, and enqueues nothing then", async () => {
      const [hook, other] = [await saved("a"), await saved("b")];
      const take = (of: Hook, ids: readonly string[]) =>
        store.hooks.take(sampleDelivery(of, { outcome: "accepted", event: sampleEvent("greet", "x") }), {
          ids,
          signed: undefined,
        });
      const first = takenOf(await take(hook, ["1"]));
      assert.deepEqual(await take(hook, ["2", "1"]), { kind: "known", first });
      takenOf(await take(other, ["1"]));
      takenOf(await take(hook, ["2"]));
      assert.equal(eventCount(), 3);
    });

    it("takes two at the same moment with one id once", async () => {
      const hook = await saved("a");
      const marks: ReplayMarks = { ids: ["1"], signed: undefined };
      const results = await Promise.all(
        Array.from({ length: 20 }, () =>
          store.hooks.take(
            sampleDelivery(hook, { outcome: "accepted", event: sampleEvent("greet", "x") }),
            marks,
          ),
        ),
      );
      assert.equal(results.filter(({ kind }) => kind === "taken").length, 1);
      assert.equal(eventCount(), 1);
    });

    it("knows what was signed once again when it comes under another id after its time", async () => {
      const hook = await saved("a");
      const take = (id: string, at: number) =>
        store.hooks.take(sampleDelivery(hook, { at }), {
          ids: [id],
          signed: { text: "signature", msMax: 100 },
        });
      const first = takenOf(await take("1", 1_000));
      takenOf(await take("2", 1_100));
      assert.deepEqual(await take("3", 1_101), { kind: "known", first });
    });

    it("lists deliveries, latest first, and keeps those of strangers from pushing others out", async () => {
      const hook = await saved("a");
      const good = takenOf(await store.hooks.take(sampleDelivery(hook), NO_MARKS));
      await Promise.all(
        Array.from({ length: HOOK_REFUSALS_KEPT_MAX + 5 }, (_, at) =>
          store.hooks.take(
            sampleDelivery(hook, { at, outcome: "refused", note: "no signature", senderId: undefined }),
            NO_MARKS,
          ),
        ),
      );
      const listed = await store.hooks.deliveries(hook.id, LATEST);
      assert.equal(listed.length, HOOK_REFUSALS_KEPT_MAX + 1);
      assert.deepEqual(listed.at(-1), good);
      const [latest, ...others] = listed;
      assert.ok(latest);
      const page = await store.hooks.deliveries(hook.id, { before: latest.id, limit: 3 });
      assert.deepEqual(page, others.slice(0, 3));
    });

    it("keeps a bounded number of them", async () => {
      const hook = await saved("a");
      const count = HOOK_DELIVERIES_KEPT_MAX + 100;
      await Promise.all(
        Array.from({ length: count }, (_, at) => store.hooks.take(sampleDelivery(hook, { at }), NO_MARKS)),
      );
      const kept = (await store.hooks.deliveries(hook.id, LATEST)).length;
      assert.ok(kept >= HOOK_DELIVERIES_KEPT_MAX && kept <= HOOK_DELIVERIES_KEPT_MAX + 50, `${kept}`);
    });
  });

  describe(`${name}: Deployments`, () => {
    const commit = "a".repeat(40);
    const ending: DeploymentEnding = {
      outcome: "deployed",
      note: undefined,
      version: 7,
      log: "built",
      endedAt: 5,
    };

    async function push(hook: Hook, change: { readonly at?: number; readonly commit?: string } = {}) {
      const { at = 1, commit: pushed = commit } = change;
      const deployment = { commit: pushed, branch: "main" };
      return takenOf(
        await store.hooks.take(sampleDelivery(hook, { at, outcome: "waiting", deployment }), NO_MARKS),
      );
    }

    it("are begun, logged and ended once", async () => {
      const hook = await saved("a", { deploy: DEPLOY });
      const { deployments, hooks } = store;
      const delivery = await push(hook);
      assert.deepEqual(await deployments.waiting(), [{ hook, delivery }]);
      assert.deepEqual(
        [await deployments.begin(delivery.id, 3), await deployments.begin(delivery.id, 4)],
        [true, false],
      );
      assert.equal(await deployments.log(delivery.id, "building"), true);
      assert.equal(await hooks.deploymentLog(delivery.id), "building");
      assert.equal(await deployments.hasTried(hook.id, commit), false);
      assert.equal(await deployments.end(delivery.id, ending), true);
      assert.equal(await deployments.end(delivery.id, ending), false);
      assert.equal(await hooks.deploymentLog(delivery.id), "built");
      assert.equal(await deployments.hasTried(hook.id, commit), true);
      assert.deepEqual(await hooks.findDelivery(hook.id, delivery.id), {
        ...delivery,
        outcome: "deployed",
        deployment: { commit, branch: "main", attempts: 1, startedAt: 3, endedAt: 5, version: 7 },
      });
      assert.deepEqual(await deployments.waiting(), []);
    });

    it("take the place of those that wait, not of the one that is being built", async () => {
      const hook = await saved("a", { deploy: DEPLOY });
      const first = await push(hook);
      await store.deployments.begin(first.id, 1);
      const second = await push(hook);
      const third = await push(hook, { at: 9 });
      const outcomes = (await store.hooks.deliveries(hook.id, LATEST)).map(({ id, outcome }) => [
        id,
        outcome,
      ]);
      assert.deepEqual(outcomes, [
        [third.id, "waiting"],
        [second.id, "superseded"],
        [first.id, "building"],
      ]);
    });

    it("wait again when the daemon went away, unless a newer one waits", async () => {
      const [a, b] = [await saved("a", { deploy: DEPLOY }), await saved("b", { deploy: DEPLOY })];
      const [first, other] = [await push(a), await push(b)];
      for (const { id } of [first, other]) await store.deployments.begin(id, 1);
      const newer = await push(a);
      await store.deployments.recover();
      const waiting = (await store.deployments.waiting()).map(({ delivery }) => delivery.id);
      if (name === "sqlite") assert.deepEqual(waiting, [other.id, newer.id]);
      else assert.ok(waiting.includes(other.id) && waiting.includes(newer.id));
      assert.match((await store.hooks.findDelivery(b.id, other.id))?.note ?? "", /went away/);
    });

    it("are gone with their hook", async () => {
      const hook = await saved("a", { deploy: DEPLOY });
      const delivery = await push(hook);
      await store.deployments.begin(delivery.id, 1);
      await store.hooks.remove(hook.id);
      assert.equal(await store.deployments.end(delivery.id, ending), false);
    });
  });
}

function takenOf(taken: Taken): HookDelivery {
  assert.equal(taken.kind, "taken");
  return taken.delivery;
}
