/** First calls that are sent to a ready sandbox together with its code, before it is known whether that loads. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { systemClock } from "../core/clock.ts";
import type { FunctionConfig } from "../core/function.ts";
import { newInvocationId } from "../core/ids.ts";
import { silentLog } from "../core/log.ts";
import { managedAdapter } from "../protocol/lambda/managed.ts";
import type { ProtocolAdapter } from "../protocol/protocol.ts";
import { Runtimes } from "../protocol/runtimes.ts";
import type { Records } from "../records/records.ts";
import { openLocalDriver } from "../sandbox/local/driver.ts";
import { without, withoutRoot } from "../sandbox/local/test-driver.fake.ts";
import { Invoker } from "./invoker.ts";
import { targetOf } from "./test-host.fake.ts";

const LACKING = withoutRoot() || without("bwrap");
const NEVER = new AbortController().signal;
const ROOT = join(import.meta.dirname, "../..");

/** An invoker with a sandbox ready for a function of that source. */
async function openHost(source: string, settings: { initMsMax?: number; config?: Partial<FunctionConfig> }) {
  const folder = await mkdtemp(join(tmpdir(), "ec-"));
  const codeDir = join(folder, "code");
  await mkdir(codeDir, { mode: 0o755 });
  await writeFile(join(codeDir, "index.mjs"), source);
  const driver = await openLocalDriver({
    runDir: join(folder, "run"),
    instanceName: `early-${process.pid}`,
    allowUnsandboxed: false,
    log: silentLog,
  });
  const runtimes = new Runtimes({ packageRoot: ROOT, path: process.env.PATH ?? "/usr/bin:/bin" });
  const managed = managedAdapter({ log: silentLog, accountId: "000000000000" });
  const isReady = Promise.withResolvers<void>();
  const adapter: ProtocolAdapter = {
    ...managed,
    readyKind: (version) => {
      const kind = managed.readyKind?.(version);
      if (!kind) return undefined;
      const open: typeof kind.open = (runtime) => {
        const channel = kind.open(runtime);
        channel.isWaiting.then(isReady.resolve, isReady.reject);
        return channel;
      };
      return { ...kind, open };
    },
  };
  const lines: string[] = [];
  const records: Records = {
    begin: () => {
      lines.push("begun");
      return { line: (_, text) => lines.push(text), end: () => undefined, tail: () => "" };
    },
    line: (_origin, stream, text) => lines.push(stream === "platform" ? (text.split(" ")[0] ?? "") : text),
    async *read() {},
    expire: async () => undefined,
    forget: async () => undefined,
    flush: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
  const target = targetOf({
    runtime: "nodejs24.x",
    entry: { kind: "handler", handler: "index.handler" },
    ...settings.config,
  });
  const invoker = new Invoker({
    driver,
    depot: { openTree: async () => codeDir },
    records,
    identity: { accountId: "000000000000", region: "us-east-1" },
    clock: systemClock,
    log: silentLog,
    readyMibMax: 200,
    initMsMax: settings.initMsMax,
    resolveRuntime: (config) => runtimes.resolve(config.runtime, config.entry.kind),
    adapterOf: async () => adapter,
    policy: { instancesMax: 10, idleMsMax: 60_000, idleMibMax: 1_000, freezeAfterMs: 60_000 },
  });
  invoker.functionChanged(target.record.name, target.record);
  await isReady.promise;
  return {
    lines,
    call: () =>
      invoker.invoke(
        target,
        {
          invocationId: newInvocationId(),
          input: { kind: "event", payload: Buffer.from("{}"), contentType: "application/json" },
          traceId: undefined,
          clientContext: undefined,
          wantsTail: false,
          sink: undefined,
          method: undefined,
        },
        { signal: NEVER },
      ),
    async [Symbol.asyncDispose]() {
      await invoker[Symbol.asyncDispose]();
      await driver[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

type Result = Awaited<ReturnType<Awaited<ReturnType<typeof openHost>>["call"]>>;

function answerOf({ outcome }: Result): unknown {
  assert.equal(outcome.kind, "returned", JSON.stringify(outcome));
  return JSON.parse(Buffer.from(outcome.kind === "returned" ? outcome.payload : []).toString());
}

describe("a call that comes with the code", { skip: LACKING, timeout: 60_000 }, () => {
  it("is answered by the instance that starts for it, whose start it is told", async () => {
    await using host = await openHost("let calls = 0; export const handler = async () => ++calls;", {});
    const [first, second] = [await host.call(), await host.call()];
    assert.deepEqual([answerOf(first), answerOf(second)], [1, 2]);
    assert.equal(first.sandboxId, second.sandboxId);
    assert.ok((first.initMs ?? 0) > 0);
    assert.equal(second.initMs, undefined);
  });

  it("is begun behind the start, in what is logged", async () => {
    await using host = await openHost(
      'console.log("loading"); export const handler = async () => { console.log("handling"); };',
      {},
    );
    await host.call();
    const said = host.lines.map((line) => line.split("\t").at(-1));
    assert.ok(said.indexOf("INIT_START") < said.indexOf("begun"), JSON.stringify(said));
  });

  it("has all of its time, however long the start takes", async () => {
    const source = `await new Promise((done) => setTimeout(done, 400));
      export const handler = async (event, context) => context.getRemainingTimeInMillis();`;
    await using host = await openHost(source, { config: { timeoutMs: 3_000 } });
    const leftMs = answerOf(await host.call());
    assert.ok(typeof leftMs === "number" && leftMs > 2_700 && leftMs <= 3_000, String(leftMs));
  });

  it("has not run where the code throws, and is told why", async () => {
    await using host = await openHost("throw new RangeError('no');", {});
    const { outcome } = await host.call();
    assert.deepEqual(
      [outcome.kind, outcome.kind === "threw" ? outcome.errorType : ""],
      ["threw", "RangeError"],
    );
    assert.equal(host.lines.filter((line) => line === "begun").length, 1);
  });

  for (const [how, statement, message] of [
    ["exits", "process.exit(3)", /exit status 3/],
    ["is killed", "process.kill(process.pid, 'SIGKILL'); await new Promise(() => {})", /killed|SIGKILL/],
  ] as const) {
    it(`has crashed where the program ${how} while it loads`, async () => {
      await using host = await openHost(`${statement}; export const handler = async () => 1;`, {});
      const { outcome } = await host.call();
      assert.equal(outcome.kind, "crashed");
      assert.match(outcome.kind === "crashed" ? outcome.message : "", message);
    });
  }

  it("is begun anew, in its own time, where the start takes too long", async () => {
    const source =
      "await new Promise((done) => setTimeout(done, 60_000)); export const handler = async () => 1;";
    await using host = await openHost(source, { initMsMax: 300, config: { timeoutMs: 500 } });
    const { outcome } = await host.call();
    assert.deepEqual(outcome, { kind: "timed-out", afterMs: 500, isStreamed: false });
  });

  it("is not in the way of another, which has an instance of its own", async () => {
    const source = `await new Promise((done) => setTimeout(done, 100));
      export const handler = () => new Promise((done) => setTimeout(done, 1_000, "done"));`;
    await using host = await openHost(source, {});
    const [first, second] = await Promise.all([host.call(), host.call()]);
    assert.deepEqual([answerOf(first), answerOf(second)], ["done", "done"]);
    assert.notEqual(first.sandboxId, second.sandboxId);
  });
});
