import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { isPlatformError } from "../core/errors.ts";
import type { EventWork, NewEvent } from "../core/event.ts";
import { newInvocationId, parseEventId } from "../core/ids.ts";
import type { ClaimedEvent, EventLedger, EventQueue } from "./event-queue.ts";
import {
  type StoppedClock,
  sampleAttempt,
  sampleEnding,
  sampleEvent,
  sampleResult,
  stoppedClock,
} from "./event-samples.fake.ts";
import { sampleName } from "./samples.fake.ts";

export interface OpenedEvents extends AsyncDisposable {
  readonly events: EventQueue & EventLedger;
}

const LIMITS = { perFunctionMax: 5, totalMax: 8 };
const NO_KEY = { idempotencyKey: undefined };
const LEASE = { leaseMs: 60_000, limit: 1, room: () => 1 };
/** For calls of that function there is no room. */
const except = (name: string) => ({ ...LEASE, room: (lane: string) => (lane === name ? 0 : 1) });

/** The promises of event-queue.ts. `open` gives an empty queue with these limits. */
export function describeEventQueue(
  name: string,
  open: (clock: StoppedClock, limits: typeof LIMITS) => Promise<OpenedEvents>,
): void {
  let opened: OpenedEvents;
  let events: EventQueue & EventLedger;
  let clock: StoppedClock;
  beforeEach(async () => {
    clock = stoppedClock();
    opened = await open(clock, LIMITS);
    events = opened.events;
  });
  afterEach(() => opened[Symbol.asyncDispose]());

  const enqueue = (event: NewEvent) => events.enqueue(event, NO_KEY);
  const claim = async (): Promise<ClaimedEvent> => {
    const [claimed] = await events.claim(LEASE);
    assert.ok(claimed, "nothing could be claimed");
    return claimed;
  };
  const names = async (count: number) => {
    const claimed: string[] = [];
    for (let index = 0; index < count; index++) claimed.push((await claim()).facts.functionName);
    return claimed;
  };

  describe(`${name}: EventQueue`, () => {
    for (const [why, work] of [
      [
        "an event",
        {
          kind: "call",
          qualifier: "live",
          input: { kind: "event", payload: bytes('{"ü":1}'), contentType: "application/json" },
        },
      ],
      [
        "an event without a byte",
        {
          kind: "call",
          qualifier: undefined,
          input: { kind: "event", payload: bytes(""), contentType: "text/plain" },
        },
      ],
      [
        "an event of a mebibyte",
        {
          kind: "call",
          qualifier: "7",
          input: { kind: "event", payload: new Uint8Array(1_048_576).fill(7), contentType: "x/y" },
        },
      ],
      [
        "a request",
        {
          kind: "call",
          qualifier: undefined,
          input: {
            kind: "request",
            method: "POST",
            path: "/a?b=c",
            rawHeaders: ["Host", "x", "a", "1"],
            body: bytes("body"),
          },
        },
      ],
      [
        "a request without a body",
        {
          kind: "call",
          qualifier: undefined,
          input: { kind: "request", method: "GET", path: "/", rawHeaders: [], body: undefined },
        },
      ],
      ["a delivery", { kind: "delivery", url: "https://example.org/a?b", body: bytes("{}") }],
    ] satisfies [string, EventWork][]) {
      it(`gives back ${why} as it was accepted`, async () => {
        const event = sampleEvent("f", "", { work, traceId: "Root=1", depth: 3, origin: "o" });
        const { id, invocationId, isDuplicate } = await enqueue(event);
        assert.ok(parseEventId(id), id);
        assert.deepEqual([invocationId, isDuplicate], [event.invocationId, false]);
        const claimed = await claim();
        assert.deepEqual(plain(claimed.work), plain(work));
        assert.deepEqual(claimed.facts, {
          id,
          functionName: "f",
          invocationId,
          state: "running",
          kind: work.kind,
          qualifier: work.kind === "call" ? work.qualifier : undefined,
          url: work.kind === "delivery" ? work.url : undefined,
          traceId: "Root=1",
          depth: 3,
          origin: "o",
          enqueuedAt: clock.now(),
          agedFromAt: clock.now(),
          dueAt: clock.now(),
          attempt: 1,
          errors: 0,
          setbacks: 0,
          attempts: [],
          endedAt: undefined,
          reason: undefined,
        });
        assert.deepEqual(plain(await events.findWork(id)), plain(work));
      });
    }

    it("claims in the order of arrival, and nothing twice", async () => {
      for (const text of ["1", "2", "3"]) await enqueue(sampleEvent("f", text));
      const texts = [await claim(), await claim(), await claim()].map(textOf);
      assert.deepEqual(texts, ["1", "2", "3"]);
      assert.deepEqual(await events.claim(LEASE), []);
    });

    it("goes round the functions, however many events one has", async () => {
      for (let index = 0; index < 5; index++) await enqueue(sampleEvent("many"));
      await enqueue(sampleEvent("one"));
      await enqueue(sampleEvent("two"));
      const order = await names(3);
      assert.deepEqual([...order].sort(), ["many", "one", "two"]);
      assert.deepEqual(await names(4), ["many", "many", "many", "many"]);
    });

    it("passes over busy lanes", async () => {
      await enqueue(sampleEvent("a"));
      await enqueue(sampleEvent("b"));
      const [claimed] = await events.claim(except("a"));
      assert.equal(claimed?.facts.functionName, "b");
      assert.deepEqual(await events.claim(except("a")), []);
      assert.equal((await claim()).facts.functionName, "a");
    });

    it("claims many at once, of each lane as many as it has room for", async () => {
      for (const each of ["a", "a", "a", "b", "b"]) await enqueue(sampleEvent(each));
      const room = (lane: string) => (lane === "a" ? 2 : 5);
      const claims = await events.claim({ leaseMs: 60_000, limit: 10, room });
      assert.deepEqual(claims.map(({ lane }) => lane).sort(), ["a", "a", "b", "b"]);
      assert.equal((await events.claim({ ...LEASE, limit: 0 })).length, 0);
      assert.equal((await claim()).lane, "a");
    });

    it("keeps deliveries in a lane of their own per host, apart from calls", async () => {
      await enqueue(delivery("f", "https://a.example/1"));
      await enqueue(sampleEvent("f"));
      const [claimed] = await events.claim(except("f"));
      assert.equal(claimed?.facts.url, "https://a.example/1");
      assert.equal(claimed?.lane, "f https://a.example");
    });

    it("gives the first event again for a key that was used within a day, and only for that function", async () => {
      const key = { idempotencyKey: "k" };
      const first = await events.enqueue(sampleEvent("f", "1"), key);
      const again = await events.enqueue(sampleEvent("f", "2"), key);
      assert.deepEqual(again, { ...first, isDuplicate: true });
      assert.notEqual((await events.enqueue(sampleEvent("g"), key)).id, first.id);
      clock.advance(24 * 3_600_000 + 1);
      assert.equal((await events.enqueue(sampleEvent("f", "3"), key)).isDuplicate, false);
    });

    it("adds one event for a key that many bring at the same time", async () => {
      const all = await Promise.all(
        Array.from({ length: 4 }, () => events.enqueue(sampleEvent("f"), { idempotencyKey: "k" })),
      );
      assert.equal(new Set(all.map(({ id }) => id)).size, 1);
      assert.equal(all.filter(({ isDuplicate }) => !isDuplicate).length, 1);
      assert.deepEqual(events.counts(sampleName("f")), { queued: 1, running: 0 });
      assert.deepEqual(events.counts(), { queued: 1, running: 0 });
    });

    it("throws TooManyEvents at the limit of a function and of all, but answers a known key", async () => {
      for (let index = 0; index < 4; index++) await enqueue(sampleEvent("f"));
      const first = await events.enqueue(sampleEvent("f"), { idempotencyKey: "k" });
      await assert.rejects(enqueue(sampleEvent("f")), tooMany);
      assert.equal((await events.enqueue(sampleEvent("f"), { idempotencyKey: "k" })).id, first.id);
      for (let index = 0; index < 3; index++) await enqueue(sampleEvent(`g${index}`));
      await assert.rejects(enqueue(sampleEvent("h")), tooMany);
    });

    it("has room again when an event has ended", async () => {
      for (let index = 0; index < 5; index++) await enqueue(sampleEvent("f"));
      const claimed = await claim();
      await events.end(claimed, sampleEnding(claimed));
      await enqueue(sampleEvent("f"));
      await assert.rejects(enqueue(sampleEvent("f")), tooMany);
    });

    it("ends an event with its result, its attempt, and what follows from it", async () => {
      const { id } = await enqueue(sampleEvent("f"));
      const claimed = await claim();
      const result = sampleResult("x".repeat(100_000));
      const followUps = [sampleEvent("g", "next", { depth: 1 })];
      assert.equal(await events.end(claimed, sampleEnding(claimed, { result, followUps })), true);
      const facts = await events.find(id);
      assert.deepEqual(
        [facts?.state, facts?.endedAt, facts?.attempts],
        ["done", clock.now(), [sampleAttempt(claimed)]],
      );
      assert.deepEqual(plain(await events.findResult(id)), plain(result));
      assert.equal(textOf(await claim()), "next");
    });

    it("queues an event again for later, ahead of younger ones", async () => {
      await enqueue(sampleEvent("f", "old"));
      const claimed = await claim();
      const attempt = sampleAttempt(claimed, "threw");
      const dueAt = clock.now() + 60_000;
      assert.equal(await events.delay(claimed, { dueAt, attempt, errors: 1, setbacks: 0 }), true);
      assert.deepEqual(await events.claim(LEASE), []);
      assert.equal(events.nextDueAt(), dueAt);
      await enqueue(sampleEvent("f", "young"));
      clock.advance(60_000);
      const again = await claim();
      assert.equal(textOf(again), "old");
      assert.deepEqual([again.facts.attempt, again.facts.errors, again.facts.attempts], [2, 1, [attempt]]);
      assert.equal(again.facts.invocationId, claimed.facts.invocationId);
    });

    it("gives up a claim that is not prolonged, and refuses what its holder says later", async () => {
      const { id } = await enqueue(sampleEvent("f"));
      const first = await claim();
      clock.advance(50_000);
      assert.deepEqual(events.renew([first], 60_000), []);
      clock.advance(50_000);
      assert.deepEqual(await events.claim(LEASE), []);
      clock.advance(10_001);
      const second = await claim();
      assert.deepEqual([second.facts.id, second.facts.attempt], [id, 2]);
      assert.deepEqual(
        second.facts.attempts.map(({ number, outcome }) => [number, outcome]),
        [[1, "lost"]],
      );
      assert.deepEqual(events.renew([first, second], 60_000), [first]);
      const attempt = sampleAttempt(first);
      assert.equal(await events.end(first, sampleEnding(first)), false);
      assert.equal(await events.delay(first, { dueAt: 0, attempt, errors: 0, setbacks: 0 }), false);
      assert.equal((await events.find(id))?.state, "running");
      assert.equal(await events.end(second, sampleEnding(second)), true);
      assert.equal(await events.end(second, sampleEnding(second)), false);
    });

    for (const hours of [1, 24, -1, -24]) {
      it(`neither gives up nor keeps a claim when the clock is put by ${hours} h`, async () => {
        await enqueue(sampleEvent("f"));
        const first = await claim();
        clock.jump(hours * 3_600_000);
        assert.deepEqual(await events.claim(LEASE), []);
        assert.deepEqual(events.renew([first], 60_000), []);
        clock.jump(-hours * 3_600_000);
        clock.advance(60_001);
        assert.equal((await claim()).facts.attempt, 2);
      });
    }

    it("tells when something can be claimed", async () => {
      const told = events.changed({ signal: AbortSignal.timeout(5_000) });
      await enqueue(sampleEvent("f"));
      await told;
      await assert.rejects(events.changed({ signal: AbortSignal.abort(new Error("enough")) }), /enough/);
    });
  });

  describe(`${name}: EventLedger`, () => {
    it("lists the latest first, by function and state, in pages", async () => {
      const ids: string[] = [];
      for (const each of ["f", "g", "f", "f"]) {
        clock.advance(1);
        ids.push((await enqueue(sampleEvent(each))).id);
      }
      const list = async (query: Partial<Parameters<EventLedger["list"]>[0]>) =>
        (
          await events.list({
            functionName: undefined,
            states: undefined,
            after: undefined,
            limit: 10,
            ...query,
          })
        ).map(({ id }) => ids.indexOf(id));
      assert.deepEqual(await list({}), [3, 2, 1, 0]);
      assert.deepEqual(await list({ functionName: sampleName("f"), limit: 2 }), [3, 2]);
      const after = parseEventId(ids[2] ?? "");
      assert.deepEqual(await list({ functionName: sampleName("f"), after }), [0]);
      const claimed = await claim();
      await events.end(claimed, sampleEnding(claimed, { state: "failed", reason: REASON }));
      const at = ids.indexOf(claimed.facts.id);
      assert.deepEqual(await list({ states: ["failed", "expired"] }), [at]);
      assert.deepEqual(
        await list({ states: ["queued", "running"] }),
        [3, 2, 1, 0].filter((each) => each !== at),
      );
      assert.deepEqual(await list({ states: ["done"] }), []);
    });

    it("finds nothing where nothing is", async () => {
      const id = must(parseEventId("evt_zzzzzzzzzzz"));
      assert.equal(await events.find(id), undefined);
      assert.equal(await events.findWork(id), undefined);
      assert.equal(await events.findResult(id), undefined);
      assert.equal(await events.cancel(id, REASON), false);
      assert.deepEqual(await events.requeue([id], { qualifier: undefined }), []);
      assert.equal(await events.removeDeadLetters(sampleName("f"), [id], 10), 0);
      assert.deepEqual(events.counts(sampleName("f")), { queued: 0, running: 0 });
    });

    it("cancels an event that waits, and one that runs, whose result then counts no more", async () => {
      const waiting = await enqueue(sampleEvent("f", "1"));
      const running = await enqueue(sampleEvent("g", "2"));
      const [claimed] = await events.claim(except("f"));
      assert.ok(claimed);
      assert.equal(await events.cancel(waiting.id, REASON), true);
      assert.equal(await events.cancel(running.id, REASON), true);
      assert.equal(await events.cancel(running.id, REASON), false);
      assert.deepEqual(await events.claim(LEASE), []);
      assert.equal(await events.end(claimed, sampleEnding(claimed)), false);
      assert.deepEqual((await events.find(waiting.id))?.reason, REASON);
      assert.deepEqual(events.counts(sampleName("g")), { queued: 0, running: 0 });
    });

    it("claims what comes behind cancelled events", async () => {
      const ids = [await enqueue(sampleEvent("f", "1")), await enqueue(sampleEvent("f", "2"))];
      for (const { id } of ids) await events.cancel(id, REASON);
      await enqueue(sampleEvent("f", "3"));
      assert.equal(textOf(await claim()), "3");
    });

    it("cancels all of a function, and nobody else's", async () => {
      await enqueue(sampleEvent("f"));
      await enqueue(delivery("f", "https://a.example/"));
      await enqueue(sampleEvent("f2"));
      assert.equal(await events.cancelAll(sampleName("f"), REASON), 2);
      assert.deepEqual(await names(1), ["f2"]);
      assert.deepEqual(await events.claim(LEASE), []);
    });

    it("sends dead letters on their way again, to another version if asked", async () => {
      const { id } = await enqueue(sampleEvent("f"));
      const claimed = await claim();
      const attempt = sampleAttempt(claimed, "threw");
      await events.end(claimed, sampleEnding(claimed, { state: "failed", reason: REASON, attempt }));
      clock.advance(5_000);
      assert.deepEqual(await events.requeue([id], { qualifier: "7" }), [id]);
      const again = await claim();
      assert.deepEqual(
        [again.facts.attempt, again.facts.errors, again.facts.agedFromAt, again.facts.qualifier],
        [2, 0, clock.now(), "7"],
      );
      assert.deepEqual([again.facts.attempts, again.facts.reason], [[attempt], undefined]);
      await events.end(again, sampleEnding(again));
      assert.deepEqual(await events.requeue([id], { qualifier: undefined }), [], "what is done stays done");
    });

    it("removes dead letters only", async () => {
      await enqueue(sampleEvent("f"));
      await enqueue(sampleEvent("f"));
      const claimed = await claim();
      await events.end(claimed, sampleEnding(claimed, { state: "expired", reason: REASON }));
      assert.equal(await events.removeDeadLetters(sampleName("g"), undefined, 10), 0);
      assert.equal(await events.removeDeadLetters(sampleName("f"), undefined, 10), 1);
      assert.equal(await events.find(claimed.facts.id), undefined);
      assert.deepEqual(events.counts(sampleName("f")), { queued: 1, running: 0 });
    });

    it("tells when an event has changed", async () => {
      const { id } = await enqueue(sampleEvent("f"));
      const known = must(await events.find(id));
      const signal = AbortSignal.timeout(5_000);
      const change = events.nextChange(known, { signal });
      const claimed = await claim();
      assert.equal((await change)?.state, "running");
      const end = events.nextChange(claimed.facts, { signal });
      await events.end(claimed, sampleEnding(claimed));
      assert.equal((await end)?.state, "done");
      assert.equal((await events.nextChange(known, { signal }))?.state, "done");
      await assert.rejects(
        events.nextChange(must(await events.find(id)), { signal: AbortSignal.abort(new Error("enough")) }),
        /enough/,
      );
    });

    it("forgets what has been kept long enough, dead letters later, and never what is open", async () => {
      for (const each of ["done", "failed", "cancelled", "open"]) await enqueue(sampleEvent(each));
      for (const state of ["done", "failed", "cancelled"] as const) {
        const claimed = await claim();
        await events.end(claimed, sampleEnding(claimed, { state, reason: REASON }));
      }
      const pruneAll = async (endedBefore: number, deadLettersBefore: number) => {
        while (await events.prune({ endedBefore, deadLettersBefore }));
        const query = { functionName: undefined, states: undefined, after: undefined, limit: 10 };
        return (await events.list(query)).map(({ state }) => state).sort();
      };
      const now = clock.now();
      assert.deepEqual(await pruneAll(now, now), ["cancelled", "done", "failed", "queued"]);
      clock.advance(3_600_000);
      assert.deepEqual(await pruneAll(now + 1, now), ["failed", "queued"]);
      clock.advance(3_600_000);
      assert.deepEqual(await pruneAll(now + 1, now + 1), ["queued"]);
    });
  });
}

const REASON = { condition: "RetriesExhausted", message: "why" } as const;

function delivery(name: string, url: string): NewEvent {
  return sampleEvent(name, "", {
    work: { kind: "delivery", url, body: bytes("{}") },
    invocationId: newInvocationId(),
  });
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function textOf({ work }: ClaimedEvent): string {
  return work.kind === "call" && work.input.kind === "event"
    ? new TextDecoder().decode(work.input.payload)
    : "";
}

/** Bytes as text, since Buffers and plain arrays count as different. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value ?? null, (_, member: unknown) =>
      member instanceof Uint8Array ? Buffer.from(member).toString("latin1") : member,
    ).replaceAll(/\{"type":"Buffer","data":\[([\d,]*)\]\}/g, (_, list: string) =>
      JSON.stringify(Buffer.from(list === "" ? [] : list.split(",").map(Number)).toString("latin1")),
    ),
  );
}

function must<T>(value: T | undefined): T {
  assert.ok(value !== undefined);
  return value;
}

function tooMany(error: unknown): boolean {
  return isPlatformError(error, "TooManyEvents") && (error.retryAfterMs ?? 0) > 0;
}
