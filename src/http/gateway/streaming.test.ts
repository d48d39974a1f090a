import assert from "node:assert/strict";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { describe, it } from "node:test";
import type { InvocationOutcome, ResponseHead, ResponseSink } from "../../core/invocation.ts";
import { jsonLog } from "../../core/log.ts";
import { streamed } from "../../invoker/invocations.fake.ts";
import type { InvocationRequest } from "../../invoker/invocations.ts";
import { call, exchangeRaw, startGateway, statusOf, type TestGateway } from "./gateway.fake.ts";

const INTEGRATION: ResponseHead = {
  kind: "raw",
  contentType: "application/vnd.awslambda.http-integration-response",
};
const MIB = 1024 * 1024;
const CUT_OFF: InvocationOutcome = {
  kind: "crashed",
  errorType: "Runtime.ExitError",
  message: "gone",
  isStreamed: true,
};

function sinkOf(request: InvocationRequest): ResponseSink {
  assert.ok(request.sink, "handlers and servers are given a sink");
  return request.sink;
}

/** A function that streams these pieces and then ends with `outcome`. */
function streaming(head: ResponseHead, pieces: readonly (string | Uint8Array)[], outcome = streamed) {
  return async (request: InvocationRequest): Promise<InvocationOutcome> => {
    const sink = sinkOf(request);
    sink.start(head);
    for (const piece of pieces) {
      sink.write(Buffer.from(piece));
      await new Promise((resolve) => setImmediate(resolve));
    }
    return outcome;
  };
}

function http(status: number, ...rawHeaders: string[]): ResponseHead {
  return { kind: "http", status, rawHeaders };
}

/** The response of a request that is still under way. */
async function begin(gateway: TestGateway): Promise<IncomingMessage> {
  const request = httpRequest({
    port: gateway.port,
    host: "127.0.0.1",
    headers: { Host: "greet.localhost" },
    agent: false,
  });
  request.on("error", () => undefined).end();
  const [response] = await once(request, "response");
  return response;
}

describe("a streaming handler", () => {
  it("sends its bytes as they come, with the content type it set", async () => {
    await using gateway = await startGateway({
      run: streaming({ kind: "raw", contentType: "text/event-stream" }, ["a", "b"]),
    });
    const answer = await call(gateway.port, "/");
    assert.deepEqual(
      [answer.status, answer.text, answer.headers["content-type"]],
      [200, "ab", "text/event-stream"],
    );
    assert.equal(answer.headers["transfer-encoding"], "chunked");
    assert.equal(answer.headers["x-amzn-requestid"], gateway.invocations.calls[0]?.request.invocationId);
  });

  const prelude =
    '{"statusCode":418,"headers":{"Content-Type":"text/tea","Content-Length":"1"},"cookies":["a=1","b=2"]}';
  const whole = `${prelude}${"\0".repeat(8)}body\0with NUL`;
  for (const [why, pieces] of [
    ["in one piece", [whole]],
    ["byte by byte", [...whole]],
    ["with the NULs apart", [`${prelude}\0\0\0`, "\0\0\0\0", "\0body\0", "with NUL"]],
    ["with the body apart", [`${prelude}${"\0".repeat(8)}`, "body\0with NUL"]],
  ] as const) {
    it(`describes its response by a prelude ${why}`, async () => {
      await using gateway = await startGateway({ run: streaming(INTEGRATION, pieces) });
      const answer = await call(gateway.port, "/");
      assert.deepEqual([answer.status, answer.text], [418, "body\0with NUL"]);
      assert.equal(answer.headers["content-type"], "text/tea");
      assert.deepEqual(answer.headers["set-cookie"], ["a=1", "b=2"]);
      assert.equal(answer.headers["content-length"], undefined);
    });
  }

  for (const [why, pieces] of [
    ["has no end", [prelude]],
    ["is not JSON", [`{${"\0".repeat(8)}body`]],
    ["is empty", ["\0".repeat(8)]],
    ["has a bad header", [`{"headers":{"a":"b\\nc"}}${"\0".repeat(8)}`]],
    ["has a bad status", [`{"statusCode":101}${"\0".repeat(8)}`]],
    ["is too large", [`{"a":"${"x".repeat(70_000)}"}${"\0".repeat(8)}body`]],
    ["is too large and has no end", ["x".repeat(70_000), "y".repeat(1_000_000)]],
  ] as const) {
    it(`answers 502 if its prelude ${why}`, async () => {
      await using gateway = await startGateway({ run: streaming(INTEGRATION, pieces) });
      const answer = await call(gateway.port, "/");
      assert.deepEqual([answer.status, JSON.parse(answer.text).error.code], [502, "InvalidFunctionResponse"]);
    });
  }

  it("answers 502 if its content type is none that a header can carry", async () => {
    await using gateway = await startGateway({
      run: streaming({ kind: "raw", contentType: "a\r\nb: c" }, ["x"]),
    });
    assert.equal((await call(gateway.port, "/")).status, 502);
  });

  it("answers 502 if it fails before anything was sent", async () => {
    await using gateway = await startGateway({ run: streaming(INTEGRATION, [], CUT_OFF) });
    assert.equal((await call(gateway.port, "/")).status, 502);
  });

  it("has its connection cut, and a line in the log, if it fails in the middle", async () => {
    const lines: string[] = [];
    await using gateway = await startGateway({
      log: jsonLog((line) => lines.push(line), "warn"),
      run: streaming({ kind: "raw", contentType: "text/plain" }, ["part"], CUT_OFF),
    });
    await assert.rejects(call(gateway.port, "/"));
    assert.match(lines.join(""), /cut off.*FunctionCrashed/);
  });

  it("has its first byte delivered at once, and its head before that", async () => {
    const steps = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await using gateway = await startGateway({
      run: async (request) => {
        const sink = sinkOf(request);
        sink.start({ kind: "raw", contentType: "text/plain" });
        await steps[0]?.promise;
        sink.write(Buffer.from("first"));
        await steps[1]?.promise;
        sink.write(Buffer.from("last"));
        return streamed;
      },
    });
    const chunks = (await begin(gateway))[Symbol.asyncIterator]();
    steps[0]?.resolve();
    assert.equal(String((await chunks.next()).value), "first");
    steps[1]?.resolve();
    assert.equal(String((await chunks.next()).value), "last");
    assert.equal((await chunks.next()).done, true);
  });

  it("sends 1 GiB to a reader without holding it in memory, and waits for a slow one", {
    timeout: 60_000,
  }, async () => {
    let waits = 0;
    let rssMax = 0;
    await using gateway = await startGateway({
      run: async (request) => {
        const sink = sinkOf(request);
        sink.start({ kind: "raw", contentType: "application/octet-stream" });
        for (let i = 0; i < 1024; i++) {
          rssMax = Math.max(rssMax, process.memoryUsage.rss());
          // The sink's from then on.
          if (sink.write(Buffer.alloc(MIB, 1))) continue;
          waits++;
          await sink.drained();
        }
        return streamed;
      },
    });
    const rssBefore = process.memoryUsage.rss();
    let bytes = 0;
    for await (const chunk of await begin(gateway)) bytes += chunk.byteLength;
    assert.equal(bytes, 1024 * MIB);
    assert.ok(waits > 100, `waited ${waits} times`);
    assert.ok(rssMax - rssBefore < 128 * MIB, `grew by ${Math.round((rssMax - rssBefore) / MIB)} MiB`);
  });

  it("runs to its end when the client goes away in the middle, and is not held up", async () => {
    const ended = Promise.withResolvers<number>();
    await using gateway = await startGateway({
      run: async (request, { signal }) => {
        const sink = sinkOf(request);
        sink.start({ kind: "raw", contentType: "text/plain" });
        let waitsAfterwards = 0;
        for (let i = 0; i < 1_000; i++) {
          if (sink.write(Buffer.alloc(65_536))) continue;
          await sink.drained();
          if (signal.aborted) waitsAfterwards++;
        }
        ended.resolve(waitsAfterwards);
        return streamed;
      },
    });
    const response = await begin(gateway);
    response.destroy();
    assert.ok((await ended.promise) <= 1);
  });
});

describe("a streaming server", () => {
  const functions = { greet: { kind: "server" } } as const;

  it("keeps its length, status and headers", async () => {
    const head = http(206, "Content-Length", "4", "ETag", '"x"', "Set-Cookie", "a=1", "Set-Cookie", "b=2");
    await using gateway = await startGateway({ functions, run: streaming(head, ["ab", "cd"]) });
    const answer = await call(gateway.port, "/");
    assert.deepEqual([answer.status, answer.text, answer.headers["content-length"]], [206, "abcd", "4"]);
    assert.deepEqual(answer.headers["set-cookie"], ["a=1", "b=2"]);
    assert.equal(answer.headers["transfer-encoding"], undefined);
  });

  for (const [why, method, status] of [
    ["HEAD", "HEAD", 200],
    ["304", "GET", 304],
    ["204", "GET", 204],
  ] as const) {
    it(`may have a length without a body (${why})`, async () => {
      await using gateway = await startGateway({
        functions,
        run: streaming(http(status, "Content-Length", "5"), []),
      });
      const answer = await call(gateway.port, "/", { method });
      assert.deepEqual([answer.status, answer.text], [status, ""]);
    });
  }

  it("cannot send more than its length: the rest would be read as another response", async () => {
    const forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    await using gateway = await startGateway({
      functions,
      run: streaming(http(200, "Content-Length", "2"), ["ok", forged]),
    });
    const answer = await exchangeRaw(gateway.port, "GET / HTTP/1.1\r\nHost: greet.localhost\r\n\r\n");
    assert.equal(statusOf(answer), 200);
    assert.doesNotMatch(answer, /forged/);
  });

  it("has its connection cut if it sends less than its length", async () => {
    await using gateway = await startGateway({
      functions,
      run: streaming(http(200, "Content-Length", "9"), ["ok"]),
    });
    await assert.rejects(call(gateway.port, "/"));
  });

  for (const [why, head] of [
    ["splits its head", http(200, "a", "b\r\nc: d")],
    ["sends two lengths in one", http(200, "Content-Length", "1, 1")],
    ["sends an informational status", http(101)],
    ["sends no status", http(0)],
  ] as const) {
    it(`is answered for by 502 if it ${why}`, async () => {
      await using gateway = await startGateway({ functions, run: streaming(head, ["x"]) });
      const answer = await call(gateway.port, "/");
      assert.deepEqual([answer.status, JSON.parse(answer.text).error.code], [502, "InvalidFunctionResponse"]);
    });
  }

  it("is answered for by 502 if it begins no response", async () => {
    await using gateway = await startGateway({ functions, run: () => streamed });
    assert.equal((await call(gateway.port, "/")).status, 502);
  });

  it("streams to HTTP/1.0 by closing the connection at the end", async () => {
    await using gateway = await startGateway({ functions, run: streaming(http(200), ["a", "b"]) });
    const answer = await exchangeRaw(gateway.port, "GET / HTTP/1.0\r\nHost: greet.localhost\r\n\r\n");
    assert.match(answer, /\r\n\r\nab$/);
    assert.doesNotMatch(answer, /chunked/i);
  });

  it("serves others while a client does not read", async () => {
    const waiting = Promise.withResolvers<void>();
    await using gateway = await startGateway({
      functions,
      drainMs: 0,
      run: async (request) => {
        const sink = sinkOf(request);
        assert.equal(request.input.kind, "request");
        sink.start(http(200));
        if (request.input.path === "/small") return streamed;
        while (sink.write(Buffer.alloc(65_536)));
        waiting.resolve();
        await sink.drained();
        return streamed;
      },
    });
    const unread = connect(gateway.port, "127.0.0.1");
    unread.on("error", () => undefined).pause();
    unread.write("GET / HTTP/1.1\r\nHost: greet.localhost\r\n\r\n");
    await waiting.promise;
    assert.equal((await call(gateway.port, "/small")).status, 200);
    unread.destroy();
  });
});
