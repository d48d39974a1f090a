import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { it } from "node:test";
import { setTimeout as sleepFor } from "node:timers/promises";
import { openTestHost, requestOf, returned, targetOf } from "./test-host.fake.ts";

const patient = { signal: new AbortController().signal };
/** Fewer than those whose waiting for the first start would pay for another. */
const CALLS = 8;
/** Much longer than the calls take together. */
const START_MS = 500;
/** So many at once start; the others wait for their turn. */
const STARTS_AT_ONCE = Math.max(2, availableParallelism());

it("starts one instance of a new version whose calls are over as soon as those of the one before", async () => {
  const host = openTestHost({ start: () => sleepFor(START_MS), answer: () => returned("done") });
  await host.invoker.invoke(targetOf({ revision: "r1" }), requestOf(), patient);
  const next = targetOf({ revision: "r2" });
  await Promise.all(Array.from({ length: CALLS }, () => host.invoker.invoke(next, requestOf(), patient)));
  await host.invoker[Symbol.asyncDispose]();
  assert.equal(host.started, 2);
});

it("starts more of a new version whose calls take longer than those of the one before", async () => {
  const hanging = Promise.withResolvers<void>();
  const host = openTestHost({
    answer: async (_, sandbox) => {
      if (sandbox.number === 2) await hanging.promise;
      return returned(`from ${sandbox.number}`);
    },
  });
  await host.invoker.invoke(targetOf({ revision: "r1" }), requestOf(), patient);
  const next = targetOf({ revision: "r2" });
  const first = host.invoker.invoke(next, requestOf(), patient);
  const second = host.invoker.invoke(next, requestOf(), patient);
  assert.deepEqual((await second).outcome, returned("from 3"));
  hanging.resolve();
  assert.deepEqual((await first).outcome, returned("from 2"));
  await host.invoker[Symbol.asyncDispose]();
});

it("makes no start whose turn comes when nobody waits for it any more", async () => {
  const others = Promise.withResolvers<void>();
  const host = openTestHost({
    // Each that starts takes the turn of one that would come after it.
    start: (sandbox) => (sandbox.number === 1 ? undefined : others.promise),
    answer: () => returned("done"),
  });
  const target = targetOf({ concurrencyMax: STARTS_AT_ONCE * 4 });
  const calls = Array.from({ length: STARTS_AT_ONCE * 4 }, () =>
    host.invoker.invoke(target, requestOf(), patient),
  );
  await Promise.all(calls);
  others.resolve();
  await host.invoker[Symbol.asyncDispose]();
  assert.ok(host.started <= STARTS_AT_ONCE + 1, `${host.started} were started`);
});
