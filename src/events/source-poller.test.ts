import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type FakeClock, fakeClock } from "../core/clock.fake.ts";
import { PlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import { parseFunctionName } from "../core/ids.ts";
import type { InvocationOutcome } from "../core/invocation.ts";
import { silentLog } from "../core/log.ts";
import type { Source } from "../core/source.ts";
import { fakeInvocations, returned } from "../invoker/invocations.fake.ts";
import { fakeEvents } from "../store/event-queue.fake.ts";
import { sampleFunction } from "../store/samples.fake.ts";
import { sampleSource } from "../store/source-samples.fake.ts";
import { Places } from "./places.ts";
import { runPoller } from "./source-poller.ts";
import { type FakeQueue, fakeQueue } from "./source-queue.fake.ts";
import { SourceReport } from "./source-report.ts";

type Bodies = readonly string[];

/** A poller of a queue in memory; `run` is the function, told the bodies of a batch. */
function startPoller(options: {
  readonly run: (bodies: Bodies) => InvocationOutcome | Promise<InvocationOutcome>;
  readonly source?: Partial<Source>;
  readonly record?: Partial<FunctionRecord>;
  readonly queue?: { readonly hiddenMs?: number; readonly attemptsMax?: number };
  readonly placesMax?: number;
}) {
  const clock: FakeClock = fakeClock();
  const queue: FakeQueue = fakeQueue(clock, options.queue);
  const events = fakeEvents(clock);
  const report = new SourceReport(clock);
  const source = sampleSource(options.source);
  const stop = new AbortController();
  const hurry = new AbortController();
  const batches: Bodies[] = [];
  const state = { isDeleted: false, record: options.record };
  const running = runPoller(
    {
      source,
      queue,
      events,
      identity: { accountId: "000000000000", region: "us-east-1" },
      places: new Places(options.placesMax ?? 200),
      report,
      functions: {
        async resolve() {
          if (state.isDeleted) throw new PlatformError("AliasNotFound", "function greet has no alias live");
          const record = sampleFunction("greet", state.record);
          return { record, version: record.latest, qualifier: undefined };
        },
      },
      invocations: fakeInvocations(async ({ input }) => {
        assert.equal(input.kind, "event");
        const event: unknown = JSON.parse(
          Buffer.from(input.kind === "event" ? input.payload : []).toString(),
        );
        const bodies = recordsIn(event).map(({ body }) => String(body));
        batches.push(bodies);
        return await options.run(bodies);
      }),
      clock,
      log: silentLog,
    },
    { signal: stop.signal, hurry: hurry.signal },
  );
  return {
    clock,
    queue,
    events,
    report,
    batches,
    state,
    async stop() {
      stop.abort();
      hurry.abort();
      await clock.advance(0);
      await running;
    },
    /** Without hurry. */
    abort: () => stop.abort(),
    running,
  };
}

function recordsIn(event: unknown): readonly Readonly<Record<string, unknown>>[] {
  const records: unknown = typeof event === "object" && event !== null ? Reflect.get(event, "Records") : [];
  return Array.isArray(records) ? records : [];
}

const ok = () => returned("null");
const threw: InvocationOutcome = {
  kind: "threw",
  payload: Buffer.from('{"errorType":"E","errorMessage":"no"}'),
  errorType: "E",
  isStreamed: false,
};

/** A function that runs until it is told to end. */
function slowFunction() {
  const ends: (() => void)[] = [];
  const run = () =>
    new Promise<InvocationOutcome>((resolve) => {
      ends.push(() => resolve(returned("null")));
    });
  return { run, ends, endAll: () => ends.splice(0).map((end) => end()) };
}

describe("runPoller", () => {
  it("calls the function with a batch and removes it when that has worked", async () => {
    const poller = startPoller({ run: ok });
    poller.queue.send("a", "b");
    await poller.clock.advance(1);
    assert.deepEqual(poller.batches, [["a", "b"]]);
    assert.deepEqual(poller.queue.left, []);
    assert.equal(poller.report.status().lastResult?.text, "OK");
    await poller.stop();
  });

  it("makes batches no larger than asked for", async () => {
    const poller = startPoller({ run: ok, source: { batchMax: 2 } });
    poller.queue.send("a", "b", "c");
    await poller.clock.advance(1);
    assert.deepEqual(poller.batches, [["a", "b"], ["c"]]);
    await poller.stop();
  });

  it("makes batches no larger than a function may be called with", async () => {
    const poller = startPoller({ run: ok });
    const large = "x".repeat(2.5 * 1024 * 1024);
    poller.queue.send(large, large, large, "small");
    await poller.clock.advance(1);
    assert.deepEqual(
      poller.batches.map(({ length }) => length),
      [2, 2],
    );
    assert.deepEqual(poller.queue.left, []);
    await poller.stop();
  });

  it("waits for more messages as long as the window says, and not when the batch is full", async () => {
    const poller = startPoller({ run: ok, source: { windowMs: 5_000, batchMax: 3 } });
    poller.queue.send("a");
    await poller.clock.advance(3_000);
    poller.queue.send("b");
    await poller.clock.advance(1_000);
    assert.deepEqual(poller.batches, []);
    await poller.clock.advance(1_000);
    assert.deepEqual(poller.batches, [["a", "b"]]);
    poller.queue.send("c", "d", "e");
    await poller.clock.advance(1);
    assert.deepEqual(poller.batches[1], ["c", "d", "e"]);
    await poller.stop();
  });

  it("lets a batch that failed come again", async () => {
    let isBad = true;
    const poller = startPoller({ run: () => (isBad ? threw : ok()) });
    poller.queue.send("a", "b");
    await poller.clock.advance(1);
    assert.deepEqual(poller.queue.left, ["a", "b"]);
    assert.equal(poller.report.status().lastResult?.text, "PROBLEM: Function call failed: E: no");
    isBad = false;
    await poller.clock.advance(2_000);
    assert.deepEqual(poller.batches, [
      ["a", "b"],
      ["a", "b"],
    ]);
    assert.deepEqual(poller.queue.left, []);
    await poller.stop();
  });

  it("lets only those come again that the function names", async () => {
    const answer = '{"batchItemFailures":[{"itemIdentifier":"m2"}]}';
    let answers = [answer];
    const poller = startPoller({
      run: () => returned(answers.shift() ?? "null"),
      source: { reportsFailures: true },
    });
    poller.queue.send("a", "b", "c");
    await poller.clock.advance(2_000);
    assert.deepEqual(poller.batches, [["a", "b", "c"], ["b"]]);
    assert.deepEqual(poller.queue.left, []);
    answers = [];
    await poller.stop();
  });

  it("takes no notice of such an answer unless it was agreed on", async () => {
    const poller = startPoller({ run: () => returned('{"batchItemFailures":[{"itemIdentifier":"m1"}]}') });
    poller.queue.send("a");
    await poller.clock.advance(5_000);
    assert.deepEqual(poller.batches, [["a"]]);
    await poller.stop();
  });

  it("removes what fits no pattern without calling the function", async () => {
    const poller = startPoller({
      run: ok,
      source: { filters: ['{"body":{"kind":["order"]}}', '{"body":["plain"]}'] },
    });
    poller.queue.send('{"kind":"order"}', '{"kind":"other"}', "plain", "noise");
    await poller.clock.advance(1);
    assert.deepEqual(poller.batches, [['{"kind":"order"}', "plain"]]);
    assert.deepEqual(poller.queue.left, []);
    assert.equal(poller.report.status().counts.filtered, 2);
    await poller.stop();
  });

  it("runs no more batches at once than asked for, and holds no messages for later", async () => {
    const slow = slowFunction();
    const poller = startPoller({ run: slow.run, source: { batchMax: 1, concurrencyMax: 2 } });
    poller.queue.send("a", "b", "c", "d");
    await poller.clock.advance(10);
    assert.equal(poller.batches.length, 2);
    slow.ends.shift()?.();
    await poller.clock.advance(10);
    assert.equal(poller.batches.length, 3);
    slow.endAll();
    await poller.clock.advance(10);
    slow.endAll();
    await poller.stop();
    assert.deepEqual(poller.queue.left, []);
  });

  it("runs no more at once than the function may", async () => {
    const slow = slowFunction();
    const poller = startPoller({
      run: slow.run,
      source: { batchMax: 1, concurrencyMax: 5 },
      record: { concurrencyMax: 1 },
    });
    poller.queue.send("a", "b");
    await poller.clock.advance(10);
    assert.equal(poller.batches.length, 1);
    slow.endAll();
    await poller.clock.advance(10);
    slow.endAll();
    await poller.stop();
  });

  it("keeps a batch hidden while it runs, however long that takes", async () => {
    const slow = slowFunction();
    const poller = startPoller({ run: slow.run, queue: { hiddenMs: 30_000 } });
    poller.queue.send("a");
    await poller.clock.advance(600_000);
    assert.deepEqual(poller.batches, [["a"]]);
    assert.equal(poller.report.status().counts.repeated, 0);
    slow.endAll();
    await poller.stop();
    assert.deepEqual(poller.queue.left, []);
  });

  it("does not run a message again that came back while it runs", async () => {
    const slow = slowFunction();
    const poller = startPoller({ run: slow.run, queue: { hiddenMs: 30_000 } });
    poller.queue.broken = { extend: true };
    poller.queue.send("a");
    await poller.clock.advance(100_000);
    assert.deepEqual(poller.batches, [["a"]]);
    assert.ok(poller.report.status().counts.repeated > 0);
    slow.endAll();
    await poller.stop();
    assert.deepEqual(poller.queue.left, []);
  });

  it("removes a message when it comes again that could not be removed when it was done", async () => {
    const poller = startPoller({ run: ok, queue: { hiddenMs: 10_000 } });
    poller.queue.broken = { remove: true, extend: true };
    poller.queue.send("a");
    await poller.clock.advance(60_000);
    poller.queue.broken = {};
    await poller.clock.advance(30_000);
    assert.deepEqual(poller.batches, [["a"]]);
    assert.deepEqual(poller.queue.left, []);
    await poller.stop();
  });

  it("asks a queue that cannot be reached less and less often, says so, and goes on when it can", async () => {
    const poller = startPoller({ run: ok });
    poller.queue.broken = { receive: true };
    await poller.clock.advance(1);
    const { activity, lastResult } = poller.report.status();
    assert.deepEqual([activity, lastResult?.text], ["waiting", "PROBLEM: cannot reach the queue"]);
    await poller.clock.advance(300_000);
    assert.ok(poller.queue.polls < 25, `${poller.queue.polls} polls`);
    poller.queue.broken = {};
    poller.queue.send("a");
    await poller.clock.advance(31_000);
    assert.deepEqual(poller.batches, [["a"]]);
    assert.equal(poller.report.status().activity, "polling");
    await poller.stop();
  });

  it("goes on saying that its queue cannot be reached when a batch ends that was begun before", async () => {
    const ended = Promise.withResolvers<void>();
    const poller = startPoller({ run: () => ended.promise.then(ok) });
    poller.queue.send("a");
    await poller.clock.advance(1);
    assert.deepEqual(poller.batches, [["a"]]);
    poller.queue.broken = { receive: true };
    poller.queue.send("b");
    await poller.clock.advance(1);
    ended.resolve();
    await poller.clock.advance(1);
    const { activity, lastResult, counts } = poller.report.status();
    assert.equal(counts.done, 1);
    assert.deepEqual([activity, lastResult?.text], ["waiting", "PROBLEM: cannot reach the queue"]);
    poller.queue.broken = {};
    await poller.clock.advance(31_000);
    assert.deepEqual(poller.batches, [["a"], ["b"]]);
    assert.equal(poller.report.status().lastResult?.isProblem, false);
    await poller.stop();
  });

  it("holds a batch for a throttled function without using up its attempts, and fetches no more meanwhile", async () => {
    let isThrottled = true;
    const poller = startPoller({
      run: () => {
        if (isThrottled) throw new PlatformError("TooManyInvocations", "too many");
        return ok();
      },
      source: { batchMax: 1 },
    });
    poller.queue.send("a", "b", "c");
    await poller.clock.advance(60_000);
    assert.equal(poller.report.status().lastResult?.text, "PROBLEM: Function call was throttled");
    assert.equal(poller.queue.polls, 1);
    assert.ok(poller.batches.length < 30, `${poller.batches.length} calls in a minute`);
    isThrottled = false;
    await poller.clock.advance(20_000);
    assert.deepEqual(poller.queue.left, []);
    assert.equal(poller.report.status().counts.failed, 0);
    await poller.stop();
  });

  it("fetches nothing while the function may not be called at all", async () => {
    const poller = startPoller({ run: ok, record: { concurrencyMax: 0 } });
    poller.queue.send("a");
    await poller.clock.advance(60_000);
    assert.equal(poller.queue.polls, 0);
    assert.equal(
      poller.report.status().lastResult?.text,
      "PROBLEM: the function's reserved concurrency is 0",
    );
    poller.state.record = {};
    await poller.clock.advance(5_000);
    assert.deepEqual(poller.batches, [["a"]]);
    await poller.stop();
  });

  it("fetches nothing while there is no such alias", async () => {
    const poller = startPoller({ run: ok });
    poller.state.isDeleted = true;
    await poller.clock.advance(21_000);
    poller.queue.send("a");
    await poller.clock.advance(60_000);
    poller.state.isDeleted = false;
    await poller.clock.advance(60_000);
    assert.deepEqual(poller.queue.left, []);
    await poller.stop();
  });

  it("finishes what runs when it is to stop, and gives back what has not begun", async () => {
    const slow = slowFunction();
    const poller = startPoller({ run: slow.run, source: { batchMax: 1 }, placesMax: 1 });
    poller.queue.send("a", "b");
    await poller.clock.advance(10);
    poller.abort();
    await poller.clock.advance(10);
    assert.deepEqual(poller.queue.released, ["b"]);
    assert.deepEqual(poller.queue.left, ["a", "b"]);
    slow.endAll();
    await poller.running;
    assert.deepEqual(poller.queue.left, ["b"]);
  });

  it("takes what is on its way when it is to stop, and gives it back", async () => {
    const poller = startPoller({ run: ok });
    await poller.clock.advance(10);
    poller.abort();
    await poller.clock.advance(10);
    poller.queue.send("a");
    await poller.running;
    assert.deepEqual([poller.queue.released, poller.queue.left, poller.batches], [["a"], ["a"], []]);
  });

  it("gives back a batch that waits for a throttled function when it is to stop", async () => {
    const poller = startPoller({
      run: () => {
        throw new PlatformError("TooManyInvocations", "too many");
      },
    });
    poller.queue.send("a");
    await poller.clock.advance(10);
    await poller.stop();
    assert.deepEqual([poller.queue.released, poller.queue.left], [["a"], ["a"]]);
  });

  it("gives a message up when it was tried often enough, after its destination was told", async () => {
    const dead = parseFunctionName("dead");
    assert.ok(dead);
    const poller = startPoller({
      run: () => threw,
      source: { onFailure: { kind: "function", functionName: dead, qualifier: undefined } },
      queue: { attemptsMax: 3 },
    });
    poller.queue.send("poison");
    await poller.clock.advance(10_000);
    assert.equal(poller.batches.length, 3);
    assert.deepEqual(poller.queue.dropped, ["poison"]);
    const [told] = await poller.events.claim({ leaseMs: 1_000, limit: 9, room: () => 9 });
    assert.equal(told?.facts.functionName, "dead");
    assert.ok(told?.work.kind === "call" && told.work.input.kind === "event");
    const record: unknown = JSON.parse(Buffer.from(told.work.input.payload).toString());
    const context: unknown = Reflect.get(Object(record), "requestContext");
    assert.equal(Reflect.get(Object(context), "condition"), "RetryAttemptsExhausted");
    assert.equal(Reflect.get(Object(context), "approximateInvokeCount"), 3);
    assert.deepEqual(recordsIn(Reflect.get(Object(record), "requestPayload")), [
      { messageId: "m1", body: "poison" },
    ]);
    await poller.stop();
  });

  it("lets a message come again that is too large for any call", async () => {
    const poller = startPoller({
      run: () => {
        throw new PlatformError("PayloadTooLarge", "too large");
      },
      queue: { attemptsMax: 2 },
    });
    poller.queue.send("a");
    await poller.clock.advance(5_000);
    assert.deepEqual(poller.queue.dropped, ["a"]);
    await poller.stop();
  });
});
