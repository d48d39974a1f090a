import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { newInvocationId } from "../../core/ids.ts";
import type { HttpEvent, RoutedFacts } from "./http-event.ts";
import { FORMAT_V1 } from "./payload-v1.ts";
import { readRequestHead } from "./request-headers.ts";
import { InvalidFunctionResponse } from "./response-headers.ts";

const ID = newInvocationId();
const ROUTED: RoutedFacts = {
  key: "GET /my/{proxy+}",
  resource: "/my/{proxy+}",
  parameters: [["proxy", "a/b"]],
  stageVariables: [],
  accountId: "123456789012",
  caller: undefined,
  jwt: undefined,
};

function parsed(rawHeaders: readonly string[], facts: Partial<HttpEvent> = {}): Record<string, unknown> {
  const event = FORMAT_V1.eventOf({
    invocationId: ID,
    method: "GET",
    protocol: "HTTP/1.1",
    path: "/my/a/b",
    query: "",
    host: "api.localhost:8080",
    head: readRequestHead(rawHeaders),
    addedHeaders: ["x-forwarded-for", "192.0.2.1", "x-amzn-trace-id", "Root=1"],
    sourceIp: "192.0.2.1",
    body: undefined,
    apiId: "api.localhost",
    caller: undefined,
    routed: ROUTED,
    receivedAt: Date.UTC(2020, 2, 12, 19, 3, 58, 390),
    ...facts,
  });
  return JSON.parse(event.toString());
}

describe("the event of payload format 1.0", () => {
  it("has all members, with null for what is empty", () => {
    assert.deepEqual(parsed(["Host", "api.localhost:8080", "User-Agent", "agent"]), {
      version: "1.0",
      resource: "/my/{proxy+}",
      path: "/my/a/b",
      httpMethod: "GET",
      headers: {
        Host: "api.localhost:8080",
        "User-Agent": "agent",
        "X-Forwarded-For": "192.0.2.1",
        "X-Amzn-Trace-Id": "Root=1",
      },
      multiValueHeaders: {
        Host: ["api.localhost:8080"],
        "User-Agent": ["agent"],
        "X-Forwarded-For": ["192.0.2.1"],
        "X-Amzn-Trace-Id": ["Root=1"],
      },
      queryStringParameters: null,
      multiValueQueryStringParameters: null,
      requestContext: {
        accountId: "123456789012",
        apiId: "api.localhost",
        authorizer: { claims: null, scopes: null },
        domainName: "api.localhost",
        domainPrefix: "api",
        extendedRequestId: ID,
        httpMethod: "GET",
        identity: {
          accessKey: null,
          accountId: null,
          caller: null,
          cognitoAuthenticationProvider: null,
          cognitoAuthenticationType: null,
          cognitoIdentityId: null,
          cognitoIdentityPoolId: null,
          principalOrgId: null,
          sourceIp: "192.0.2.1",
          user: null,
          userAgent: "agent",
          userArn: null,
        },
        path: "/my/a/b",
        protocol: "HTTP/1.1",
        requestId: ID,
        requestTime: "12/Mar/2020:19:03:58 +0000",
        requestTimeEpoch: Date.UTC(2020, 2, 12, 19, 3, 58, 390),
        resourceId: null,
        resourcePath: "/my/{proxy+}",
        stage: "$default",
      },
      pathParameters: { proxy: "a/b" },
      stageVariables: null,
      body: null,
      isBase64Encoded: false,
    });
  });

  it("has the last and all values of what is repeated", () => {
    const { headers, multiValueHeaders, queryStringParameters, multiValueQueryStringParameters } = parsed(
      ["X-A", "1", "x-a", "2", "Cookie", "a=1", "Connection", "close"],
      { query: "a=1&a=%2F2&b&c=x+y", addedHeaders: [] },
    );
    assert.deepEqual(headers, { "X-A": "2", Cookie: "a=1" });
    assert.deepEqual(multiValueHeaders, { "X-A": ["1", "2"], Cookie: ["a=1"] });
    assert.deepEqual(queryStringParameters, { a: "/2", b: "", c: "x y" });
    assert.deepEqual(multiValueQueryStringParameters, { a: ["1", "/2"], b: [""], c: ["x y"] });
  });

  it("carries text as it is, and all else in base64", () => {
    const text = parsed(["Content-Type", "application/json"], { body: Buffer.from('{"a":1}') });
    assert.deepEqual([text.body, text.isBase64Encoded], ['{"a":1}', false]);
    const bytes = parsed(["Content-Type", "image/png"], { body: Buffer.from([0xff]) });
    assert.deepEqual([bytes.body, bytes.isBase64Encoded], ["/w==", true]);
  });

  it("tells claims, keys, parameters and stage variables", () => {
    const caller = { accessKey: "LK", accountId: "1", userArn: "arn", userId: "LK" };
    const routed: RoutedFacts = {
      ...ROUTED,
      stageVariables: [["k", "v"]],
      parameters: [["__proto__", "x"]],
      jwt: { claims: [["sub", "ann"]], scopes: ["read"] },
    };
    const { requestContext, pathParameters, stageVariables } = parsed([], { caller, routed });
    const { authorizer, identity } = Object(requestContext);
    assert.deepEqual(authorizer, { claims: { sub: "ann" }, scopes: ["read"] });
    assert.deepEqual([identity.accessKey, identity.userArn], ["LK", "arn"]);
    assert.deepEqual(Object.entries(Object(pathParameters)), [["__proto__", "x"]]);
    assert.deepEqual(stageVariables, { k: "v" });
  });
});

function answer(value: unknown) {
  const { status, headers, body } = FORMAT_V1.answerOf(Buffer.from(JSON.stringify(value)), {
    added: [],
    replacesCors: false,
  });
  return [status, headers, Buffer.from(body).toString()];
}

describe("the response of payload format 1.0", () => {
  for (const [value, expected] of [
    [{ statusCode: 200, body: "x" }, [200, ["content-type", "application/json"], "x"]],
    [
      { statusCode: "201", headers: { "Content-Type": "text/plain" } },
      [201, ["Content-Type", "text/plain"], ""],
    ],
    [{}, [200, ["content-type", "application/json"], ""]],
    [{ statusCode: 204, body: "x" }, [204, [], ""]],
    [{ statusCode: 200, body: null }, [200, ["content-type", "application/json"], ""]],
    [
      { statusCode: 200, body: "eA==", isBase64Encoded: true },
      [200, ["content-type", "application/json"], "x"],
    ],
    [
      {
        statusCode: 200,
        multiValueHeaders: { "Set-Cookie": ["a=1", "b=2"] },
        headers: { "X-N": 1, "x-b": true },
      },
      [
        200,
        [
          "Set-Cookie",
          "a=1",
          "Set-Cookie",
          "b=2",
          "X-N",
          "1",
          "x-b",
          "true",
          "content-type",
          "application/json",
        ],
        "",
      ],
    ],
    [
      {
        statusCode: 200,
        headers: { "x-a": "1", "X-B": "3", "content-type": "t/p" },
        multiValueHeaders: { "X-A": ["1", "2"], "x-b": [] },
      },
      [200, ["X-A", "1", "X-A", "2", "X-B", "3", "content-type", "t/p"], ""],
    ],
  ] as const) {
    it(`takes ${JSON.stringify(value)}`, () => assert.deepEqual(answer(value), expected));
  }

  for (const value of [
    "text",
    1,
    null,
    true,
    ["x"],
    { body: "x" },
    { message: "hello" },
    { statusCode: 99 },
    { statusCode: "abc" },
    { statusCode: null },
    { statusCode: 200, body: { a: 1 } },
    { statusCode: 200, body: 1 },
    { statusCode: 200, headers: "x" },
    { statusCode: 200, headers: { a: {} } },
    { statusCode: 200, headers: { "a b": "c" } },
    { statusCode: 200, headers: { a: "b\r\nc: d" } },
    { statusCode: 200, multiValueHeaders: { a: "b" } },
    { statusCode: 200, multiValueHeaders: { a: [{}] } },
    { statusCode: 200, multiValueHeaders: [] },
    { statusCode: 200, body: "ä!", isBase64Encoded: true },
    { statusCode: 200, body: "x", isBase64Encoded: "yes" },
  ]) {
    it(`does not take ${JSON.stringify(value)}`, () => {
      assert.throws(() => answer(value), InvalidFunctionResponse);
    });
  }

  it("does not take what is no JSON", () => {
    assert.throws(
      () => FORMAT_V1.answerOf(Buffer.from("{"), { added: [], replacesCors: false }),
      InvalidFunctionResponse,
    );
  });
});
