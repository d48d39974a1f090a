import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import type { Clock } from "../core/clock.ts";
import type { SandboxExit } from "../core/invocation.ts";
import { silentLog } from "../core/log.ts";
import type { ProtocolAdapter, ResolvedRuntime } from "../protocol/protocol.ts";
import type { Driver, ReadySandbox, ReadySpec } from "../sandbox/driver.ts";
import { ReadySandboxes } from "./ready-sandboxes.ts";
import { targetOf } from "./test-host.fake.ts";

const RUNTIME: ResolvedRuntime = { interpreter: "/bin/node", runtimeDir: "/runtime", toolDirs: [] };

interface FakeReady {
  readonly spec: ReadySpec;
  readonly said: string[];
  exit(): void;
}

/** Ready sandboxes over a driver that starts nothing; `until` waits for what happens in the background. */
function openReady(
  settings: { readonly mib?: number; readonly canStart?: boolean; readonly fails?: boolean } = {},
) {
  const made: FakeReady[] = [];
  const driver: Driver = {
    name: "fake",
    isolation: async () => ({ isIsolated: true, gaps: [] }),
    start: () => Promise.reject(new Error("nothing is started from nothing here")),
    async startReady(spec) {
      if (settings.canStart === false) return undefined;
      if (settings.fails) throw new Error("no");
      const exited = Promise.withResolvers<SandboxExit>();
      const said: string[] = [];
      const exit = () => {
        said.push("gone");
        exited.resolve({ exitCode: 0, signal: null, outOfMemory: false });
      };
      made.push({ spec, said, exit });
      const places = {
        codeDir: "/var/task",
        runtimeDir: "/var/runtime",
        socketDir: "",
        tmpDir: "",
        runtimeApi: undefined,
        port: undefined,
      };
      const ready: ReadySandbox = {
        sandbox: {
          id: spec.id,
          places,
          socketDir: "",
          stdout: new PassThrough(),
          stderr: new PassThrough(),
          telemetry: new PassThrough(),
          stdin: undefined,
          exited: exited.promise,
          memoryPeakMib: () => 10,
          memoryUsedMib: () => 10,
          connect: () => Promise.reject(new Error("no port")),
          [Symbol.asyncDispose]: async () => exit(),
        },
        specialise: async () => undefined,
      };
      return ready;
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
  const adapter: ProtocolAdapter = {
    open: () => {
      throw new Error("nothing is opened here");
    },
    readyKind: ({ config }) => ({
      key: `kind ${config.memoryMib}`,
      memoryMib: config.memoryMib,
      open: () => ({
        hasInput: false,
        onRuntimeApiConnection: undefined,
        launch: () => ({ command: ["fake"], environment: {}, workingDir: "/" }),
        attach: () => undefined,
        isWaiting: Promise.resolve(),
        become: () => {
          throw new Error("nobody becomes anything here");
        },
        load: () => undefined,
        [Symbol.asyncDispose]: async () => undefined,
      }),
    }),
  };
  let now = 0;
  const clock: Clock = { now: () => now, monotonic: () => now, sleep: async () => undefined };
  const ready = new ReadySandboxes({
    driver,
    clock,
    log: silentLog,
    readyMibMax: settings.mib ?? 100,
    adapterOf: async () => adapter,
    resolveRuntime: async () => RUNTIME,
  });
  const until = async (holds: () => boolean) => {
    while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
  };
  return {
    ready,
    made,
    until,
    take: (memoryMib = 128) => ready.take(versionOf(memoryMib), adapter, RUNTIME),
    expect: (memoryMib = 128) => {
      const { record } = targetOf({ memoryMib });
      ready.functionChanged(record.name, record);
    },
    pass: (ms: number) => {
      now += ms;
    },
    [Symbol.asyncDispose]: () => ready[Symbol.asyncDispose](),
  };
}

function versionOf(memoryMib: number) {
  return targetOf({ memoryMib }).version;
}

describe("ready sandboxes", { timeout: 60_000 }, () => {
  it("are there once a function of their kind was deployed", async () => {
    await using test = openReady();
    assert.equal(test.take(), undefined);
    test.expect();
    await test.until(() => test.ready.counts.waiting > 0);
    const taken = test.take();
    const fake = test.made.find(({ spec }) => spec.id === taken?.ready.sandbox.id);
    assert.deepEqual(fake?.said, []);
  });

  it("are given away once, and replaced", async () => {
    await using test = openReady();
    test.expect();
    await test.until(() => test.ready.counts.waiting > 0);
    const first = test.take();
    const count = test.made.length;
    await test.until(() => test.made.length > count && test.ready.counts.waiting > 0);
    const second = test.take();
    assert.ok(first && second);
    assert.notEqual(first.ready.sandbox.id, second.ready.sandbox.id);
  });

  it("are not given to a version that another kind is for", async () => {
    await using test = openReady();
    test.expect(128);
    await test.until(() => test.ready.counts.waiting > 0);
    assert.equal(test.take(256), undefined);
  });

  it("are made though they are asked for all the time", { timeout: 10_000 }, async () => {
    await using test = openReady();
    const asking = setInterval(() => void test.take(), 5);
    await test.until(() => test.made.length > 0);
    clearInterval(asking);
  });

  it("are none of those that have left by themselves", async () => {
    await using test = openReady();
    test.expect();
    await test.until(() => test.ready.counts.waiting > 0);
    for (const fake of test.made) fake.exit();
    await new Promise(setImmediate);
    assert.equal(test.take(), undefined);
  });

  it("stay within their memory: the kind that was asked for last has the room", async () => {
    await using test = openReady({ mib: 16 });
    test.expect(128);
    await test.until(() => test.ready.counts.waiting > 0);
    test.pass(1_000);
    test.expect(256);
    await test.until(
      () => test.made.some(({ spec }) => spec.memoryMib === 256) && test.ready.counts.filling === 0,
    );
    assert.deepEqual([test.take(128), test.take(256)?.ready.sandbox.id !== undefined], [undefined, true]);
  });

  it("are not kept where nothing may be spent on them, or the host cannot", async () => {
    await using none = openReady({ mib: 0 });
    none.expect();
    await using cannot = openReady({ canStart: false });
    cannot.expect();
    await using fails = openReady({ fails: true });
    fails.expect();
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.deepEqual([none.take(), cannot.take(), fails.take()], [undefined, undefined, undefined]);
  });

  it("are gone when they are disposed of", async () => {
    const test = openReady();
    test.expect();
    await test.until(() => test.ready.counts.waiting > 0);
    await test[Symbol.asyncDispose]();
    assert.deepEqual(
      test.made.map(({ said }) => said.at(-1)),
      test.made.map(() => "gone"),
    );
  });
});
