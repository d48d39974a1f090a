/** Extensions inside one sandbox, external and internal, against the real start script in a plain process. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { TEXT_LOGGING } from "../../core/function.ts";
import type { Sandbox } from "../../sandbox/driver.ts";
import type { Channel } from "../protocol.ts";
import { InitFailed } from "../protocol.ts";
import { startTestSandbox, testVersion } from "../test-sandbox.fake.ts";
import { callWith, eventually } from "./managed-function.fake.ts";
import { runtimeApiAdapter } from "./runtime-api.ts";

const NEVER = new AbortController().signal;

interface Answer {
  readonly status: number;
  readonly id: string;
  readonly event: string;
  readonly json: unknown;
}

/** A request to the API in a sandbox, as an extension makes it. */
async function ask(
  api: string,
  method: string,
  path: string,
  sent: { readonly headers?: Record<string, string>; readonly body?: string } = {},
): Promise<Answer> {
  const [host = "", port = ""] = api.split(":");
  return new Promise((resolve, reject) => {
    const asking = request({ host, port, method, path, headers: sent.headers ?? {} }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk) => (text += chunk));
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          id: String(response.headers["lambda-extension-identifier"] ?? ""),
          event: String(response.headers["lambda-extension-event-identifier"] ?? ""),
          json: JSON.parse(text),
        }),
      );
    });
    asking.on("error", reject);
    asking.end(sent.body);
  });
}

describe("the Extensions API", () => {
  let folder: string;
  let channel: Channel;
  let sandbox: Sandbox;
  let api: string;
  let lines: string[];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "extensions-"));
    await mkdir(join(folder, "code"));
    await mkdir(join(folder, "opt", "extensions"), { recursive: true });
    lines = [];
  });
  afterEach(async () => {
    await sandbox?.[Symbol.asyncDispose]();
    await channel?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  /** A runtime that is the script, and extensions that are scripts; what they do not do, the test does in their place. */
  async function start(
    extensions: Readonly<Record<string, string>>,
    bootstrap = "exec sleep 1000",
  ): Promise<void> {
    const file = async (path: string, text: string) =>
      writeFile(join(folder, path), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    await file("code/bootstrap", bootstrap);
    for (const [name, text] of Object.entries(extensions)) await file(`opt/extensions/${name}`, text);
    const version = testVersion({ kind: "handler", handler: "the.handler" }, { logging: TEXT_LOGGING });
    const adapter = runtimeApiAdapter({ accountId: "123456789012" });
    channel = adapter.open(
      version,
      { interpreter: undefined, runtimeDir: undefined, toolDirs: [] },
      Object.keys(extensions),
    );
    sandbox = await startTestSandbox(channel, {
      codeDir: join(folder, "code"),
      optDir: join(folder, "opt"),
      environment: { AWS_EXECUTION_ENV: "x", AWS_LAMBDA_LOG_GROUP_NAME: "x", SECRET: "s" },
    });
    channel.attach(sandbox);
    api = sandbox.places.runtimeApi ?? "";
    for (const stream of [sandbox.stdout, sandbox.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        for (const line of text.split("\n")) {
          if (line === "") continue;
          const sorted = channel.sort?.(line);
          if (sorted) lines.push(`${sorted.source}: ${sorted.text}`);
        }
      });
    }
    sandbox.telemetry.resume();
  }

  const register = (name: string, events: unknown, headers: Record<string, string> = {}) =>
    ask(api, "POST", "/2020-01-01/extension/register", {
      headers: { "Lambda-Extension-Name": name, ...headers },
      body: JSON.stringify({ events }),
    });
  const next = (id: string) =>
    ask(api, "GET", "/2020-01-01/extension/event/next", { headers: { "Lambda-Extension-Identifier": id } });
  const runtimeNext = () => ask(api, "GET", "/2018-06-01/runtime/invocation/next");
  const errorOf = ({ status, json }: Answer) => [status, Object(json).errorType];
  const refusesTo = async (status: number, errorType: string, answer: Promise<Answer>) =>
    assert.deepEqual(errorOf(await answer), [status, errorType]);

  it("starts external extensions, and the runtime when all have registered", async () => {
    await start(
      { one: "echo one is here; exec sleep 1000", two: "exec sleep 1000" },
      "echo runtime is here; exec sleep 1000",
    );
    await eventually(() => lines.includes("extension: one is here"));
    const one = await register("one", ["INVOKE", "SHUTDOWN"], {
      "Lambda-Extension-Accept-Feature": "accountId",
    });
    assert.deepEqual(one.json, {
      functionName: "greet",
      functionVersion: "$LATEST",
      handler: "the.handler",
      accountId: "123456789012",
    });
    assert.match(one.id, /^[0-9a-f-]{36}$/);
    assert.ok(!lines.some((line) => line.startsWith("function:")));
    await register("two", []);
    await eventually(() => lines.includes("function: runtime is here"));
  });

  it("starts nothing where there are more than ten external extensions", async () => {
    const named = (count: number) =>
      Object.fromEntries(
        Array.from({ length: count }, (_, index) => [`e${index + 1}`, "echo here; exec sleep 1000"]),
      );
    await assert.rejects(start(named(11)), (error) => {
      assert.ok(error instanceof InitFailed);
      assert.equal(error.errorType, "Extension.LaunchError");
      assert.deepEqual(JSON.parse(Buffer.from(error.payload).toString()), {
        errorType: "Extension.LaunchError",
        errorMessage:
          "Error: ErrTooManyExtensions: /opt/extensions has 11 programs, and at most 10 are started; take layers away, or put several into one program",
      });
      return true;
    });
    await channel[Symbol.asyncDispose]();
    await rm(join(folder, "opt", "extensions", "e11"));
    await start(named(10), "echo runtime is here; exec sleep 1000");
    for (const name of Object.keys(named(10))) assert.equal((await register(name, [])).status, 200);
    await eventually(() => lines.includes("function: runtime is here"));
    await refusesTo(403, "Extension.TooManyExtensions", register("inner", []));
  });

  it("gives extensions an environment without what is the runtime's", async () => {
    await start({ one: "env; pwd; exec sleep 1000" });
    await eventually(() => lines.includes("extension: /"));
    const names = lines.map((line) => line.slice("extension: ".length).split("=")[0]);
    assert.ok(names.includes("SECRET") && names.includes("AWS_LAMBDA_RUNTIME_API"));
    for (const hidden of ["AWS_EXECUTION_ENV", "AWS_LAMBDA_LOG_GROUP_NAME", "LAMBDA_TASK_ROOT", "_HANDLER"]) {
      assert.ok(!names.includes(hidden), hidden);
    }
  });

  it("is ready, and idle, when everybody has asked for the next event", async () => {
    await start({ one: "exec sleep 1000" });
    const { id } = await register("one", ["INVOKE"]);
    const inner = await register("inner", ["INVOKE"]);
    let isReady = false;
    void channel.ready.then(() => (isReady = true));
    const asking = runtimeNext();
    const first = next(id);
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal(isReady, false);
    const innerFirst = next(inner.id);
    await channel.ready;
    await refusesTo(403, "Extension.RegistrationClosed", register("late", []));

    const call = callWith({ a: 1 }, { traceId: "Root=1-a" });
    const outcome = channel.invoke(call, { signal: NEVER });
    const event = {
      eventType: "INVOKE",
      deadlineMs: Math.floor(call.deadlineAt),
      requestId: call.invocationId,
      invokedFunctionArn: call.functionArn,
      tracing: { type: "X-Amzn-Trace-Id", value: "Root=1-a" },
    };
    const told = await first;
    assert.deepEqual(told.json, event);
    assert.match(told.event, /^[0-9a-f-]{36}$/);
    assert.deepEqual((await innerFirst).json, event);
    assert.deepEqual((await asking).json, { a: 1 });
    await ask(api, "POST", `/2018-06-01/runtime/invocation/${call.invocationId}/response`, { body: "1" });
    assert.equal((await outcome).kind, "returned");
    let isIdle = false;
    void channel.idle()?.then(() => (isIdle = true));
    void runtimeNext().catch(() => undefined);
    void next(id).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal(isIdle, false);
    void next(inner.id).catch(() => undefined);
    await channel.idle();
  });

  it("refuses what is not allowed, in the service's words", async () => {
    await start({ one: "exec sleep 1000" });
    const path = "/2020-01-01/extension/register";
    await refusesTo(403, "Extension.InvalidExtensionName", ask(api, "POST", path, { body: "{}" }));
    const named = { headers: { "Lambda-Extension-Name": "one" } };
    for (const body of [
      "",
      "nonsense",
      '{"events":{}}',
      '{"events":[1]}',
      `{"events":[${" ".repeat(20_000)}]}`,
    ]) {
      await refusesTo(403, "InvalidRequestFormat", ask(api, "POST", path, { ...named, body }));
    }
    await refusesTo(403, "Extension.InvalidEventType", register("one", ["RESTORE"]));
    await refusesTo(403, "Extension.InvalidEventType", register("inner", ["SHUTDOWN"]));
    assert.equal((await register("one", null)).status, 200);
    await refusesTo(403, "Extension.InvalidExtensionState", register("one", []));
    assert.equal((await register("inner", [])).status, 200);
    await refusesTo(403, "Extension.InvalidExtensionState", register("inner", []));
    for (let count = 3; count <= 10; count++) assert.equal((await register(`inner${count}`, [])).status, 200);
    await refusesTo(403, "Extension.TooManyExtensions", register("eleventh", []));
    await refusesTo(
      403,
      "Extension.MissingExtensionIdentifier",
      ask(api, "GET", "/2020-01-01/extension/event/next"),
    );
    await refusesTo(403, "Extension.InvalidExtensionIdentifier", next("me"));
    await refusesTo(
      403,
      "Extension.UnknownExtensionIdentifier",
      next("00000000-0000-4000-8000-000000000000"),
    );
  });

  for (const [kind, errorType] of [
    ["init", "Extension.InitError"],
    ["exit", "Extension.ExitError"],
  ] as const) {
    it(`fails with an extension that reports its ${kind}/error`, async () => {
      await start({ one: "exec sleep 1000" });
      const { id } = await register("one", []);
      const fail = (headers: Record<string, string>) =>
        ask(api, "POST", `/2020-01-01/extension/${kind}/error`, {
          headers: { "Lambda-Extension-Identifier": id, ...headers },
          body: '{"errorMessage":"no disk"}',
        });
      await refusesTo(403, "Extension.MissingHeader", fail({}));
      const told = await fail({ "Lambda-Extension-Function-Error-Type": "Extension.NoDisk" });
      assert.deepEqual([told.status, told.json], [202, { status: "OK" }]);
      await assert.rejects(
        channel.ready,
        (error) => error instanceof InitFailed && error.errorType === errorType,
      );
      assert.equal((await channel.failed)?.errorType, errorType);
      await refusesTo(403, "Extension.InvalidExtensionState", next(id));
    });
  }

  it("fails with an extension that leaves", async () => {
    await start({ one: "exit 3" });
    const failure = await channel.failed;
    assert.deepEqual(failure, { errorType: "Extension.Crash", message: "extension one: exit status 3" });
    await assert.rejects(channel.ready, InitFailed);
  });

  it("tells of a runtime that leaves while extensions are there", async () => {
    await start({ one: "exec sleep 1000" }, "exit 5");
    await register("one", []);
    assert.deepEqual(await channel.failed, {
      errorType: "Runtime.ExitError",
      message: "Runtime exited with error: exit status 5",
    });
  });

  it("shuts down in phases: SIGTERM, then the event, then no longer than two seconds", async () => {
    const trap = "trap 'echo asked to end; exit 0' TERM; echo up; while :; do sleep 0.01; done";
    await start({ one: "exec sleep 1000" }, trap);
    const { id } = await register("one", ["SHUTDOWN"]);
    await eventually(() => lines.includes("function: up"));
    const told = next(id);
    const startedAt = Date.now();
    const over = channel.shutDown?.("spindown");
    const { json } = await told;
    const { deadlineMs, ...rest } = Object(json);
    assert.deepEqual(rest, { eventType: "SHUTDOWN", shutdownReason: "spindown" });
    await eventually(() => lines.includes("function: asked to end"));
    assert.ok(Math.abs(deadlineMs - startedAt - 2_000) < 500, String(deadlineMs - startedAt));
    await over;
    const tookMs = Date.now() - startedAt;
    assert.ok(tookMs > 1_900 && tookMs < 3_000, String(tookMs));
  });

  it("kills a runtime that does not end, and is over when the extensions have left", async () => {
    await start({ one: "exec sleep 1000" }, "trap '' TERM; echo up; while :; do sleep 0.01; done");
    const { id } = await register("one", ["SHUTDOWN"]);
    await eventually(() => lines.includes("function: up"));
    const told = next(id);
    const startedAt = Date.now();
    const over = channel.shutDown?.("timeout");
    assert.equal(Object((await told).json).shutdownReason, "timeout");
    const toldMs = Date.now() - startedAt;
    assert.ok(toldMs >= 550 && toldMs < 1_200, String(toldMs));
    await sandbox[Symbol.asyncDispose]();
    await over;
    assert.ok(Date.now() - startedAt < 1_900);
  });

  it("takes no time without extensions, and lets a program with an internal one end by itself", async () => {
    await start({}, "trap 'echo asked to end; exit 0' TERM; echo up; while :; do sleep 0.01; done");
    await eventually(() => lines.includes("function: up"));
    await channel.shutDown?.("spindown");
    assert.ok(!lines.includes("function: asked to end"));
    await register("inner", []);
    await channel.shutDown?.("spindown");
    await sandbox.exited;
    await eventually(() => lines.includes("function: asked to end"));
  });

  describe("telemetry", () => {
    const subscribe = (id: string, body: object, path = "/2022-07-01/telemetry") =>
      ask(api, "PUT", path, {
        headers: { "Lambda-Extension-Identifier": id },
        body: JSON.stringify(body),
      });

    it("goes to an HTTP server in the sandbox, in batches and in order, from the beginning on", async () => {
      const batches: { path: string; events: { time: string; type: string; record: unknown }[] }[] = [];
      const server = createServer((incoming, response) => {
        let text = "";
        incoming.setEncoding("utf8").on("data", (chunk) => (text += chunk));
        incoming.on("end", () => {
          batches.push({ path: `${incoming.method} ${incoming.url}`, events: JSON.parse(text) });
          response.end("ok");
        });
      }).listen(0, "127.0.0.1");
      const port = await portOf(server);
      await start({ one: "exec sleep 1000" });
      channel.telemetry?.take({ at: 0, type: "platform.initStart", record: { phase: "init" } });
      const { id } = await register("one", []);
      const answer = await subscribe(id, {
        schemaVersion: "2022-12-13",
        types: ["platform", "function"],
        buffering: { maxItems: 1000, maxBytes: 262144, timeoutMs: 25 },
        destination: { protocol: "HTTP", URI: `http://sandbox.localdomain:${port}/events?a=b` },
      });
      assert.deepEqual([answer.status, answer.json], [200, "OK"]);
      channel.telemetry?.take({ at: 1, type: "extension", record: "not asked for" });
      channel.telemetry?.take({ at: 2, type: "function", record: "hello" });
      await eventually(() => batches.flatMap(({ events }) => events).length >= 4);
      const events = batches.flatMap((batch) => batch.events);
      assert.deepEqual(
        events.map(({ type }) => type),
        ["platform.initStart", "platform.extension", "platform.telemetrySubscription", "function"],
      );
      assert.deepEqual(events[3], { time: "1970-01-01T00:00:00.002Z", type: "function", record: "hello" });
      assert.equal(batches[0]?.path, "POST /events?a=b");
      void runtimeNext().catch(() => undefined);
      void next(id).catch(() => undefined);
      await channel.ready;
      await refusesTo(403, "Telemetry.SubscriptionClosed", subscribe(id, {}));
      await refusesTo(403, "Logs.SubscriptionClosed", subscribe(id, {}, "/2020-08-15/logs"));
      server.close();
    });

    it("goes to a TCP server line by line, in the Logs API's words", async () => {
      let text = "";
      const server = createTcpServer((socket) => {
        socket.setEncoding("utf8").on("data", (chunk) => (text += chunk));
      }).listen(0, "127.0.0.1");
      const port = await portOf(server);
      await start({ one: "exec sleep 1000" });
      const { id } = await register("one", []);
      const types = ["platform"];
      const destination = { protocol: "TCP", port };
      const buffering = { timeoutMs: 25, maxItems: 1000, maxBytes: 262144 };
      assert.equal((await subscribe(id, { types, destination, buffering }, "/2020-08-15/logs")).status, 200);
      channel.telemetry?.take({ at: 0, type: "platform.initReport", record: {} });
      channel.telemetry?.take({
        at: 0,
        type: "platform.runtimeDone",
        record: { requestId: "r", status: "success", metrics: {} },
      });
      await eventually(() => text.includes("platform.end"));
      const events = text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
      assert.deepEqual(
        events.map(({ type }) => type),
        ["platform.extension", "platform.logsSubscription", "platform.runtimeDone", "platform.end"],
      );
      assert.deepEqual(events[2].record, { requestId: "r", status: "success" });
      await sandbox[Symbol.asyncDispose]();
      await channel[Symbol.asyncDispose]();
      server.close();
    });

    it("waits for a receiver that comes late, and says how much it had to drop", async () => {
      await start({ one: "exec sleep 1000" });
      const reserved = createTcpServer().listen(0, "127.0.0.1");
      const port = await portOf(reserved);
      await new Promise((resolve) => reserved.close(resolve));
      const { id } = await register("one", []);
      await subscribe(id, {
        types: ["function"],
        buffering: { timeoutMs: 25 },
        destination: { protocol: "TCP", port },
      });
      const line = "x".repeat(100_000);
      for (let count = 0; count < 20; count++)
        channel.telemetry?.take({ at: 0, type: "function", record: line });
      let text = "";
      const server = createTcpServer((socket) => {
        socket.setEncoding("utf8").on("data", (chunk) => (text += chunk));
      }).listen(port, "127.0.0.1");
      await eventually(() => text.includes("platform.logsDropped"));
      const events = text
        .trim()
        .split("\n")
        .map((each) => JSON.parse(each));
      const dropped = events.find(({ type }) => type === "platform.logsDropped");
      assert.equal(
        dropped.record.droppedRecords + events.filter(({ type }) => type === "function").length,
        20,
      );
      assert.ok(dropped.record.droppedBytes > 100_000);
      await sandbox[Symbol.asyncDispose]();
      await channel[Symbol.asyncDispose]();
      server.close();
    });

    it("is refused with what it lacks", async () => {
      await start({ one: "exec sleep 1000" });
      const { id } = await register("one", []);
      const good = { types: ["function"], destination: { protocol: "TCP", port: 1 } };
      for (const change of [
        { types: [] },
        { types: ["function", "secrets"] },
        { types: "function" },
        { schemaVersion: "1999-01-01" },
        { buffering: { maxItems: 999 } },
        { buffering: { maxBytes: 1_048_577 } },
        { buffering: { timeoutMs: 24 } },
        { buffering: { timeoutMs: 30.5 } },
        { destination: {} },
        { destination: { protocol: "TCP", port: 9001 } },
        { destination: { protocol: "TCP", port: 70_000 } },
        { destination: { protocol: "HTTP", URI: "http://example.org/" } },
        { destination: { protocol: "HTTP", URI: "https://sandbox.localdomain/" } },
        { destination: { protocol: "HTTP", URI: "http://sandbox.localdomain:9001" } },
        { destination: { protocol: "HTTP", URI: "no URI" } },
      ]) {
        await refusesTo(400, "ValidationError", subscribe(id, { ...good, ...change }));
      }
      await refusesTo(403, "Extension.MissingExtensionIdentifier", ask(api, "PUT", "/2022-07-01/telemetry"));
    });
  });
});

async function portOf(server: {
  address(): unknown;
  listening: boolean;
  once(event: "listening", then: () => void): unknown;
}) {
  if (!server.listening) await new Promise<void>((resolve) => server.once("listening", resolve));
  return Number(Object(server.address()).port);
}
