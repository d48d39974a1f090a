import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { forwardedHeaders, readRequestHead } from "./request-headers.ts";
import {
  addServerHeaders,
  checkedStatus,
  InvalidFunctionResponse,
  ResponseHeaders,
} from "./response-headers.ts";

const PROVENANCE = { receivedAt: 0, sourceIp: "192.0.2.1", port: 8080, traceId: "Root=1-2-3", prefix: "" };
const OURS = [
  "x-forwarded-for",
  "192.0.2.1",
  "x-forwarded-proto",
  "http",
  "x-forwarded-port",
  "8080",
  "x-amzn-trace-id",
  "Root=1-2-3",
];

function forwarded(...raw: string[]): string[] {
  const headers = forwardedHeaders(readRequestHead(raw), PROVENANCE);
  assert.deepEqual(headers.slice(-OURS.length), OURS);
  return headers.slice(0, -OURS.length);
}

describe("headers of a request on their way to a function", () => {
  it("keeps order and case of the client's own", () => {
    assert.deepEqual(forwarded("Host", "a", "X-Two", "1", "Accept", "*/*", "X-Two", "2"), [
      "Host",
      "a",
      "X-Two",
      "1",
      "Accept",
      "*/*",
      "X-Two",
      "2",
    ]);
  });

  for (const name of [
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authorization",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Expect",
    "HTTP2-Settings",
    "Forwarded",
    "X-Real-IP",
    "X_Real_IP",
    "X-Forwarded-For",
    "x-forwarded-host",
    "X-FORWARDED-ANYTHING",
    "X_Forwarded_For",
    "X-Forwarded_For",
    "X-Amzn-Trace-Id",
    "X_Amzn_Trace_Id",
    "X-Amzn-RequestId",
    "X-Amz-Invocation-Type",
    "X-Amz-Client-Context",
    "X-Amz-Function-Error",
    "X-Amz-Security-Token",
    "X-Lambdad-Anything",
    "x_lambdad_anything",
    "Lambda-Runtime-Aws-Request-Id",
  ]) {
    it(`drops ${name}`, () => assert.deepEqual(forwarded(name, "spoofed"), []));
  }

  for (const name of [
    "Authorization",
    "Cookie",
    "X-Amz-Sns-Message-Type",
    "X-Amz-Date",
    "X-Hub-Signature-256",
    "X_Custom",
  ]) {
    it(`keeps ${name}`, () => assert.deepEqual(forwarded(name, "v"), [name, "v"]));
  }

  it("drops what Connection names, but not what a request cannot be read without", () => {
    const kept = forwarded(
      "Host",
      "a",
      "Connection",
      "close, X-Secret ,host,Content-Length",
      "X-Secret",
      "1",
      "Content-Length",
      "3",
      "X-Other",
      "2",
    );
    assert.deepEqual(kept, ["Host", "a", "Content-Length", "3", "X-Other", "2"]);
  });

  it("takes a trace id over if it looks like one", () => {
    assert.equal(
      readRequestHead(["X-Amzn-Trace-Id", "Root=1-5-a;Sampled=1"]).traceId,
      "Root=1-5-a;Sampled=1",
    );
    assert.equal(readRequestHead(["X-Amzn-Trace-Id", 'a"b']).traceId, undefined);
    assert.equal(readRequestHead(["X-Amzn-Trace-Id", "a".repeat(300)]).traceId, undefined);
  });

  it("lets no spoofed or hop-by-hop header through, whatever its spelling and company", () => {
    const protectedName = fc.constantFrom(
      "x-forwarded-for",
      "x-forwarded-proto",
      "forwarded",
      "x-real-ip",
      "x-lambdad-secret",
      "x-amzn-requestid",
      "x-amzn-trace-id",
      "connection",
      "te",
      "upgrade",
      "transfer-encoding",
    );
    const spelling = fc.tuple(protectedName, fc.infiniteStream(fc.boolean())).map(([name, flips]) => {
      return [...name]
        .map((letter) => {
          if (letter === "-") return flips.next().value ? "_" : "-";
          return flips.next().value ? letter.toUpperCase() : letter;
        })
        .join("");
    });
    const innocent = fc.constantFrom("Accept", "X-A", "Cookie", "Host", "x-b");
    fc.assert(
      fc.property(fc.array(fc.oneof(spelling, innocent), { maxLength: 12 }), (names) => {
        const kept = forwarded(...names.flatMap((name) => [name, "evil"]));
        for (let i = 0; i < kept.length; i += 2) {
          assert.match(kept[i] ?? "", /^(Accept|X-A|Cookie|Host|x-b)$/);
        }
      }),
      { numRuns: 3_000 },
    );
  });
});

describe("headers of a response on their way to a client", () => {
  const REPLY = { added: ["x-amzn-requestid", "id-1"], replacesCors: false };

  function answered(...raw: string[]): string[] {
    const headers = new ResponseHeaders(REPLY);
    addServerHeaders(headers, raw);
    return headers.finish();
  }

  it("passes the function's own, then says ours", () => {
    assert.deepEqual(answered("Content-Type", "text/css", "Set-Cookie", "a=1", "Set-Cookie", "b=2"), [
      "Content-Type",
      "text/css",
      "Set-Cookie",
      "a=1",
      "Set-Cookie",
      "b=2",
      "x-amzn-requestid",
      "id-1",
    ]);
  });

  it("drops hop-by-hop headers, those that Connection names, and a request id that is not ours", () => {
    const raw = ["Connection", "keep-alive, X-Hop", "X-Hop", "1", "Keep-Alive", "timeout=5", "TE", "x"];
    raw.push("Transfer-Encoding", "chunked", "Trailer", "X", "Upgrade", "h2c", "X-Amzn-RequestId", "forged");
    assert.deepEqual(answered(...raw), REPLY.added);
  });

  it("drops the function's CORS headers where a function URL has its own", () => {
    const headers = new ResponseHeaders({ added: [], replacesCors: true });
    headers.add("Access-Control-Allow-Origin", "*");
    assert.deepEqual(headers.finish(), []);
  });

  for (const [why, name, value] of [
    ["CR LF in a value", "x", "a\r\nset-cookie: b=c"],
    ["LF in a value", "x", "a\nb"],
    ["CR in a value", "x", "a\rb"],
    ["NUL in a value", "x", "a\0b"],
    ["DEL in a value", "x", "a\x7fb"],
    ["a value beyond Latin-1", "x", "\u010a\u010d"],
    ["an emoji in a value", "x", "😀"],
    ["an empty name", "", "a"],
    ["a space in a name", "a b", "a"],
    ["a colon in a name", "a:b", "a"],
    ["CR LF in a name", "a\r\nb", "a"],
    ["a name beyond ASCII", "ä", "a"],
    ["a length that is no number", "content-length", "5x"],
    ["a list of lengths", "content-length", "5, 5"],
  ] as const) {
    it(`refuses ${why}`, () => {
      assert.throws(() => new ResponseHeaders(REPLY).add(name, value), InvalidFunctionResponse);
    });
  }

  it("lets no byte through that could end a header line", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (name, value) => {
        const headers = new ResponseHeaders({ added: [], replacesCors: false });
        try {
          headers.add(name, value);
        } catch (error) {
          assert.ok(error instanceof InvalidFunctionResponse);
          return;
        }
        for (const text of headers.finish()) {
          for (const character of text) {
            const code = character.codePointAt(0) ?? 0;
            assert.ok(code === 9 || (code >= 32 && code !== 127 && code <= 255), JSON.stringify(text));
          }
        }
      }),
      { numRuns: 10_000 },
    );
  });

  for (const [status, expected] of [
    [200, 200],
    ["404", 404],
    [599, 599],
  ] as const) {
    it(`takes status ${JSON.stringify(status)}`, () => assert.equal(checkedStatus(status), expected));
  }

  for (const status of [
    100,
    101,
    199,
    600,
    0,
    -1,
    200.5,
    Number.NaN,
    "2000",
    "abc",
    "",
    true,
    null,
    [],
    {},
  ]) {
    it(`refuses status ${JSON.stringify(status)}`, () => {
      assert.throws(() => checkedStatus(status), InvalidFunctionResponse);
    });
  }
});
