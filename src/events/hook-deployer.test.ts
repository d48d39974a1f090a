import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import type { DeliveryOutcome, Hook } from "../core/hook.ts";
import type { DeliveryId } from "../core/ids.ts";
import { silentLog } from "../core/log.ts";
import { sampleDelivery, sampleHook } from "../store/hook-samples.fake.ts";
import { NO_MARKS } from "../store/hooks.ts";
import { sampleName } from "../store/samples.fake.ts";
import { fakeStore } from "../store/store.fake.ts";
import type { Store } from "../store/store.ts";
import { BuildLog } from "./build-log.ts";
import {
  type DeployOrder,
  type HookDeployerParts,
  newHookDeployer,
  type WorkOptions,
} from "./hook-deployer.ts";

const RULE = { repo: "/repo", branch: "main", path: "", credential: undefined };
const commitOf = (letter: string) => letter.repeat(40);

interface Deploying extends AsyncDisposable {
  readonly store: Store;
  readonly orders: DeployOrder[];
  /** Where the branch is; that of the commit asked for unless it is set. */
  tip: string | undefined;
  fetch: HookDeployerParts["fetch"];
  deploy: (order: DeployOrder, options: WorkOptions) => Promise<{ version: number; readyError?: string }>;
  liveVersion: number | undefined;
  hook(name: string): Promise<Hook>;
  push(hook: Hook, commit: string, repeats?: DeliveryId): Promise<DeliveryId>;
  /** Resolves when the delivery has come to one of those. */
  until(hook: Hook, id: DeliveryId, ...outcomes: DeliveryOutcome[]): Promise<DeliveryOutcome>;
  start(): { stop(): Promise<void> };
}

function openDeploying(): Deploying {
  const store = fakeStore();
  const running: { stop(): Promise<void> }[] = [];
  let wake = () => {};
  let version = 0;
  const deploying: Deploying = {
    store,
    orders: [],
    tip: undefined,
    liveVersion: undefined,
    fetch: async (_hook, _rule, commit) => ({
      tip: deploying.tip ?? commit,
      pack: async () => ({ file: "/code.tar", bytes: 1, files: 1 }),
      [Symbol.asyncDispose]: async () => {},
    }),
    deploy: async () => ({ version: ++version }),
    async hook(name) {
      const hook = sampleHook(name, { deploy: RULE, functionName: sampleName(name) });
      await store.hooks.save(hook);
      return hook;
    },
    async push(hook, commit, repeats) {
      const taken = await store.hooks.take(
        sampleDelivery(hook, { outcome: "waiting", repeats, deployment: { commit, branch: "main" } }),
        NO_MARKS,
      );
      assert.equal(taken.kind, "taken");
      wake();
      return taken.delivery.id;
    },
    async until(hook, id, ...outcomes) {
      for (const end = Date.now() + 30_000; ; ) {
        const outcome = (await store.hooks.findDelivery(hook.id, id))?.outcome;
        if (outcome && outcomes.includes(outcome)) return outcome;
        assert.ok(Date.now() < end, `it is ${outcome}`);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    },
    start() {
      const deployer = newHookDeployer({
        deployments: store.deployments,
        hooks: store.hooks,
        fetch: (...args) => deploying.fetch(...args),
        async deploy(order, options) {
          deploying.orders.push(order);
          return await deploying.deploy(order, options);
        },
        liveVersionBy: async () => deploying.liveVersion,
        fetchAgainAfterMs: [1, 1],
        clock: systemClock,
        log: silentLog,
      });
      const controller = new AbortController();
      const run = deployer.run({ signal: controller.signal });
      wake = deployer.wake;
      const stop = async () => {
        controller.abort(new Error("stopped"));
        await run;
      };
      running.push({ stop });
      return { stop };
    },
    async [Symbol.asyncDispose]() {
      for (const { stop } of running) await stop();
      await store[Symbol.asyncDispose]();
    },
  };
  return deploying;
}

describe("the deployer of hooks", () => {
  it("deploys the commit that was pushed, and keeps what was said on the way", async () => {
    await using deploying = openDeploying();
    deploying.deploy = async (order, { output }) => {
      output("npm ci");
      await order.confirm();
      return { version: 7, readyError: "no handler" };
    };
    deploying.start();
    const hook = await deploying.hook("site");
    const id = await deploying.push(hook, commitOf("a"));
    await deploying.until(hook, id, "deployed");
    const delivery = await deploying.store.hooks.findDelivery(hook.id, id);
    assert.equal(delivery?.deployment?.version, 7);
    assert.equal(delivery?.note, "it does not start: no handler");
    assert.deepEqual((await deploying.store.hooks.deploymentLog(id)).split("\n"), [
      `fetching ${commitOf("a")} of /repo`,
      "packed 1 files, 1 bytes",
      "npm ci",
      "version 7 of site is live",
      "",
    ]);
    const source = { repo: "/repo", branch: "main", commit: commitOf("a"), delivery: id };
    assert.deepEqual(deploying.orders[0]?.source, source);
  });

  it("deploys of one function one after the other, the newest of those that wait", async () => {
    await using deploying = openDeploying();
    const gate = Promise.withResolvers<void>();
    let atOnce = 0;
    deploying.deploy = async () => {
      atOnce += 1;
      assert.equal(atOnce, 1);
      await gate.promise;
      atOnce -= 1;
      return { version: 1 };
    };
    deploying.start();
    const hook = await deploying.hook("site");
    const first = await deploying.push(hook, commitOf("a"));
    await deploying.until(hook, first, "building");
    const second = await deploying.push(hook, commitOf("b"));
    const third = await deploying.push(hook, commitOf("c"));
    gate.resolve();
    await deploying.until(hook, third, "deployed");
    assert.equal(await deploying.until(hook, second, "superseded"), "superseded");
    assert.deepEqual(
      deploying.orders.map(({ source }) => source.commit),
      [commitOf("a"), commitOf("c")],
    );
  });

  it("deploys other functions meanwhile, but only so many", async () => {
    await using deploying = openDeploying();
    const gate = Promise.withResolvers<void>();
    deploying.deploy = async () => {
      await gate.promise;
      return { version: 1 };
    };
    deploying.start();
    const hooks = [await deploying.hook("a"), await deploying.hook("b"), await deploying.hook("c")] as const;
    const ids = [];
    for (const hook of hooks) ids.push(await deploying.push(hook, commitOf("a")));
    const [a, b, c] = ids;
    assert.ok(a && b && c);
    await deploying.until(hooks[0], a, "building");
    await deploying.until(hooks[1], b, "building");
    assert.equal((await deploying.store.hooks.findDelivery(hooks[2].id, c))?.outcome, "waiting");
    gate.resolve();
    await deploying.until(hooks[2], c, "deployed");
  });

  it("says why a build failed, and goes on with the next", async () => {
    await using deploying = openDeploying();
    deploying.deploy = async ({ source }) => {
      if (source.commit === commitOf("a"))
        throw new PlatformError("BuildFailed", "npm ci failed:\nno such package");
      if (source.commit === commitOf("b")) throw new TypeError("a secret detail");
      return { version: 1 };
    };
    deploying.start();
    const hook = await deploying.hook("site");
    const failed = await deploying.push(hook, commitOf("a"));
    await deploying.until(hook, failed, "failed");
    assert.equal(
      (await deploying.store.hooks.findDelivery(hook.id, failed))?.note,
      "npm ci failed:\nno such package",
    );
    const bug = await deploying.push(hook, commitOf("b"));
    await deploying.until(hook, bug, "failed");
    assert.match((await deploying.store.hooks.findDelivery(hook.id, bug))?.note ?? "", /^internal error/);
    assert.ok(!(await deploying.store.hooks.deploymentLog(bug)).includes("secret detail"));
    await deploying.until(hook, await deploying.push(hook, commitOf("c")), "deployed");
  });

  it("tries again to fetch, and not for ever", async () => {
    await using deploying = openDeploying();
    const { fetch } = deploying;
    let tries = 0;
    deploying.fetch = async (...args) => {
      tries += 1;
      if (tries % 3 !== 0 || tries > 3) throw new PlatformError("BuildFailed", "not our ref");
      return await fetch(...args);
    };
    deploying.start();
    const hook = await deploying.hook("site");
    await deploying.until(hook, await deploying.push(hook, commitOf("a")), "deployed");
    await deploying.until(hook, await deploying.push(hook, commitOf("b")), "failed");
    assert.equal(tries, 6);
  });

  it("does not go back to a commit that the branch has left, unless somebody asks for that", async () => {
    await using deploying = openDeploying();
    deploying.start();
    const hook = await deploying.hook("site");
    await deploying.until(hook, await deploying.push(hook, commitOf("b")), "deployed");
    deploying.tip = commitOf("b");
    const late = await deploying.push(hook, commitOf("a"));
    assert.equal(await deploying.until(hook, late, "deployed", "superseded"), "superseded");
    await deploying.until(hook, await deploying.push(hook, commitOf("a"), late), "deployed");
    // What the branch is at was not heard of yet: it will be.
    deploying.tip = commitOf("d");
    await deploying.until(hook, await deploying.push(hook, commitOf("c")), "deployed");
  });

  it("begins anew with what was being built when it was stopped, and with what was killed", async () => {
    await using deploying = openDeploying();
    deploying.deploy = (_order, { signal }) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    const first = deploying.start();
    const hook = await deploying.hook("site");
    const id = await deploying.push(hook, commitOf("a"));
    await deploying.until(hook, id, "building");
    await first.stop();
    const stopped = await deploying.store.hooks.findDelivery(hook.id, id);
    assert.deepEqual(
      [stopped?.outcome, stopped?.note],
      ["waiting", "the daemon stopped in the middle; tried again"],
    );

    await deploying.store.deployments.begin(id, 1);
    await deploying.store.deployments.recover();
    deploying.deploy = async () => ({ version: 3 });
    deploying.start();
    await deploying.until(hook, id, "deployed");
    assert.equal((await deploying.store.hooks.findDelivery(hook.id, id))?.deployment?.attempts, 3);
  });

  it("does not publish again what was published before it was killed", async () => {
    await using deploying = openDeploying();
    const hook = await deploying.hook("site");
    const id = await deploying.push(hook, commitOf("a"));
    await deploying.store.deployments.begin(id, 1);
    await deploying.store.deployments.recover();
    deploying.liveVersion = 5;
    deploying.start();
    await deploying.until(hook, id, "deployed");
    assert.equal((await deploying.store.hooks.findDelivery(hook.id, id))?.deployment?.version, 5);
    assert.deepEqual(deploying.orders, []);
  });

  it("gives up on one in which the daemon went away three times", async () => {
    await using deploying = openDeploying();
    const hook = await deploying.hook("site");
    const id = await deploying.push(hook, commitOf("a"));
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await deploying.store.deployments.begin(id, 1);
      await deploying.store.deployments.recover();
    }
    deploying.start();
    await deploying.until(hook, id, "failed");
    assert.match((await deploying.store.hooks.findDelivery(hook.id, id))?.note ?? "", /went away 3 times/);
  });

  it("publishes nothing when the hook is deleted meanwhile", async () => {
    await using deploying = openDeploying();
    const confirmed = Promise.withResolvers<unknown>();
    const hook = await deploying.hook("site");
    deploying.deploy = async ({ confirm }) => {
      await deploying.store.hooks.remove(hook.id);
      await confirm().then(confirmed.resolve, confirmed.reject);
      return { version: 1 };
    };
    deploying.start();
    await deploying.push(hook, commitOf("a"));
    await assert.rejects(confirmed.promise, /deleted meanwhile/);
  });
});

describe("BuildLog", () => {
  it("keeps the first and the last lines of very many", () => {
    const log = new BuildLog();
    for (let line = 0; line < 100_000; line += 1) log.add(`line ${line}`);
    log.add("x".repeat(10_000));
    const text = log.text();
    assert.ok(text.length < 256 * 1024, `${text.length}`);
    assert.match(text, /^line 0\nline 1\n/);
    assert.match(text, /\n… \d+ lines are left out\nline \d+\n/);
    assert.match(text, /line 99999\nx{4096}…\n$/);
  });
});
