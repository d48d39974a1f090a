import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { PlatformError } from "../core/errors.ts";
import type { Destination, EventFacts, EventWork } from "../core/event.ts";
import { EVENT_DEPTH_MAX } from "../core/limits.ts";
import { returned } from "../invoker/invocations.fake.ts";
import { sampleEvent } from "../store/event-samples.fake.ts";
import { sampleName } from "../store/samples.fake.ts";
import { sampleEventConfig, startFakeWork, threw } from "./events.fake.ts";
import { type ModelSettings, modelHistory, type Script } from "./retry-model.fake.ts";

const NO_KEY = { idempotencyKey: undefined };
const TO_G: Destination = { kind: "function", functionName: sampleName("g"), qualifier: undefined };
const TO_URL: Destination = { kind: "url", url: "https://example.org/hook" };

function must<T>(value: T | undefined): T {
  assert.ok(value !== undefined);
  return value;
}

async function allOf(work: ReturnType<typeof startFakeWork>, name: string): Promise<EventFacts[]> {
  const functionName = sampleName(name);
  return await work.events.list({ functionName, states: undefined, after: undefined, limit: 100 });
}

function recordIn(work: EventWork | undefined): unknown {
  const bytes =
    work?.kind === "delivery" ? work.body : work?.input.kind === "event" ? work.input.payload : undefined;
  return JSON.parse(Buffer.from(bytes ?? new Uint8Array(0)).toString());
}

describe("an event's history", () => {
  const script = fc.constantFrom<Script>("returns", "throws", "throws", "is throttled", "fails to start");
  const history = fc.record({
    scripts: fc
      .tuple(script, fc.array(script, { maxLength: 12 }))
      .map(([first, rest]) => [first, ...rest] as const),
    retriesMax: fc.nat(2),
    ageMsMax: fc.oneof(
      fc.integer({ min: 60_000, max: 900_000 }),
      fc.integer({ min: 60_000, max: 21_600_000 }),
    ),
  });
  const runs = Number(process.env.FAULTS_HISTORIES ?? 10_000);

  it(`is that of the model, ${runs} times`, async () => {
    await fc.assert(
      fc.asyncProperty(history, async ({ scripts, ...settings }) => {
        const [first, ...rest] = scripts;
        assert.deepEqual(
          await actualHistory([first, ...rest], settings),
          modelHistory([first, ...rest], settings),
        );
      }),
      { numRuns: runs },
    );
  });

  async function actualHistory(scripts: readonly [Script, ...Script[]], settings: ModelSettings) {
    const { retriesMax, ageMsMax: eventAgeMsMax } = settings;
    const config = sampleEventConfig({ retriesMax, eventAgeMsMax, onSuccess: TO_G, onFailure: TO_G });
    const attemptsAt: number[] = [];
    const records: unknown[] = [];
    let acceptedAt = 0;
    const work = startFakeWork({
      functions: { f: { eventInvokeConfigs: [config] }, g: {} },
      run: ({ input }, { target }) => {
        if (target.record.name === "g") {
          records.push(input.kind === "event" && JSON.parse(Buffer.from(input.payload).toString()));
          return returned("");
        }
        const script = scripts[Math.min(attemptsAt.length, scripts.length - 1)];
        attemptsAt.push(work.clock.now() - acceptedAt);
        if (script === "returns") return returned("{}");
        if (script === "throws") return threw("no");
        throw new PlatformError(
          script === "is throttled" ? "TooManyInvocations" : "SandboxStartFailed",
          "not now",
        );
      },
    });
    acceptedAt = work.clock.now();
    await work.events.enqueue(sampleEvent("f"), NO_KEY);
    await work.runAll();
    const [facts] = await allOf(work, "f");
    assert.equal(records.length, 1, "exactly one record for its destination");
    const { requestContext } = Object(records[0]);
    assert.equal(facts?.reason?.condition ?? "Success", requestContext.condition);
    return {
      attemptsAt,
      state: facts?.state,
      condition: requestContext.condition,
      endedAt: (facts?.endedAt ?? 0) - acceptedAt,
      calls: requestContext.approximateInvokeCount,
    };
  }
});

describe("an attempt", () => {
  it("calls the function with the event's own invocation id, every time", async () => {
    const ids: string[] = [];
    const work = startFakeWork({
      run: ({ invocationId }) => {
        ids.push(invocationId);
        return threw("no");
      },
    });
    const event = sampleEvent("f");
    await work.events.enqueue(event, NO_KEY);
    await work.runAll();
    assert.deepEqual(ids, Array(3).fill(event.invocationId));
  });

  it("keeps what was returned, or thrown", async () => {
    const work = startFakeWork({
      run: ({ traceId }) => (traceId === "bad" ? threw("no") : returned('{"a":1}')),
    });
    const good = await work.events.enqueue(sampleEvent("f"), NO_KEY);
    const bad = await work.events.enqueue(sampleEvent("f", "", { traceId: "bad" }), NO_KEY);
    await work.runAll();
    const results = await Promise.all([good, bad].map(({ id }) => work.events.findResult(id)));
    assert.deepEqual(
      results.map((result) => [Buffer.from(must(result).payload).toString(), must(result).functionError]),
      [
        ['{"a":1}', undefined],
        ['{"errorType":"Error","errorMessage":"no"}', "Unhandled"],
      ],
    );
    const [failed] = await allOf(work, "f");
    assert.deepEqual(
      failed?.attempts.map(({ number, outcome, error }) => [number, outcome, error?.message]),
      [1, 2, 3].map((number) => [number, "threw", "no"]),
    );
  });

  for (const [why, functions, condition] of [
    ["a function that is not there", {}, "TargetNotFound"],
    ["a function whose reserved concurrency is 0", { f: { concurrencyMax: 0 } }, "ZeroReservedConcurrency"],
  ] as const) {
    it(`makes a dead letter at once of an event for ${why}`, async () => {
      const work = startFakeWork({ functions, run: () => assert.fail("it must not be called") });
      await work.events.enqueue(sampleEvent("f"), NO_KEY);
      await work.runAll();
      const [facts] = await allOf(work, "f");
      assert.deepEqual([facts?.state, facts?.reason?.condition], ["failed", condition]);
    });
  }

  it("gives an event back that was not begun when we stop", async () => {
    const stopping = new AbortController();
    const work = startFakeWork({ run: () => assert.fail("not begun") });
    await work.events.enqueue(sampleEvent("f"), NO_KEY);
    const [claim] = await work.events.claim({ leaseMs: 1, limit: 1, room: () => 1 });
    stopping.abort(new PlatformError("ShuttingDown", "stop"));
    const { workOn } = await import("./event-attempt.ts");
    assert.equal(await workOn(work.parts, must(claim), { signal: stopping.signal }), "released");
    const [facts] = await allOf(work, "f");
    assert.deepEqual([facts?.state, facts?.errors, facts?.setbacks], ["queued", 0, 0]);
  });

  it("ends a loop of destinations with a dead letter that says so", async () => {
    const config = sampleEventConfig({ onSuccess: { ...TO_G, functionName: sampleName("f") } });
    let calls = 0;
    const work = startFakeWork({
      functions: { f: { eventInvokeConfigs: [config] } },
      run: () => {
        calls += 1;
        return returned("{}");
      },
    });
    await work.events.enqueue(sampleEvent("f"), NO_KEY);
    await work.runAll();
    const [last] = await allOf(work, "f");
    assert.equal(calls, EVENT_DEPTH_MAX + 1);
    assert.deepEqual([last?.state, last?.reason?.condition], ["failed", "LoopDetected"]);
  });
});

describe("a destination", () => {
  it("is told of success in Lambda's words", async () => {
    const work = startFakeWork({
      functions: { f: { eventInvokeConfigs: [sampleEventConfig({ onSuccess: TO_URL })] } },
      run: () => returned('{"out":1}'),
    });
    const event = sampleEvent("f", '{"in":1}');
    await work.events.enqueue(event, NO_KEY);
    await work.runAll();
    const [delivery] = await allOf(work, "f");
    assert.deepEqual([delivery?.kind, delivery?.url, delivery?.depth], ["delivery", TO_URL.url, 1]);
    assert.deepEqual(recordIn(await work.events.findWork(must(delivery).id)), {
      version: "1.0",
      timestamp: new Date(work.clock.now()).toISOString(),
      requestContext: {
        requestId: event.invocationId,
        functionArn: "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST",
        condition: "Success",
        approximateInvokeCount: 1,
      },
      requestPayload: { in: 1 },
      responseContext: { statusCode: 200, executedVersion: "$LATEST" },
      responsePayload: { out: 1 },
    });
  });

  it("is told of failure with the error, and of zero concurrency without a response", async () => {
    const eventInvokeConfigs = [sampleEventConfig({ onFailure: TO_G, retriesMax: 0 })];
    const records: unknown[] = [];
    const work = startFakeWork({
      functions: { f: { eventInvokeConfigs }, zero: { eventInvokeConfigs, concurrencyMax: 0 }, g: {} },
      run: ({ input }, { target }) => {
        if (target.record.name === "f") return threw("no");
        records.push(input.kind === "event" && JSON.parse(Buffer.from(input.payload).toString()));
        return returned("");
      },
    });
    await work.events.enqueue(sampleEvent("f", "not json"), NO_KEY);
    await work.runAll();
    await work.events.enqueue(sampleEvent("zero"), NO_KEY);
    await work.runAll();
    const [failed, zero] = records.map(Object);
    assert.deepEqual(
      [failed.requestContext.condition, failed.requestContext.approximateInvokeCount, failed.requestPayload],
      ["RetriesExhausted", 1, "not json"],
    );
    assert.deepEqual(failed.responseContext, {
      statusCode: 200,
      executedVersion: "$LATEST",
      functionError: "Unhandled",
    });
    assert.deepEqual(failed.responsePayload, { errorType: "Error", errorMessage: "no" });
    assert.deepEqual(
      [zero.requestContext.condition, zero.requestContext.approximateInvokeCount, "responseContext" in zero],
      ["ZeroReservedConcurrency", 0, false],
    );
  });

  it("is that of the qualifier that was called, and of no other", async () => {
    const eventInvokeConfigs = [sampleEventConfig({ qualifier: "live", onSuccess: TO_G })];
    const work = startFakeWork({ functions: { f: { eventInvokeConfigs }, g: {} }, run: () => returned("") });
    for (const qualifier of [undefined, "live", "7", "$LATEST"]) {
      const input = { kind: "event", payload: Buffer.from("{}"), contentType: "application/json" } as const;
      await work.events.enqueue(sampleEvent("f", "", { work: { kind: "call", qualifier, input } }), NO_KEY);
    }
    await work.runAll();
    assert.equal((await allOf(work, "g")).length, 1);
  });

  it("is told again until it takes it, by the same id, and never tells others of that", async () => {
    const ids: string[] = [];
    const work = startFakeWork({
      functions: { f: { eventInvokeConfigs: [sampleEventConfig({ onSuccess: TO_URL, onFailure: TO_G })] } },
      run: () => returned("{}"),
      deliver: async ({ id }) => {
        ids.push(id);
        const error = { type: "DeliveryRefused", message: "500" };
        return ids.length < 4
          ? { kind: "setback", outcome: "refused", error }
          : { kind: "delivered", status: 204 };
      },
    });
    await work.events.enqueue(sampleEvent("f"), NO_KEY);
    await work.runAll();
    const [delivery] = await allOf(work, "f");
    assert.equal(delivery?.state, "done");
    assert.deepEqual(ids, Array(4).fill(delivery?.id));
    assert.deepEqual(
      delivery?.attempts.map(({ outcome }) => outcome),
      ["refused", "refused", "refused", "delivered"],
    );
    assert.deepEqual(await allOf(work, "g"), []);
  });
});
