import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ResponseHead, ResponseSink } from "../../core/invocation.ts";
import { STREAMED_RESPONSE_BYTES_MAX } from "../../core/limits.ts";
import { eventually, startFunction } from "./managed-function.fake.ts";

/** Takes a response; while it is shut, it says that it is full. */
function startSink({ isShut = false } = {}) {
  const heads: ResponseHead[] = [];
  const chunks: Buffer[] = [];
  let bytes = 0;
  let opened = Promise.withResolvers<void>();
  let isOpen = !isShut;
  const sink: ResponseSink = {
    start: (head) => heads.push(head),
    write(chunk) {
      bytes += chunk.length;
      if (bytes < 100_000) chunks.push(Buffer.from(chunk));
      return isOpen;
    },
    drained: () => (isOpen ? Promise.resolve() : opened.promise),
  };
  return {
    sink,
    heads,
    text: () => Buffer.concat(chunks).toString(),
    bytes: () => bytes,
    open() {
      isOpen = true;
      opened.resolve();
      opened = Promise.withResolvers<void>();
    },
  };
}

function streaming(body: string, runtime = "nodejs24.x") {
  const code = `exports.handler = awslambda.streamifyResponse(${body})`;
  return startFunction({ runtime, files: { "index.js": code } });
}

const WRITE_ALL = `async (event, stream) => {
  const { once } = require("node:events");
  const chunk = Buffer.alloc(65536, "x");
  let sent = 0, rssMax = 0;
  while (sent < event.bytes) {
    sent += chunk.length;
    if (!stream.write(chunk)) await once(stream, "drain");
    if (sent % (chunk.length * 16) === 0) {
      rssMax = Math.max(rssMax, process.memoryUsage.rss());
      console.log(sent, rssMax);
    }
  }
  stream.end();
}`;

describe("a streaming Node handler", () => {
  for (const runtime of ["nodejs22.x", "nodejs24.x"]) {
    it(`sends its pieces as it writes them (${runtime})`, async () => {
      await using fn = await streaming(
        `async (event, stream) => {
          stream.setContentType("text/plain");
          stream.write("one ");
          await new Promise((resolve) => setTimeout(resolve, 300));
          stream.write(Buffer.from("two "));
          stream.write({ three: 3 });
          stream.end(" four");
        }`,
        runtime,
      );
      const { sink, heads, text } = startSink();

      const outcome = fn.invoke({}, { sink });
      await eventually(() => text() === "one ");

      const head = { kind: "raw", contentType: "text/plain" };
      assert.deepEqual(await outcome, { kind: "returned", payload: Buffer.alloc(0), head, isStreamed: true });
      assert.deepEqual({ heads, text: text() }, { heads: [head], text: 'one two {"three":3} four' });
      await fn.channel.idle();
    });
  }

  it("may pipe another stream into its response", async () => {
    await using fn = await streaming(
      `async (event, stream) => {
        const { pipeline } = require("node:stream/promises");
        await pipeline(require("node:stream").Readable.from(["a", "b", "c"]), stream);
      }`,
    );
    const { sink, text } = startSink();
    await fn.invoke({}, { sink });
    assert.equal(text(), "abc");
  });

  it("puts the head of an HTTP response and eight zeros before its body", async () => {
    await using fn = await streaming(
      `async (event, stream) => {
        const http = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { a: "b" } });
        if (event.body) http.write(event.body);
        http.end();
      }`,
    );
    for (const body of ["hello", ""]) {
      const { sink, heads, text } = startSink();
      await fn.invoke({ body }, { sink });
      await fn.channel.idle();
      assert.equal(text(), `{"statusCode":201,"headers":{"a":"b"}}${"\0".repeat(8)}${body}`);
      const contentType = "application/vnd.awslambda.http-integration-response";
      assert.deepEqual(heads, [{ kind: "raw", contentType }]);
    }
  });

  it("waits with its writes for a slow reader", async () => {
    await using fn = await streaming(WRITE_ALL);
    const slow = startSink({ isShut: true });
    const bytes = 32 * 1024 * 1024;

    const outcome = fn.invoke({ bytes }, { sink: slow.sink });
    await eventually(() => slow.bytes() > 0);
    // A second is an age for 32 MiB that nobody holds up.
    const isDone = await Promise.race([
      outcome,
      new Promise((resolve) => setTimeout(resolve, 1_000, "waits")),
    ]);

    assert.equal(isDone, "waits");
    assert.ok(slow.bytes() < 1024 * 1024, `${slow.bytes()} bytes came through`);
    assert.ok(fn.logs.length <= 2, `the handler wrote on: ${fn.logs.at(-1)}`);
    slow.open();
    assert.equal((await outcome).kind, "returned");
    assert.equal(slow.bytes(), bytes);
  });

  it("needs no memory for a gigabyte, and is cut at the limit", { timeout: 60_000 }, async () => {
    await using fn = await streaming(WRITE_ALL);
    const { sink, bytes } = startSink();
    const before = process.memoryUsage.rss();

    const outcome = await fn.invoke({ bytes: 1024 ** 3 }, { sink });
    await fn.channel.idle();

    assert.partialDeepStrictEqual(outcome, { kind: "threw", errorType: "Function.ResponseSizeTooLarge" });
    assert.ok(bytes() <= STREAMED_RESPONSE_BYTES_MAX);
    const grownMib = (process.memoryUsage.rss() - before) / 1024 ** 2;
    assert.ok(grownMib < 100, `the daemon grew by ${grownMib} MiB`);
    await eventually(() => fn.logs.length === 1024);
    const rssMib = Number(fn.logs.at(-1)?.split(" ").at(-1)) / 1024 ** 2;
    assert.ok(rssMib < 200, `the handler took ${rssMib} MiB`);
  });

  it("sends one write of ten MiB in pieces", async () => {
    await using fn = await streaming(
      `async (event, stream) => { stream.end(Buffer.alloc(10 * 1024 * 1024)) }`,
    );
    const { sink, bytes } = startSink();
    assert.equal((await fn.invoke({}, { sink })).kind, "returned");
    assert.equal(bytes(), 10 * 1024 * 1024);
  });

  for (const [what, body, wanted, isStreamed] of [
    [
      "throws before its first byte",
      "async () => { throw new Error('early') }",
      { errorType: "Error", errorMessage: "early" },
      false,
    ],
    [
      "throws in the middle",
      "async (e, s) => { s.write('half'); await new Promise((r) => setTimeout(r, 50)); throw new RangeError('mid') }",
      { errorType: "RangeError", errorMessage: "mid" },
      true,
    ],
    ["is not async", "(e, s) => { s.write('x') }", { errorType: "Runtime.MalformedStreamingHandler" }, true],
    [
      "never ends its stream",
      "async (e, s) => { s.write('half') }",
      { errorMessage: "Response stream is not finished." },
      true,
    ],
    [
      "sets the content type too late",
      "async (e, s) => { s.write('x'); await new Promise((r) => setTimeout(r, 50)); s.setContentType('a/b') }",
      { errorType: "Runtime.InvalidStreamingOperation" },
      true,
    ],
    [
      "destroys its stream",
      "async (e, s) => { s.destroy() }",
      { errorMessage: "Response stream is not finished." },
      false,
    ],
  ] as const) {
    it(`is answered with an error and lives on when it ${what}`, async () => {
      await using failing = await streaming(
        `(e, s, c) => e.ok ? (async () => { s.end("alive") })() : (${body})(e, s, c)`,
      );
      const { sink } = startSink();

      const outcome = await failing.invoke({}, { sink });

      assert.ok(outcome.kind === "threw", outcome.kind);
      assert.equal(outcome.isStreamed, isStreamed);
      assert.partialDeepStrictEqual(JSON.parse(Buffer.from(outcome.payload).toString()), wanted);
      await failing.channel.idle();
      const next = startSink();
      assert.equal((await failing.invoke({ ok: 1 }, { sink: next.sink })).kind, "returned");
      assert.equal(next.text(), "alive");
    });
  }

  for (const [what, code] of [
    ["throws", "s.end('whole'); await new Promise((r) => setTimeout(r, 20)); throw new Error('behind')"],
    ["waits for what never comes", "s.end('whole'); await new Promise(() => {})"],
  ] as const) {
    it(`keeps its complete response and lives on when it ${what} behind it`, async () => {
      await using fn = await streaming(`async (e, s) => { ${code} }`);
      for (const { sink, text } of [startSink(), startSink()]) {
        assert.equal((await fn.invoke({}, { sink })).kind, "returned");
        assert.equal(text(), "whole");
        await fn.channel.idle();
      }
    });
  }

  it("gives its bytes as the payload where nobody streams", async () => {
    await using fn = await streaming(
      "async (e, s) => { s.setContentType('text/html'); s.write('<p>'); s.end() }",
    );
    assert.deepEqual(await fn.invoke({}), {
      kind: "returned",
      payload: Buffer.from("<p>"),
      head: { kind: "raw", contentType: "text/html" },
      isStreamed: false,
    });
  });

  it("is ready for the next call only when its event loop is empty, up to Node 22", async () => {
    const body =
      "async (e, s, c) => { c.callbackWaitsForEmptyEventLoop = e.waits; setTimeout(() => {}, 2_000); s.end('x') }";
    await using fn = await streaming(body, "nodejs22.x");
    const idleAfterMs = async (waits: boolean) => {
      await fn.invoke({ waits });
      const answeredAt = performance.now();
      await fn.channel.idle();
      return performance.now() - answeredAt;
    };
    assert.ok((await idleAfterMs(true)) > 1_500);
    assert.ok((await idleAfterMs(false)) < 1_500);
  });
});
