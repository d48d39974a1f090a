import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { isPlatformError, PlatformError } from "../../core/errors.ts";
import { parseEventId } from "../../core/ids.ts";
import type { InvocationOutcome, RequestInput } from "../../core/invocation.ts";
import { PAYLOAD_BYTES_MAX } from "../../core/limits.ts";
import { returned } from "../../invoker/invocations.fake.ts";
import type { InvocationRequest } from "../../invoker/invocations.ts";
import { call, exchangeRaw, startGateway, statusOf } from "./gateway.fake.ts";

const EVENT_ID = parseEventId("evt_00000000001") ?? assert.fail();
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const UPLOAD = "POST /greet HTTP/1.1\r\nHost: localhost\r\n";

function eventIn(request: InvocationRequest | undefined): Record<string, unknown> {
  assert.equal(request?.input.kind, "event");
  return JSON.parse(Buffer.from(request.input.payload).toString());
}

function requestIn(request: InvocationRequest | undefined): RequestInput {
  assert.equal(request?.input.kind, "request");
  return request.input;
}

async function bytesOf(body: RequestInput["body"]): Promise<Buffer> {
  if (body === undefined) return Buffer.alloc(0);
  if (body instanceof Uint8Array) return Buffer.from(body);
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe("the gateway, for a handler", () => {
  it("hands a request over as an event and answers with its result", async () => {
    await using gateway = await startGateway({ run: () => returned('{"message":"Hello, World!"}') });
    const answer = await call(gateway.port, "/hello?name=World", { headers: { Cookie: "a=b" } });
    assert.equal(answer.status, 200);
    assert.equal(answer.text, '{"message":"Hello, World!"}');
    assert.equal(answer.headers["content-type"], "application/json");
    assert.equal(answer.headers["content-length"], "27");

    const [made] = gateway.invocations.calls;
    const event = eventIn(made?.request);
    assert.equal(answer.headers["x-amzn-requestid"], made?.request.invocationId);
    assert.match(String(answer.headers["x-amzn-requestid"]), UUID);
    assert.equal(event.rawPath, "/hello");
    assert.deepEqual(event.queryStringParameters, { name: "World" });
    assert.deepEqual(event.cookies, ["a=b"]);
    const { "x-amzn-trace-id": traceId, ...headers } = Object(event.headers);
    assert.deepEqual(headers, {
      host: "greet.localhost",
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-proto": "http",
      "x-forwarded-port": String(gateway.port),
    });
    assert.match(traceId, /^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Sampled=0$/);
    assert.equal(made?.request.traceId, traceId);
    assert.equal(Object(event.requestContext).requestId, made?.request.invocationId);
  });

  it("reaches it by path, with version or alias, on any host", async () => {
    await using gateway = await startGateway({ functions: { greet: { aliases: ["live"] } } });
    const hosts = ["localhost", "127.0.0.1", "example.org:80"];
    for (const host of hosts) assert.equal((await call(gateway.port, "/greet/a/b?c", { host })).status, 200);
    await call(gateway.port, "/greet:live", { host: "localhost" });
    await call(gateway.port, "/greet:1/x", { host: "localhost" });
    await call(gateway.port, "/x", { host: "live--greet.localhost" });
    const seen = gateway.invocations.calls.map(({ target, request }) => [
      target.qualifier,
      eventIn(request).rawPath,
    ]);
    assert.deepEqual(seen, [
      [undefined, "/a/b"],
      [undefined, "/a/b"],
      [undefined, "/a/b"],
      ["live", "/"],
      ["1", "/x"],
      ["live", "/x"],
    ]);
    const headers = Object(eventIn(gateway.invocations.calls[3]?.request).headers);
    assert.equal(headers["x-forwarded-prefix"], "/greet:live");
  });

  for (const [why, headers, body] of [
    ["with a length", {}, '{"name":"World"}'],
    ["in chunks", { "Transfer-Encoding": "chunked" }, '{"name":"World"}'],
    ["of some size", {}, JSON.stringify("x".repeat(1_000_000))],
    ["after 100 Continue", { Expect: "100-continue" }, '{"name":"World"}'],
  ] as const) {
    it(`hands over a body ${why}`, async () => {
      await using gateway = await startGateway();
      const answer = await call(gateway.port, "/", {
        method: "POST",
        headers: { ...headers, "Content-Type": "application/json" },
        body,
      });
      assert.equal(answer.status, 200);
      assert.equal(eventIn(gateway.invocations.calls[0]?.request).body, body);
    });
  }

  it("takes a body that trickles in", async () => {
    await using gateway = await startGateway();
    const socket = connect(gateway.port, "127.0.0.1");
    socket.write(`${UPLOAD}Content-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\n`);
    for (const letter of "abc") {
      await new Promise((resolve) => setImmediate(resolve));
      socket.write(letter);
    }
    await once(socket.resume(), "end");
    assert.equal(eventIn(gateway.invocations.calls[0]?.request).body, "abc");
  });

  it("refuses an announced body over the limit without reading it", async () => {
    await using gateway = await startGateway();
    const head = `${UPLOAD}Expect: 100-continue\r\nContent-Length: ${PAYLOAD_BYTES_MAX + 1}\r\n\r\n`;
    const answer = await exchangeRaw(gateway.port, head);
    assert.equal(statusOf(answer), 413);
    assert.match(answer, /"code":"PayloadTooLarge"/);
    assert.doesNotMatch(answer, /100 Continue/);
  });

  it("refuses a body over the limit that comes in chunks, and takes one at the limit", async () => {
    await using gateway = await startGateway();
    const headers = { "Transfer-Encoding": "chunked" };
    const most = await call(gateway.port, "/", {
      method: "POST",
      headers,
      body: Buffer.alloc(PAYLOAD_BYTES_MAX),
    });
    assert.equal(most.status, 200);
    const chunk = `100000\r\n${"x".repeat(0x100000)}\r\n`;
    const tooMuch = `${UPLOAD}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(7)}`;
    assert.equal(statusOf(await exchangeRaw(gateway.port, tooMuch)), 413);
    assert.equal(gateway.invocations.calls.length, 1);
  });

  it("carries an answer of 6 MB whole, as text and as bytes", async () => {
    const text = "ä".repeat(3_000_000);
    await using gateway = await startGateway({
      run: (request) =>
        eventIn(request).rawPath === "/raw"
          ? returned(JSON.stringify([text]))
          : returned(JSON.stringify({ statusCode: 200, body: text })),
    });
    assert.equal((await call(gateway.port, "/")).text, text);
    assert.equal((await call(gateway.port, "/raw")).text, JSON.stringify([text]));
  });

  it("answers HEAD without a body", async () => {
    await using gateway = await startGateway({ run: () => returned('"hello"') });
    const answer = await call(gateway.port, "/", { method: "HEAD" });
    assert.deepEqual([answer.status, answer.headers["content-length"], answer.text], [200, "5", ""]);
  });
});

describe("the gateway, for a server", () => {
  const functions = { web: { kind: "server" }, effe: { kind: "lifecycle" } } as const;

  function echo(request: InvocationRequest): InvocationOutcome {
    const { method, path } = requestIn(request);
    const head = {
      kind: "http",
      status: 201,
      rawHeaders: ["X-Case", `${method} ${path}`, "Content-Length", "2"],
    } as const;
    return { kind: "returned", payload: Buffer.from("ok"), head, isStreamed: false };
  }

  it("passes the request through as it is, but for what we say of its way", async () => {
    await using gateway = await startGateway({ functions, run: echo });
    const request =
      "DELETE /a%2Fb/../c?d=1&d HTTP/1.1\r\nHost: web.localhost\r\nX-One: 1\r\nx-ONE: 2\r\n" +
      "X-Forwarded-For: 6.6.6.6\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\r\n";
    const answer = await exchangeRaw(gateway.port, request);
    assert.match(answer, /^HTTP\/1\.1 201 Created\r\nX-Case: DELETE \/a%2Fb\/\.\.\/c\?d=1&d\r\n/);
    const { rawHeaders, body } = requestIn(gateway.invocations.calls[0]?.request);
    assert.deepEqual(rawHeaders.slice(0, 8), [
      "Host",
      "web.localhost",
      "X-One",
      "1",
      "x-ONE",
      "2",
      "x-forwarded-for",
      "127.0.0.1",
    ]);
    assert.equal(body, undefined);
  });

  it("cuts its name off the path and says so", async () => {
    await using gateway = await startGateway({ functions, run: echo });
    const answer = await call(gateway.port, "/effe?x=1", { host: "localhost", method: "PUT" });
    assert.equal(answer.headers["x-case"], "PUT /?x=1");
    const { rawHeaders } = requestIn(gateway.invocations.calls[0]?.request);
    assert.deepEqual(rawHeaders.slice(-2), ["x-forwarded-prefix", "/effe"]);
  });

  it("hands over small bodies whole and large ones as a stream of any length", async () => {
    const sizes: number[] = [];
    await using gateway = await startGateway({
      functions,
      run: async (request) => {
        const { body } = requestIn(request);
        sizes.push((await bytesOf(body)).byteLength);
        return echo(request);
      },
    });
    for (const size of [10, 100_000, 20_000_000]) {
      const body = Buffer.alloc(size);
      assert.equal(
        (await call(gateway.port, "/", { host: "web.localhost", method: "POST", body })).status,
        201,
      );
    }
    const [small, large] = gateway.invocations.calls.map(({ request }) => requestIn(request).body);
    assert.ok(Buffer.isBuffer(small));
    assert.ok(!(large instanceof Uint8Array));
    assert.deepEqual(sizes, [10, 100_000, 20_000_000]);
  });

  it("gives the client an early answer although the server reads none of the body", async () => {
    await using gateway = await startGateway({ functions, run: echo });
    const head = "POST / HTTP/1.1\r\nHost: web.localhost\r\nContent-Length: 100000000\r\n\r\n";
    assert.equal(statusOf(await exchangeRaw(gateway.port, head + "x".repeat(200_000))), 201);
  });

  it("tells the server when the client goes away in the middle of a body", async () => {
    const failure = Promise.withResolvers<unknown>();
    await using gateway = await startGateway({
      functions,
      run: async (request) => {
        await bytesOf(requestIn(request).body).catch((error: unknown) => failure.resolve(error));
        return echo(request);
      },
    });
    const socket = connect(gateway.port, "127.0.0.1");
    socket.write(
      `POST / HTTP/1.1\r\nHost: web.localhost\r\nContent-Length: 1000000\r\n\r\n${"x".repeat(100_000)}`,
      () => socket.destroy(),
    );
    assert.ok(isPlatformError(await failure.promise, "CallerGone"));
  });
});

describe("the gateway, for a filter", () => {
  it("gives it the body as input and sends back what it writes", async () => {
    await using gateway = await startGateway({
      functions: { upper: { kind: "filter" } },
      run: ({ input }) => {
        assert.equal(input.kind, "event");
        return returned(Buffer.from(input.payload).toString().toUpperCase());
      },
    });
    const answer = await call(gateway.port, "/upper", { host: "localhost", method: "POST", body: "hä\n" });
    assert.deepEqual(
      [answer.status, answer.text, answer.headers["content-type"]],
      [200, "HÄ\n", "text/plain; charset=utf-8"],
    );
    assert.equal((await call(gateway.port, "/upper", { host: "localhost" })).text, "");
  });

  it("labels output that is not text", async () => {
    await using gateway = await startGateway({
      functions: { gzip: { kind: "filter" } },
      run: () => returned(Buffer.from([0x1f, 0x8b, 0xff])),
    });
    const answer = await call(gateway.port, "/gzip", { host: "localhost" });
    assert.equal(answer.headers["content-type"], "application/octet-stream");
    assert.deepEqual([...answer.body], [0x1f, 0x8b, 0xff]);
  });
});

describe("the gateway, when a function fails", () => {
  const thrown = (payload: unknown): InvocationOutcome => ({
    kind: "threw",
    payload: Buffer.from(JSON.stringify(payload)),
    errorType: "TypeError",
    isStreamed: false,
  });
  const node = thrown({
    errorType: "TypeError",
    errorMessage: "x is not a function",
    trace: ["TypeError: x is not a function", "    at handler (file:///var/task/index.mjs:3:9)"],
  });
  const python = thrown({
    errorMessage: "no",
    stackTrace: ['  File "/var/task/app.py", line 3, in handler\n'],
  });

  for (const [why, outcome, status, code, message, errorType] of [
    [
      "in Node",
      node,
      502,
      "FunctionThrew",
      /^the function failed: TypeError: x is not a function \(at \/var\/task\/index\.mjs:3:9\); see: lambda logs greet --id /,
      "TypeError",
    ],
    [
      "in Python",
      python,
      502,
      "FunctionThrew",
      /^the function failed: TypeError: no \(at \/var\/task\/app\.py:3\); see/,
      "TypeError",
    ],
    [
      "without JSON",
      { ...node, payload: Buffer.from("{") },
      502,
      "FunctionThrew",
      /^the function failed: TypeError; see/,
      "TypeError",
    ],
    [
      "by its timeout",
      { kind: "timed-out", afterMs: 1_000, isStreamed: false },
      504,
      "FunctionTimedOut",
      /^task timed out after 1\.00 seconds; see/,
      "Sandbox.Timedout",
    ],
    [
      "by leaving",
      { kind: "crashed", errorType: "Runtime.ExitError", message: "exit status 1", isStreamed: false },
      502,
      "FunctionCrashed",
      /^the function crashed: exit status 1; see/,
      "Runtime.ExitError",
    ],
    [
      "with a bad response",
      returned('{"statusCode":200,"headers":{"a":"b\\r\\nc: d"}}'),
      502,
      "InvalidFunctionResponse",
      /^the function's response is not valid: the value of header "a"/,
      "InvalidFunctionResponse",
    ],
  ] as const) {
    it(`answers ${status} ${code} ${why}`, async () => {
      await using gateway = await startGateway({ run: () => outcome });
      const answer = await call(gateway.port, "/");
      const { error } = JSON.parse(answer.text);
      assert.deepEqual([answer.status, error.code, error.errorType], [status, code, errorType]);
      assert.match(error.message, message);
      assert.equal(error.requestId, gateway.invocations.calls[0]?.request.invocationId);
      assert.equal(answer.headers["x-amzn-requestid"], error.requestId);
    });

    it(`keeps to itself what went wrong ${why}, where callers are not to know`, async () => {
      await using gateway = await startGateway({ run: () => outcome, showFunctionErrors: false });
      const answer = await call(gateway.port, "/");
      const { error } = JSON.parse(answer.text);
      assert.deepEqual(Object.keys(error), ["code", "message", "requestId"]);
      assert.match(error.message, /^[a-z0-9' .]+; see: lambda logs greet --id [0-9a-f-]{36}$/);
      assert.doesNotMatch(answer.text, /TypeError|not a function|exit status|header "a"|var\/task/);
    });
  }
});

describe("the gateway, when a call cannot run", () => {
  for (const [why, error, status, code] of [
    [
      "busy",
      new PlatformError("TooManyInvocations", "busy", { retryAfterMs: 1_500 }),
      429,
      "TooManyInvocations",
    ],
    ["no sandbox", new PlatformError("SandboxStartFailed", "cannot start"), 502, "SandboxStartFailed"],
    ["stopping", new PlatformError("ShuttingDown", "stopping"), 503, "ShuttingDown"],
    ["a bug", new Error("hunter2"), 500, "Internal"],
  ] as const) {
    it(`answers ${status} (${why})`, async () => {
      await using gateway = await startGateway({ run: () => Promise.reject(error) });
      const answer = await call(gateway.port, "/");
      const body = JSON.parse(answer.text).error;
      assert.deepEqual([answer.status, body.code], [status, code]);
      assert.equal(answer.headers["x-amzn-requestid"], body.requestId);
      assert.equal(answer.headers["retry-after"], status === 429 ? "2" : undefined);
      assert.doesNotMatch(answer.text, /hunter2/);
    });
  }

  it("answers 404 for a function that is not there, by host and by path", async () => {
    await using gateway = await startGateway();
    for (const [path, host] of [
      ["/", "nobody.localhost"],
      ["/nobody", "localhost"],
      ["/greet:gone", "localhost"],
    ] as const) {
      const answer = await call(gateway.port, path, { host });
      assert.deepEqual([answer.status, JSON.parse(answer.text).error.code], [404, "FunctionNotFound"]);
    }
  });

  it("keeps the connection for more after a 404 with a body", async () => {
    await using gateway = await startGateway();
    const missing = "POST /nobody HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc";
    const found = "GET /greet HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert.match(await exchangeRaw(gateway.port, missing + found), /^HTTP\/1\.1 404[\s\S]*HTTP\/1\.1 200/);
  });

  it("says what it is at its root, answers probes, and keeps other names that begin with _", async () => {
    await using gateway = await startGateway();
    const at = (path: string, method = "GET") => call(gateway.port, path, { host: "localhost", method });
    assert.match((await at("/")).text, /lambda deploy/);
    assert.deepEqual([(await at("/_health")).status, (await at("/_health")).text], [200, '{"status":"ok"}']);
    assert.equal((await at("/_health", "POST")).status, 405);
    assert.deepEqual([(await at("/_other")).status, (await at("/", "POST")).status], [404, 404]);
    assert.equal(gateway.invocations.calls.length, 0);
  });
});

describe("the gateway, for calls that nobody waits for", () => {
  const headers = { Prefer: "respond-async", "Content-Type": "application/json" };

  it("refuses them with a sentence while there is no queue", async () => {
    await using gateway = await startGateway();
    const answer = await call(gateway.port, "/", { method: "POST", headers, body: "{}" });
    const { error } = JSON.parse(answer.text);
    assert.deepEqual([answer.status, error.code], [400, "UnsupportedMember"]);
    assert.match(error.message, /respond-async/);
    assert.equal(gateway.invocations.calls.length, 0);
  });

  it("answers 202 with the id once the queue has them", async () => {
    const queued: unknown[] = [];
    await using gateway = await startGateway({
      functions: { greet: {}, web: { kind: "server" } },
      events: {
        turn: () => undefined,
        enqueue: async (target, { invocationId, input }) => {
          queued.push([target.record.name, invocationId, input.kind === "request" ? input.body : input.kind]);
          return { eventId: EVENT_ID, invocationId };
        },
      },
    });
    const answer = await call(gateway.port, "/", { method: "POST", headers, body: "{}" });
    const { invocationId, eventId } = JSON.parse(answer.text);
    assert.deepEqual([eventId, answer.headers["x-lambdad-event-id"]], [EVENT_ID, EVENT_ID]);
    assert.deepEqual([answer.status, answer.headers["preference-applied"]], [202, "respond-async"]);
    await call(gateway.port, "/", { host: "web.localhost", method: "POST", headers, body: "hi" });
    assert.deepEqual(queued[0], ["greet", invocationId, "event"]);
    assert.deepEqual(Object(queued[1])[2], Buffer.from("hi"));
  });

  it("takes no more than an event may have", async () => {
    await using gateway = await startGateway({
      events: { turn: () => undefined, enqueue: async () => assert.fail("too large") },
    });
    const answer = await call(gateway.port, "/", {
      method: "POST",
      headers,
      body: Buffer.alloc(1024 * 1024 + 1),
    });
    assert.equal(answer.status, 413);
  });
});
