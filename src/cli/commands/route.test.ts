import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type FakeControl, startFakeControl } from "../control-server.fake.ts";
import { type LambdaProcess, openLambda } from "../lambda-process.fake.ts";

const ID = "rt_000000000001";

function route(change: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    id: ID,
    route: "GET /stock/{symbol}",
    host: "api.localhost",
    url: "http://api.localhost:8080/stock/{symbol}",
    function: "stock",
    async: false,
    stageVariables: {},
    auth: { type: "none" },
    description: "",
    ...change,
  };
}

interface Session extends AsyncDisposable {
  readonly server: FakeControl;
  run(...args: string[]): ReturnType<LambdaProcess["run"]>;
  readonly lambda: LambdaProcess;
  lastBody(): unknown;
}

async function open(): Promise<Session> {
  const server = await startFakeControl();
  const lambda = await openLambda(server.url);
  return {
    server,
    lambda,
    run: (...args) => lambda.run(["route", ...args]),
    lastBody: () => JSON.parse(String(server.requests.at(-1)?.body)),
    async [Symbol.asyncDispose]() {
      await lambda[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

describe("lambda route", () => {
  it("adds a route and tells its address", async () => {
    await using session = await open();
    session.server.on("POST /v1/routes", { status: 201, json: route() });
    const ran = await session.run(
      "add",
      "GET /stock/{symbol}",
      "--function",
      "stock",
      "--host",
      "api.localhost",
    );
    assert.deepEqual(ran, {
      exitCode: 0,
      stdout: `http://api.localhost:8080/stock/{symbol} leads to stock (${ID})\n`,
      stderr: "",
    });
    assert.deepEqual(session.lastBody(), {
      route: "GET /stock/{symbol}",
      host: "api.localhost",
      function: "stock",
      qualifier: null,
    });
  });

  it("sends every setting", async () => {
    await using session = await open();
    session.server.on("POST /v1/routes", { status: 201, json: route({ qualifier: "prod", async: true }) });
    const { exitCode } = await session.run(
      ...["add", "ANY /a/{proxy+}", "--function", "stock:prod", "--async", "--strip-prefix", "/a"],
      ...["--stage-variable", "A=1=2", "--stage-variable", "B=", "--description", "why"],
    );
    assert.equal(exitCode, 0);
    assert.deepEqual(session.lastBody(), {
      route: "ANY /a/{proxy+}",
      function: "stock",
      qualifier: "prod",
      async: true,
      stripPrefix: "/a",
      stageVariables: { A: "1=2", B: "" },
      description: "why",
    });
  });

  it("adds an answer without a function", async () => {
    await using session = await open();
    const response = { status: 301, headers: { Location: "/x" }, body: "moved" };
    session.server.on("POST /v1/routes", {
      status: 201,
      json: { ...route({ function: undefined, async: undefined, stageVariables: undefined }), response },
    });
    await writeFile(join(session.lambda.dir, "b.txt"), "moved");
    const ran = await session.run(
      "add",
      "GET /o",
      "--respond",
      "301",
      "--header",
      "Location: /x",
      "--body",
      "@b.txt",
    );
    assert.match(ran.stdout, /responds 301 \(rt_/);
    assert.deepEqual(session.lastBody(), { route: "GET /o", response });
  });

  it("lists routes in reading order, all pages of them", async () => {
    await using session = await open();
    session.server.on("GET /v1/routes", {
      respond(response, { query }) {
        const any = route({
          id: "rt_000000000002",
          host: undefined,
          route: "ANY /{proxy+}",
          qualifier: "prod",
        });
        const json = query.after === undefined ? { routes: [any], next: any.id } : { routes: [route()] };
        response.end(JSON.stringify(json));
      },
    });
    const { stdout } = await session.run("list");
    assert.deepEqual(
      stdout.split("\n").map((line) => line.split(/ {3,}/)),
      [
        ["ROUTE", "HOST", "LEADS TO", "RULES", "ID"],
        ["GET /stock/{symbol}", "api.localhost", "stock", "-", ID],
        ["ANY /{proxy+}", "any", "stock:prod", "-", "rt_000000000002"],
        [""],
      ],
    );
  });

  it("finds a route as it was added, and asks which if there are several", async () => {
    await using session = await open();
    session.server.on("GET /v1/routes", {
      respond(response, { query }) {
        const all = [route(), route({ id: "rt_000000000002", host: "b.localhost" })];
        const routes = all.filter(({ host }) => query.host === undefined || host === query.host);
        response.end(JSON.stringify({ routes }));
      },
    });
    session.server.on("GET /v1/routes/rt_000000000002", { json: route({ host: "b.localhost" }) });
    session.server.on(`DELETE /v1/routes/${ID}`, { status: 204, text: "" });
    const several = await session.run("show", "GET /stock/{symbol}");
    assert.deepEqual([several.exitCode, several.stderr.includes("api.localhost, b.localhost")], [2, true]);
    assert.match(
      (await session.run("show", "get  /stock/{symbol}", "--host", "b.localhost")).stdout,
      /b\.localhost/,
    );
    const none = await session.run("remove", "GET /none");
    assert.deepEqual([none.exitCode, /there is no route "GET \/none"/.test(none.stderr)], [3, true]);
    assert.equal((await session.run("remove", ID)).stderr, `removed route ${ID}\n`);
  });

  it("updates what is given, and takes away what is not wanted any more", async () => {
    await using session = await open();
    session.server.on(`PATCH /v1/routes/${ID}`, { json: route() });
    await session.run(
      "update",
      ID,
      "--function",
      "stock",
      "--no-async",
      "--no-strip-prefix",
      "--to-host",
      "b",
    );
    assert.deepEqual(session.lastBody(), {
      host: "b",
      function: "stock",
      qualifier: null,
      async: false,
      stripPrefix: null,
    });
    await session.run("update", ID, "--any-host", "--route", "PUT /x");
    assert.deepEqual(session.lastBody(), { route: "PUT /x", host: null });
  });

  it("tests a request: what it reaches, and why not others", async () => {
    await using session = await open();
    const reached = {
      reaches: "route",
      route: route(),
      parameters: { symbol: "AMZN" },
      function: "stock",
      version: "7",
      path: "/stock/AMZN",
      others: [{ route: route({ route: "POST /stock/{symbol}" }), why: "it is for POST, not GET" }],
    };
    session.server.on("POST /v1/routes/test", { json: reached });
    const { exitCode, stdout } = await session.run("test", "get", "api.localhost/stock/AMZN");
    assert.deepEqual(session.lastBody(), { method: "GET", url: "http://api.localhost/stock/AMZN" });
    assert.equal(exitCode, 0);
    assert.match(stdout, /\{symbol\}: +AMZN\n/);
    assert.match(stdout, /POST \/stock\/\{symbol\} +api\.localhost +it is for POST, not GET\n/);
    const nothing = { reaches: "nothing", status: 404, reason: "no route", others: [] };
    session.server.on("POST /v1/routes/test", { json: nothing });
    assert.equal((await session.run("test", "GET", "http://a/")).exitCode, 1);
  });

  for (const [args, message] of [
    [["add"], /route/],
    [["add", "GET /x", "--function", "_x"], /function name/],
    [["add", "GET /x", "--function", "x:"], /after the colon/],
    [["add", "GET /x", "--body", "x"], /--body: only with --respond/],
    [["add", "GET /x", "--respond", "ok"], /--respond: expected a whole number/],
    [["add", "GET /x", "--respond", "200", "--header", "x"], /--header: expected "Name: value"/],
    [["add", "GET /x", "--function", "x", "--stage-variable", "x"], /--stage-variable: expected NAME=VALUE/],
    [["update", ID], /nothing to change/],
    [["update", ID, "--any-host", "--to-host", "x"], /expected one of them/],
  ] as const) {
    it(`refuses ${args.join(" ")}`, async () => {
      await using session = await open();
      const ran = await session.run(...args);
      assert.equal(ran.exitCode, 2);
      assert.match(ran.stderr, message);
    });
  }
});
