import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, it } from "node:test";
import fc from "fast-check";
import { newSandboxId } from "../../core/ids.ts";
import type { InvocationOutcome, SandboxExit } from "../../core/invocation.ts";
import { RESPONSE_BYTES_MAX, STREAMED_RESPONSE_BYTES_MAX } from "../../core/limits.ts";
import { silentLog } from "../../core/log.ts";
import type { Sandbox, SandboxPlaces } from "../../sandbox/driver.ts";
import { InitFailed, NotBegun } from "../protocol.ts";
import { testVersion } from "../test-sandbox.fake.ts";
import { encodeFrameHead, FRAME, type Frame, FrameReader } from "./frames.ts";
import { managedAdapter } from "./managed.ts";
import { callWith, eventually } from "./managed-function.fake.ts";

/** A channel whose runtime is the test: it may send whatever it likes. */
async function startPuppet(runtime = "nodejs24.x") {
  const folder = await mkdtemp(join(tmpdir(), "lambdad-puppet-"));
  const channel = managedAdapter({ log: silentLog, accountId: "000000000000" }).open(
    testVersion({ kind: "handler", handler: "index.handler" }, { runtime }),
    { interpreter: "/bin/false", runtimeDir: "/runtime", toolDirs: [] },
  );
  const places: SandboxPlaces = {
    codeDir: "/code",
    runtimeDir: "/runtime",
    socketDir: folder,
    tmpDir: "/tmp",
    runtimeApi: undefined,
    port: undefined,
  };
  const launch = channel.launch(places, { PATH: "/bin", LD_PRELOAD: "x.so", SECRET: "s" });
  channel.attach(sandboxIn(folder, places));
  const path = join(folder, "runtime");
  const socket = connect({ path });
  await once(socket, "connect");
  const frames: Frame[] = [];
  const reader = new FrameReader(RESPONSE_BYTES_MAX);
  socket.on("data", (chunk: Buffer) => reader.read(chunk, (frame) => frames.push(frame)));
  socket.on("error", () => undefined);
  return {
    channel,
    launch,
    path,
    frames,
    socket,
    send: (type: number, callId: number, label = "", body: string | Buffer = "") =>
      sendFrame(socket, type, callId, label, Buffer.from(body)),
    invoke: (options: Parameters<typeof callWith>[1] = {}) =>
      channel.invoke(callWith({}, options), { signal: new AbortController().signal }),
    async [Symbol.asyncDispose]() {
      socket.destroy();
      await channel[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

function sendFrame(socket: Socket, type: number, callId: number, label: string, body: Buffer): void {
  socket.write(Buffer.concat([encodeFrameHead(type, callId, label, body.length), body]));
}

function sandboxIn(socketDir: string, places: SandboxPlaces): Sandbox {
  const nothing = () => Readable.from([]);
  return {
    id: newSandboxId(),
    places,
    socketDir,
    stdout: nothing(),
    stderr: nothing(),
    telemetry: nothing(),
    stdin: undefined,
    exited: new Promise(() => undefined),
    memoryPeakMib: () => 0,
    memoryUsedMib: () => 0,
    connect: () => Promise.reject(new Error("no port")),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A puppet that has said READY and has call 1 at hand. */
async function startCalledPuppet(call: Parameters<typeof callWith>[1] = {}) {
  const puppet = await startPuppet();
  puppet.send(FRAME.ready, 0);
  await puppet.channel.ready;
  return { puppet, outcome: puppet.invoke(call) };
}

describe("a managed runtime whose folder is gone", () => {
  function attachTo(exited: Promise<SandboxExit>) {
    const channel = managedAdapter({ log: silentLog, accountId: "000000000000" }).open(
      testVersion({ kind: "handler", handler: "index.handler" }),
      { interpreter: "/bin/false", runtimeDir: "/runtime", toolDirs: [] },
    );
    const socketDir = join(tmpdir(), "lambdad-no-such-folder");
    const places = {
      codeDir: "",
      runtimeDir: "",
      socketDir,
      tmpDir: "",
      runtimeApi: undefined,
      port: undefined,
    };
    channel.attach({ ...sandboxIn(socketDir, places), exited });
    return channel;
  }

  it("leaves it to the exit to say why", async () => {
    const exit = { exitCode: 127, signal: null, outOfMemory: false };
    await using channel = attachTo(Promise.resolve(exit));
    const settled = channel.ready.then(() => "ready", String);
    // Longer than a failure without an exit takes to be told.
    const later = new Promise((resolve) => setTimeout(resolve, 1_200, "pending"));
    assert.equal(await Promise.race([settled, later]), "pending");
  });

  it("cannot start if it goes on", async () => {
    await using channel = attachTo(new Promise(() => undefined));
    await assert.rejects(channel.ready, /cannot listen for the runtime/);
  });
});

describe("a managed channel", () => {
  it("starts the process with what it reads at its start, and sends the rest in the first frame", async () => {
    await using puppet = await startPuppet();
    await eventually(() => puppet.frames.length === 1);

    const { LAMBDA_TASK_ROOT, SECRET } = JSON.parse(puppet.frames[0]?.label ?? "").environment;
    assert.deepEqual({ LAMBDA_TASK_ROOT, SECRET }, { LAMBDA_TASK_ROOT: "/code", SECRET: "s" });
    assert.deepEqual(puppet.launch.environment, {
      LD_LIBRARY_PATH: "/lib64:/usr/lib64:/runtime:/runtime/lib:/code:/code/lib:/opt/lib",
      NODE_PATH:
        "/opt/nodejs/node24/node_modules:/opt/nodejs/node_modules:/runtime/node_modules:/runtime:/code",
      PATH: "/bin",
      LD_PRELOAD: "x.so",
      _LAMBDAD_SOCKET: puppet.path,
      _LAMBDA_TELEMETRY_LOG_FD: "3",
    });
  });

  it("takes one connection and no second", async () => {
    await using puppet = await startPuppet();
    await eventually(() => puppet.frames.length === 1);

    const [error] = await once(connect({ path: puppet.path }), "error");

    assert.equal(error.code, "ENOENT");
  });

  it("rejects ready with what the runtime says when it cannot start", async () => {
    await using puppet = await startPuppet();

    puppet.send(FRAME.initError, 0, "Runtime.ImportModuleError", '{"errorType":"x"}');

    const failure = await puppet.channel.ready.catch((error: unknown) => error);
    assert.ok(failure instanceof InitFailed);
    assert.equal(failure.errorType, "Runtime.ImportModuleError");
    assert.equal(Buffer.from(failure.payload).toString(), '{"errorType":"x"}');
  });

  it("returns the payload of a response, and is idle when the runtime says so", async () => {
    const { puppet, outcome } = await startCalledPuppet();
    await using _ = puppet;
    let isIdle = false;
    void puppet.channel.idle()?.then(() => {
      isIdle = true;
    });

    puppet.send(FRAME.response, 1, "", "héllo");

    const payload = Buffer.from("héllo");
    assert.deepEqual(await outcome, { kind: "returned", payload, head: undefined, isStreamed: false });
    assert.equal(isIdle, false);
    puppet.send(FRAME.idle, 1);
    await puppet.channel.idle();
  });

  it("collects a stream for which there is no sink", async () => {
    const { puppet, outcome } = await startCalledPuppet();
    await using _ = puppet;

    puppet.send(FRAME.streamHead, 1, "text/plain");
    puppet.send(FRAME.streamChunk, 1, "", "one ");
    puppet.send(FRAME.streamChunk, 1, "", "two");
    puppet.send(FRAME.streamEnd, 1);

    const head = { kind: "raw", contentType: "text/plain" };
    assert.deepEqual(await outcome, {
      kind: "returned",
      payload: Buffer.from("one two"),
      head,
      isStreamed: false,
    });
  });

  it("lets no function end a header line by its content type or error type", async () => {
    const { puppet, outcome } = await startCalledPuppet();
    await using _ = puppet;

    puppet.send(FRAME.response, 1, "text/html\r\nset-cookie: a=b", "x");

    assert.deepEqual(await outcome, {
      kind: "returned",
      payload: Buffer.from("x"),
      head: { kind: "raw", contentType: "application/octet-stream" },
      isStreamed: false,
    });
  });

  it("makes an error of a response over the limit", async () => {
    const { puppet, outcome } = await startCalledPuppet();
    await using _ = puppet;

    puppet.send(FRAME.response, 1, "", Buffer.alloc(RESPONSE_BYTES_MAX + 1));

    assert.deepEqual(shape(await outcome), {
      kind: "threw",
      errorType: "Function.ResponseSizeTooLarge",
      isStreamed: false,
      message: "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    });
  });

  it("cuts a stream at its limit, keeps reading, and is idle behind it", async () => {
    let bytes = 0;
    const sink = {
      start: () => undefined,
      write: (chunk: Uint8Array) => {
        bytes += chunk.length;
        return true;
      },
      drained: () => Promise.resolve(),
    };
    const { puppet, outcome } = await startCalledPuppet({ sink });
    await using _ = puppet;
    const chunk = Buffer.alloc(4 * 1024 * 1024);

    puppet.send(FRAME.streamHead, 1, "text/plain");
    for (let sent = 0; sent <= STREAMED_RESPONSE_BYTES_MAX; sent += chunk.length) {
      puppet.send(FRAME.streamChunk, 1, "", chunk);
      if (puppet.socket.writableNeedDrain) await once(puppet.socket, "drain");
    }
    puppet.send(FRAME.streamEnd, 1);
    puppet.send(FRAME.idle, 1);

    assert.deepEqual(shape(await outcome), {
      kind: "threw",
      errorType: "Function.ResponseSizeTooLarge",
      isStreamed: true,
      message: `Response payload size exceeded maximum allowed payload size (${STREAMED_RESPONSE_BYTES_MAX} bytes).`,
    });
    await puppet.channel.idle();
    assert.equal(bytes, STREAMED_RESPONSE_BYTES_MAX);
  });

  it("cuts a stream where it is told to", async () => {
    let bytes = 0;
    const sink = {
      start: () => undefined,
      write: (chunk: Uint8Array) => {
        bytes += chunk.length;
        return true;
      },
      drained: () => Promise.resolve(),
    };
    const { puppet, outcome } = await startCalledPuppet({ sink, streamBytesMax: 1_000 });
    await using _ = puppet;
    puppet.send(FRAME.streamHead, 1, "text/plain");
    puppet.send(FRAME.streamChunk, 1, "", Buffer.alloc(1_000));
    puppet.send(FRAME.streamChunk, 1, "", Buffer.alloc(1));
    assert.deepEqual(shape(await outcome), {
      kind: "threw",
      errorType: "Function.ResponseSizeTooLarge",
      isStreamed: true,
      message: "Response payload size exceeded maximum allowed payload size (1000 bytes).",
    });
    assert.equal(bytes, 1_000);
  });

  it("stops waiting when the signal aborts, with its reason", async () => {
    await using puppet = await startPuppet();
    puppet.send(FRAME.ready, 0);
    await puppet.channel.ready;
    const controller = new AbortController();
    const outcome = puppet.channel.invoke(callWith({}), { signal: controller.signal });

    controller.abort(new Error("time is up"));

    await assert.rejects(outcome, /time is up/);
    puppet.send(FRAME.response, 1, "", "late");
    puppet.send(FRAME.idle, 1);
    await puppet.channel.idle();
  });

  it("refuses a second call while one runs, where the runtime takes none ahead", async () => {
    await using puppet = await startPuppet("python3.13");
    puppet.send(FRAME.ready, 0);
    await puppet.channel.ready;
    const first = puppet.invoke();
    await assert.rejects(puppet.invoke(), /one call at a time/);
    puppet.send(FRAME.response, 1, "", "1");
    await first;
  });

  it("begins calls that were handed over ahead when the ones before are over, in order", async () => {
    const { puppet, outcome } = await startCalledPuppet();
    await using _ = puppet;
    const begun: number[] = [];
    const signal = new AbortController().signal;
    const ahead = [2, 3].map((id) =>
      puppet.channel.invoke(callWith({}), { signal, begun: () => begun.push(id) }),
    );

    puppet.send(FRAME.response, 1, "", "1");
    await outcome;
    assert.deepEqual(begun, []);
    puppet.send(FRAME.idle, 1);
    puppet.send(FRAME.response, 2, "", "2");
    await ahead[0];
    assert.deepEqual(begun, [2]);
    puppet.send(FRAME.idle, 2);
    puppet.send(FRAME.response, 3, "", "3");
    puppet.send(FRAME.idle, 3);
    const last = await ahead[1];
    assert.deepEqual([begun, last?.kind === "returned" && last.payload.toString()], [[2, 3], "3"]);
  });

  it("takes back a call that has not begun, once the runtime confirms it", async () => {
    const { puppet } = await startCalledPuppet();
    await using _ = puppet;
    const call = callWith({});
    const ahead = puppet.channel.invoke(call, { signal: new AbortController().signal });
    puppet.channel.recall?.(call.invocationId);
    puppet.send(FRAME.recalled, 2);
    await assert.rejects(ahead, NotBegun);
  });

  it("takes a call that nobody asked back for no good sign", async () => {
    const { puppet, outcome } = await startCalledPuppet();
    await using _ = puppet;
    puppet.send(FRAME.recalled, 1);
    assert.equal((await outcome).kind, "crashed");
  });

  it("ends a call as crashed when the runtime closes its connection and lives on", async () => {
    const { puppet, outcome } = await startCalledPuppet();
    await using _ = puppet;

    puppet.socket.end();

    const crashed = { kind: "crashed", errorType: "Runtime.Unknown", isStreamed: false };
    assert.deepEqual(await outcome, { ...crashed, message: "Runtime closed its connection" });
    assert.equal((await puppet.invoke()).kind, "crashed");
  });

  it("can be disposed twice, and before anybody has connected", async () => {
    const puppet = await startPuppet();
    await puppet.channel[Symbol.asyncDispose]();
    await puppet[Symbol.asyncDispose]();
  });

  type Puppet = Awaited<ReturnType<typeof startPuppet>>;
  for (const [why, misbehave] of [
    ["an answer to another call", (puppet: Puppet) => puppet.send(FRAME.response, 2, "", "{}")],
    ["an answer to no call", (puppet: Puppet) => puppet.send(FRAME.response, 0, "", "{}")],
    ["a chunk without a head", (puppet: Puppet) => puppet.send(FRAME.streamChunk, 1, "", "x")],
    ["an end without a head", (puppet: Puppet) => puppet.send(FRAME.streamEnd, 1)],
    ["idle before its answer", (puppet: Puppet) => puppet.send(FRAME.idle, 1)],
    ["ready a second time", (puppet: Puppet) => puppet.send(FRAME.ready, 0)],
    ["a failed start after its start", (puppet: Puppet) => puppet.send(FRAME.initError, 0, "x", "{}")],
    ["a frame of the daemon's", (puppet: Puppet) => puppet.send(FRAME.invoke, 1, "{}", "{}")],
    ["an unknown frame", (puppet: Puppet) => puppet.send(99, 1)],
    ["garbage", (puppet: Puppet) => puppet.socket.write(Buffer.alloc(1024, 0xee))],
    ["a frame that promises 4 GiB", (puppet: Puppet) => puppet.socket.write(Buffer.alloc(4, 0xff))],
  ] as const) {
    it(`closes the connection on ${why}`, async () => {
      const { puppet, outcome } = await startCalledPuppet();
      await using _ = puppet;
      const closed = once(puppet.socket, "close");

      misbehave(puppet);

      const message = "Runtime sent what is no answer";
      assert.deepEqual(await outcome, {
        kind: "crashed",
        errorType: "Runtime.Unknown",
        message,
        isStreamed: false,
      });
      await closed;
    });
  }

  it("settles each call and throws nothing, whatever a runtime sends", async () => {
    const type = fc.constantFrom(...Object.values(FRAME), 0, 255);
    const frame = fc.tuple(type, fc.constantFrom(0, 1, 2), fc.string(), fc.string());
    await fc.assert(
      fc.asyncProperty(
        fc.array(frame, { maxLength: 8 }),
        fc.uint8Array({ maxLength: 64 }),
        async (frames, bytes) => {
          const { puppet, outcome } = await startCalledPuppet();
          await using _ = puppet;
          for (const [kind, callId, label, body] of frames) puppet.send(kind, callId, label, body);
          // A length that no frame can have, so that the end does not look like a frame which is still to come.
          puppet.socket.write(Buffer.concat([Buffer.alloc(4, 0xff), bytes]));
          assert.match((await outcome).kind, /^(returned|threw|crashed)$/);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("collects a stream of single bytes and empty pieces without holding each", async () => {
    const { puppet, outcome } = await startCalledPuppet();
    await using _ = puppet;
    puppet.send(FRAME.streamHead, 1, "a/b");
    const piece = Buffer.concat([encodeFrameHead(FRAME.streamChunk, 1, "", 1), Buffer.from("x")]);
    const empty = encodeFrameHead(FRAME.streamChunk, 1, "", 0);
    const before = process.memoryUsage().arrayBuffers;
    puppet.socket.write(Buffer.concat(Array.from({ length: 200_000 }, (_, n) => (n % 2 ? piece : empty))));
    puppet.send(FRAME.streamEnd, 1);

    const result = await outcome;

    assert.ok(result.kind === "returned");
    assert.equal(Buffer.from(result.payload).toString(), "x".repeat(100_000));
    assert.ok(process.memoryUsage().arrayBuffers - before < 64 * 1024 * 1024);
  });

  it("keeps an answer that came before a second one broke the protocol", async () => {
    const { puppet, outcome } = await startCalledPuppet();
    await using _ = puppet;

    puppet.send(FRAME.response, 1, "", "first");
    puppet.send(FRAME.response, 1, "", "second");

    assert.equal((await outcome).kind, "returned");
  });
});

function shape(outcome: InvocationOutcome) {
  if (outcome.kind !== "threw") return outcome;
  const { kind, errorType, isStreamed, payload } = outcome;
  return { kind, errorType, isStreamed, message: JSON.parse(Buffer.from(payload).toString()).errorMessage };
}
