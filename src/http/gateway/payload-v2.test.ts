import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { newInvocationId } from "../../core/ids.ts";
import { eventOf, isTextual } from "./event-v2.ts";
import type { HttpEvent } from "./http-event.ts";
import { answerOf, preludeOf } from "./payload-v2.ts";
import { readRequestHead } from "./request-headers.ts";
import { InvalidFunctionResponse } from "./response-headers.ts";

const ID = newInvocationId();
const RECEIVED_AT = Date.UTC(2020, 2, 12, 19, 3, 58, 390);

/** The event of a request with those headers. */
function parsed(rawHeaders: readonly string[], facts: Partial<HttpEvent> = {}): Record<string, unknown> {
  const event = eventOf({
    invocationId: ID,
    method: "GET",
    protocol: "HTTP/1.1",
    path: "/",
    query: "",
    host: "greet.localhost:8080",
    head: readRequestHead(rawHeaders),
    addedHeaders: [],
    sourceIp: "192.0.2.1",
    body: undefined,
    apiId: "greet",
    caller: undefined,
    routed: undefined,
    receivedAt: RECEIVED_AT,
    ...facts,
  });
  return JSON.parse(event.toString());
}

describe("eventOf", () => {
  it("says the same of a request whatever its connection asked for before", () => {
    const rawHeaders = [
      "Host",
      "greet.localhost:8080",
      "Cookie",
      "c1=1",
      "X-Quoted",
      '"x-amzn-trace-id":"a"',
    ];
    const shared = readRequestHead(rawHeaders, true);
    const caller = { accessKey: "AK", accountId: "1", userArn: "arn", userId: "U" };
    const trace = fc.stringMatching(/^Root=[0-9a-f-]{1,8}$/);
    const provenance = fc.record({ trace, prefix: fc.constantFrom(undefined, "/a", "/b") });
    const added = provenance.map(({ trace, prefix }) => {
      const prefixed = prefix === undefined ? [] : ["x-forwarded-prefix", prefix];
      return ["x-forwarded-for", "192.0.2.1", "x-amzn-trace-id", trace, ...prefixed];
    });
    const facts: fc.Arbitrary<Partial<HttpEvent>> = fc.record({
      method: fc.constantFrom("GET", "PUT"),
      protocol: fc.constantFrom("HTTP/1.0", "HTTP/1.1"),
      path: fc.constantFrom("/", '/"', "/a/%20"),
      query: fc.constantFrom("", "a=1", "a=1&a=2"),
      host: fc.constantFrom("greet.localhost:8080", "other.localhost"),
      apiId: fc.constantFrom("greet", "other"),
      sourceIp: fc.constantFrom("192.0.2.1", "192.0.2.2"),
      addedHeaders: fc.oneof(added, fc.constant([]), fc.constant(["x-forwarded-for", "192.0.2.9"])),
      body: fc.constantFrom(undefined, Buffer.from("text"), Buffer.from([0xff])),
      caller: fc.constantFrom(undefined, undefined, caller),
    });
    fc.assert(
      fc.property(fc.array(facts, { minLength: 2, maxLength: 8 }), (requests) => {
        for (const request of requests) {
          assert.deepEqual(parsed([], { ...request, head: shared }), parsed(rawHeaders, request));
        }
      }),
    );
  });

  it("describes a request with everything in it", () => {
    const headers = ["Host", "greet.localhost:8080", "User-Agent", "agent", "Header1", "v1", "header1", "v2"];
    headers.push("Cookie", "c1=1; c2=2", "Content-Type", "application/json", "Cookie", "c3=3");
    const event = parsed(headers, {
      method: "POST",
      path: "/my/pa2%Fth",
      query: "a=1&b=%2Fbar&a=2&e&f=x+y",
      addedHeaders: ["x-forwarded-for", "192.0.2.1"],
      body: Buffer.from('{"ä":"\\n"}'),
    });
    assert.deepEqual(event, {
      version: "2.0",
      routeKey: "$default",
      rawPath: "/my/pa2%Fth",
      rawQueryString: "a=1&b=%2Fbar&a=2&e&f=x+y",
      cookies: ["c1=1", "c2=2", "c3=3"],
      headers: {
        host: "greet.localhost:8080",
        "user-agent": "agent",
        header1: "v1,v2",
        "content-type": "application/json",
        "x-forwarded-for": "192.0.2.1",
      },
      queryStringParameters: { a: "1,2", b: "/bar", e: "", f: "x y" },
      requestContext: {
        accountId: "anonymous",
        apiId: "greet",
        domainName: "greet.localhost",
        domainPrefix: "greet",
        http: {
          method: "POST",
          path: "/my/pa2%Fth",
          protocol: "HTTP/1.1",
          sourceIp: "192.0.2.1",
          userAgent: "agent",
        },
        requestId: ID,
        routeKey: "$default",
        stage: "$default",
        time: "12/Mar/2020:19:03:58 +0000",
        timeEpoch: 1_584_039_838_390,
      },
      body: '{"ä":"\\n"}',
      isBase64Encoded: false,
    });
  });

  it("leaves out what is empty", () => {
    const event = parsed(["Host", "greet.localhost"]);
    assert.deepEqual(Object.keys(event), [
      "version",
      "routeKey",
      "rawPath",
      "rawQueryString",
      "headers",
      "requestContext",
      "isBase64Encoded",
    ]);
  });

  it("names who signed the request", () => {
    const caller = { accessKey: "AK", accountId: "1234", userArn: "arn:x", userId: "U" };
    const { requestContext } = parsed([], { caller });
    assert.deepEqual(requestContext, {
      ...Object(parsed([]).requestContext),
      accountId: "1234",
      authorizer: {
        iam: {
          accessKey: "AK",
          accountId: "1234",
          callerId: "U",
          cognitoIdentity: null,
          principalOrgId: null,
          userArn: "arn:x",
          userId: "U",
        },
      },
    });
  });

  for (const [why, contentType, body, expected, isBase64Encoded] of [
    ["text", "text/plain", "hä", "hä", false],
    ["JSON with a charset", "application/json; charset=utf-8", "{}", "{}", false],
    ["a JSON dialect", "application/problem+json", "{}", "{}", false],
    ["XML", "application/xml", "<a/>", "<a/>", false],
    ["an image of text", "image/svg+xml", "<svg/>", "PHN2Zy8+", true],
    ["a form", "application/x-www-form-urlencoded", "a=b", "YT1i", true],
    ["an upload", "multipart/form-data; boundary=x", "--x--", "LS14LS0=", true],
    ["bytes", "application/octet-stream", "abc", "YWJj", true],
    ["no type", undefined, "abc", "YWJj", true],
    ["text that is not UTF-8", "text/plain; charset=latin1", Buffer.from([0xe4]), "5A==", true],
    ["compressed JSON", "application/json", Buffer.from([0x1f, 0x8b, 8]), "H4sI", true],
  ] as const) {
    it(`has ${why} as ${isBase64Encoded ? "base64" : "text"}`, () => {
      const event = parsed(contentType === undefined ? [] : ["Content-Type", contentType], {
        body: Buffer.from(body),
      });
      assert.deepEqual([event.body, event.isBase64Encoded], [expected, isBase64Encoded]);
    });
  }

  it("takes names from objects' prototypes like any other", () => {
    const event = parsed(["__proto__", "a", "constructor", "b", "toString", "c"], {
      query: "__proto__=1&constructor=2&__proto__=3",
    });
    assert.deepEqual(Object.entries(Object(event.headers)), [
      ["__proto__", "a"],
      ["constructor", "b"],
      ["tostring", "c"],
    ]);
    assert.deepEqual(Object.entries(Object(event.queryStringParameters)), [
      ["__proto__", "1,3"],
      ["constructor", "2"],
    ]);
  });

  it("is JSON that says what came in, whatever that is", () => {
    const value = fc.string({
      unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)),
    });
    const name = fc.stringMatching(/^[a-z!#$%&'*+.^`|~0-9-]{1,12}$/);
    fc.assert(
      fc.property(
        fc.dictionary(name, value, { maxKeys: 8 }),
        fc.string(),
        fc.string(),
        fc.uint8Array(),
        (headers, path, query, bytes) => {
          const raw = Object.entries(headers).flatMap(([key, one]) => [`x-${key}`, one]);
          const event = parsed(raw, { path: `/${path}`, query, body: Buffer.from(bytes) });
          assert.equal(event.rawPath, `/${path}`);
          assert.equal(event.rawQueryString, query);
          assert.deepEqual(Buffer.from(String(event.body), "base64"), Buffer.from(bytes));
          for (const [key, one] of Object.entries(headers)) {
            assert.equal(Object(event.headers)[`x-${key}`], one);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe("isTextual", () => {
  for (const [contentType, expected] of [
    ["text/html", true],
    ["TEXT/HTML", true],
    ["application/javascript", true],
    ["application/ld+json;a=b", true],
    ["application/json5", false],
    ["application/jsonp", false],
    ["image/png", false],
    ["application/", false],
    ["", false],
    [`application/${"+".repeat(50_000)}`, false],
  ] as const) {
    it(`${contentType.slice(0, 40)} → ${expected}`, () => assert.equal(isTextual(contentType), expected));
  }
});

describe("answerOf", () => {
  const REPLY = { added: ["x-amzn-requestid", ID], replacesCors: false };

  function answered(result: unknown): readonly [status: number, headers: string, body: string] {
    const text = typeof result === "string" ? result : JSON.stringify(result);
    const { status, headers, body } = answerOf(Buffer.from(text), { ...REPLY, added: [] });
    return [status, headers.join("|"), typeof body === "string" ? body : Buffer.from(body).toString()];
  }

  const JSON_TYPE = "content-type|application/json";
  for (const [why, result, expected] of [
    ["an object", { a: 1 }, [200, JSON_TYPE, '{"a":1}']],
    ["text, raw", '"hello"', [200, JSON_TYPE, "hello"]],
    ["text with an escape", '"h\\u00e4\\n"', [200, JSON_TYPE, "hä\n"]],
    ["a list", ["hello", 3, true], [200, JSON_TYPE, '["hello",3,true]']],
    ["a number", 3.1, [200, JSON_TYPE, "3.1"]],
    ["a boolean", true, [200, JSON_TYPE, "true"]],
    ["nothing", null, [200, JSON_TYPE, "null"]],
    ["bytes as they were", '{ "a" : 1 }', [200, JSON_TYPE, '{ "a" : 1 }']],
    ["a status alone", { statusCode: 404 }, [404, JSON_TYPE, ""]],
    ["a status as text", { statusCode: "201", body: "x" }, [201, JSON_TYPE, "x"]],
    ["a body", { statusCode: 200, body: "hä" }, [200, JSON_TYPE, "hä"]],
    ["a body that is an object", { statusCode: 200, body: { a: 1 } }, [200, JSON_TYPE, '{"a":1}']],
    ["a body that is null", { statusCode: 200, body: null }, [200, JSON_TYPE, ""]],
    ["a base64 body", { statusCode: 200, body: "aMOk", isBase64Encoded: true }, [200, JSON_TYPE, "hä"]],
    [
      "headers",
      { statusCode: 200, headers: { "Content-Type": "text/html", "X-N": 1, "X-B": true, "X-Null": null } },
      [200, "Content-Type|text/html|X-N|1|X-B|true", ""],
    ],
    [
      "a header with a list",
      { statusCode: 200, headers: { "X-A": ["1", "2"] } },
      [200, `X-A|1,2|${JSON_TYPE}`, ""],
    ],
    [
      "multi-value headers, which win",
      { statusCode: 200, headers: { "x-a": "0", "X-B": "3" }, multiValueHeaders: { "X-A": ["1", "2"] } },
      [200, `X-A|1,2|X-B|3|${JSON_TYPE}`, ""],
    ],
    [
      "cookies",
      {
        statusCode: 200,
        cookies: ["a=1", "b=2; Expires=Wed, 21 Oct 2026"],
        multiValueHeaders: { "Set-Cookie": ["c=3"] },
      },
      [200, `Set-Cookie|c=3|set-cookie|a=1|set-cookie|b=2; Expires=Wed, 21 Oct 2026|${JSON_TYPE}`, ""],
    ],
    ["204 without a body", { statusCode: 204, body: "ignored" }, [204, "", ""]],
    [
      "hop-by-hop headers",
      { statusCode: 200, headers: { Connection: "x", "Content-Length": "9" } },
      [200, JSON_TYPE, ""],
    ],
    [
      "a header called __proto__",
      '{"statusCode":200,"headers":{"__proto__":"a"}}',
      [200, `__proto__|a|${JSON_TYPE}`, ""],
    ],
  ] as const) {
    it(`takes ${why}`, () => assert.deepEqual(answered(result), expected));
  }

  it("adds what every response has", () => {
    assert.deepEqual(answerOf(Buffer.from("1"), REPLY).headers.slice(-2), REPLY.added);
  });

  for (const [why, result] of [
    ["what is not JSON", "{"],
    ["an empty result", ""],
    ["a status that is none", { statusCode: "ok" }],
    ["a null status", { statusCode: null }],
    ["an informational status", { statusCode: 101 }],
    ["a status beyond 599", { statusCode: 1000 }],
    ["headers that are a list", { statusCode: 200, headers: ["a"] }],
    ["headers that are text", { statusCode: 200, headers: "a: b" }],
    ["a header that is an object", { statusCode: 200, headers: { a: {} } }],
    ["a header with a list of objects", { statusCode: 200, headers: { a: [{}] } }],
    ["a header with CR LF", { statusCode: 200, headers: { a: "b\r\nc: d" } }],
    ["a header name with CR LF", { statusCode: 200, headers: { "a\r\nb": "c" } }],
    ["a list header with CR LF", { statusCode: 200, multiValueHeaders: { a: ["b\r\n"] } }],
    ["multiValueHeaders that are text", { statusCode: 200, multiValueHeaders: "a" }],
    ["cookies that are text", { statusCode: 200, cookies: "a=1" }],
    ["a cookie that is a number", { statusCode: 200, cookies: [1] }],
    ["a cookie with CR LF", { statusCode: 200, cookies: ["a=1\r\nb: c"] }],
    ["isBase64Encoded that is text", { statusCode: 200, isBase64Encoded: "true" }],
    ["base64 that is none", { statusCode: 200, body: "{}", isBase64Encoded: true }],
    [
      "base64 that is none, with much white space",
      { statusCode: 200, body: `${" ".repeat(200_000)}{`, isBase64Encoded: true },
    ],
  ] as const) {
    it(`refuses ${why}`, () => assert.throws(() => answered(result), InvalidFunctionResponse));
  }

  it("throws nothing but its own error, whatever JSON it gets", () => {
    const described = fc.record(
      {
        statusCode: fc.oneof(fc.constant(200), fc.jsonValue()),
        headers: fc.oneof(fc.dictionary(fc.string(), fc.jsonValue()), fc.jsonValue()),
        multiValueHeaders: fc.jsonValue(),
        cookies: fc.oneof(fc.array(fc.string()), fc.jsonValue()),
        body: fc.jsonValue(),
        isBase64Encoded: fc.oneof(fc.boolean(), fc.jsonValue()),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(described, fc.jsonValue()), (result) => {
        try {
          answered(JSON.stringify(result));
        } catch (error) {
          assert.ok(error instanceof InvalidFunctionResponse, String(error));
        }
      }),
      { numRuns: 3_000 },
    );
  });
});

describe("preludeOf", () => {
  const REPLY = { added: [], replacesCors: false };

  it("gives status, headers and cookies, and no default type", () => {
    const prelude = { statusCode: 201, headers: { "Content-Type": "text/event-stream" }, cookies: ["a=1"] };
    assert.deepEqual(preludeOf(Buffer.from(JSON.stringify(prelude)), REPLY), {
      status: 201,
      headers: ["Content-Type", "text/event-stream", "set-cookie", "a=1"],
    });
  });

  it("takes an empty object for 200", () => {
    assert.deepEqual(preludeOf(Buffer.from("{}"), REPLY), { status: 200, headers: [] });
  });

  for (const prelude of ["", "[]", "1", '"a"', "null", '{"statusCode":99}', '{"headers":1}']) {
    it(`refuses ${prelude || "nothing"}`, () => {
      assert.throws(() => preludeOf(Buffer.from(prelude), REPLY), InvalidFunctionResponse);
    });
  }
});
