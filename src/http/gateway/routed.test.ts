// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references look like that
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PlatformError } from "../../core/errors.ts";
import { parseEventId } from "../../core/ids.ts";
import type { HttpRoute } from "../../core/route.ts";
import { sampleAction, sampleRoute } from "../../core/route-samples.fake.ts";
import { returned } from "../../invoker/invocations.fake.ts";
import { RouteTable } from "../../registry/route-table.ts";
import type { EventIntake, IncomingEvent } from "../event-intake.ts";
import type { GatewayRoutes } from "./exchange.ts";
import {
  type CallFacts,
  call,
  exchangeRaw,
  startGateway,
  statusOf,
  type TestGateway,
  type TestGatewayFacts,
} from "./gateway.fake.ts";

const API = "api.localhost";
const ACCOUNT = "123456789012";
const EVENT_ID = parseEventId("evt_00000000001") ?? assert.fail();

interface RoutedGateway extends TestGateway {
  readonly table: RouteTable;
  ask(path: string, facts?: CallFacts): Promise<{ status: number; text: string; allow: string | undefined }>;
  /** What was called, in a line each: `stock /path`. */
  called(): string[];
  lastEvent(): Record<string, unknown>;
}

/** Lets nobody in. */
const closed: Pick<GatewayRoutes, "authorizeKey" | "verifyJwt"> = {
  async authorizeKey() {
    throw new PlatformError("Unauthenticated", "the key is unknown");
  },
  async verifyJwt() {
    throw new PlatformError("Unauthenticated", "the token is not valid");
  },
};

async function startRouted(
  routes: readonly HttpRoute[],
  facts: TestGatewayFacts = {},
  guards: Partial<GatewayRoutes> = {},
): Promise<RoutedGateway> {
  const table = new RouteTable(routes);
  const functions = { greet: {}, stock: { aliases: ["prod"] }, server: { kind: "server" } } as const;
  const gateway = await startGateway({
    functions,
    run: () => returned('{"statusCode":200,"body":"ran"}'),
    ...facts,
    routes: { ...closed, ...guards, table, account: ACCOUNT },
  });
  const { calls } = gateway.invocations;
  return Object.assign(gateway, {
    table,
    async ask(path: string, facts: CallFacts = {}) {
      const { status, text, headers } = await call(gateway.port, path, { host: API, ...facts });
      return { status, text, allow: headers.allow };
    },
    called: () =>
      calls.map(({ target, request: { input } }) => {
        const path =
          input.kind === "event" ? JSON.parse(Buffer.from(input.payload).toString()).rawPath : input.path;
        return `${target.record.name}${target.qualifier ? `:${target.qualifier}` : ""} ${path}`;
      }),
    lastEvent() {
      const input = calls.at(-1)?.request.input;
      assert.ok(input?.kind === "event");
      return JSON.parse(Buffer.from(input.payload).toString());
    },
  });
}

const stock = sampleRoute(`GET ${API}/stock/{symbol}`, { action: sampleAction("stock") });

describe("a host with routes", () => {
  it("leads to the function with parameters, in payload format 2.0", async () => {
    const action = sampleAction("stock", { qualifier: "prod", stageVariables: { table: "t" } });
    await using gateway = await startRouted([{ ...stock, action }]);
    const { status, text } = await gateway.ask("/stock/A%20B?x=1");
    assert.deepEqual([status, text, gateway.called()], [200, "ran", ["stock:prod /stock/A%20B"]]);
    const { routeKey, rawPath, pathParameters, stageVariables, requestContext } = gateway.lastEvent();
    assert.deepEqual(
      [routeKey, rawPath, pathParameters, stageVariables],
      ["GET /stock/{symbol}", "/stock/A%20B", { symbol: "A B" }, { table: "t" }],
    );
    const { accountId, apiId, routeKey: key, domainName, stage } = Object(requestContext);
    assert.deepEqual(
      [accountId, apiId, key, domainName, stage],
      [ACCOUNT, API, "GET /stock/{symbol}", API, "$default"],
    );
  });

  it("serves nothing but its routes", async () => {
    await using gateway = await startRouted([stock]);
    assert.deepEqual(await gateway.ask("/greet/x").then(({ status }) => status), 404);
    assert.deepEqual(await gateway.ask("/stock/AMZN", { method: "POST" }).then(({ allow }) => allow), "GET");
    assert.deepEqual(gateway.called(), []);
    const health = await gateway.ask("/_health");
    assert.equal(health.status, 200);
  });

  it("leaves other hosts alone", async () => {
    await using gateway = await startRouted([stock]);
    await gateway.ask("/a//b;c/../%2f", { host: "greet.localhost" });
    await gateway.ask("/stock/x//y", { host: "localhost" });
    await gateway.ask("/stock/x", { host: "api.example.org" });
    assert.deepEqual(gateway.called(), ["greet /a//b;c/../%2f", "stock /x//y", "stock /x"]);
  });

  it("finds its routes whatever case and port the host is written with", async () => {
    await using gateway = await startRouted([stock]);
    await gateway.ask("/stock/1", { host: "API.localhost:8080" });
    await gateway.ask("http://api.localhost/stock/2");
    assert.deepEqual(gateway.called(), ["stock /stock/1", "stock /stock/2"]);
  });

  it("goes on to the routes without a host", async () => {
    const any = sampleRoute("ANY /{proxy+}");
    await using gateway = await startRouted([stock, any]);
    await gateway.ask("/stock/1");
    await gateway.ask("/other");
    await gateway.ask("/stock/1", { method: "POST" });
    assert.deepEqual(gateway.called(), ["stock /stock/1", "greet /other", "greet /stock/1"]);
  });

  it("follows changes of the table at once", async () => {
    await using gateway = await startRouted([]);
    assert.equal((await gateway.ask("/stock/1")).status, 404);
    gateway.table.put(stock);
    assert.equal((await gateway.ask("/stock/1")).status, 200);
    gateway.table.put({ ...stock, host: "b.localhost" });
    assert.equal((await gateway.ask("/stock/1")).status, 404);
    assert.equal((await gateway.ask("/stock/1", { host: "b.localhost" })).status, 200);
    gateway.table.drop(stock.id);
    assert.equal((await gateway.ask("/stock/1", { host: "b.localhost" })).status, 404);
  });

  it("answers 404 when what its route leads to is gone", async () => {
    for (const action of [sampleAction("nobody"), sampleAction("stock", { qualifier: "gone" })]) {
      await using gateway = await startRouted([{ ...stock, action }]);
      assert.equal((await gateway.ask("/stock/1")).status, 404);
    }
  });
});

describe("routes without a host", () => {
  const any = sampleRoute("GET /stock/{symbol}", { action: sampleAction("stock") });

  it("are for every host that means nothing else, before the names of functions", async () => {
    await using gateway = await startRouted([any]);
    for (const host of ["localhost", "shop.example.org", "127.0.0.1"])
      await gateway.ask("/stock/1", { host });
    await gateway.ask("/stock/1", { host: "greet.localhost" });
    await gateway.ask("/greet/x", { host: "localhost" });
    assert.deepEqual(gateway.called(), [
      "stock /stock/1",
      "stock /stock/1",
      "stock /stock/1",
      "greet /stock/1",
      "greet /x",
    ]);
  });

  it("keep their paths, whatever the method", async () => {
    await using gateway = await startRouted([any]);
    const { status, allow } = await gateway.ask("/stock/1", { host: "localhost", method: "POST" });
    assert.deepEqual([status, allow, gateway.called()], [405, "GET", []]);
  });
});

describe("paths that could be read in two ways", () => {
  const open = sampleRoute(`ANY ${API}/{proxy+}`);
  const guarded = sampleRoute(`ANY ${API}/admin/{proxy+}`, { action: sampleAction("stock") });
  const index = sampleRoute(`ANY ${API}/admin`, { action: sampleAction("stock") });

  for (const path of [
    "//admin/x",
    "/./admin/x",
    "/a/../admin/x",
    "/a/..%2fadmin/x",
    "/%2e%2e/admin/x",
    "/admin%2fx",
    "/admin%5cx",
    "/admin\\x",
    "/admin;a=b/x",
    "/admin%3b/x",
    "/admin%00/x",
    "/a//admin",
    "/adm%",
    "/%c0%aeadmin/x",
  ]) {
    it(`refuses ${path} and runs nothing`, async () => {
      await using gateway = await startRouted([open, guarded, index]);
      assert.deepEqual([(await gateway.ask(path)).status, gateway.called()], [400, []]);
    });
  }

  for (const path of [
    "/admin/x",
    "/%61dmin/x",
    "/admin/%78",
    "/admin/",
    "/admin",
    "/%61%64%6d%69%6e",
    "/admin/x/",
  ]) {
    it(`leads ${path} where it belongs, not to the catch-all`, async () => {
      await using gateway = await startRouted([open, guarded, index]);
      await gateway.ask(path);
      assert.deepEqual(gateway.called(), [`stock ${path}`]);
    });
  }

  for (const path of ["/_hooks/x", "/%5fhooks/x", "/_"]) {
    it(`never leads ${path} to somebody's catch-all`, async () => {
      await using gateway = await startRouted([open, sampleRoute("ANY /{proxy+}")]);
      assert.deepEqual([(await gateway.ask(path)).status, gateway.called()], [404, []]);
      assert.deepEqual(
        [(await gateway.ask(path, { host: "localhost" })).status, gateway.called()],
        [404, []],
      );
    });
  }
});

describe("actions of routes", () => {
  it("pass a server the path as it is, or without a prefix", async () => {
    const whole = sampleRoute(`ANY ${API}/a/{proxy+}`, { action: sampleAction("server") });
    const cut = sampleRoute(`ANY ${API}/b/c/{proxy+}`, {
      action: sampleAction("server", { stripPrefix: "/b/c" }),
    });
    const bare = sampleRoute(`ANY ${API}/b/c`, { action: sampleAction("server", { stripPrefix: "/b/c" }) });
    await using gateway = await startRouted([whole, cut, bare]);
    for (const path of ["/a/x%20y/?q=1", "/b/c/x%20y/?q=1", "/%62/c/x", "/b/c", "/b/c/"])
      await gateway.ask(path);
    assert.deepEqual(gateway.called(), [
      "server /a/x%20y/?q=1",
      "server /x%20y/?q=1",
      "server /x",
      "server /",
      "server /",
    ]);
    const input = gateway.invocations.calls[1]?.request.input;
    assert.ok(input?.kind === "request");
    const at = input.rawHeaders.indexOf("x-forwarded-prefix");
    assert.equal(input.rawHeaders[at + 1], "/b/c");
  });

  it("answer by themselves, also HEAD", async () => {
    const action = { kind: "response", status: 301, headers: ["location", "/x"], body: "moved" } as const;
    await using gateway = await startRouted([sampleRoute(`ANY ${API}/old`, { action })]);
    const { status, headers, text } = await call(gateway.port, "/old", { host: API });
    assert.deepEqual([status, headers.location, text], [301, "/x", "moved"]);
    const head = await call(gateway.port, "/old", { host: API, method: "HEAD" });
    assert.deepEqual([head.status, head.headers["content-length"], head.text], [301, "5", ""]);
    assert.deepEqual(gateway.called(), []);
  });

  it("queue an event where they are async, whatever the client prefers", async () => {
    const events: IncomingEvent[] = [];
    const intake: EventIntake = {
      turn: () => undefined,
      async enqueue(_target, event) {
        events.push(event);
        return { eventId: EVENT_ID, invocationId: event.invocationId };
      },
    };
    const later = sampleRoute(`POST ${API}/later`, { action: sampleAction("stock", { isAsync: true }) });
    await using gateway = await startRouted([stock, later], { events: intake });
    const { status, text } = await gateway.ask("/later", { method: "POST", body: "x" });
    assert.deepEqual([status, JSON.parse(text).eventId, events.length], [202, "evt_00000000001", 1]);
    await gateway.ask("/stock/1", { headers: { prefer: "respond-async" } });
    assert.deepEqual([events.length, gateway.called()], [1, ["stock /stock/1"]]);
  });
});

describe("who may call by a route", () => {
  const caller = { accessKey: "LK1", accountId: ACCOUNT, userArn: "arn", userId: "LK1" };
  const asked: string[] = [];
  const guards: Partial<GatewayRoutes> = {
    async authorizeKey(token, target) {
      asked.push(`${token} ${target?.record.name}`);
      if (token === "ID.SECRET") return caller;
      throw new PlatformError(token === "ID.OTHER" ? "Forbidden" : "Unauthenticated", "no");
    },
    async verifyJwt(token) {
      if (token === "good") return { claims: [["sub", "ann"]], scopes: ["read"] };
      throw new PlatformError("Unauthenticated", "no");
    },
  };
  const keyed = sampleRoute(`ANY ${API}/keyed`, { authorizer: { kind: "key" } });
  const jwt: HttpRoute["authorizer"] = {
    kind: "jwt",
    issuer: "i",
    audience: ["a"],
    scopes: [],
    keys: { kind: "set", keys: [] },
  };
  const tokened = sampleRoute(`GET ${API}/tokened`, { authorizer: jwt });

  for (const [why, headers, status, challenge] of [
    ["nothing", {}, 401, "Bearer"],
    ["another scheme", { authorization: "Basic SUQuU0VDUkVU" }, 401, "Bearer"],
    ["a wrong key", { authorization: "Bearer ID.WRONG" }, 401, 'Bearer error="invalid_token"'],
    ["a key for others", { "x-api-key": "ID.OTHER" }, 403, 'Bearer error="insufficient_scope"'],
    ["two keys", { "x-api-key": ["ID.SECRET", "ID.SECRET"] }, 400, undefined],
  ] as const) {
    it(`refuses ${why}`, async () => {
      await using gateway = await startRouted([keyed], {}, guards);
      const { status: got, headers: answered } = await call(gateway.port, "/keyed", {
        host: API,
        headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value].flat()])),
      });
      assert.deepEqual([got, answered["www-authenticate"], gateway.called()], [status, challenge, []]);
    });
  }

  it("takes a key either way, tells the function whose it is, and hides the key", async () => {
    await using gateway = await startRouted([keyed], {}, guards);
    for (const headers of [
      { authorization: "Bearer ID.SECRET" },
      { "X-Api-Key": "ID.SECRET", authorization: "Basic for-the-function" },
    ]) {
      assert.equal((await gateway.ask("/keyed", { headers })).status, 200);
      const { headers: seen, requestContext } = gateway.lastEvent();
      assert.equal(Object(requestContext).authorizer.iam.accessKey, "LK1");
      assert.ok(!JSON.stringify(seen).includes("SECRET"));
    }
    assert.equal(Object(gateway.lastEvent().headers).authorization, "Basic for-the-function");
    assert.equal(asked.at(-1), "ID.SECRET greet");
  });

  it("takes a token, and tells the function its claims", async () => {
    await using gateway = await startRouted([tokened], {}, guards);
    assert.equal((await gateway.ask("/tokened", { headers: { authorization: "Bearer good" } })).status, 200);
    const { headers, requestContext } = gateway.lastEvent();
    assert.equal(Object(headers).authorization, "Bearer good");
    assert.deepEqual(Object(requestContext).authorizer, {
      jwt: { claims: { sub: "ann" }, scopes: ["read"] },
    });
    assert.equal((await gateway.ask("/tokened", { headers: { authorization: "Bearer bad" } })).status, 401);
    assert.equal((await gateway.ask("/tokened")).status, 401);
  });

  it("is asked however the path is written", async () => {
    await using gateway = await startRouted([sampleRoute(`ANY ${API}/{proxy+}`), keyed], {}, guards);
    for (const path of ["/keyed", "/keyed/", "/%6beyed", "/key%65d/"]) {
      assert.equal((await gateway.ask(path)).status, 401, path);
    }
  });

  it("is asked before an answer without a function, too", async () => {
    const action = { kind: "response", status: 200, headers: [], body: "secret" } as const;
    await using gateway = await startRouted([{ ...keyed, action }], {}, guards);
    assert.equal((await gateway.ask("/keyed")).status, 401);
    assert.equal((await gateway.ask("/keyed", { headers: { "x-api-key": "ID.SECRET" } })).text, "secret");
  });
});

describe("how often a route may be called", () => {
  it("answers 429 with the time to wait, and lets others go on", async () => {
    const limited = sampleRoute(`GET ${API}/limited`, { limit: { perSecond: 0.1, burst: 2, per: "route" } });
    await using gateway = await startRouted([limited, stock]);
    const statuses = [];
    for (let i = 0; i < 3; i++) statuses.push((await gateway.ask("/limited")).status);
    assert.deepEqual(statuses, [200, 200, 429]);
    const { headers } = await call(gateway.port, "/limited", { host: API });
    const waitS = Number(headers["retry-after"]);
    assert.ok(waitS >= 1 && waitS <= 10, `${waitS}`);
    assert.equal((await gateway.ask("/stock/1")).status, 200);
  });

  it("does not count those who may not call", async () => {
    const guarded = sampleRoute(`GET ${API}/g`, {
      authorizer: { kind: "key" },
      limit: { perSecond: 0.1, burst: 1, per: "route" },
    });
    const caller = { accessKey: "K", accountId: ACCOUNT, userArn: "arn", userId: "K" };
    const authorizeKey: GatewayRoutes["authorizeKey"] = async (token) => {
      if (token === "good") return caller;
      throw new PlatformError("Unauthenticated", "no");
    };
    await using gateway = await startRouted([guarded], {}, { authorizeKey });
    const ask = async (key: string) => (await gateway.ask("/g", { headers: { "x-api-key": key } })).status;
    assert.deepEqual(
      [await ask("bad"), await ask("bad"), await ask("good"), await ask("good")],
      [401, 401, 200, 429],
    );
  });
});

describe("requests from other origins", () => {
  const cors = {
    origins: ["https://app.example.org"],
    methods: ["*"],
    headers: ["*"],
    exposed: ["x-total"],
    allowsCredentials: true,
    maxAgeS: 60,
  };
  const open = sampleRoute(`POST ${API}/c`, { cors, authorizer: { kind: "key" } });
  const preflight = (origin: string, method = "POST") => ({
    host: API,
    method: "OPTIONS",
    headers: { origin, "access-control-request-method": method, "access-control-request-headers": "x-a" },
  });

  it("are asked for without the function and without a key", async () => {
    await using gateway = await startRouted([open, sampleRoute(`ANY ${API}/{proxy+}`)]);
    const { status, headers, text } = await call(gateway.port, "/c", preflight("https://app.example.org"));
    const told = Object.entries(headers).filter(([name]) => /^access-control|^vary/.test(name));
    assert.deepEqual(
      [status, text, Object.fromEntries(told)],
      [
        204,
        "",
        {
          "access-control-allow-origin": "https://app.example.org",
          vary: "Origin",
          "access-control-allow-credentials": "true",
          "access-control-expose-headers": "x-total",
          "access-control-allow-methods": "POST",
          "access-control-allow-headers": "x-a",
          "access-control-max-age": "60",
        },
      ],
    );
    assert.deepEqual(gateway.called(), []);
  });

  it("are told nothing where the origin is another", async () => {
    await using gateway = await startRouted([open]);
    const { status, headers } = await call(gateway.port, "/c", preflight("https://evil.example.org"));
    assert.deepEqual([status, headers["access-control-allow-origin"]], [204, undefined]);
  });

  it("go to the function where the route of the real request has no rules", async () => {
    await using gateway = await startRouted([open, sampleRoute(`ANY ${API}/{proxy+}`)]);
    await call(gateway.port, "/c", preflight("https://app.example.org", "PUT"));
    await call(gateway.port, "/d", preflight("https://app.example.org"));
    assert.deepEqual(gateway.called(), ["greet /c", "greet /d"]);
  });

  it("may read why they were refused, and get the route's rules in place of the function's", async () => {
    const plain = sampleRoute(`GET ${API}/p`, { cors });
    const own = JSON.stringify({
      statusCode: 200,
      headers: { "access-control-allow-origin": "*", "x-total": "1" },
    });
    await using gateway = await startRouted([open, plain], { run: () => returned(own) });
    const headers = { origin: "https://app.example.org" };
    const refused = await call(gateway.port, "/c", { host: API, method: "POST", headers });
    assert.deepEqual(
      [refused.status, refused.headers["access-control-allow-origin"]],
      [401, "https://app.example.org"],
    );
    const answered = await call(gateway.port, "/p", { host: API, headers });
    assert.deepEqual(
      [answered.headers["access-control-allow-origin"], answered.headers["x-total"]],
      ["https://app.example.org", "1"],
    );
  });
});

describe("upgrades over routes", () => {
  const ws = sampleRoute(`GET ${API}/ws/{room}`, { action: sampleAction("server", { stripPrefix: "/ws" }) });
  const guarded = { ...ws, authorizer: { kind: "key" } } as const;
  const upgrade = (path: string) =>
    `GET ${path} HTTP/1.1\r\nHost: ${API}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;

  it("reach a server, with the path as the route has it", async () => {
    const paths: string[] = [];
    await using gateway = await startRouted([ws], {
      async tunnel({ request, client }) {
        paths.push(request.path);
        client.end("HTTP/1.1 101 Switching Protocols\r\n\r\n");
      },
    });
    const answer = await exchangeRaw(gateway.port, upgrade("/ws/one?x=1"));
    assert.deepEqual([statusOf(answer), paths], [101, ["/one?x=1"]]);
  });

  for (const [why, route, path, status] of [
    ["a route that asks for a key", guarded, "/ws/one", 401],
    ["a path that has none", ws, "/none", 404],
    ["a path that could be read in two ways", ws, "/ws/../one", 400],
    ["a handler", stock, "/stock/1", 400],
    ["another method", { ...ws, method: "POST" } as const, "/ws/one", 405],
  ] as const) {
    it(`are refused on ${why}`, async () => {
      await using gateway = await startRouted([route]);
      assert.equal(statusOf(await exchangeRaw(gateway.port, upgrade(path))), status);
    });
  }
});

describe("what a route makes of a request", () => {
  it("is payload format 1.0, both ways", async () => {
    const action = sampleAction("stock", { payload: "1.0" });
    const answers = ['{"statusCode":201,"body":"ok"}', '{"message":"no status"}'];
    await using gateway = await startRouted([{ ...stock, action }], {
      run: () => returned(answers.shift() ?? ""),
    });
    assert.deepEqual(await gateway.ask("/stock/A%20B").then(({ status, text }) => [status, text]), [
      201,
      "ok",
    ]);
    const { version, resource, path, pathParameters } = gateway.lastEvent();
    assert.deepEqual(
      [version, resource, path, pathParameters],
      ["1.0", "/stock/{symbol}", "/stock/A%20B", { symbol: "A B" }],
    );
    const { status, text } = await gateway.ask("/stock/A");
    assert.deepEqual([status, JSON.parse(text).error.code], [502, "InvalidFunctionResponse"]);
  });

  const event = {
    symbol: "${request.path.symbol}",
    query: "${request.query.a}",
    header: "${request.header.x-a}",
    hidden: "${request.header.x-forwarded-for}",
    first: "${request.body.list.0}",
    whole: "${request.body}",
    where:
      "${request.method} ${request.rawPath}?${request.rawQuery} on ${context.host} by ${context.routeKey}",
    ip: "${context.sourceIp}",
    own: "${request.body.constructor}",
  };
  const mapped = (functionName: string) =>
    sampleRoute(`POST ${API}/stock/{symbol}`, { action: sampleAction(functionName, { event }) });
  const facts = {
    method: "POST",
    body: JSON.stringify({ list: [{ deep: true }] }),
    headers: { "content-type": "application/json; charset=utf-8", "x-a": "b", "x-forwarded-for": "evil" },
  };
  const expected = {
    symbol: "A B",
    query: "1,2",
    header: "b",
    hidden: null,
    first: { deep: true },
    whole: { list: [{ deep: true }] },
    where: "POST /stock/A%20B?a=1&a=2 on api.localhost by POST /stock/{symbol}",
    ip: "127.0.0.1",
    own: null,
  };

  it("is an event by its template, and the result is the answer", async () => {
    await using gateway = await startRouted([mapped("stock")], { run: () => returned('{"price":3}') });
    const { status, text } = await gateway.ask("/stock/A%20B?a=1&a=2", facts);
    assert.deepEqual([status, text, gateway.lastEvent()], [200, '{"price":3}', expected]);
  });

  it("is that event for a server, too, as a raw invoke gives it", async () => {
    await using gateway = await startRouted([mapped("server")]);
    await gateway.ask("/stock/A%20B?a=1&a=2", facts);
    const input = gateway.invocations.calls[0]?.request.input;
    assert.ok(input?.kind === "request" && input.body instanceof Uint8Array);
    assert.deepEqual(
      [input.method, input.path, JSON.parse(Buffer.from(input.body).toString())],
      ["POST", "/", expected],
    );
  });

  it("is refused where the body is not the JSON that it says", async () => {
    await using gateway = await startRouted([mapped("stock")]);
    const { status, text } = await gateway.ask("/stock/A", { ...facts, body: "{" });
    assert.deepEqual([status, JSON.parse(text).error.code, gateway.called()], [400, "InvalidPayload", []]);
  });
});
