import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PlatformError } from "../../core/errors.ts";
import type { FunctionUrl } from "../../core/function.ts";
import { SETTINGS_DEFAULT } from "../../core/function-settings.ts";
import type { Permission } from "../../core/permission.ts";
import { type FakeFunction, returned } from "../../invoker/invocations.fake.ts";
import type { UrlPermissions } from "./exchange.ts";
import { type CallFacts, call, startGateway, type TestGatewayFacts } from "./gateway.fake.ts";
import { URL_FORBIDDEN } from "./url-refusal.ts";

const URL_ID = "abc123";
const HOST = `${URL_ID}.lambda-url.us-east-1.localhost`;
const RAW = "/2015-03-31/functions/function/invocations";

function url(facts: Partial<FunctionUrl> = {}): FunctionUrl {
  return {
    qualifier: undefined,
    urlId: URL_ID,
    authType: "NONE",
    invokeMode: "BUFFERED",
    cors: undefined,
    createdAt: 0,
    modifiedAt: 0,
    ...facts,
  };
}

/** One call to a function with that URL. */
async function callUrl(of: FunctionUrl, path: string, facts: CallFacts = {}, parts: TestGatewayFacts = {}) {
  await using gateway = await startGateway({
    functions: { greet: { urls: [of], aliases: ["live"] }, web: { kind: "server" } },
    run: () =>
      returned(
        JSON.stringify({
          statusCode: 200,
          headers: { "Access-Control-Allow-Origin": "http://evil" },
          body: "ok",
        }),
      ),
    ...parts,
  });
  const answer = await call(gateway.port, path, { host: HOST, ...facts });
  return { answer, calls: gateway.invocations.calls };
}

const FORBIDDEN = [403, "AccessDeniedException", { Message: URL_FORBIDDEN }];
const NOT_THERE = [403, "AccessDeniedException", { Message: null }];

function refusalIn({ status, headers, text }: Awaited<ReturnType<typeof call>>): unknown[] {
  return [status, headers["x-amzn-errortype"], JSON.parse(text)];
}

describe("a function URL", () => {
  it("reaches its function and says so in the event", async () => {
    const { answer, calls } = await callUrl(url({ qualifier: "live" }), "/a?b=c");
    assert.equal(answer.text, "ok");
    const [made] = calls;
    assert.equal(made?.target.qualifier, "live");
    assert.equal(made?.request.input.kind, "event");
    const { requestContext } = JSON.parse(Buffer.from(made.request.input.payload).toString());
    assert.deepEqual(
      [
        requestContext.apiId,
        requestContext.domainName,
        requestContext.domainPrefix,
        requestContext.accountId,
      ],
      [URL_ID, HOST, URL_ID, "anonymous"],
    );
  });

  it("is not found under another id", async () => {
    const { answer } = await callUrl(url(), "/", { host: HOST.replace("abc", "xyz") });
    assert.deepEqual(refusalIn(answer), NOT_THERE);
  });

  it("is not found if its alias is gone", async () => {
    assert.deepEqual(refusalIn((await callUrl(url({ qualifier: "gone" }), "/")).answer), NOT_THERE);
  });

  it("has no raw invoke", async () => {
    const { calls } = await callUrl(url(), RAW, { method: "POST", body: '{"raw":true}' });
    assert.equal(calls[0]?.request.input.kind, "event");
    assert.equal(JSON.parse(Buffer.from(calls[0].request.input.payload).toString()).rawPath, RAW);
  });
});

describe("a function URL with CORS", () => {
  const cors = {
    AllowOrigins: ["http://app.example"],
    AllowMethods: ["GET", "PUT"],
    AllowHeaders: ["x-a", "x-b"],
    ExposeHeaders: ["x-c"],
    AllowCredentials: true,
    MaxAge: 300,
  };
  const preflight = {
    method: "OPTIONS",
    headers: { Origin: "http://app.example", "Access-Control-Request-Method": "PUT" },
  };

  it("answers a preflight without the function", async () => {
    const { answer, calls } = await callUrl(url({ cors }), "/", preflight);
    assert.deepEqual([answer.status, answer.text, calls.length], [200, "", 0]);
    assert.equal(answer.headers["access-control-allow-origin"], "http://app.example");
    assert.equal(answer.headers["access-control-allow-methods"], "GET,PUT");
    assert.equal(answer.headers["access-control-allow-headers"], "x-a,x-b");
    assert.equal(answer.headers["access-control-allow-credentials"], "true");
    assert.equal(answer.headers["access-control-max-age"], "300");
    assert.equal(answer.headers.vary, "Origin");
  });

  it("speaks in place of the function", async () => {
    const { answer } = await callUrl(url({ cors }), "/", { headers: { Origin: "http://app.example" } });
    assert.equal(answer.headers["access-control-allow-origin"], "http://app.example");
    assert.equal(answer.headers["access-control-expose-headers"], "x-c");
  });

  it("says nothing to another origin, nor lets the function", async () => {
    for (const facts of [
      { headers: { Origin: "http://evil" } },
      { ...preflight, headers: { ...preflight.headers, Origin: "http://evil" } },
    ]) {
      const { answer } = await callUrl(url({ cors }), "/", facts);
      assert.equal(answer.headers["access-control-allow-origin"], undefined);
      assert.equal(answer.headers["access-control-allow-methods"], undefined);
    }
  });

  it("does not name an origin for a star, so that browsers send no credentials", async () => {
    const { answer } = await callUrl(
      url({ cors: { AllowOrigins: ["*"], AllowCredentials: true } }),
      "/",
      preflight,
    );
    assert.equal(answer.headers["access-control-allow-origin"], "*");
  });

  it("speaks on failures as well", async () => {
    const { answer } = await callUrl(
      url({ cors }),
      "/",
      { headers: { Origin: "http://app.example" } },
      { run: () => ({ kind: "timed-out", afterMs: 1, isStreamed: false }) },
    );
    assert.deepEqual(
      [answer.status, answer.headers["access-control-allow-origin"]],
      [504, "http://app.example"],
    );
  });

  it("leaves CORS to the function where the URL has none", async () => {
    const { answer, calls } = await callUrl(url(), "/", preflight);
    assert.deepEqual([answer.headers["access-control-allow-origin"], calls.length], ["http://evil", 1]);
  });
});

describe("a function URL with AWS_IAM", () => {
  const iam = url({ authType: "AWS_IAM" });
  const caller = {
    accessKey: "AK",
    accountId: "123456789012",
    userArn: "arn:aws:iam::123456789012:user/u",
    userId: "U",
  };

  it("is closed while signatures cannot be checked", async () => {
    const { answer, calls } = await callUrl(iam, "/");
    assert.deepEqual([refusalIn(answer), calls.length], [FORBIDDEN, 0]);
  });

  it("checks the signature over the body, names the caller, and hides the signature", async () => {
    const checked: unknown[] = [];
    const { answer, calls } = await callUrl(
      iam,
      "/p?q=1",
      {
        method: "POST",
        headers: { Authorization: "AWS4-HMAC-SHA256 x", "Content-Type": "text/plain" },
        body: "hi",
      },
      {
        verifySignature: async ({ method, path, query, rawHeaders, body }) => {
          checked.push([
            method,
            path,
            query,
            rawHeaders.includes("AWS4-HMAC-SHA256 x"),
            Buffer.from(body).toString(),
          ]);
          return caller;
        },
      },
    );
    assert.equal(answer.status, 200);
    assert.deepEqual(checked, [["POST", "/p", "q=1", true, "hi"]]);
    assert.equal(calls[0]?.request.input.kind, "event");
    const event = JSON.parse(Buffer.from(calls[0].request.input.payload).toString());
    assert.deepEqual([event.body, event.headers.authorization], ["hi", undefined]);
    assert.equal(event.requestContext.authorizer.iam.userArn, caller.userArn);
  });

  it("gives a server the signed body", async () => {
    const { calls } = await callUrl(
      iam,
      "/",
      { method: "POST", body: "x".repeat(100_000) },
      { functions: { web: { kind: "server", urls: [iam] } }, verifySignature: async () => caller },
    );
    assert.equal(calls[0]?.request.input.kind, "request");
    assert.ok(Buffer.isBuffer(calls[0].request.input.body));
  });

  it("runs nothing when the signature is wrong", async () => {
    const { answer, calls } = await callUrl(
      iam,
      "/",
      {},
      { verifySignature: () => Promise.reject(new PlatformError("SignatureInvalid", "no")) },
    );
    assert.deepEqual(
      [refusalIn(answer), calls.length],
      [[403, "InvalidSignatureException", { message: "no" }], 0],
    );
  });

  for (const code of ["Unauthenticated", "Forbidden"] as const) {
    it(`answers as AWS does who is ${code}, with the headers of CORS`, async () => {
      const { answer, calls } = await callUrl(
        { ...iam, cors: { AllowOrigins: ["http://app.example"] } },
        "/",
        { method: "POST", body: "x".repeat(100_000), headers: { Origin: "http://app.example" } },
        { verifySignature: () => Promise.reject(new PlatformError(code, "key AK may not")) },
      );
      assert.deepEqual([refusalIn(answer), calls.length], [FORBIDDEN, 0]);
      assert.equal(answer.headers["access-control-allow-origin"], "http://app.example");
      assert.match(String(answer.headers["x-amzn-requestid"]), /^[0-9a-f-]{36}$/);
    });
  }

  it("leaves the shape of errors as it is at the function's own addresses", async () => {
    const { answer } = await callUrl(iam, "/nobody/x", { host: "localhost" });
    assert.deepEqual([answer.status, JSON.parse(answer.text).error.code], [404, "FunctionNotFound"]);
  });
});

describe("a function URL with InvokeMode", () => {
  const streams: FakeFunction = (request) => {
    const { sink } = request;
    sink?.start({ kind: "raw", contentType: "text/plain" });
    sink?.write(Buffer.from("first "));
    return "fails" in facts
      ? { kind: "timed-out", afterMs: 1, isStreamed: true }
      : { kind: "returned", payload: new Uint8Array(0), head: undefined, isStreamed: true };
  };
  let facts: { fails?: true } = {};

  it("BUFFERED sends a streamed response whole, or the failure in its place", async () => {
    facts = {};
    const { answer } = await callUrl(url(), "/", {}, { run: streams });
    assert.deepEqual([answer.status, answer.text], [200, "first "]);
    facts = { fails: true };
    assert.equal((await callUrl(url(), "/", {}, { run: streams })).answer.status, 504);
  });

  it("BUFFERED refuses a response beyond 6 MB", async () => {
    const { answer } = await callUrl(
      url(),
      "/",
      {},
      {
        run: ({ sink }) => {
          sink?.start({ kind: "raw", contentType: "text/plain" });
          for (let at = 0; at < 7; at++) sink?.write(Buffer.alloc(1024 * 1024));
          return { kind: "returned", payload: new Uint8Array(0), head: undefined, isStreamed: true };
        },
      },
    );
    assert.equal(answer.status, 502);
  });

  it("RESPONSE_STREAM sends what comes, and cuts a failure off", async () => {
    facts = { fails: true };
    await assert.rejects(callUrl(url({ invokeMode: "RESPONSE_STREAM" }), "/", {}, { run: streams }));
  });
});

describe("a function URL with AuthType NONE, where policies are asked", () => {
  const everybody = { kind: "everybody" } as const;
  const byUrl = {
    id: "url",
    action: "lambda:InvokeFunctionUrl",
    principal: everybody,
    conditions: { urlAuthType: "NONE" },
  } as const;
  const direct = {
    id: "invoke",
    action: "lambda:InvokeFunction",
    principal: everybody,
    conditions: { onlyByUrl: true },
  } as const;

  async function statusWith(
    urlPermissions: UrlPermissions,
    permissions: readonly Permission[],
  ): Promise<number> {
    const policies = [{ qualifier: undefined, revisionId: "r", permissions }];
    const functions = { greet: { urls: [url()], settings: { ...SETTINGS_DEFAULT, policies } } };
    return (await callUrl(url(), "/", {}, { functions, urlPermissions })).answer.status;
  }

  it("is open to those whom its policy lets in", async () => {
    assert.equal(await statusWith("off", []), 200);
    assert.equal(await statusWith("required", []), 403);
    assert.equal(await statusWith("required", [byUrl]), 200);
    assert.equal(await statusWith("required", [{ ...byUrl, conditions: { urlAuthType: "AWS_IAM" } }]), 403);
    assert.equal(await statusWith("both", [byUrl]), 403);
    assert.equal(await statusWith("both", [byUrl, direct]), 200);
  });
});
