import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseEventId } from "../../core/ids.ts";
import type { HttpRoute } from "../../core/route.ts";
import { sampleAction, sampleRoute } from "../../core/route-samples.fake.ts";
import { returned } from "../../invoker/invocations.fake.ts";
import { RouteTable } from "../../registry/route-table.ts";
import type { EventIntake, IncomingEvent } from "../event-intake.ts";
import {
  type CallFacts,
  call,
  startGateway,
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

async function startRouted(
  routes: readonly HttpRoute[],
  facts: TestGatewayFacts = {},
): Promise<RoutedGateway> {
  const table = new RouteTable(routes);
  const functions = { greet: {}, stock: { aliases: ["prod"] }, server: { kind: "server" } } as const;
  const gateway = await startGateway({
    functions,
    run: () => returned('{"statusCode":200,"body":"ran"}'),
    ...facts,
    routes: { table, account: ACCOUNT },
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
