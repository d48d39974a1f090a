import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { systemClock } from "../core/clock.ts";
import type { FunctionConfig } from "../core/function.ts";
import { newInvocationId } from "../core/ids.ts";
import { STREAMED_RESPONSE_BYTES_MAX } from "../core/limits.ts";
import { silentLog } from "../core/log.ts";
import { managedAdapter } from "../protocol/lambda/managed.ts";
import type { Channel } from "../protocol/protocol.ts";
import { Runtimes } from "../protocol/runtimes.ts";
import type { Sandbox } from "../sandbox/driver.ts";
import { openLocalDriver } from "../sandbox/local/driver.ts";
import { without, withoutRoot } from "../sandbox/local/test-driver.fake.ts";
import { functionEnvironment } from "./environment.ts";
import { ReadySandboxes } from "./ready-sandboxes.ts";
import { targetOf } from "./test-host.fake.ts";

const LACKING = withoutRoot() || without("bwrap");
const NEVER = new AbortController().signal;
const ROOT = join(import.meta.dirname, "../..");

const NODE = {
  "index.mjs": `
    import { readFileSync } from "node:fs";
    import { hostname } from "node:os";
    import { execFileSync } from "node:child_process";
    const atLoad = { cwd: process.cwd(), awslambda: typeof awslambda, heapMib: 0 };
    export const handler = async (event) => ({
      ...atLoad,
      event,
      secret: process.env.SECRET,
      inherited: execFileSync("/bin/sh", ["-c", "echo $SECRET"], { encoding: "utf8" }).trim(),
      hour: new Date(0).getHours(),
      hostname: hostname(),
      leftovers: Object.keys(process.env).filter((name) => name.startsWith("_LAMBDAD")),
      isReadOnly: / \\/var\\/task ro,/.test(readFileSync("/proc/self/mountinfo", "utf8")),
      listeners: process.listenerCount("beforeExit"),
    });
  `,
};

const PYTHON = {
  "index.py": [
    "import os, random, socket, sys, time",
    "AT_LOAD = os.getcwd()",
    "def handler(event, context):",
    "    return {'cwd': AT_LOAD, 'event': event, 'secret': os.environ['SECRET'], 'hour': time.localtime(0).tm_hour,",
    "            'hostname': socket.gethostname(), 'function': context.function_name,",
    "            'leftovers': [name for name in os.environ if name.startswith('_LAMBDAD')],",
    "            'number': random.random(), 'hash': hash('x'), 'path': sys.path[0]}",
  ].join("\n"),
};

/** What takes long enough to import to be worth loading ahead, though the machine be quick. */
const IMPORTS = {
  "index.py": [
    "import sys, time",
    "WAS_THERE = 'asyncio' in sys.modules",
    "import asyncio, multiprocessing, random, ssl, unittest.mock, xml.dom.minidom",
    "until = time.process_time() + 0.01",
    "while time.process_time() < until: pass",
    "def handler(event, context):",
    "    return {'wasThere': WAS_THERE, 'path': sys.path[0], 'ran': asyncio.run(work()),",
    "            'key': multiprocessing.current_process().authkey.hex(), 'chance': random.random()}",
    "async def work(): return 'ran'",
  ].join("\n"),
};
const IMPORTED = { path: "/var/task", ran: "ran" };
const RUBY = {
  "index.rb": `
    require "socket"
    AT_LOAD = Dir.pwd
    def handler(event:, context:)
      { cwd: AT_LOAD, event: event, secret: ENV["SECRET"], hour: Time.at(0).hour, hostname: Socket.gethostname,
        function: context.function_name, leftovers: ENV.keys.grep(/^_LAMBDAD/), path: $LOAD_PATH.first }
    end
  `,
};

/** What makes a ready sandbox a function's. */
type Step = "become" | "code" | "load";
const USUAL_ORDER: readonly Step[] = ["become", "code", "load"];

/** Ready sandboxes on this host, for one function. */
async function openHost(files: Readonly<Record<string, string>>, config: Partial<FunctionConfig>) {
  const folder = await mkdtemp(join(tmpdir(), "rs-"));
  const codeDir = join(folder, "code");
  await mkdir(codeDir, { mode: 0o755 });
  for (const [name, text] of Object.entries(files)) await writeFile(join(codeDir, name), text);
  const driver = await openLocalDriver({
    runDir: join(folder, "run"),
    instanceName: `ready-${process.pid}`,
    allowUnsandboxed: false,
    log: silentLog,
  });
  const runtimes = new Runtimes({ packageRoot: ROOT, path: process.env.PATH ?? "/usr/bin:/bin" });
  const adapter = managedAdapter({ log: silentLog, accountId: "000000000000", importSetsMax: 2 });
  const { version, record } = targetOf({
    environment: { SECRET: "s3", TZ: "Asia/Tokyo" },
    entry: { kind: "handler", handler: "index.handler" },
    ...config,
  });
  const resolveRuntime = (of: FunctionConfig) => runtimes.resolve(of.runtime, of.entry.kind);
  const ready = new ReadySandboxes({
    driver,
    resolveRuntime,
    adapterOf: async () => adapter,
    readyMibMax: 100,
    clock: systemClock,
    log: silentLog,
  });
  return {
    ready,
    record,
    version,
    async take() {
      const runtime = await resolveRuntime(version.config);
      for (const giveUpAt = performance.now() + 20_000; performance.now() < giveUpAt; ) {
        const taken = ready.take(version, adapter, runtime);
        if (taken) return taken;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      throw new Error("no sandbox got ready");
    },
    /** The answer of a first call in a ready sandbox; `look` at that before it goes. */
    async call(
      look?: (sandbox: Sandbox) => void,
      { order = USUAL_ORDER, pack }: { readonly order?: readonly Step[]; readonly pack?: Uint8Array } = {},
    ): Promise<Record<string, unknown>> {
      const { ready: given, channel } = await this.take();
      await using sandbox = given.sandbox;
      for (const output of [sandbox.stdout, sandbox.stderr, sandbox.telemetry]) output.resume();
      const identity = { accountId: "000000000000", region: "us-east-1" };
      const environment = functionEnvironment(version, identity, "stream");
      let begun: Channel | undefined;
      for (const step of order) {
        if (step === "become")
          begun = channel.become(version, environment, { mayHavePack: pack !== undefined });
        if (step === "code")
          await given.specialise({ codeDir, memoryMib: version.config.memoryMib, cpus: 1 });
        if (step === "load") channel.load(pack);
      }
      assert.ok(begun);
      await using _closed = begun;
      await begun.ready;
      ready.started(version, adapter);
      const outcome = await begun.invoke(
        {
          invocationId: newInvocationId(),
          input: { kind: "event", payload: Buffer.from('{"a":1}'), contentType: "application/json" },
          functionArn: "arn",
          deadlineAt: Date.now() + 5_000,
          traceId: undefined,
          clientContext: undefined,
          sink: undefined,
          streamBytesMax: STREAMED_RESPONSE_BYTES_MAX,
        },
        { signal: NEVER },
      );
      assert.equal(outcome.kind, "returned", JSON.stringify(outcome));
      look?.(sandbox);
      return JSON.parse(Buffer.from(outcome.kind === "returned" ? outcome.payload : []).toString());
    },
    async [Symbol.asyncDispose]() {
      await ready[Symbol.asyncDispose]();
      await driver[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

describe("a function in a sandbox that was ready", { skip: LACKING, timeout: 60_000 }, () => {
  it("finds the world of its own: Node", async () => {
    await using host = await openHost(NODE, { runtime: "nodejs24.x" });
    assert.deepEqual(await host.call(), {
      cwd: "/var/task",
      awslambda: "object",
      heapMib: 0,
      event: { a: 1 },
      secret: "s3",
      inherited: "s3",
      hour: 9,
      hostname: "sandbox",
      leftovers: [],
      isReadOnly: true,
      listeners: 1,
    });
  });

  for (const [when, order] of [
    ["it sees its code by itself", ["code", "become"]],
    ["it is told of code that it has seen", ["code", "become", "load"]],
  ] satisfies [string, Step[]][]) {
    it(`begins when ${when}`, async () => {
      await using host = await openHost(NODE, { runtime: "nodejs24.x" });
      const { cwd, event } = await host.call(undefined, { order });
      assert.deepEqual([cwd, event], ["/var/task", { a: 1 }]);
    });
  }

  it("waits for what was made of its code, though it sees that", async () => {
    const source = (from: string) => ({
      "index.js": `exports.handler = async () => ({ from: "${from}", sum: require("./a") + require("./b") });`,
      "a.js": "module.exports = 1;",
      "b.js": "module.exports = 2;",
    });
    const folder = await mkdtemp(join(tmpdir(), "packed-"));
    for (const [name, text] of Object.entries(source("pack"))) await writeFile(join(folder, name), text);
    const packer = [join(ROOT, "runtimes/nodejs/pack.cjs"), folder, "index.handler"];
    const { stdout: pack } = spawnSync(process.execPath, ["--experimental-import-meta-resolve", ...packer]);
    await rm(folder, { recursive: true });
    await using host = await openHost(source("disk"), { runtime: "nodejs22.x" });
    const order: readonly Step[] = ["code", "become", "load"];
    assert.deepEqual(await host.call(undefined, { order, pack }), { from: "pack", sum: 3 });
  });

  it("says why it cannot begin, though nobody has told it that it may", async () => {
    await using host = await openHost(
      { "index.mjs": "throw new TypeError('no')" },
      { runtime: "nodejs24.x" },
    );
    await assert.rejects(host.call(undefined, { order: ["code", "become"] }), {
      name: "InitFailed",
      errorType: "TypeError",
    });
  });

  it("finds the world of its own: Python", async () => {
    await using host = await openHost(PYTHON, { runtime: "python3.12" });
    const { number, hash, ...rest } = await host.call();
    assert.deepEqual(rest, {
      cwd: "/var/task",
      event: { a: 1 },
      secret: "s3",
      hour: 9,
      hostname: "sandbox",
      function: "greet",
      leftovers: [],
      path: "/var/task",
    });
    const other = await host.call();
    assert.notEqual(other.number, number);
    assert.notEqual(other.hash, hash);
  });

  for (const [language, files, runtime, leastMib] of [
    ["Node", NODE, "nodejs24.x", 30],
    ["Python", PYTHON, "python3.12", 9],
  ] as const) {
    it(`has used what it holds, though most of it counts for those that were there before: ${language}`, async () => {
      await using host = await openHost(files, { runtime });
      const figures: number[] = [];
      await host.call((sandbox) => {
        figures.push(sandbox.memoryUsedMib("now"), sandbox.memoryPeakMib("now"));
      });
      const [usedMib = 0, countedMib = 0] = figures;
      assert.ok(usedMib >= leastMib && usedMib < 128, `${usedMib} MiB`);
      assert.ok(countedMib > 0 && countedMib < usedMib, `${countedMib} of ${usedMib} MiB`);
    });
  }

  it("is forked with the modules that its starts import, and is alone all the same", async () => {
    await using host = await openHost(IMPORTS, { runtime: "python3.12" });
    const { key, chance, ...first } = await host.call();
    assert.deepEqual(first, { ...IMPORTED, wasThere: false });
    const answers: Record<string, unknown>[] = [];
    for (const giveUpAt = performance.now() + 30_000; answers.length < 2; ) {
      assert.ok(performance.now() < giveUpAt, "starts find their modules loaded after a while");
      const answer = await host.call();
      if (answer.wasThere) answers.push(answer);
    }
    const [one, other] = answers;
    assert.deepEqual({ ...one, key: 0, chance: 0 }, { ...IMPORTED, wasThere: true, key: 0, chance: 0 });
    assert.equal(new Set([key, one?.key, other?.key]).size, 3);
    assert.equal(new Set([chance, one?.chance, other?.chance]).size, 3);
  });

  it("finds modules of its own code in the place of those that have the same name", async () => {
    await using host = await openHost(
      {
        // Enough to be worth loading ahead, and not without the function's own module in between.
        "index.py": [
          "import asyncio, concurrent.futures.thread, time",
          "import queue",
          "until = time.process_time() + 0.01",
          "while time.process_time() < until: pass",
          "def handler(event, context): return {'queue': queue.MINE, 'same': concurrent.futures.thread.queue is queue}",
        ].join("\n"),
        "queue.py":
          "MINE = 'mine'\nclass SimpleQueue: pass\nclass Empty(Exception): pass\nclass Queue: pass\n",
      },
      { runtime: "python3.12" },
    );
    for (let count = 0; count < 4; count += 1) {
      assert.deepEqual(await host.call(), { queue: "mine", same: true });
    }
  });

  it("finds the world of its own: Ruby", { skip: without("ruby") }, async () => {
    await using host = await openHost(RUBY, { runtime: "ruby3.4" });
    assert.deepEqual(await host.call(), {
      cwd: "/var/task",
      event: { a: 1 },
      secret: "s3",
      hour: 9,
      hostname: "sandbox",
      function: "greet",
      leftovers: [],
      path: "/var/task",
    });
  });

  it("is not offered to what must have its environment from the first moment on", async () => {
    for (const environment of [
      { NODE_OPTIONS: "--no-warnings" },
      { NODE_EXTRA_CA_CERTS: "/var/task/ca.pem" },
      { LD_PRELOAD: "/var/task/x.so" },
      { LANG: "de_DE.UTF-8" },
      { PYTHONPATH: "/var/task/lib" },
      { RUBYOPT: "-rbundler/setup" },
    ]) {
      const adapter = managedAdapter({ log: silentLog, accountId: "000000000000" });
      const { version } = targetOf({ environment, entry: { kind: "handler", handler: "index.handler" } });
      assert.equal(adapter.readyKind?.(version), undefined, JSON.stringify(environment));
    }
  });
});
