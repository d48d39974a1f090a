import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { silentLog } from "../../core/log.ts";
import { describeEventQueue } from "../event-queue.contract.ts";
import { sampleEnding, sampleEvent, stoppedClock } from "../event-samples.fake.ts";
import { openSqliteStore } from "./sqlite-store.ts";

const root = await mkdtemp(join(tmpdir(), "lambdad-events-"));
after(() => rm(root, { recursive: true }));
let count = 0;

describeEventQueue("sqlite", async (clock, eventLimits) => {
  const store = await openSqliteStore({ dir: join(root, `${++count}`), log: silentLog, clock, eventLimits });
  return { events: store.events, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
});

describe("after a restart", () => {
  const clock = stoppedClock();
  const open = (dir: string) => openSqliteStore({ dir: join(root, dir), log: silentLog, clock });
  const LEASE = { leaseMs: 60_000, limit: 1, room: () => 1 };
  const NO_KEY = { idempotencyKey: undefined };

  it("has what waited, in order, and what ran as lost attempts, whose claims no longer count", async () => {
    const store = await open("restart");
    for (const text of ["1", "2", "3"]) await store.events.enqueue(sampleEvent("f", text), NO_KEY);
    const [claimed] = await store.events.claim(LEASE);
    assert.ok(claimed);
    await store[Symbol.asyncDispose]();

    await using later = await open("restart");
    assert.deepEqual(later.events.counts(claimed.facts.functionName), { queued: 3, running: 0 });
    assert.equal(await later.events.end(claimed, sampleEnding(claimed)), false);
    const [again] = await later.events.claim(LEASE);
    assert.deepEqual([again?.facts.id, again?.facts.attempt], [claimed.facts.id, 2]);
    assert.deepEqual(
      again?.facts.attempts.map(({ number, outcome }) => [number, outcome]),
      [[1, "lost"]],
    );
    assert.equal(await later.events.end(claimed, sampleEnding(claimed)), false);
  });

  it("numbers events upwards, even when the clock was turned back", async () => {
    const store = await open("clock");
    const first = await store.events.enqueue(sampleEvent("f"), NO_KEY);
    await store[Symbol.asyncDispose]();
    clock.advance(-3_600_000);
    await using later = await open("clock");
    const second = await later.events.enqueue(sampleEvent("f"), NO_KEY);
    assert.ok(second.id > first.id);
  });
});
