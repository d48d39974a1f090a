import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Clock } from "../core/clock.ts";
import { type ErrorCode, isPlatformError, PlatformError } from "../core/errors.ts";
import type { Hook } from "../core/hook.ts";
import type { Source } from "../core/source.ts";
import { sampleHook } from "../store/hook-samples.fake.ts";
import { sampleProjectName } from "../store/project-samples.fake.ts";
import { sampleName } from "../store/samples.fake.ts";
import { sampleSource } from "../store/source-samples.fake.ts";
import { fakeStore } from "../store/store.fake.ts";
import { openFunctions } from "./function-registry.ts";
import type { WantedHook } from "./hook-releases.ts";
import { usableSecrets } from "./hook-secrets.ts";
import { openProjectBook } from "./project-book.ts";
import type { WantedRelease } from "./projects.ts";
import { newFunction, wantedRelease } from "./registry.fake.ts";
import { openBox, triggersOf } from "./release-triggers.fake.ts";
import { openRouteBook } from "./route-book.ts";
import type { WantedSource } from "./source-releases.ts";

const shop = sampleProjectName("shop");
const [a, b] = [sampleName("a"), sampleName("b")];

function wanted(change: Partial<WantedRelease> & { readonly code?: string } = {}): WantedRelease {
  const { code = "1", ...rest } = change;
  return wantedRelease({ [a]: code, [b]: code }, rest);
}

function hook(name: string, change: Partial<WantedHook> = {}): WantedHook {
  const facts = { description: "", provider: "github", hmac: undefined, isPaused: false } as const;
  return { ...facts, name, functionName: a, secret: undefined, secretName: undefined, ...change };
}

function queue(name: string) {
  const queueArn = `arn:aws:sqs:us-east-1:000000000000:${name}`;
  return { kind: "sqs", queueArn, endpoint: undefined, login: undefined } as const;
}

function source(name: string, change: Partial<WantedSource> = {}): WantedSource {
  const facts = { batchMax: 10, windowMs: 0, concurrencyMax: undefined, reportsFailures: false };
  const rest = { filters: [], onFailure: undefined, isPaused: false, origin: queue(name) };
  return { ...facts, ...rest, name, functionName: a, ...change };
}

async function open() {
  const store = fakeStore();
  let now = 1_000;
  const clock: Clock = { now: () => ++now, monotonic: () => now, sleep: async () => {} };
  const { registry, schedules, projects } = store;
  const functions = openFunctions({ registry, releases: projects, clock, changed: () => undefined });
  const told: string[] = [];
  const broken = new Set<string>();
  const triggers = triggersOf(store, clock, {
    inspect({ origin }) {
      const name = origin.kind === "sqs" ? (origin.queueArn.split(":").at(-1) ?? "") : origin.stream;
      told.push(`looked at ${name}`);
      if (broken.has(name)) throw new PlatformError("SourceUnavailable", `${name} cannot be reached`);
    },
    changed: () => void told.push("changed"),
  });
  const silent = () => undefined;
  const book = openProjectBook({
    ...triggers,
    routes: await openRouteBook({ routes: store.routes, functions, domains: ["localhost"], clock }),
    listener: { releaseStarting: silent, releaseMade: silent, releaseLive: silent, releaseLetGo: silent },
    ...{ projects, registry, schedules, functions, clock },
  });
  const make = (release: WantedRelease, mayRemove = false) =>
    book.make(release, { mayRemove, start: async () => undefined });
  const found = async (name: string): Promise<Hook> => {
    const stored = await store.hooks.findByName(name);
    assert.ok(stored, `no hook ${name}`);
    return stored;
  };
  const secretsOf = async (name: string) => usableSecrets(openBox, await found(name), now);
  const sourceNamed = async (name: string): Promise<Source> => {
    const all = await store.sources.list({ functionName: undefined, after: undefined, limit: 99 });
    const stored = all.find(({ owner }) => owner?.name === name);
    assert.ok(stored, `no source ${name}`);
    return stored;
  };
  return { store, functions, book, make, told, broken, found, secretsOf, sourceNamed };
}

async function rejects(promise: Promise<unknown>, code: ErrorCode, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(isPlatformError(error, code), String(error));
    assert.match(error.message, message);
    return true;
  });
}

describe("hooks of a release", () => {
  it("are made with it, and told their secret once", async () => {
    const { make, found, secretsOf } = await open();
    const made = await make(wanted({ hooks: [hook("push"), hook("pay", { provider: "stripe" })] }));
    assert.deepEqual(made.difference.hooks, [
      { name: "pay", change: "added" },
      { name: "push", change: "added" },
    ]);
    const [pay, push] = made.hookNews;
    assert.deepEqual([pay?.secret, pay?.hook.secrets], [undefined, []]);
    assert.deepEqual(await secretsOf("push"), [push?.secret]);
    assert.deepEqual((await found("push")).owner, { project: shop, isLive: true });
    const again = await make(wanted({ hooks: [hook("push"), hook("pay", { provider: "stripe" })] }));
    assert.deepEqual([again.isLive, again.hookNews], [true, []]);
  });

  it("keep their address and secrets while all else of them changes, and come back with a rollback", async () => {
    const { make, book, found, secretsOf } = await open();
    await make(wanted({ hooks: [hook("push", { secret: "mine" })] }));
    const { id } = await found("push");
    await make(wanted({ hooks: [hook("push", { functionName: b, isPaused: true })] }));
    const moved = await found("push");
    assert.deepEqual([moved.id, moved.functionName, moved.isPaused], [id, b, true]);
    assert.deepEqual(await secretsOf("push"), ["mine"]);
    await rejects(make(wanted()), "ResourceConflict", /no longer has hook "push", which release 2 has/);
    await make(wanted(), true);
    assert.deepEqual((await found("push")).owner, { project: shop, isLive: false });
    await book.switchTo(shop, 1, "me");
    const back = await found("push");
    assert.deepEqual([back.id, back.functionName, back.owner?.isLive], [id, a, true]);
    assert.deepEqual(await secretsOf("push"), ["mine"]);
  });

  it("take another secret beside the one they have, with a release or without", async () => {
    const { make, book, secretsOf } = await open();
    await make(wanted({ hooks: [hook("push", { secret: "one", secretName: "KEY" })] }));
    const second = wanted({ hooks: [hook("push", { secret: "two", secretName: "KEY" })] });
    assert.deepEqual((await book.plan(second)).newSecrets, ["push"]);
    const made = await make(second);
    assert.deepEqual([made.isLive, made.hookNews.map(({ change }) => change)], [true, ["new secret"]]);
    assert.deepEqual(await secretsOf("push"), ["two", "one"]);
    await make(wanted({ code: "2", hooks: [hook("push", { secret: "three", secretName: "KEY" })] }));
    assert.deepEqual(await secretsOf("push"), ["three", "two"]);
    await make(wanted({ code: "3", hooks: [hook("push", { secretName: "KEY" })] }));
    assert.deepEqual(await secretsOf("push"), ["three", "two"]);
  });

  it("are refused without the secret that they are to have, with a bad one, and where they are another's", async () => {
    const { make, store, found } = await open();
    const missing = wanted({ hooks: [hook("push", { secretName: "KEY" })] });
    await rejects(make(missing), "InvalidRequest", /hook push: it has no secret yet, and KEY is not set/);
    const bad = wanted({ hooks: [hook("s", { provider: "standard", secret: "plain" })] });
    await rejects(make(bad), "InvalidRequest", /whsec_/);
    const lost = wanted({ hooks: [hook("push", { functionName: sampleName("c") })] });
    await rejects(make(lost), "InvalidRequest", /hook push: the release has no function "c"/);
    await make(wanted());
    await store.hooks.save(sampleHook("push", { functionName: a, secrets: [] }));
    const { id } = await found("push");
    await rejects(make(wanted({ hooks: [hook("push")] })), "ResourceConflict", /--adopt/);
    await make(wanted({ hooks: [hook("push")], adopts: true }));
    assert.deepEqual([(await found("push")).id, (await found("push")).owner?.project], [id, shop]);
    const other = wanted({ hooks: [hook("push")], project: sampleProjectName("other") });
    const elsewhere = {
      ...other,
      functions: [{ ...newFunction("x", "1"), inputs: "", concurrencyMax: 1, concurrencyMin: 0 }],
    };
    await rejects(make(elsewhere), "ResourceConflict", /hook "push" belongs to project "shop"/);
  });

  it("wait in a preview until that goes live", async () => {
    const { make, book, found, secretsOf } = await open();
    await make(wanted());
    const preview = await make(wanted({ hooks: [hook("push", { secret: "mine" })], isPreview: true }));
    assert.deepEqual((await found("push")).owner, { project: shop, isLive: false });
    await book.switchTo(shop, preview.release.number, "me");
    assert.deepEqual((await found("push")).owner, { project: shop, isLive: true });
    assert.deepEqual(await secretsOf("push"), ["mine"]);
  });

  it("are those of what is live while a canary runs", async () => {
    const { make, book, found } = await open();
    await make(wanted({ hooks: [hook("old")] }));
    const canary = { share: 0.1, forMs: 60_000, abortOn: [], callsMin: 1 };
    const tried = await make(wanted({ code: "2", hooks: [hook("new")], canary }), true);
    const live = async () => [(await found("old")).owner?.isLive, (await found("new")).owner?.isLive];
    assert.deepEqual(await live(), [true, false]);
    await book.switchTo(shop, tried.release.number, "me");
    assert.deepEqual(await live(), [false, true]);
  });

  it("that were deleted since are made anew at the same address by a rollback", async () => {
    const { make, book, store, found } = await open();
    await make(wanted({ hooks: [hook("push")] }));
    const { id } = await found("push");
    await make(wanted(), true);
    await store.hooks.remove(id);
    const { hookNews } = await book.switchTo(shop, undefined, "me");
    assert.deepEqual(
      hookNews.map(({ hook, secret }) => [hook.id, secret !== undefined]),
      [[id, true]],
    );
  });
});

describe("sources of a release", () => {
  it("are made with it, looked at once, and changed where they are", async () => {
    const { make, told, sourceNamed } = await open();
    await make(wanted({ sources: [source("orders")] }));
    assert.deepEqual(told.splice(0), ["looked at orders", "changed"]);
    const { id } = await sourceNamed("orders");
    await make(wanted({ sources: [source("orders", { batchMax: 5 })] }));
    const changed = await sourceNamed("orders");
    assert.deepEqual([changed.id, changed.batchMax, changed.generation], [id, 5, 2]);
    await make(wanted({ code: "2", sources: [source("orders", { batchMax: 5 })] }));
    assert.equal((await sourceNamed("orders")).generation, 2);
    assert.deepEqual(told, ["changed"]);
  });

  it("stop when they are taken out, and come back where they were by a rollback", async () => {
    const { make, book, sourceNamed } = await open();
    await make(wanted({ sources: [source("orders")] }));
    const { id } = await sourceNamed("orders");
    await rejects(make(wanted()), "ResourceConflict", /no longer has source "orders"/);
    await make(wanted(), true);
    assert.equal((await sourceNamed("orders")).owner?.isLive, false);
    await book.switchTo(shop, undefined, "me");
    const back = await sourceNamed("orders");
    assert.deepEqual([back.id, back.owner?.isLive], [id, true]);
  });

  it("have the login of their release, which is no other one for being sealed anew", async () => {
    const { make, book, sourceNamed } = await open();
    const loginOf = (secret: string) => ({
      sources: [source("orders", { origin: { ...queue("orders"), login: { accessKeyId: "K", secret } } })],
    });
    const secretNow = async () => {
      const { id, origin } = await sourceNamed("orders");
      return openBox.unseal(id, origin.login?.sealedSecret ?? "[]");
    };
    await make(wanted(loginOf("one")));
    assert.equal((await make(wanted(loginOf("one")))).isLive, true);
    assert.equal((await make(wanted(loginOf("two")))).release.number, 2);
    assert.equal(await secretNow(), "two");
    await book.switchTo(shop, 1, "me");
    assert.equal(await secretNow(), "one");
  });

  it("leave the live release as it is where they cannot be", async () => {
    const { make, broken, book, store } = await open();
    await make(wanted());
    broken.add("orders");
    await rejects(
      make(wanted({ code: "2", sources: [source("orders")] })),
      "SourceUnavailable",
      /^source orders: orders cannot be reached/,
    );
    for (const [why, sources] of [
      [
        /sources other and same call "a" for the same queue/,
        [source("same"), source("other", { origin: queue("same") })],
      ],
      [/batch window/, [source("big", { batchMax: 100 })]],
      [/source lost: the release has no function "c"/, [source("lost", { functionName: sampleName("c") })]],
    ] as const) {
      await assert.rejects(make(wanted({ code: "2", sources })), (error) => {
        assert.match(String(error), why);
        return true;
      });
    }
    const mine = sampleSource({ functionName: a, origin: queue("mine") });
    await store.sources.save(mine);
    await rejects(make(wanted({ sources: [source("mine")] })), "ResourceConflict", /by source .* --adopt/);
    assert.equal((await book.get(shop)).liveRelease, 1);
    await make(wanted({ sources: [source("mine")], adopts: true }));
    assert.deepEqual((await store.sources.find(mine.id))?.owner, {
      project: shop,
      isLive: true,
      name: "mine",
    });
  });
});
