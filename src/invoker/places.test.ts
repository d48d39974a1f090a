/** Which instance a call is given, and who waits for one. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isPlatformError, PlatformError } from "../core/errors.ts";
import { type Gate, newGate, openTestHost, requestOf, returned, targetOf } from "./test-host.fake.ts";

const patient = { signal: new AbortController().signal };

/** A host whose calls wait at a gate, and their ids in the order in which they came there. */
function recordingHost(gate: Gate) {
  const seen: string[] = [];
  const host = openTestHost({
    answer: (call) => {
      seen.push(call.invocationId);
      return gate.pass();
    },
  });
  return { host, seen };
}

describe("a call's place", () => {
  it("gives each parallel call an instance of its own, up to the limit, and the rest a place in the queue", async () => {
    const gate = newGate();
    const host = openTestHost({ answer: gate.pass });
    const calls = Array.from({ length: 15 }, () => host.invoker.invoke(targetOf(), requestOf(), patient));
    await gate.untilWaiting(10);
    assert.deepEqual(host.invoker.counts(), { idle: 0, busy: 10, starting: 0, waiting: 5 });
    gate.open();
    await Promise.all(calls);
    assert.equal(host.started, 10);
    await host.invoker[Symbol.asyncDispose]();
  });

  it("gives a place to calls that somebody waits for before those that nobody does, each in their order", async () => {
    const gate = newGate();
    const { host, seen } = recordingHost(gate);
    const target = targetOf();
    const busy = Array.from({ length: 10 }, () => host.invoker.invoke(target, requestOf(), patient));
    await gate.untilWaiting(10);
    const unattended = [0, 1].map(() => ({ ...requestOf(), isUnattended: true }));
    const attended = [requestOf(), requestOf()];
    const [first, second, third, fourth] = [unattended[0], attended[0], unattended[1], attended[1]];
    assert.ok(first && second && third && fourth);
    const calls = [first, second, third, fourth].map((request) =>
      host.invoker.invoke(target, request, patient),
    );
    gate.open();
    await Promise.all([...busy, ...calls]);
    assert.deepEqual(
      seen.slice(10),
      [second, fourth, first, third].map(({ invocationId }) => invocationId),
    );
    await host.invoker[Symbol.asyncDispose]();
  });

  it("refuses calls beyond the function's own limit at once, with Lambda's reason", async () => {
    const gate = newGate();
    const host = openTestHost({ answer: gate.pass });
    const target = targetOf({ concurrencyMax: 1 });
    const first = host.invoker.invoke(target, requestOf(), patient);
    await assert.rejects(host.invoker.invoke(target, requestOf(), patient), (error) => {
      assert.ok(isPlatformError(error, "TooManyInvocations"));
      assert.equal(error.reason, "ReservedFunctionConcurrentInvocationLimitExceeded");
      return true;
    });
    gate.open();
    await first;
    await host.invoker[Symbol.asyncDispose]();
  });

  it("never starts a call whose caller has gone while it waited", async () => {
    const gate = newGate();
    const { host, seen } = recordingHost(gate);
    const target = targetOf();
    const busy = Array.from({ length: 10 }, () => host.invoker.invoke(target, requestOf(), patient));
    await gate.untilWaiting(10);
    const caller = new AbortController();
    const request = requestOf();
    const gone = host.invoker.invoke(target, request, { signal: caller.signal });
    caller.abort(new PlatformError("CallerGone", "the client closed its connection"));
    await assert.rejects(gone, (error) => isPlatformError(error, "CallerGone"));
    gate.open();
    await Promise.all(busy);
    assert.equal(seen.includes(request.invocationId), false);
    assert.equal(host.invoker.counts().waiting, 0);
    await host.invoker[Symbol.asyncDispose]();
  });

  it("hands quick calls over ahead, and begins each when the one before has ended", async () => {
    let running = 0;
    let most = 0;
    const host = openTestHost({
      aheadMax: 4,
      answer: () => {
        running += 1;
        most = Math.max(most, running);
        running -= 1;
        return returned("quick");
      },
    });
    const target = targetOf();
    for (let i = 0; i < 5; i++) await host.invoker.invoke(target, requestOf(), patient);
    const results = await Promise.all(
      Array.from({ length: 40 }, () => host.invoker.invoke(target, requestOf(), patient)),
    );
    assert.deepEqual([most, new Set(results.map(({ outcome }) => outcome.kind))], [1, new Set(["returned"])]);
    await host.invoker[Symbol.asyncDispose]();
  });

  it("serves a call elsewhere that was handed over behind one that turned out to be slow", async () => {
    const gate = newGate();
    const host = openTestHost({
      aheadMax: 4,
      answer: (call, sandbox) =>
        call.input.kind === "event" && call.input.payload.length > 2
          ? gate.pass()
          : returned(`by ${sandbox.number}`),
    });
    const target = targetOf();
    for (let i = 0; i < 5; i++) await host.invoker.invoke(target, requestOf(), patient);
    const slow = host.invoker.invoke(target, requestOf("slow"), patient);
    const behind = await host.invoker.invoke(target, requestOf(), patient);
    assert.deepEqual(behind.outcome, returned("by 2"));
    gate.open();
    await slow;
    await host.invoker[Symbol.asyncDispose]();
  });

  it("runs calls again that stood behind one which took the program with it", async () => {
    const host = openTestHost({
      aheadMax: 4,
      answer: (call, sandbox) => {
        if (call.input.kind !== "event" || call.input.payload.length === 2)
          return returned(`by ${sandbox.number}`);
        sandbox.exit({ exitCode: 1 });
        return new Promise(() => undefined);
      },
    });
    const target = targetOf();
    for (let i = 0; i < 5; i++) await host.invoker.invoke(target, requestOf(), patient);
    const deadly = host.invoker.invoke(target, requestOf("deadly"), patient);
    const behind = [1, 2, 3].map(() => host.invoker.invoke(target, requestOf(), patient));
    assert.equal((await deadly).outcome.kind, "crashed");
    for (const one of behind) assert.equal((await one).outcome.kind, "returned");
    await host.invoker[Symbol.asyncDispose]();
  });
});
