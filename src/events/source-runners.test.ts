import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type FakeClock, fakeClock } from "../core/clock.fake.ts";
import { PlatformError } from "../core/errors.ts";
import type { SourceId } from "../core/ids.ts";
import { silentLog } from "../core/log.ts";
import { fakeInvocations, returned } from "../invoker/invocations.fake.ts";
import { fakeEvents } from "../store/event-queue.fake.ts";
import { sampleFunction } from "../store/samples.fake.ts";
import { sampleSource } from "../store/source-samples.fake.ts";
import { fakeSources } from "../store/sources.fake.ts";
import { type FakeQueue, fakeQueue } from "./source-queue.fake.ts";
import { SourceRunners } from "./source-runners.ts";

/** Runners over sources in memory; each source that is opened gets a queue of its own. */
function startRunners(options: { readonly open?: () => void } = {}) {
  const clock: FakeClock = fakeClock();
  const functions = { isThere: true };
  const sources = fakeSources(async () => functions.isThere);
  const queues = new Map<SourceId, FakeQueue>();
  const opened: number[] = [];
  const runners = new SourceRunners({
    sources,
    async openQueue(source) {
      options.open?.();
      opened.push(source.batchMax);
      const queue = queues.get(source.id) ?? fakeQueue(clock);
      queues.set(source.id, queue);
      return queue;
    },
    functions: {
      async resolve() {
        const record = sampleFunction("greet");
        return { record, version: record.latest, qualifier: undefined };
      },
    },
    invocations: fakeInvocations(() => returned("null")),
    events: fakeEvents(clock),
    identity: { accountId: "000000000000", region: "us-east-1" },
    clock,
    log: silentLog,
  });
  return {
    clock,
    functions,
    sources,
    queues,
    opened,
    runners,
    /** Loading the poller takes turns that no clock knows of. */
    async settle(isTrue: () => boolean) {
      for (let tries = 0; !isTrue(); tries += 1) {
        if (tries > 3_000) throw new Error(`still not true: ${isTrue}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
        await clock.advance(1_000);
      }
    },
    [Symbol.asyncDispose]: () => runners[Symbol.asyncDispose](),
  };
}

describe("SourceRunners", () => {
  it("polls what is stored, but for what is paused", async () => {
    await using place = startRunners();
    const [one, paused] = [sampleSource(), sampleSource({ isPaused: true })];
    await place.sources.save(one);
    await place.sources.save(paused);
    await place.settle(() => place.runners.status(one.id)?.activity === "polling");
    assert.equal(place.runners.status(paused.id), undefined);
    place.queues.get(one.id)?.send("a");
    await place.settle(() => place.queues.get(one.id)?.left.length === 0);
  });

  it("follows changes, and stops with what is removed", async () => {
    await using place = startRunners();
    const source = sampleSource();
    await place.sources.save(source);
    place.runners.changed(source.id);
    await place.settle(() => place.runners.status(source.id)?.activity === "polling");
    await place.sources.save({ ...source, batchMax: 3, generation: 2 });
    place.runners.changed(source.id);
    place.runners.changed(source.id);
    await place.settle(() => place.opened.length === 2);
    assert.deepEqual(place.opened, [10, 3]);
    place.functions.isThere = false;
    place.runners.functionChanged(source.functionName, undefined);
    await place.settle(() => place.runners.status(source.id) === undefined);
  });

  it("lives on with a source that cannot be opened, and says why", async () => {
    await using place = startRunners({
      open: () => {
        throw new PlatformError("InvalidRequest", "it is not known where SQS is");
      },
    });
    const source = sampleSource();
    await place.sources.save(source);
    place.runners.changed(source.id);
    await place.settle(() => place.runners.status(source.id)?.activity === "waiting");
    assert.equal(place.runners.status(source.id)?.lastResult?.text, "PROBLEM: it is not known where SQS is");
  });

  it("dies of what is no trouble with a queue", async () => {
    await using place = startRunners({
      open: () => {
        throw new TypeError("a bug");
      },
    });
    const source = sampleSource();
    await place.sources.save(source);
    place.runners.changed(source.id);
    await assert.rejects(place.runners.failed, TypeError);
  });
});
