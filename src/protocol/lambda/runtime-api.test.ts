import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { type IncomingHttpHeaders, request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import type { InvocationOutcome } from "../../core/invocation.ts";
import { RESPONSE_BYTES_MAX } from "../../core/limits.ts";
import { describeChannel } from "../protocol.contract.ts";
import { InitFailed } from "../protocol.ts";
import { type Program, startTestChannel, type TestChannel, TestSink, textOf } from "../test-channel.fake.ts";
import { runtimeApiAdapter } from "./runtime-api.ts";

const adapter = runtimeApiAdapter({ accountId: "000000000000" });
const entry = { kind: "handler", handler: "app.run" } as const;
const environment = { PATH: `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin` };

/** A runtime of curl: what most people write when they first write one. */
function shellRuntime(handle: string): Program {
  return {
    entry,
    files: {
      bootstrap: `#!/bin/sh
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime
while :; do
  curl -sS -D headers -o event "$api/invocation/next" || exit 9
  id=$(tr -d '\\r' <headers | sed -n 's/^Lambda-Runtime-Aws-Request-Id: //p')
  ${handle}
done
`,
    },
  };
}

const FLOOD = `#!/usr/bin/env node
const http = require("node:http");
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const call = (method, path, headers, body) => new Promise((resolve, reject) => {
  const request = http.request({ host, port, method, path: "/2018-06-01/runtime/" + path, headers }, (response) => {
    response.resume().on("end", () => resolve(response));
  });
  request.on("error", reject);
  for (const piece of body) request.write(piece);
  request.end();
});
(async () => {
  for (;;) {
    const next = await call("GET", "invocation/next", {}, []);
    const id = next.headers["lambda-runtime-aws-request-id"];
    const headers = { "Lambda-Runtime-Function-Response-Mode": "streaming", "Content-Type": "text/plain" };
    await call("POST", "invocation/" + id + "/response", headers, Array(64).fill(Buffer.alloc(65536, "x")));
  }
})();
`;

describeChannel("runtime API", {
  adapter,
  options: { environment },
  echo: shellRuntime('curl -sS -o /dev/null --data-binary @event "$api/invocation/$id/response"'),
  hang: shellRuntime("sleep 30"),
  exit: shellRuntime("exit 1"),
  flood: { entry, files: { bootstrap: FLOOD } },
});

/** A sandbox whose program does nothing; the test itself speaks to its Runtime API. */
async function startSilent() {
  const tested = await startTestChannel(adapter, {
    entry,
    files: { bootstrap: "#!/bin/sh\nexec sleep 60\n" },
  });
  const { runtimeApi = "" } = tested.sandbox.places;
  const [host = "", port = ""] = runtimeApi.split(":");
  const ask = (
    method: string,
    path: string,
    options: { readonly body?: string | Buffer; readonly headers?: Record<string, string> } = {},
  ) => askApi({ host, port, method, path: `/2018-06-01/${path}`, ...options });
  return { tested, ask, host, port: Number(port) };
}

interface ApiAnswer {
  readonly status: number | undefined;
  readonly text: string;
  readonly headers: IncomingHttpHeaders;
}

function askApi(options: {
  readonly host: string;
  readonly port: string;
  readonly method: string;
  readonly path: string;
  readonly body?: string | Buffer;
  readonly headers?: Record<string, string>;
}): Promise<ApiAnswer> {
  return new Promise((resolve, reject) => {
    const { body, ...rest } = options;
    const sent = request({ ...rest, agent: false }, async (response) => {
      let text = "";
      for await (const chunk of response.setEncoding("utf8")) text += chunk;
      resolve({ status: response.statusCode, text, headers: response.headers });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Starts a call and takes its event as a runtime would. */
async function takeCall(silent: Awaited<ReturnType<typeof startSilent>>, sink?: TestSink) {
  const asked = silent.ask("GET", "runtime/invocation/next");
  await silent.tested.channel.ready;
  const outcome = silent.tested.invoke(sink ? { sink } : "{}");
  const event = await asked;
  return { outcome, id: String(event.headers["lambda-runtime-aws-request-id"]) };
}

const STATE = (from: string, to: string) =>
  `{"errorMessage":"State transition from ${from} to ${to} failed for runtime. Error: State transition is not allowed","errorType":"InvalidStateTransition"}\n`;

describe("runtime API", () => {
  it("gives an event with its headers, and leaves out those without a value", async () => {
    const silent = await startSilent();
    await using _ = silent.tested;
    const asked = silent.ask("GET", "runtime/invocation/next");
    await silent.tested.channel.ready;
    void silent.tested.invoke({
      deadlineAt: 1_700_000_000_123.9,
      traceId: "Root=1-2-3",
      clientContext: '{"custom":\n{"name":"Grüße"}}',
      input: { kind: "event", payload: Buffer.from("[1]"), contentType: "application/cloudevents+json" },
    });
    const { status, text, headers } = await asked;
    assert.equal(status, 200);
    assert.equal(text, "[1]");
    assert.match(String(headers["lambda-runtime-aws-request-id"]), /^[0-9a-f-]{36}$/);
    assert.equal(headers["lambda-runtime-deadline-ms"], "1700000000123");
    assert.equal(headers["lambda-runtime-trace-id"], "Root=1-2-3");
    assert.equal(headers["content-type"], "application/cloudevents+json");
    const context = Buffer.from(String(headers["lambda-runtime-client-context"]), "latin1").toString("utf8");
    assert.deepEqual(JSON.parse(context), { custom: { name: "Grüße" } });
    assert.equal(headers["lambda-runtime-cognito-identity"], undefined);
  });

  it("gives the same event again while it is running, and is idle only at the next one", async () => {
    const silent = await startSilent();
    await using _ = silent.tested;
    const { outcome, id } = await takeCall(silent);
    const again = await silent.ask("GET", "runtime/invocation/next");
    assert.equal(again.headers["lambda-runtime-aws-request-id"], id);
    const answered = await silent.ask("POST", `runtime/invocation/${id}/response`, { body: '"done"' });
    assert.deepEqual([answered.status, answered.text], [202, '{"status":"OK"}\n']);
    assert.equal(textOf(await outcome), '"done"');

    let isIdle = false;
    const idle = silent.tested.channel.idle()?.then(() => (isIdle = true));
    await silent.ask("GET", "ping");
    assert.equal(isIdle, false);
    void silent.ask("GET", "runtime/invocation/next").catch(() => undefined);
    await idle;
  });

  it("refuses what the state does not allow", async () => {
    const silent = await startSilent();
    await using _ = silent.tested;
    const { ask } = silent;
    assert.equal((await ask("GET", "runtime/restore/next")).text, STATE("Started", "RestoreReady"));
    assert.equal((await ask("POST", "runtime/restore/error")).status, 403);
    const { outcome, id } = await takeCall(silent);
    const initError = await ask("POST", "runtime/init/error", { body: "{}" });
    assert.deepEqual([initError.status, initError.text], [403, STATE("Running", "InitError")]);
    await ask("POST", `runtime/invocation/${id}/response`, { body: "1" });
    const twice = await ask("POST", `runtime/invocation/${id}/response`, { body: "2" });
    assert.deepEqual([twice.status, twice.text], [403, STATE("ResponseSent", "InvocationResponse")]);
    const late = await ask("POST", `runtime/invocation/${id}/error`, { body: "{}" });
    assert.deepEqual([late.status, late.text], [403, STATE("ResponseSent", "InvocationErrorResponse")]);
    assert.equal(textOf(await outcome), "1");
  });

  it("refuses an id that is not the present one, whatever it looks like", async () => {
    const silent = await startSilent();
    await using _ = silent.tested;
    const first = await takeCall(silent);
    await silent.ask("POST", `runtime/invocation/${first.id}/response`, { body: "1" });
    const second = await takeCall(silent);
    const forged = [first.id, "00000000-0000-4000-8000-000000000000", "x", "%00", "..%2f..", "__proto__"];
    for (const id of forged) {
      const { status, text } = await silent.ask("POST", `runtime/invocation/${id}/response`, { body: "no" });
      const wanted = '{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}\n';
      assert.deepEqual([id, status, text], [id, 400, wanted]);
    }
    await silent.ask("POST", `runtime/invocation/${second.id}/response`, { body: "2" });
    assert.equal(textOf(await second.outcome), "2");
  });

  it("passes an error on byte for byte, and its type if it is one", async () => {
    const silent = await startSilent();
    await using _ = silent.tested;
    const body = '{ "errorMessage":"no",  "errorType":"Mine" }';
    for (const [header, errorType] of [
      ["Function.Broken", "Function.Broken"],
      ["Function.broken!", "Function.Unknown"],
      ["unhandled", "Runtime.Unknown"],
      [undefined, "Runtime.Unknown"],
    ] as const) {
      const { outcome, id } = await takeCall(silent);
      const headers = header ? { "Lambda-Runtime-Function-Error-Type": header } : {};
      await silent.ask("POST", `runtime/invocation/${id}/error`, { body, headers });
      const wanted: InvocationOutcome = {
        kind: "threw",
        payload: Buffer.from(body),
        errorType,
        isStreamed: false,
      };
      assert.deepEqual(await outcome, wanted);
    }
  });

  it("takes a description of an error in a header of 64 KiB, and drops the cause from a body that has it", async () => {
    const silent = await startSilent();
    await using _ = silent.tested;
    const { outcome, id } = await takeCall(silent);
    await silent.ask("POST", `runtime/invocation/${id}/error`, {
      body: '{"errorType":"A","errorCause":{"secret":1},"errorMessage":"b"}',
      headers: {
        "Content-Type": "application/vnd.aws.lambda.error.cause+json",
        "Lambda-Runtime-Function-XRay-Error-Cause": "x".repeat(64 * 1024),
      },
    });
    assert.equal(textOf(await outcome), '{"errorType":"A","errorMessage":"b"}');
  });

  it("answers 413 to a response over the limit and says so to the caller", async () => {
    const silent = await startSilent();
    await using _ = silent.tested;
    for (const headers of [{}, { "Transfer-Encoding": "chunked" }]) {
      const { outcome, id } = await takeCall(silent);
      const body = Buffer.alloc(RESPONSE_BYTES_MAX + 1, "x");
      const answer = await silent.ask("POST", `runtime/invocation/${id}/response`, { body, headers });
      assert.equal(answer.status, 413);
      assert.equal(
        answer.text,
        '{"errorMessage":"Exceeded maximum allowed payload size (6291556 bytes).","errorType":"RequestEntityTooLarge"}\n',
      );
      assert.equal(
        textOf(await outcome),
        '{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes)."}',
      );
    }
    const { outcome, id } = await takeCall(silent);
    const body = Buffer.alloc(RESPONSE_BYTES_MAX, "x");
    assert.equal((await silent.ask("POST", `runtime/invocation/${id}/response`, { body })).status, 202);
    assert.equal(textOf(await outcome).length, RESPONSE_BYTES_MAX);
  });

  it("refuses a response mode that there is not", async () => {
    const silent = await startSilent();
    await using _ = silent.tested;
    const { outcome, id } = await takeCall(silent);
    const headers = { "Lambda-Runtime-Function-Response-Mode": "buffered" };
    const answer = await silent.ask("POST", `runtime/invocation/${id}/response`, { body: "1", headers });
    assert.equal(answer.status, 400);
    assert.match(answer.text, /InvalidFunctionResponseMode/);
    assert.match(textOf(await outcome), /Runtime\.InvalidResponseModeHeader/);
  });

  it("answers 400 to a body that ends early, while the program lives on", async () => {
    const silent = await startSilent();
    await using _ = silent.tested;
    const { outcome, id } = await takeCall(silent);
    const socket = connect({ host: silent.host, port: silent.port, allowHalfOpen: true });
    socket.end(
      `POST /2018-06-01/runtime/invocation/${id}/response HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhal`,
    );
    let text = "";
    for await (const chunk of socket.setEncoding("utf8")) text += chunk;
    assert.match(text, /^HTTP\/1.1 400 .*"errorType":"TruncatedHTTPRequest"/s);
    assert.match(textOf(await outcome), /"errorType":"Runtime.TruncatedResponse"/);
  });

  it("passes on a stream that breaks, with the error of its trailers", async () => {
    const silent = await startSilent();
    await using _ = silent.tested;
    const sink = new TestSink();
    const { outcome, id } = await takeCall(silent, sink);
    const socket = connect({ host: silent.host, port: silent.port });
    const body = Buffer.from('{"errorType":"Late"}').toString("base64");
    socket.write(
      `POST /2018-06-01/runtime/invocation/${id}/response HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n` +
        "Lambda-Runtime-Function-Response-Mode: streaming\r\n" +
        "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n3\r\nabc\r\n",
    );
    await sink.begun.promise;
    socket.end(
      "0\r\nLambda-Runtime-Function-Error-Type: Function.Late\r\n" +
        `Lambda-Runtime-Function-Error-Body: ${body}\r\n\r\n`,
    );
    const wanted: InvocationOutcome = {
      kind: "threw",
      payload: Buffer.from('{"errorType":"Late"}'),
      errorType: "Function.Late",
      isStreamed: true,
    };
    assert.deepEqual(await outcome, wanted);
    assert.deepEqual(
      [sink.head, sink.body.toString()],
      [{ kind: "raw", contentType: "application/octet-stream" }, "abc"],
    );
    socket.destroy();
  });

  it("reports an initialisation error once, and refuses everything after it", async () => {
    const silent = await startSilent();
    await using _ = silent.tested;
    const body = '{"errorType":"Boot","errorMessage":"app.js:3: no database"}';
    const headers = { "Lambda-Runtime-Function-Error-Type": "Runtime.Boot" };
    const reported = await silent.ask("POST", "runtime/init/error", { body, headers });
    assert.deepEqual([reported.status, reported.text], [202, '{"status":"OK"}\n']);
    await assert.rejects(silent.tested.channel.ready, (error) => {
      assert.ok(error instanceof InitFailed);
      assert.deepEqual([Buffer.from(error.payload).toString(), error.errorType], [body, "Runtime.Boot"]);
      return true;
    });
    assert.equal((await silent.ask("GET", "runtime/invocation/next")).text, STATE("InitError", "Ready"));
    assert.equal((await silent.ask("POST", "runtime/init/error", { body })).status, 403);
  });

  it("makes an error of an initialisation error without a body", async () => {
    const silent = await startSilent();
    await using _ = silent.tested;
    await silent.ask("POST", "runtime/init/error");
    await assert.rejects(silent.tested.channel.ready, { name: "InitFailed", errorType: "Runtime.Unknown" });
  });

  it("answers a ping, and 404 to what there is not", async () => {
    const silent = await startSilent();
    await using _ = silent.tested;
    const to = (method: string, path: string) =>
      askApi({ host: silent.host, port: String(silent.port), method, path });
    assert.equal((await to("GET", "/2018-06-01/ping")).text, "pong");
    for (const [method, path] of [
      ["GET", "/"],
      ["DELETE", "/2018-06-01/runtime/invocation/next"],
      ["GET", "/2018-06-01/runtime/invocation/x/response"],
      ["GET", "/2021-04-23/credentials"],
    ] as const) {
      assert.equal((await to(method, path)).status, 404, path);
    }
  });

  it("survives clients that do not speak HTTP, or too much of it", async () => {
    const silent = await startSilent();
    await using _ = silent.tested;
    const sent = [
      "\0\0\0\0\r\n\r\n",
      "GET / HTTP/9.9\r\n\r\n",
      `GET /${"a".repeat(200_000)} HTTP/1.1\r\n\r\n`,
      `GET / HTTP/1.1\r\n${"A: b\r\n".repeat(30_000)}\r\n`,
      "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ];
    for (const text of sent) {
      const socket = connect({ host: silent.host, port: silent.port });
      socket.on("error", () => undefined);
      socket.write(text);
      let answer = "";
      socket.setEncoding("latin1").on("data", (chunk) => (answer += chunk));
      await new Promise((resolve) => socket.once("close", resolve));
      // Of what came too large, the answer may be lost with the connection.
      assert.match(answer, /^(HTTP\/1.1 (400|404|431) |$)/, text.slice(0, 30));
    }
    assert.equal((await silent.ask("GET", "ping")).text, "pong");
  });

  it("drops connections beyond what one program needs", async () => {
    const silent = await startSilent();
    await using _ = silent.tested;
    const open = Array.from({ length: 80 }, () => connect({ host: silent.host, port: silent.port }));
    let dropped = 0;
    const enough = Promise.withResolvers<void>();
    for (const socket of open) {
      socket.on("error", () => undefined);
      socket.on("close", () => {
        dropped += 1;
        if (dropped === 16) enough.resolve();
      });
    }
    await enough.promise;
    for (const socket of open) socket.destroy();
  });
});

describe("runtime API: what it starts", () => {
  for (const [why, files, message] of [
    ["is missing", { "app.py": "" }, /neither .*\/bootstrap nor \/opt\/bootstrap exists/],
    ["is not executable", { bootstrap: "echo\n" }, /not executable; run chmod \+x bootstrap/],
    ["has an interpreter that is missing", { bootstrap: "#!/no/such/interpreter\n" }, /exit status 12[67]/],
  ] as const) {
    it(`says what to do when the bootstrap ${why}`, async () => {
      await using tested = await startTestChannel(adapter, { entry, files });
      await assert.rejects(tested.channel.ready, (error) => {
        assert.ok(error instanceof InitFailed);
        assert.equal(error.errorType, "Runtime.InvalidEntrypoint");
        assert.match(Buffer.from(error.payload).toString(), message);
        return true;
      });
    });
  }

  it("runs the bootstrap in the code's folder, with Lambda's variables", async () => {
    const program = shellRuntime(
      'echo "$PWD|$_HANDLER|$LAMBDA_TASK_ROOT|$_LAMBDA_SERVER_PORT" | curl -sS -o /dev/null --data-binary @- "$api/invocation/$id/response"',
    );
    await using tested = await startTestChannel(adapter, program, {
      environment: { ...environment, _LAMBDA_SERVER_PORT: "1234" },
    });
    await tested.channel.ready;
    const { codeDir } = tested;
    assert.equal(textOf(await tested.invoke("{}")), `${codeDir}|app.run|${codeDir}|\n`);
  });

  it("leaves it pending when a bootstrap just exits", async () => {
    await using tested = await startTestChannel(adapter, {
      entry,
      files: { bootstrap: "#!/bin/sh\nexit 3\n" },
    });
    assert.equal((await tested.sandbox.exited).exitCode, 3);
    const state = await Promise.race([tested.channel.ready.then(() => "ready"), Promise.resolve("pending")]);
    assert.equal(state, "pending");
  });
});

function missingGo(): string | false {
  try {
    execFileSync("go", ["version"]);
    return false;
  } catch {
    assert.notEqual(process.env.REQUIRE_ALL, "1", "go is required here");
    return "go is not installed";
  }
}

describe("runtime API with aws-lambda-go", { skip: missingGo() }, () => {
  let folder = "";
  let tested: TestChannel | undefined;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "ld-go-"));
    await promisify(execFile)("go", ["build", "-o", join(folder, "bootstrap"), "."], {
      cwd: join(import.meta.dirname, "testdata/go-echo"),
      env: { ...process.env, CGO_ENABLED: "0", GOFLAGS: "-mod=readonly" },
    });
  });
  after(async () => {
    await tested?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  /** The same instance for all; a new one after it has gone. */
  async function invoke(event: object, sink?: TestSink): Promise<InvocationOutcome> {
    tested ??= await startTestChannel(adapter, { entry, files: {} }, { codeDir: folder });
    await tested.channel.ready;
    const input = { kind: "event", payload: Buffer.from(JSON.stringify(event)), contentType: "" } as const;
    const clientContext = '{"Client":{"app_title":"the app"}}';
    const outcome = await tested.invoke({ input, clientContext, ...(sink && { sink }) });
    await Promise.race([tested.channel.idle(), tested.sandbox.exited]);
    return outcome;
  }

  it("is served", async () => {
    const { id, ...rest } = JSON.parse(textOf(await invoke({ text: "hello" })));
    assert.match(id, /^[0-9a-f-]{36}$/);
    assert.deepEqual(rest, {
      text: "hello",
      arn: "arn:aws:lambda:us-east-1:000000000000:function:tested",
      client: "the app",
      handler: "",
    });
    assert.match(tested?.output.stdout ?? "", /echo hello\n/);
    assert.doesNotMatch(tested?.output.stderr ?? "", /WARNING/);
  });

  it("gets its errors through", async () => {
    const outcome = await invoke({ do: "fail", text: "out of luck" });
    assert.equal(outcome.kind, "threw");
    assert.equal(textOf(outcome), '{"errorMessage":"out of luck","errorType":"errorString"}');
  });

  it("gets an error after the first bytes through, buffered and streamed", async () => {
    const buffered = await invoke({ do: "break" });
    assert.ok(buffered.kind === "threw" && !buffered.isStreamed);
    assert.match(textOf(buffered), /the source ran dry/);
    const sink = new TestSink();
    const streamed = await invoke({ do: "break" }, sink);
    assert.ok(streamed.kind === "threw" && streamed.isStreamed);
    assert.equal(sink.body.toString(), "first piece ");
  });

  it("streams to a caller that takes a stream, with its HTTP head in front", async () => {
    const sink = new TestSink();
    const outcome = await invoke({ do: "http", text: "the body" }, sink);
    assert.ok(outcome.kind === "returned" && outcome.isStreamed);
    assert.deepEqual(sink.head, {
      kind: "raw",
      contentType: "application/vnd.awslambda.http-integration-response",
    });
    const [head = "", body] = sink.body.toString().split("\0\0\0\0\0\0\0\0");
    assert.equal(JSON.parse(head).statusCode, 201);
    assert.equal(body, "the body");
  });

  it("is not streamed where it gives JSON, whatever the caller takes", async () => {
    const sink = new TestSink();
    const outcome = await invoke({ text: "plain" }, sink);
    assert.ok(outcome.kind === "returned" && !outcome.isStreamed && outcome.head === undefined);
    assert.equal(sink.head, undefined);
  });

  it("is told when its response is too large", async () => {
    const outcome = await invoke({ do: "big", size: RESPONSE_BYTES_MAX });
    assert.ok(outcome.kind === "threw" && outcome.errorType === "Function.ResponseSizeTooLarge");
    assert.equal((await tested?.sandbox.exited)?.exitCode, 1);
    await tested?.[Symbol.asyncDispose]();
    tested = undefined;
  });

  it("says what it panicked about before it exits", async () => {
    const outcome = await invoke({ do: "panic", text: "all is lost" });
    assert.equal(JSON.parse(textOf(outcome)).errorMessage, "all is lost");
    assert.equal((await tested?.sandbox.exited)?.exitCode, 1);
  });
});
