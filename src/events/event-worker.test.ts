import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import type { InvocationOutcome } from "../core/invocation.ts";
import { silentLog } from "../core/log.ts";
import { RETRY_POLICY_DEFAULT } from "../core/retry.ts";
import { inBackground } from "../core/scope.ts";
import { fakeInvocations, returned } from "../invoker/invocations.fake.ts";
import type { Target } from "../registry/target.ts";
import { sampleEvent } from "../store/event-samples.fake.ts";
import { sampleFunction, sampleName } from "../store/samples.fake.ts";
import { openSqliteStore } from "../store/sqlite/sqlite-store.ts";
import { runEventWorker } from "./event-worker.ts";
import { threw } from "./events.fake.ts";

const root = await mkdtemp(join(tmpdir(), "lambdad-worker-"));
after(() => rm(root, { recursive: true }));
let count = 0;

const QUICK = { ...RETRY_POLICY_DEFAULT, errorDelaysMs: [1, 1], setbackMsMin: 1, setbackMsMax: 20 } as const;
const NO_KEY = { idempotencyKey: undefined };

type Run = (call: {
  readonly name: string;
  readonly text: string;
  readonly id: string;
}) => Promise<InvocationOutcome>;

/** A worker on a real queue, with functions that do what `run` does. */
async function startWork(
  run: Run,
  records: Readonly<Record<string, Partial<FunctionRecord>>> = {},
  leaseMs?: number,
) {
  const store = await openSqliteStore({ dir: join(root, `${++count}`), log: silentLog, clock: systemClock });
  const { events } = store;
  const resolveCached = (name: string, qualifier?: string): Target => {
    const record = sampleFunction(name, records[name]);
    return { record, version: record.latest, qualifier };
  };
  const invocations = fakeInvocations(({ input, invocationId }, { target }) => {
    const text = input.kind === "event" ? Buffer.from(input.payload).toString() : "";
    return run({ name: target.record.name, text, id: invocationId });
  });
  const start = () =>
    inBackground((signal) =>
      runEventWorker(
        {
          events,
          functions: { resolve: async (name, qualifier) => resolveCached(name, qualifier), resolveCached },
          invocations,
          deliver: async () => ({ kind: "delivered", status: 200 }),
          identity: { accountId: "1", region: "r" },
          clock: systemClock,
          log: silentLog,
          policy: QUICK,
          ...(leaseMs !== undefined && { leaseMs }),
        },
        { signal },
      ),
    );
  let worker = start();
  return {
    events,
    enqueue: (name: string, text = "{}") => events.enqueue(sampleEvent(name, text), NO_KEY),
    async stop() {
      await worker[Symbol.asyncDispose]();
    },
    restart() {
      worker = start();
    },
    async untilIdle(...names: string[]) {
      const isBusy = (name: string) => Object.values(events.counts(sampleName(name))).some((n) => n > 0);
      for (let turns = 0; names.some(isBusy); turns++) {
        assert.ok(turns < 12_000, "the events were not worked off");
        await sleep(5);
      }
    },
    async states(name: string) {
      const query = { functionName: sampleName(name), states: undefined, after: undefined, limit: 500 };
      return (await events.list(query)).map(({ state }) => state);
    },
    async [Symbol.asyncDispose]() {
      await worker[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

describe("runEventWorker", () => {
  it("calls in the order of arrival, one at a time where the function allows one", async () => {
    const seen: string[] = [];
    let running = 0;
    let most = 0;
    const run: Run = async ({ text }) => {
      seen.push(text);
      most = Math.max(most, ++running);
      await sleep(1);
      running -= 1;
      return returned("");
    };
    await using work = await startWork(run, { f: { concurrencyMax: 1 } });
    const texts = Array.from({ length: 30 }, (_, index) => `${index}`);
    for (const text of texts) await work.enqueue("f", text);
    await work.untilIdle("f");
    assert.deepEqual([seen, most], [texts, 1]);
  });

  it("lets no backlog of one function delay another", async () => {
    const gate = Promise.withResolvers<InvocationOutcome>();
    const run: Run = async ({ name }) => (name === "slow" ? gate.promise : returned(""));
    await using work = await startWork(run);
    await Promise.all(Array.from({ length: 500 }, () => work.enqueue("slow")));
    for (let round = 0; round < 20; round++) {
      const { id } = await work.enqueue("quick");
      const facts = await work.events.find(id);
      assert.ok(facts);
      let now = facts;
      while (now.state !== "done") {
        const next = await work.events.nextChange(now, { signal: AbortSignal.timeout(5_000) });
        assert.ok(next);
        now = next;
      }
    }
    assert.equal(work.events.counts(sampleName("slow")).running, 10);
    gate.resolve(returned(""));
    await work.untilIdle("slow");
  });

  it("never has more of a function running than it may have", async () => {
    let running = 0;
    let most = 0;
    const run: Run = async () => {
      most = Math.max(most, ++running);
      await sleep(2);
      running -= 1;
      return returned("");
    };
    await using work = await startWork(run, { f: { concurrencyMax: 3 } });
    await Promise.all(Array.from({ length: 100 }, () => work.enqueue("f")));
    await work.untilIdle("f");
    assert.equal(most, 3);
  });

  it("asks a throttled function with one event at a time, and loses none", async () => {
    let isThrottled = true;
    let asked = 0;
    const run: Run = async () => {
      if (!isThrottled) return returned("");
      asked += 1;
      throw new PlatformError("TooManyInvocations", "no");
    };
    await using work = await startWork(run);
    await Promise.all(Array.from({ length: 200 }, () => work.enqueue("f")));
    await sleep(300);
    assert.ok(asked < 40, `asked ${asked} times within 300 ms`);
    isThrottled = false;
    await work.untilIdle("f");
    assert.ok((await work.states("f")).every((state) => state === "done"));
  });

  it("finishes what runs when it is stopped, and leaves the rest to the next", async () => {
    const gate = Promise.withResolvers<InvocationOutcome>();
    let calls = 0;
    const run: Run = async () => {
      calls += 1;
      return calls === 1 ? gate.promise : returned("");
    };
    await using work = await startWork(run, { f: { concurrencyMax: 1 } });
    await work.enqueue("f");
    await work.enqueue("f");
    while (calls === 0) await sleep(1);
    const stopped = work.stop();
    gate.resolve(returned(""));
    await stopped;
    assert.deepEqual((await work.states("f")).sort(), ["done", "queued"]);
    work.restart();
    await work.untilIdle("f");
    assert.equal(calls, 2);
  });

  it("drops the result of a call that was cancelled meanwhile", async () => {
    const gate = Promise.withResolvers<InvocationOutcome>();
    await using work = await startWork(() => gate.promise);
    const { id } = await work.enqueue("f");
    while (work.events.counts(sampleName("f")).running === 0) await sleep(1);
    await work.events.cancel(id, { condition: "Cancelled", message: "by hand" });
    gate.resolve(returned("late"));
    await work.stop();
    assert.equal((await work.events.find(id))?.state, "cancelled");
    assert.equal(await work.events.findResult(id), undefined);
  });

  it("gives each of 100 poison events its three attempts, and their 1,000 neighbours one each", async () => {
    const attempts = new Map<string, number>();
    const run: Run = async ({ text, id }) => {
      attempts.set(id, (attempts.get(id) ?? 0) + 1);
      await sleep(1);
      return text === "poison" ? threw("poison") : returned("");
    };
    await using work = await startWork(run);
    await Promise.all(
      Array.from({ length: 1_100 }, (_, index) => work.enqueue("f", index % 11 === 0 ? "poison" : "good")),
    );
    await work.untilIdle("f");
    const counts = [...attempts.values()];
    assert.equal(counts.filter((n) => n === 3).length, 100);
    assert.equal(counts.filter((n) => n === 1).length, 1_000);
    const query = { functionName: sampleName("f"), after: undefined, limit: 500 };
    const dead = await work.events.list({ ...query, states: ["failed", "expired"] });
    assert.equal(dead.length, 100);
    assert.ok(dead.every(({ reason }) => reason?.condition === "RetriesExhausted"));
  });

  it("runs an event once, however long the loop is blocked", async () => {
    let calls = 0;
    const run: Run = async () => {
      calls += 1;
      await sleep(Math.random() * 20);
      return returned("");
    };
    await using work = await startWork(run);
    const enqueuing = Promise.all(Array.from({ length: 300 }, () => work.enqueue("f")));
    for (let block = 0; block < 10; block++) {
      await sleep(10);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    }
    await enqueuing;
    await work.untilIdle("f");
    assert.equal(calls, 300);
  });

  it("runs an event once whose claim ran out while it waited for its turn to start", async () => {
    const leaseMs = 40;
    let calls = 0;
    const run: Run = async () => {
      calls += 1;
      // What was claimed with this one has not been started yet.
      if (calls % 7 === 3) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2 * leaseMs);
      await sleep(1);
      return returned("");
    };
    await using work = await startWork(run, {}, leaseMs);
    await Promise.all(Array.from({ length: 150 }, () => work.enqueue("f")));
    await work.untilIdle("f");
    assert.equal(calls, 150);
  });
});
