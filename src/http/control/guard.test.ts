import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readdir } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { ListFunctionsCommand } from "@aws-sdk/client-lambda";
import { CONTROL_ROUTES } from "./answering.ts";
import {
  ACCOUNT,
  makeFunction,
  startControl,
  type TestAnswer,
  type TestControl,
  type TestRequest,
} from "./control.fake.ts";
import type { Route } from "./route.ts";
import { sha256Hex } from "./sigv4.ts";

let control: TestControl;
before(async () => {
  control = await startControl();
  await makeFunction(control, "other");
});
after(() => control[Symbol.asyncDispose]());

/** A request that would reach the route's handler: about a function `other`, with a body of the right kind. */
function requestOf(route: Route): TestRequest {
  const filled = route.path
    .replace(
      "{Resource}",
      encodeURIComponent(`arn:aws:lambda:${ACCOUNT.region}:${ACCOUNT.account}:function:other`),
    )
    .replace(/\{(FunctionName|name)\}/, "other")
    .replace(/\{\w+\}/g, "1");
  const path = route.query ? `${filled}?${route.query}` : filled;
  const body = route.body.kind === "none" ? {} : { body: JSON.stringify({ FunctionName: "other" }) };
  return { method: route.method, path, ...body };
}

function errorOf(answer: TestAnswer): string {
  const { json } = answer;
  const isCbor = answer.headers["content-type"] === "application/cbor";
  if (!isCbor && (typeof json !== "object" || json === null)) return answer.text;
  const error: unknown = Reflect.get(Object(json), "error");
  if (typeof error === "object" && error !== null) return String(Reflect.get(error, "code"));
  return String(answer.headers["x-amzn-errortype"]);
}

const AWS_NAMES: Readonly<Record<string, string>> = {
  HostRefused: "AccessDeniedException",
  Forbidden: "AccessDeniedException",
  Unauthenticated: "UnrecognizedClientException",
};

async function refused(
  route: Route,
  change: Partial<TestRequest>,
  code: string,
  status: number,
): Promise<void> {
  const request = requestOf(route);
  const answer = await control.send({
    ...request,
    ...change,
    headers: { ...request.headers, ...change.headers },
  });
  const expected = route.dialect === "own" ? code : AWS_NAMES[code];
  const awsStatus = code === "Unauthenticated" ? 403 : status;
  const wanted = { own: status, aws: awsStatus, scheduler: awsStatus, cloudwatch: 400 }[route.dialect];
  assert.deepEqual([errorOf(answer), answer.status], [expected, wanted], `${route.name}: ${answer.text}`);
}

describe("every route", () => {
  const guarded = CONTROL_ROUTES.filter((route) => route.access !== "open" && route.access !== "link");

  it("has a name, a method and a path of its own", () => {
    const names = CONTROL_ROUTES.map((route) => `${route.dialect} ${route.name}`);
    const places = CONTROL_ROUTES.map((route) => `${route.method} ${route.path}?${route.query ?? ""}`);
    assert.equal(new Set(names).size, CONTROL_ROUTES.length);
    assert.equal(new Set(places).size, CONTROL_ROUTES.length);
  });

  it("asks for a key, but /health and links that are secret themselves", () => {
    const open = CONTROL_ROUTES.filter((route) => !guarded.includes(route)).map((route) => route.path);
    assert.deepEqual(open, ["/health", "/_code/{token}"]);
  });

  it("concerns one function if its path names one", () => {
    for (const route of guarded) {
      const names = /\{(FunctionName|name|Resource|ResourceArn)\}/.test(route.path);
      assert.equal(route.subject === "path", names, route.name);
    }
  });

  const attacks: readonly [why: string, change: Partial<TestRequest>][] = [
    ["a Host of another name", { headers: { host: "attacker.example" } }],
    ["our Host with another port", { headers: { host: "127.0.0.1:1" } }],
    ["no port in Host", { headers: { host: "localhost" } }],
    ["a foreign Origin", { headers: { origin: "http://attacker.example" } }],
    ["the Origin of a function's page", { headers: { origin: "http://greet.localhost:8080" } }],
    ["an opaque Origin", { headers: { origin: "null" } }],
    ["a cross-site page behind it", { headers: { "sec-fetch-site": "cross-site" } }],
    ["a same-site page behind it", { headers: { "sec-fetch-site": "same-site" } }],
  ];
  for (const [why, change] of attacks) {
    it(`refuses ${why}, with and without a key`, async () => {
      for (const route of CONTROL_ROUTES) {
        await refused(route, change, "HostRefused", 403);
        await refused(route, { ...change, token: null }, "HostRefused", 403);
      }
    });
  }

  it("refuses no key, an unknown key, a wrong secret and a revoked key", async () => {
    const revoked = await control.issue({ scopes: ["admin"] });
    const [key] = (await control.keys.list()).slice(-1);
    assert.ok(key);
    await control.keys.revoke(key.id);
    const wrong = `${control.token.slice(0, -1)}${control.token.endsWith("A") ? "B" : "A"}`;
    for (const route of guarded) {
      for (const token of [null, "LKZZZZZZZZZZZZZZZZZZ.x", wrong, revoked]) {
        await refused(route, { token }, "Unauthenticated", 401);
      }
    }
  });

  it("refuses every scope but its own and those above", async () => {
    const above = {
      invoke: ["invoke", "admin"],
      read: ["read", "deploy", "admin"],
      replay: ["replay", "admin"],
      deploy: ["deploy", "admin"],
      admin: ["admin"],
    } as const;
    for (const scope of ["invoke", "read", "replay", "deploy", "admin"] as const) {
      const token = await control.issue({ scopes: [scope] });
      for (const route of guarded) {
        if (route.access === "open" || route.access === "link") continue;
        const isEnough = above[route.access].some((enough) => enough === scope);
        if (!isEnough) await refused(route, { token }, "Forbidden", 403);
      }
    }
  });

  it("refuses a function that the key is not good for", async () => {
    const token = await control.issue({ scopes: ["admin"], functions: "mine-*" });
    for (const route of guarded) {
      if (route.subject !== "none") await refused(route, { token }, "Forbidden", 403);
    }
  });

  it("refuses to manage keys with a key that is good for some functions only", async () => {
    const token = await control.issue({ scopes: ["admin"], functions: "other" });
    for (const route of guarded.filter(({ access }) => access === "admin")) {
      await refused(route, { token }, "Forbidden", 403);
    }
  });

  it("leaves nothing changed after all of that", async () => {
    const list = await control.functions.list({ after: undefined, limit: 10 });
    assert.deepEqual(
      list.map(({ name, generation }) => [name, generation]),
      [["other", 1]],
    );
    assert.deepEqual(await readdir(join(control.dir, "uploads")), []);
  });
});

describe("lists", () => {
  it("leave out functions that the key is not good for", async () => {
    await using own = await startControl();
    for (const name of ["a-1", "b-1", "a-2", "b-2"]) await makeFunction(own, name);
    const token = await own.issue({ scopes: ["read"], functions: "b-*" });

    const { json } = await own.send({ path: "/v1/functions?limit=1", token });
    const { Functions } = await own.sdk(token).send(new ListFunctionsCommand({}));
    assert.match(JSON.stringify(json), /"name":"b-1".*"next":"b-1"/);
    assert.deepEqual(
      Functions?.map((shown) => shown.FunctionName),
      ["b-1", "b-2"],
    );
  });
});

describe("the guard", () => {
  for (const host of ["localhost", "127.0.0.1", "LOCALHOST", "[::1]"]) {
    it(`answers under ${host} with the port`, async () => {
      const answer = await control.send({
        path: "/health",
        token: null,
        headers: { host: `${host}:${control.port}` },
      });
      assert.deepEqual([answer.status, answer.json], [200, { status: "ok" }]);
    });
  }

  for (const host of ["lambda.example.org", () => `lambda.example.org:${control.port}`]) {
    it("answers under a configured name, with the port and without", async () => {
      const headers = { host: typeof host === "string" ? host : host() };
      assert.equal((await control.send({ path: "/health", headers })).status, 200);
    });
  }

  it("answers its own pages", async () => {
    const headers = { origin: control.url, "sec-fetch-site": "same-origin" };
    assert.equal((await control.send({ path: "/v1/status", headers })).status, 200);
  });

  it("refuses a second Host, no Host, and a whole URL as target", async () => {
    const own = `127.0.0.1:${control.port}`;
    for (const head of [
      `GET /health HTTP/1.1\r\nHost: ${own}\r\nHost: attacker.example\r\n`,
      `GET http://attacker.example/health HTTP/1.1\r\nHost: ${own}\r\n`,
      "GET /health HTTP/1.0\r\n",
    ]) {
      assert.match(await raw(`${head}Connection: close\r\n\r\n`), /^HTTP\/1\.1 40[03] /, head);
    }
  });

  it("does not switch protocols", async () => {
    const headers = { connection: "upgrade", upgrade: "websocket", "sec-websocket-key": "x" };
    assert.equal((await control.send({ path: "/v1/status", headers, token: null })).status, 401);
  });

  it("takes JSON only as JSON", async () => {
    const body = JSON.stringify({ scopes: ["admin"] });
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
      const answer = await control.send({
        method: "POST",
        path: "/v1/keys",
        body,
        headers: { "content-type": type },
      });
      assert.deepEqual([answer.status, errorOf(answer)], [400, "InvalidRequest"]);
    }
  });

  it("asks for the body only after the key was checked", async () => {
    const head = (key: string) =>
      `POST /v1/keys HTTP/1.1\r\nHost: 127.0.0.1:${control.port}\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n${key}Connection: close\r\n\r\n`;
    assert.match(await raw(head("")), /^HTTP\/1\.1 401 /);
    assert.match(
      await raw(`${head(`Authorization: Bearer ${control.token}\r\n`)}{}`),
      /^HTTP\/1\.1 100 Continue/,
    );
  });

  it("refuses a body over the limit, announced or not, and encoded ones", async () => {
    const request = { method: "PUT", path: "/v1/functions/other/aliases/a" };
    const body = `{"description":"${"x".repeat(1024 * 1024)}"}`;
    const announced = await control.send({ ...request, body });
    assert.deepEqual([announced.status, errorOf(announced)], [413, "PayloadTooLarge"]);
    const headers = { "content-encoding": "gzip" };
    assert.equal((await control.send({ ...request, body: "{}", headers })).status, 400);

    const chunk = `${(65_536).toString(16)}\r\n${"x".repeat(65_536)}\r\n`;
    const chunked = `PUT ${request.path} HTTP/1.1\r\nHost: 127.0.0.1:${control.port}\r\nAuthorization: Bearer ${control.token}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(17)}`;
    assert.match(await raw(chunked), /^HTTP\/1\.1 413 /);
  });

  it("says 404 and 405 in the spelling of the API that was asked", async () => {
    const answers = await Promise.all([
      control.send({ path: "/v1/nothing" }),
      control.send({ method: "DELETE", path: "/v1/status" }),
      control.send({ path: "/2015-03-31/nothing" }),
      control.send({ path: "/v1/functions/%ff" }),
    ]);
    assert.deepEqual(
      answers.map((answer) => [answer.status, errorOf(answer)]),
      [
        [404, "RouteNotFound"],
        [405, "MethodNotAllowed"],
        [404, "UnknownOperationException"],
        [400, "InvalidRequest"],
      ],
    );
  });

  it("gives every answer a request id, and nothing to caches or sniffers", async () => {
    for (const path of ["/health", "/v1/nothing", "/2015-03-31/functions"]) {
      const { headers } = await control.send({ path });
      assert.match(String(headers["x-amzn-requestid"]), /^[0-9a-f-]{36}$/);
      assert.equal(headers["cache-control"], "no-store");
      assert.equal(headers["access-control-allow-origin"], undefined);
    }
  });

  it("accepts a presigned request, and not for longer than it says", async () => {
    const now = new Date();
    assert.equal((await control.send({ path: presign(now, 60), token: null })).status, 200);
    const old = new Date(now.getTime() - 120_000);
    const expired = await control.send({ path: presign(old, 60), token: null });
    assert.deepEqual([expired.status, errorOf(expired)], [403, "InvalidSignatureException"]);
    const stretched = presign(old, 60).replace("X-Amz-Expires=60", "X-Amz-Expires=600");
    assert.equal((await control.send({ path: stretched, token: null })).status, 403);
  });
});

/** `ListFunctions`, signed in the query by the admin key. */
function presign(at: Date, seconds: number): string {
  const dot = control.token.indexOf(".");
  const [id, secret] = [control.token.slice(0, dot), control.token.slice(dot + 1)];
  const instant = at.toISOString().replace(/[-:]|\.\d{3}/g, "");
  const scope = `${instant.slice(0, 8)}/us-east-1/lambda/aws4_request`;
  const query = [
    "X-Amz-Algorithm=AWS4-HMAC-SHA256",
    `X-Amz-Credential=${encodeURIComponent(`${id}/${scope}`)}`,
    `X-Amz-Date=${instant}`,
    `X-Amz-Expires=${seconds}`,
    "X-Amz-SignedHeaders=host",
  ].join("&");
  const path = "/2015-03-31/functions";
  const host = `127.0.0.1:${control.port}`;
  const canonical = ["GET", path, query, `host:${host}`, "", "host", sha256Hex("")].join("\n");
  let key: Buffer = Buffer.from(`AWS4${secret}`);
  for (const part of scope.split("/")) key = createHmac("sha256", key).update(part).digest();
  const text = ["AWS4-HMAC-SHA256", instant, scope, sha256Hex(canonical)].join("\n");
  return `${path}?${query}&X-Amz-Signature=${createHmac("sha256", key).update(text).digest("hex")}`;
}

/** Bytes as they are, and all that comes back until the connection ends. */
async function raw(bytes: string): Promise<string> {
  const socket = connect(control.port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.write(bytes);
  let text = "";
  for await (const chunk of socket) {
    text += String(chunk);
    // The answer's head is all that is looked at; a server may go on reading what it has refused.
    if (text.includes("\r\n\r\n")) break;
  }
  socket.destroy();
  return text;
}
