// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references look like that
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { parseHost } from "../../../core/host-meaning.ts";
import { makeFunction, named, startControl, type TestControl } from "../control.fake.ts";

let control: TestControl;
before(async () => {
  control = await startControl();
  for (const name of ["stock", "other", "shop-a", "shop-b"]) await makeFunction(control, name);
});
after(() => control[Symbol.asyncDispose]());

async function ask(method: string, path: string, body?: unknown, token?: string) {
  const answer = await control.send({
    method,
    path: `/v1/routes${path}`,
    ...(body !== undefined && {
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
    }),
    ...(token !== undefined && { token }),
  });
  return { status: answer.status, value: Object(answer.text === "" ? {} : answer.json) };
}

let hosts = 0;
/** A host that no other test has. */
const newHost = () => `h${++hosts}.example.org`;

async function make(body: Readonly<Record<string, unknown>>): Promise<string> {
  const { status, value } = await ask("POST", "", body);
  assert.equal(status, 201, JSON.stringify(value));
  return value.id;
}

describe("routes of our own API", () => {
  it("are made, shown, changed, listed and removed", async () => {
    const host = newHost();
    const made = await ask("POST", "", {
      route: "get /stock/{symbol}",
      host: `${host.toUpperCase()}:80`,
      function: "stock",
      stageVariables: { k: "v" },
      description: "d",
    });
    const { id, createdAt, modifiedAt, ...rest } = made.value;
    assert.match(id, /^rt_[0-9a-z]{12}$/);
    assert.deepEqual(
      [made.status, rest],
      [
        201,
        {
          route: "GET /stock/{symbol}",
          host,
          url: `http://${host}:8080/stock/{symbol}`,
          function: "stock",
          payload: "2.0",
          async: false,
          stageVariables: { k: "v" },
          auth: { type: "none" },
          description: "d",
        },
      ],
    );
    assert.equal(createdAt, modifiedAt);
    assert.deepEqual((await ask("GET", `/${id}`)).value, made.value);
    assert.deepEqual((await ask("GET", `?host=${host}`)).value.routes, [made.value]);
    assert.deepEqual((await ask("GET", `?host=${host}&function=other`)).value.routes, []);
    const changed = (await ask("PATCH", `/${id}`, { function: "other", async: true })).value;
    assert.deepEqual(
      [changed.function, changed.async, changed.route, changed.stageVariables, changed.createdAt],
      ["other", true, "GET /stock/{symbol}", { k: "v" }, createdAt],
    );
    const moved = (await ask("PATCH", `/${id}`, { route: "ANY /x", host: `b.${host}`, description: "" }))
      .value;
    assert.deepEqual([moved.route, moved.host, moved.description], ["ANY /x", `b.${host}`, ""]);
    assert.equal((await ask("DELETE", `/${id}`)).status, 204);
    assert.equal((await ask("GET", `/${id}`)).status, 404);
  });

  it("may make an event of a request, and stop doing so", async () => {
    const event = { symbol: "${request.path.symbol}", n: [1] };
    const id = await make({ route: "GET /stock/{symbol}", host: newHost(), function: "stock", event });
    assert.deepEqual((await ask("GET", `/${id}`)).value.event, event);
    assert.deepEqual((await ask("PATCH", `/${id}`, { description: "x" })).value.event, event);
    const plain = (await ask("PATCH", `/${id}`, { event: null, payload: "1.0" })).value;
    assert.deepEqual([plain.event, plain.payload], [undefined, "1.0"]);
  });

  it("may answer by themselves, and turn into the other kind", async () => {
    const response = { status: 301, headers: { Location: "/new" }, body: "moved" };
    const id = await make({ route: "GET /old", host: newHost(), response });
    const told = { ...response, headers: { Location: "/new", "content-type": "text/plain; charset=utf-8" } };
    assert.deepEqual((await ask("GET", `/${id}`)).value.response, told);
    const called = (await ask("PATCH", `/${id}`, { function: "stock" })).value;
    assert.deepEqual([called.function, called.response], ["stock", undefined]);
    const back = (await ask("PATCH", `/${id}`, { response: {} })).value;
    assert.deepEqual([back.function, back.response], [undefined, { status: 200, headers: {}, body: "" }]);
    const same = (await ask("PATCH", `/${id}`, { description: "x" })).value;
    assert.deepEqual(same.response, back.response);
  });

  it("are told in pages", async () => {
    const host = newHost();
    const ids = [];
    for (const path of ["/a", "/b", "/c"])
      ids.push(await make({ route: `GET ${path}`, host, function: "stock" }));
    ids.sort();
    const first = (await ask("GET", `?host=${host}&limit=2`)).value;
    assert.deepEqual(
      [first.routes.map(({ id }: { id: string }) => id), first.next],
      [ids.slice(0, 2), ids[1]],
    );
    const second = (await ask("GET", `?host=${host}&limit=2&after=${first.next}`)).value;
    assert.deepEqual(
      [second.routes.map(({ id }: { id: string }) => id), second.next],
      [ids.slice(2), undefined],
    );
  });

  it("conflict where no request tells them apart, and both are named", async () => {
    const host = newHost();
    const first = await make({ route: "GET /stock/{symbol}", host, function: "stock" });
    const { status, value } = await ask("POST", "", { route: "GET /stock/{id}", host, function: "other" });
    assert.equal(status, 409);
    assert.match(
      value.error.message,
      new RegExp(`GET /stock/{id} on ${host} conflicts with route ${first}, GET /stock/{symbol} on ${host}`),
    );
    const other = await make({ route: "POST /stock/{id}", host, function: "other" });
    assert.equal((await ask("PATCH", `/${other}`, { route: "GET /stock/{x}" })).status, 409);
    assert.equal((await ask("PATCH", `/${first}`, { route: "GET /stock/{x}" })).status, 200);
  });

  it("go with their function before its removal is answered, and do not come back with its name", async () => {
    await makeFunction(control, "gone");
    const host = newHost();
    const id = await make({ route: "GET /x", host, function: "gone" });
    await control.functions.remove(named("gone"));
    assert.equal((await ask("GET", `/${id}`)).status, 404);
    await makeFunction(control, "gone");
    assert.equal((await ask("GET", `/${id}`)).status, 404);
    await make({ route: "GET /x", host, function: "gone" });
  });

  it("are either there with their function or refused, whatever comes first", async () => {
    for (let round = 0; round < 20; round++) {
      await makeFunction(control, "racing");
      const making = ask("POST", "", { route: `GET /r${round}`, host: newHost(), function: "racing" });
      const [made] = await Promise.all([making, control.functions.remove(named("racing"))]);
      assert.ok(made.status === 201 || made.status === 404, `${made.status}`);
      const left = (await ask("GET", "")).value.routes as readonly { readonly function: string }[];
      assert.deepEqual(
        left.filter((route) => route.function === "racing"),
        [],
      );
      assert.equal((await ask("GET", "?function=racing")).status, 404);
    }
  });

  for (const [host, status, message] of [
    ["stock.localhost", 409, /host of function stock/],
    ["prod--stock.localhost", 409, /host of a version of function stock/],
    ["abc.lambda-url.eu-central-1.localhost", 409, /host of a function URL/],
    ["nobody.localhost", 201, /./],
    ["a.b.localhost", 201, /./],
    ["localhost", 201, /./],
    ["[::1]", 201, /./],
    ["192.0.2.1", 201, /./],
    ["a..b", 400, /expected a host name/],
    ["a b", 400, /expected a host name/],
    ["http://a", 400, /expected a host name/],
    ["a.example.", 400, /expected a host name/],
    ["a/b", 400, /expected a host name/],
    ["", 400, /expected a host name/],
    ["*.example.org", 400, /expected a host name/],
  ] as const) {
    it(`${status === 201 ? "take" : "refuse"} host ${JSON.stringify(host)}`, async () => {
      const { status: got, value } = await ask("POST", "", {
        route: "GET /host-test",
        host,
        function: "stock",
      });
      assert.equal(got, status, JSON.stringify(value));
      if (got === 201) assert.equal(value.host, parseHost(host));
      else assert.match(value.error.message, message);
    });
  }

  for (const [why, body, status, message] of [
    ["no route", { function: "stock" }, 400, /route/],
    ["no function", { route: "GET /x" }, 400, /function: expected/],
    ["an unknown function", { route: "GET /x", function: "nobody" }, 404, /nobody/],
    ["an unknown alias", { route: "GET /x", function: "stock", qualifier: "prod" }, 404, /prod/],
    ["an unknown version", { route: "GET /x", function: "stock", qualifier: "77" }, 404, /77/],
    ["a bad name", { route: "GET /x", function: "_x" }, 400, /function: expected/],
    ["a function and a response", { route: "GET /x", function: "stock", response: {} }, 400, /not both/],
    ["an unknown method", { route: "FETCH /x", function: "stock" }, 400, /expected a method \(ANY/],
    ["no path", { route: "GET", function: "stock" }, 400, /expected a method/],
    ["a path of the gateway", { route: "GET /_hooks/x", function: "stock" }, 400, /gateway's own/],
    ["a star for all that is left", { route: "GET /a/*", function: "stock" }, 400, /\{proxy\+\}/],
    ["a star in a segment", { route: "GET /a*/b", function: "stock" }, 400, /"a\*".*\{name\}/],
    ["a path that ends in a slash", { route: "GET /x/", function: "stock" }, 400, /slash at its end/],
    [
      "a prefix that is none",
      { route: "GET /x/y", function: "stock", stripPrefix: "/y" },
      400,
      /stripPrefix: expected/,
    ],
    [
      "a prefix with a parameter",
      { route: "GET /{x}/y", function: "stock", stripPrefix: "/{x}" },
      400,
      /stripPrefix: expected/,
    ],
    [
      "an empty prefix",
      { route: "GET /x", function: "stock", stripPrefix: "/" },
      400,
      /stripPrefix: expected/,
    ],
    ["an unknown payload format", { route: "GET /x", function: "stock", payload: "3.0" }, 400, /payload/],
    [
      "a template of nothing",
      { route: "GET /x", function: "stock", event: "${x}" },
      400,
      /event: \$\{x\}: expected one of/,
    ],
    [
      "a template and a format",
      { route: "GET /x", function: "stock", event: {}, payload: "1.0" },
      400,
      /payload does nothing/,
    ],
    ["an unknown member", { route: "GET /x", function: "stock", methods: ["GET"] }, 400, /methods/],
    ["a status that is none", { route: "GET /x", response: { status: 100 } }, 400, /status/],
    ["a header that splits", { route: "GET /x", response: { headers: { a: "b\r\nc: d" } } }, 400, /header/],
    [
      "a header with a space",
      { route: "GET /x", response: { headers: { "a b": "c" } } },
      400,
      /a b: expected a header name/,
    ],
    [
      "a header of the gateway",
      { route: "GET /x", response: { headers: { "Content-Length": "1" } } },
      400,
      /content-length is set by the gateway/,
    ],
    ["a huge body", { route: "GET /x", response: { body: "x".repeat(300_000) } }, 400, /at most/],
    [
      "a variable's name",
      { route: "GET /x", function: "stock", stageVariables: { "a b": "" } },
      400,
      /stageV/,
    ],
  ] as const) {
    it(`are refused with ${why}`, async () => {
      const { status: got, value } = await ask("POST", "", { host: newHost(), ...body });
      assert.equal(got, status, JSON.stringify(value));
      assert.match(value.error.message, message);
    });
  }

  for (const [method, path] of [
    ["GET", "/rt_000000000000"],
    ["PATCH", "/rt_000000000000"],
    ["DELETE", "/rt_000000000000"],
    ["GET", "/nothing"],
    ["DELETE", "/..%2f"],
  ] as const) {
    it(`are not found by ${method} ${path}`, async () => {
      assert.equal((await ask(method, path, method === "PATCH" ? {} : undefined)).status, 404);
    });
  }
});

describe("rules of routes", () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const key = rsa.publicKey.export({ format: "jwk" });
  const jwt = { type: "jwt", issuer: "https://id/", audience: ["app"] };
  const SECRET = "0123456789abcdef0123456789abcdef";

  it("are told as they were given, with what was left out", async () => {
    const id = await make({
      route: "GET /x",
      host: newHost(),
      function: "stock",
      auth: { ...jwt, scopes: ["read"], jwksUrl: "https://id/jwks.json" },
      cors: { origins: ["https://app.example.org"], credentials: true, maxAgeS: 60 },
      limit: { perSecond: 2.5 },
    });
    const { auth, cors, limit } = (await ask("GET", `/${id}`)).value;
    assert.deepEqual(auth, { ...jwt, scopes: ["read"], jwksUrl: "https://id/jwks.json" });
    assert.deepEqual(cors, {
      origins: ["https://app.example.org"],
      methods: ["*"],
      headers: ["*"],
      exposed: [],
      credentials: true,
      maxAgeS: 60,
    });
    assert.deepEqual(limit, { perSecond: 2.5, burst: 3, per: "route" });
    const cleared = (await ask("PATCH", `/${id}`, { auth: { type: "none" }, cors: null, limit: null })).value;
    assert.deepEqual([cleared.auth, cleared.cors, cleared.limit], [{ type: "none" }, undefined, undefined]);
  });

  it("keep the keys of an issuer where none are given, and never tell a secret", async () => {
    const given = { route: "GET /x", host: newHost(), function: "stock", auth: { ...jwt, secret: SECRET } };
    const id = await make(given);
    const changed = await ask("PATCH", `/${id}`, { auth: { ...jwt, audience: ["other"] } });
    assert.deepEqual(changed.value.auth, { ...jwt, audience: ["other"], scopes: [], hasSecret: true });
    assert.equal((await ask("PATCH", `/${id}`, { auth: { ...jwt, issuer: "https://other/" } })).status, 400);
    const all =
      JSON.stringify(await ask("GET", "?limit=500")) + JSON.stringify(await control.store.routes.list());
    assert.ok(!all.includes(SECRET));
    assert.ok(!JSON.stringify(await ask("GET", "?limit=500")).includes("sealed"));
  });

  it("take a public key in PEM", async () => {
    const publicKey = rsa.publicKey.export({ type: "spki", format: "pem" });
    const id = await make({
      route: "GET /x",
      host: newHost(),
      function: "stock",
      auth: { ...jwt, publicKey },
    });
    assert.deepEqual((await ask("GET", `/${id}`)).value.auth.jwks, { keys: [key] });
  });

  for (const [why, rules, message] of [
    ["an unknown kind of caller", { auth: { type: "basic" } }, /auth/],
    ["tokens without keys", { auth: jwt }, /expected the keys of the issuer/],
    [
      "tokens with two kinds of keys",
      { auth: { ...jwt, secret: SECRET, jwksUrl: "https://a/" } },
      /expected one of/,
    ],
    ["tokens for nobody", { auth: { ...jwt, audience: [], secret: SECRET } }, /audience/],
    ["a short secret", { auth: { ...jwt, secret: "short" } }, /at least 32 bytes/],
    [
      "a shared secret among keys",
      { auth: { ...jwt, jwks: { keys: [{ kty: "oct", k: "AAAA" }] } } },
      /given as secret/,
    ],
    [
      "a private key among keys",
      { auth: { ...jwt, jwks: { keys: [rsa.privateKey.export({ format: "jwk" })] } } },
      /this is a private key/,
    ],
    [
      "a private key in PEM",
      { auth: { ...jwt, publicKey: rsa.privateKey.export({ type: "pkcs8", format: "pem" }) } },
      /this is a private key/,
    ],
    ["no key at all", { auth: { ...jwt, publicKey: "x" } }, /in PEM/],
    ["a key that is none", { auth: { ...jwt, jwks: { keys: [{ kty: "RSA" }] } } }, /not a public key/],
    ["keys of a file", { auth: { ...jwt, jwksUrl: "file:///etc/passwd" } }, /jwksUrl: expected/],
    ["keys with a password", { auth: { ...jwt, jwksUrl: "https://a:b@c/" } }, /jwksUrl: expected/],
    [
      "credentials for all origins",
      { cors: { origins: ["*"], credentials: true } },
      /not with the origin \*/,
    ],
    ["an origin with a path", { cors: { origins: ["https://a/b"] } }, /expected \* or origins/],
    ["an origin without a scheme", { cors: { origins: ["a.example.org"] } }, /expected \* or origins/],
    ["no origins", { cors: { origins: [] } }, /origins/],
    ["a header that is none", { cors: { origins: ["*"], headers: ["a b"] } }, /headers/],
    ["no rate", { limit: { perSecond: 0 } }, /perSecond/],
    ["a negative rate", { limit: { perSecond: -1 } }, /perSecond/],
    ["no burst", { limit: { perSecond: 1, burst: 0 } }, /burst/],
    ["a limit for whom", { limit: { perSecond: 1, per: "key" } }, /per/],
  ] as const) {
    it(`are refused with ${why}`, async () => {
      const { status, value } = await ask("POST", "", {
        route: "GET /x",
        host: newHost(),
        function: "stock",
        ...rules,
      });
      assert.equal(status, 400, JSON.stringify(value));
      assert.match(value.error.message, message);
    });
  }
});

describe("a key for some functions", () => {
  let token: string;
  before(async () => {
    token = await control.issue({ scopes: ["deploy"], functions: "shop-*" });
  });

  it("makes and changes routes of its own host, and sees no others", async () => {
    const host = newHost();
    const made = await ask("POST", "", { route: "GET /a", host, function: "shop-a" }, token);
    assert.equal(made.status, 201);
    const fixed = await ask("POST", "", { route: "GET /health", host, response: {} }, token);
    assert.equal(fixed.status, 201);
    const listed = (await ask("GET", "?limit=500", undefined, token)).value.routes;
    assert.ok(listed.length > 0);
    for (const route of listed) assert.match(route.function ?? "shop-", /^shop-/);
    assert.equal((await ask("PATCH", `/${made.value.id}`, { function: "shop-b" }, token)).status, 200);
    assert.equal((await ask("DELETE", `/${fixed.value.id}`, undefined, token)).status, 204);
  });

  it("takes no requests away from others", async () => {
    const host = newHost();
    const others = await make({ route: "ANY /{proxy+}", host, function: "other" });
    const fixed = await make({ route: "GET /health", host, response: {} });
    const mine = await make({ route: "GET /mine", host: newHost(), function: "shop-a" });
    for (const [method, path, body] of [
      ["POST", "", { route: "GET /a", host, function: "shop-a" }],
      ["POST", "", { route: "GET /a", host, response: {} }],
      ["POST", "", { route: "GET /a", function: "shop-a" }],
      ["POST", "", { route: "GET /a", host: "localhost", function: "shop-a" }],
      ["POST", "", { route: "GET /a", host: "unborn.localhost", function: "shop-a" }],
      ["POST", "", { route: "GET /a", host: newHost(), function: "other" }],
      ["GET", `/${others}`, undefined],
      ["PATCH", `/${others}`, { function: "shop-a" }],
      ["DELETE", `/${others}`, undefined],
      ["DELETE", `/${fixed}`, undefined],
      ["PATCH", `/${mine}`, { host }],
      ["PATCH", `/${mine}`, { host: null }],
      ["PATCH", `/${mine}`, { function: "other" }],
      ["POST", "/test", { method: "GET", url: `http://${host}/x` }],
    ] as const) {
      const { status, value } = await ask(method, path, body, token);
      assert.equal(status, 403, `${method} ${path} ${JSON.stringify(body)}: ${JSON.stringify(value)}`);
    }
  });

  it("needs the scope deploy to change, and read to look", async () => {
    const reader = await control.issue({ scopes: ["read"] });
    const invoker = await control.issue({ scopes: ["invoke"] });
    assert.equal((await ask("GET", "", undefined, reader)).status, 200);
    assert.equal((await ask("POST", "", { route: "GET /x", function: "stock" }, reader)).status, 403);
    assert.equal((await ask("GET", "", undefined, invoker)).status, 403);
  });
});

describe("the test of a request", () => {
  async function test(method: string, url: string) {
    const { status, value } = await ask("POST", "/test", { method, url });
    assert.equal(status, 200, JSON.stringify(value));
    return value;
  }

  it("tells route, parameters and function, and why other routes are not taken", async () => {
    const host = newHost();
    const id = await make({ route: "GET /stock/{symbol}", host, function: "stock" });
    await make({ route: "ANY /stock/{proxy+}", host, function: "other" });
    await make({ route: "POST /stock/{symbol}", host, function: "other" });
    await make({ route: "GET /health", host, response: {} });
    const told = await test("GET", `http://${host}:8080/stock/AMZN?x=1`);
    assert.deepEqual(
      [told.reaches, told.route.id, told.parameters, told.function, told.version, told.path],
      ["route", id, { symbol: "AMZN" }, "stock", "$LATEST", "/stock/AMZN"],
    );
    const why = Object.fromEntries(
      told.others
        .filter(({ route }: { route: { host?: string } }) => route.host === host)
        .map(({ route, why: reason }: { route: { route: string }; why: string }) => [route.route, reason]),
    );
    assert.deepEqual(why, {
      "GET /health": 'segment 1 is "health", not "stock"',
      "POST /stock/{symbol}": "it is for POST, not GET",
      "ANY /stock/{proxy+}": `it fits too, but GET /stock/{symbol} on ${host} has {symbol} where this has {proxy+}`,
    });
  });

  it("tells what else is reached, or why nothing is", async () => {
    const host = newHost();
    await make({ route: "GET /x/{y}", host, function: "stock" });
    for (const [method, url, reaches, status] of [
      ["GET", "http://stock.localhost/a", "function", undefined],
      ["GET", "http://localhost/stock/a", "function", undefined],
      ["GET", "http://localhost/_health", "gateway", undefined],
      ["GET", "http://abc.lambda-url.us-east-1.localhost/", "url", undefined],
      ["GET", `http://${host}/none`, "nothing", 404],
      ["GET", `http://${host}`, "nothing", 404],
      ["POST", `http://${host}/x/1`, "nothing", 405],
      ["GET", `http://${host}/x/../x/1`, "nothing", 400],
      ["GET", `http://${host}/x//1`, "nothing", 400],
      ["GET", "http://a..b/", "nothing", 400],
    ] as const) {
      const told = await test(method, url);
      assert.deepEqual([told.reaches, told.status], [reaches, status], url);
      assert.ok(told.reason, url);
    }
  });

  for (const body of [
    { method: "GET", url: "/x" },
    { method: "get", url: "http://a/" },
    { url: "http://a/" },
    {},
  ]) {
    it(`refuses ${JSON.stringify(body)}`, async () => {
      assert.equal((await ask("POST", "/test", body)).status, 400);
    });
  }
});
