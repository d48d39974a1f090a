import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isPlatformError } from "../core/errors.ts";
import { initFailed, newGate, openTestHost, requestOf, returned, targetOf } from "./test-host.fake.ts";

const patient = { signal: new AbortController().signal };

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

describe("Invoker", () => {
  it("starts an instance for the first call and uses it again for the next", async () => {
    const host = openTestHost({ answer: (_, sandbox) => returned(`from ${sandbox.number}`) });
    const outcomes = [];
    for (let i = 0; i < 3; i++)
      outcomes.push((await host.invoker.invoke(targetOf(), requestOf(), patient)).outcome);
    assert.deepEqual(outcomes, [returned("from 1"), returned("from 1"), returned("from 1")]);
    await host.invoker[Symbol.asyncDispose]();
    assert.deepEqual([...host.alive], []);
  });

  it("ends a call at its timeout, and its instance with it", async () => {
    const host = openTestHost({
      answer: (_, sandbox) => (sandbox.number === 1 ? new Promise(() => undefined) : returned("fresh")),
    });
    const target = targetOf({ timeoutMs: 30 });
    const late = await host.invoker.invoke(target, requestOf(), patient);
    assert.deepEqual(late.outcome, { kind: "timed-out", afterMs: 30, isStreamed: false });
    const next = await host.invoker.invoke(target, requestOf(), patient);
    assert.deepEqual(next.outcome, returned("fresh"));
    assert.deepEqual([...host.alive], [2]);
    await host.invoker[Symbol.asyncDispose]();
  });

  it("says how a program left that exited without an answer, and starts another for the next call", async () => {
    const host = openTestHost({
      answer: (_, sandbox) => {
        if (sandbox.number > 1) return returned("fresh");
        sandbox.exit({ exitCode: 3 });
        return new Promise(() => undefined);
      },
    });
    const { outcome } = await host.invoker.invoke(targetOf(), requestOf(), patient);
    assert.deepEqual(outcome, {
      kind: "crashed",
      errorType: "Runtime.ExitError",
      message: "Runtime exited with error: exit status 3",
      isStreamed: false,
    });
    assert.deepEqual(
      (await host.invoker.invoke(targetOf(), requestOf(), patient)).outcome,
      returned("fresh"),
    );
    await host.invoker[Symbol.asyncDispose]();
  });

  it("takes the answer of a program that exits right after it", async () => {
    const host = openTestHost({
      answer: async (_, sandbox) => {
        sandbox.exit();
        await new Promise((resolve) => setImmediate(resolve));
        return returned("last words");
      },
    });
    const { outcome } = await host.invoker.invoke(targetOf(), requestOf(), patient);
    assert.deepEqual(outcome, returned("last words"));
    await host.invoker[Symbol.asyncDispose]();
  });

  it("gives an init error to all who wait for that start, and tries again for later calls", async () => {
    let attempts = 0;
    const host = openTestHost({
      start: () => {
        attempts += 1;
        if (attempts === 1) throw initFailed("Runtime.ImportModuleError");
      },
      answer: () => returned("well again"),
    });
    const [first, second] = await Promise.all([
      host.invoker.invoke(targetOf({ concurrencyMax: 5, slotsPerInstance: 5 }), requestOf(), patient),
      host.invoker.invoke(targetOf({ concurrencyMax: 5, slotsPerInstance: 5 }), requestOf(), patient),
    ]);
    assert.deepEqual([first.outcome.kind, second.outcome.kind], ["threw", "threw"]);
    assert.deepEqual(
      (await host.invoker.invoke(targetOf(), requestOf(), patient)).outcome,
      returned("well again"),
    );
    assert.deepEqual(host.ended.slice(0, 2), [
      "threw Runtime.ImportModuleError",
      "threw Runtime.ImportModuleError",
    ]);
    assert.deepEqual([...host.alive].length, 1);
    await host.invoker[Symbol.asyncDispose]();
  });

  it("gives a call that ends in the middle of a deploy its own version, and later calls the new one", async () => {
    const gate = newGate();
    const versions: string[] = [];
    const host = openTestHost({
      answer: (call) =>
        call.input.kind === "event" && call.input.payload.length > 2 ? gate.pass() : returned("quick"),
    });
    const old = targetOf({ revision: "old" });
    const running = host.invoker.invoke(old, requestOf("slow"), patient);
    await gate.untilWaiting(1);
    const fresh = targetOf({ revision: "new" });
    host.invoker.functionChanged(fresh.record.name, fresh.record);
    await host.invoker.invoke(fresh, requestOf(), patient);
    gate.open();
    versions.push((await running).outcome.kind);
    while (host.alive.has(1)) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([versions, [...host.alive]], [["returned"], [2]]);
    await host.invoker[Symbol.asyncDispose]();
  });

  it("serves as many calls at once in one instance as it has slots", async () => {
    const gate = newGate();
    const host = openTestHost({ answer: gate.pass });
    const target = targetOf({ slotsPerInstance: 8 });
    await host.invoker.warm(target, patient);
    const calls = Array.from({ length: 8 }, () => host.invoker.invoke(target, requestOf(), patient));
    await gate.untilWaiting(8);
    assert.equal(host.started, 1);
    gate.open();
    await Promise.all(calls);
    await host.invoker[Symbol.asyncDispose]();
  });

  it("stops an instance that has been idle for its time", async () => {
    const host = openTestHost({ answer: () => returned("ok") }, { idleMsMax: 1 });
    await host.invoker.invoke(targetOf(), requestOf(), patient);
    while (host.alive.size > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual(host.invoker.counts(), { idle: 0, busy: 0, starting: 0, waiting: 0 });
    await host.invoker[Symbol.asyncDispose]();
  });

  it("leaves an instance its credentials until its last call is through", async () => {
    const slow = newGate();
    const quick = newGate();
    const host = openTestHost({
      answer: ({ input }) =>
        input.kind === "event" && input.payload.length > 2 ? slow.pass() : quick.pass(),
    });
    const old = targetOf({ revision: "r1", slotsPerInstance: 2 });
    const last = host.invoker.invoke(old, requestOf("slow"), patient);
    await slow.untilWaiting(1);
    const first = host.invoker.invoke(old, requestOf(), patient);
    await quick.untilWaiting(1);
    const fresh = targetOf({ revision: "r2" });
    host.invoker.functionChanged(fresh.record.name, fresh.record);
    quick.open();
    await first;
    await nextTurn();
    assert.deepEqual([[...host.alive], host.grants], [[1], [{ areValid: true }]]);
    slow.open();
    await last;
    while (host.grants.some(({ areValid }) => areValid)) await nextTurn();
    assert.deepEqual([...host.alive], []);
    await host.invoker[Symbol.asyncDispose]();
  });

  it("makes room on a full host by stopping the instance that is worth least", async () => {
    // Dear to start beside the others, however busy this machine is.
    const start = async ({ number }: { readonly number: number }) => {
      if (number === 1) await new Promise((resolve) => setTimeout(resolve, 20));
    };
    const host = openTestHost({ start, answer: () => returned("ok") }, { instancesMax: 2 });
    const call = (name: string) =>
      host.invoker.invoke(targetOf({ name, revision: name }), requestOf(), patient);
    for (let count = 0; count < 500; count += 1) await call("often");
    await call("once");
    // An answer comes before the instance asks for the next call.
    while (host.invoker.counts().idle < 2) await nextTurn();
    await call("new");
    assert.deepEqual([...host.alive], [1, 3]);
    await host.invoker[Symbol.asyncDispose]();
  });

  it("freezes a handler that has nothing to do, and lets it go on with the next call", async () => {
    const host = openTestHost({ answer: () => returned("ok") }, { freezeAfterMs: 1 });
    await host.invoker.invoke(targetOf(), requestOf(), patient);
    await host.untilFrozen(1);
    const { outcome } = await host.invoker.invoke(targetOf(), requestOf(), patient);
    assert.deepEqual([outcome, [...host.frozen]], [returned("ok"), []]);
    await host.invoker[Symbol.asyncDispose]();
  });

  it("lets running calls end when it closes, and takes no new ones", async () => {
    const gate = newGate();
    const host = openTestHost({ answer: gate.pass });
    const running = host.invoker.invoke(targetOf(), requestOf(), patient);
    await gate.untilWaiting(1);
    const closed = host.invoker[Symbol.asyncDispose]();
    await assert.rejects(host.invoker.invoke(targetOf(), requestOf(), patient), (error) =>
      isPlatformError(error, "ShuttingDown"),
    );
    gate.open();
    assert.deepEqual((await running).outcome, returned("passed"));
    await closed;
    assert.deepEqual([...host.alive], []);
  });

  it("discards an instance that does not ask for more before its last call's time is up", async () => {
    const host = openTestHost({ answer: () => returned("ok"), idle: () => new Promise(() => undefined) });
    const { outcome } = await host.invoker.invoke(targetOf({ timeoutMs: 30 }), requestOf(), patient);
    assert.deepEqual(outcome, returned("ok"));
    while (host.alive.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await host.invoker[Symbol.asyncDispose]();
  });

  it("ties what a program prints to the call it serves", async () => {
    const host = openTestHost({
      answer: async (_, sandbox) => {
        sandbox.stdout.write("hello\nwor");
        sandbox.stdout.write("ld\n");
        await new Promise((resolve) => setImmediate(resolve));
        return returned("ok");
      },
    });
    const request = requestOf();
    await host.invoker.invoke(targetOf(), { ...request, wantsTail: true }, patient);
    assert.match(
      host.lines[0]?.text ?? "",
      /^INIT_START Runtime Version: nodejs:24\.v1\tRuntime Version ARN: arn:/,
    );
    assert.deepEqual(host.lines.slice(1), [
      { invocationId: request.invocationId, stream: "stdout", text: "hello" },
      { invocationId: request.invocationId, stream: "stdout", text: "world" },
    ]);
    await host.invoker[Symbol.asyncDispose]();
  });

  it("begins an initialisation that takes too long anew, in the first call's own time", async () => {
    const deadlines: number[] = [];
    const host = openTestHost(
      {
        start: (sandbox) =>
          new Promise((resolve) => setTimeout(resolve, sandbox.number === 1 ? 100_000 : 50).unref()),
        answer: (call) => {
          deadlines.push(call.deadlineAt - Date.now());
          return returned("ok");
        },
      },
      { initMsMax: 100 },
    );
    const result = await host.invoker.invoke(targetOf({ timeoutMs: 5_000 }), requestOf(), patient);
    assert.deepEqual(result.outcome, returned("ok"));
    assert.deepEqual([result.initMs, host.started, host.alive.size], [undefined, 2, 1]);
    assert.ok(result.durationMs >= 49, String(result.durationMs));
    assert.ok(deadlines[0] !== undefined && deadlines[0] > 4_000 && deadlines[0] <= 4_951, String(deadlines));
    const said = host.lines.map(({ text }) => text.replace(/Runtime Version.*|[\d.]+ ms/g, "…"));
    assert.deepEqual(said, [
      "INIT_START …",
      "INIT_REPORT Init Duration: …\tPhase: init\tStatus: timeout",
      "INIT_START …",
    ]);
    await host.invoker[Symbol.asyncDispose]();
  });

  it("lets a function time out whose initialisation never ends", async () => {
    const host = openTestHost(
      { start: () => new Promise(() => undefined), answer: () => returned("never") },
      { initMsMax: 30 },
    );
    const { outcome } = await host.invoker.invoke(targetOf({ timeoutMs: 60 }), requestOf(), patient);
    assert.deepEqual(outcome, { kind: "timed-out", afterMs: 60, isStreamed: false });
    assert.match(host.lines.at(-1)?.text ?? "", /Phase: invoke\tStatus: timeout$/);
    assert.equal(host.started, 2);
    await host.invoker[Symbol.asyncDispose]();
  });

  it("lets a call wait for the end of its start, though two initialisations and the way between take long", async () => {
    const host = openTestHost(
      {
        start: () => new Promise(() => undefined),
        answer: () => returned("never"),
        stop: () => new Promise((resolve) => setTimeout(resolve, 100)),
      },
      { initMsMax: 30 },
    );
    const { outcome } = await host.invoker.invoke(targetOf({ timeoutMs: 60 }), requestOf(), patient);
    assert.deepEqual(outcome, { kind: "timed-out", afterMs: 60, isStreamed: false });
    await host.invoker[Symbol.asyncDispose]();
  });

  it("refuses a call in the end whose start hangs", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const begun = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<void>();
    const host = openTestHost({
      answer: () => returned("never"),
      start: () => {
        begun.resolve();
        return new Promise(() => undefined);
      },
      stop: () => gone.promise,
    });
    let ended: unknown;
    const call = host.invoker.invoke(targetOf({ timeoutMs: 1_000 }), requestOf(), patient);
    call.catch((error: unknown) => (ended = error));
    await begun.promise;
    // The initialisation is over its time, and its sandbox does not go.
    t.mock.timers.tick(10_000);
    t.mock.timers.tick(1_000);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(ended, undefined);
    t.mock.timers.tick(10_000);
    await assert.rejects(call, (error) => isPlatformError(error, "TooManyInvocations"));
    assert.match(String(ended), /had no free instance for 21000 ms/);
    const closed = host.invoker[Symbol.asyncDispose]();
    gone.resolve();
    await closed;
  });

  it("writes a JSON log's own lines as the level asks", async () => {
    for (const [systemLevel, types] of [
      ["DEBUG", ["platform.initStart", "platform.initRuntimeDone", "platform.initReport"]],
      ["INFO", ["platform.initStart"]],
      ["WARN", []],
    ] as const) {
      const host = openTestHost({ answer: () => returned("ok") });
      const logging = { format: "JSON", applicationLevel: "INFO", systemLevel, group: undefined } as const;
      await host.invoker.invoke(targetOf({ logging }), requestOf(), patient);
      assert.deepEqual(
        host.lines.map(({ text }) => JSON.parse(text).type),
        types,
      );
      await host.invoker[Symbol.asyncDispose]();
    }
  });

  it("leaves out lines of a JSON log that are below the function's level", async () => {
    const host = openTestHost({
      answer: async (_, sandbox) => {
        const line = (level: string) => `{"timestamp":"now","level":"${level}","message":"m"}`;
        sandbox.stdout.write(`${line("debug")}\n${line("WARN")}\nplain\n{broken\n${line("ERROR")}\n`);
        await new Promise((resolve) => setImmediate(resolve));
        return returned("ok");
      },
    });
    const logging = {
      format: "JSON",
      applicationLevel: "WARN",
      systemLevel: "WARN",
      group: undefined,
    } as const;
    await host.invoker.invoke(targetOf({ logging }), { ...requestOf(), wantsTail: true }, patient);
    assert.deepEqual(
      host.lines.map(({ text }) => JSON.parse(text).level),
      ["WARN", "ERROR"],
    );
    await host.invoker[Symbol.asyncDispose]();
  });
});
