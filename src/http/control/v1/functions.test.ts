import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { makeFunction, named, startControl, type TestControl } from "../control.fake.ts";

let control: TestControl;
before(async () => {
  control = await startControl();
});
after(() => control[Symbol.asyncDispose]());

async function call(method: string, path: string, body?: unknown) {
  const { status, json } = await control.send({
    method,
    path: `/v1/functions${path}`,
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status, json: Object(json) };
}

async function change(name: string, body: unknown): Promise<number> {
  const { status, json } = await call("PATCH", `/${name}`, body);
  assert.equal(status, 200, JSON.stringify(json));
  return json.version;
}

describe("functions", () => {
  it("are shown with all that the page on the API promises", async () => {
    await makeFunction(control, "shown");
    const { json } = await call("GET", "/shown");
    const { latest, createdAt, ...rest } = json;
    assert.deepEqual(rest, {
      name: "shown",
      url: "http://shown.localhost:8080",
      versions: 0,
      aliases: [],
      tags: {},
      instances: { idle: 1, busy: 0, starting: 0 },
    });
    assert.equal(typeof createdAt, "number");
    assert.deepEqual(Object.keys(latest), ["revisionId", "modifiedAt", "code", "config"]);
    assert.deepEqual(Object.keys(latest.code), ["archiveSha256", "archiveBytes", "treeBytes"]);
    assert.equal(latest.config.runtime, "nodejs24.x");
  });

  it("are listed in pages", async () => {
    await using own = await startControl();
    for (const name of ["a", "b", "c"]) await makeFunction(own, name);
    const list = async (query: string) => Object((await own.send({ path: `/v1/functions${query}` })).json);
    const names = (page: { functions: { name: string }[] }) => page.functions.map(({ name }) => name);
    const first = await list("?limit=2");
    const second = await list(`?limit=2&after=${first.next}`);
    assert.deepEqual([names(first), names(second), second.next], [["a", "b"], ["c"], undefined]);
    assert.deepEqual(names(await list("?limit=3")), ["a", "b", "c"]);
    assert.equal((await own.send({ path: "/v1/functions?limit=0" })).status, 400);
    assert.equal((await own.send({ path: "/v1/functions?limit=x" })).status, 400);
  });

  it("change by settings as a new version with the same code", async () => {
    await makeFunction(control, "set");
    assert.equal(await change("set", { memoryMib: 256, environment: { set: { AA: "1", BB: "2" } } }), 1);
    assert.equal(
      await change("set", { environment: { set: { CC: "3" }, unset: ["AA"] }, concurrencyMax: 2 }),
      2,
    );
    assert.equal(await change("set", { handler: "other.run", description: "new", concurrencyMax: null }), 3);
    const { latest, liveVersion, concurrencyMax } = await control.functions.get(named("set"));
    const { memoryMib, environment, entry, description } = latest.config;
    assert.deepEqual(
      { memoryMib, environment, entry, description, liveVersion, concurrencyMax },
      {
        memoryMib: 256,
        environment: { BB: "2", CC: "3" },
        entry: { kind: "handler", handler: "other.run" },
        description: "new",
        liveVersion: 3,
        concurrencyMax: undefined,
      },
    );
  });

  it("change their kind only with what the new kind runs", async () => {
    await makeFunction(control, "kind");
    for (const body of [{ kind: "server" }, { command: ["./run"] }, { kind: "filter", handler: "x.y" }]) {
      const { status, json } = await call("PATCH", "/kind", body);
      assert.deepEqual([status, json.error.code], [400, "InvalidHandler"], JSON.stringify(body));
    }
    await change("kind", { kind: "server", command: ["./run", "-v"] });
    const { entry, slotsPerInstance } = (await control.functions.get(named("kind"))).latest.config;
    assert.deepEqual([entry, slotsPerInstance], [{ kind: "server", command: ["./run", "-v"] }, 10]);
  });

  it("refuse a change with a mistake in it, whole", async () => {
    await makeFunction(control, "whole");
    const before = await control.functions.get(named("whole"));
    for (const body of [
      { timeoutMs: 0 },
      { timeoutMs: 900_001 },
      { unknown: 1 },
      { environment: { AA: "1" } },
      { environment: { set: { AWS_REGION: "x" } } },
      { runtime: "java21" },
      { memoryMib: "128" },
      [],
    ]) {
      assert.equal((await call("PATCH", "/whole", body)).status, 400, JSON.stringify(body));
    }
    assert.deepEqual(await control.functions.get(named("whole")), before);
  });

  it("go with all that is theirs", async () => {
    await makeFunction(control, "gone");
    assert.equal((await call("DELETE", "/gone")).status, 204);
    assert.deepEqual(control.forgotten, ["gone"]);
    const { status, json } = await call("GET", "/gone");
    assert.deepEqual([status, json.error.code], [404, "FunctionNotFound"]);
  });
});

describe("versions", () => {
  it("tell what changed, which is live and which alias points where", async () => {
    await makeFunction(control, "ver");
    await change("ver", { memoryMib: 256 });
    await change("ver", { memoryMib: 512, timeoutMs: 5_000 });
    await change("ver", { environment: { set: { AA: "1" } } });
    await call("PUT", "/ver/aliases/prod", { version: 2 });
    const { json } = await call("GET", "/ver/versions");
    assert.deepEqual(
      json.versions.map((version: Record<string, unknown>) => [
        version.number,
        version.isLive,
        version.aliases,
        version.changed,
      ]),
      [
        [1, false, [], []],
        [2, false, ["prod"], ["memoryMib", "timeoutMs"]],
        [3, true, [], ["environment"]],
      ],
    );
    const page = (await call("GET", "/ver/versions?after=1&limit=1")).json;
    assert.deepEqual(
      [page.versions[0].number, page.versions[0].changed, page.next],
      [2, ["memoryMib", "timeoutMs"], 2],
    );
  });

  it("roll back to the one before, or to any", async () => {
    await makeFunction(control, "roll");
    for (const memoryMib of [128, 256, 512]) await change("roll", { memoryMib });
    const back = await call("POST", "/roll/rollback", {});
    assert.deepEqual([back.json.from, back.json.to, back.json.function.liveVersion], [3, 2, 2]);
    assert.equal(back.json.function.latest.config.memoryMib, 256);
    assert.equal((await call("POST", "/roll/rollback", { to: 3 })).json.to, 3);
    const missing = await call("POST", "/roll/rollback", { to: 99 });
    assert.deepEqual([missing.status, missing.json.error.code], [404, "VersionNotFound"]);
    assert.equal((await call("POST", "/roll/rollback", { to: "3" })).status, 400);
    assert.equal((await call("POST", "/roll/rollback")).json.to, 2);
  });

  it("are removed unless an alias points at them", async () => {
    await makeFunction(control, "rem");
    for (const memoryMib of [128, 256, 512]) await change("rem", { memoryMib });
    await call("PUT", "/rem/aliases/prod", { version: "2" });
    assert.equal((await call("DELETE", "/rem/versions/1")).status, 204);
    assert.equal((await call("DELETE", "/rem/versions/2")).status, 409);
    assert.equal((await call("DELETE", "/rem/versions/3")).status, 204);
    assert.equal((await call("GET", "/rem")).json.liveVersion, undefined);
    for (const number of ["0", "01", "-1", "$LATEST", "x"]) {
      assert.equal((await call("DELETE", `/rem/versions/${number}`)).status, 400, number);
    }
  });
});

describe("aliases", () => {
  it("are put, listed and removed", async () => {
    await makeFunction(control, "al");
    for (const memoryMib of [128, 256]) await change("al", { memoryMib });
    const put = await call("PUT", "/al/aliases/prod", {
      version: 1,
      description: "live",
      split: { version: 2, weight: 0.25 },
    });
    const { revisionId, ...alias } = put.json;
    assert.equal(typeof revisionId, "string");
    assert.deepEqual(alias, {
      name: "prod",
      version: "1",
      description: "live",
      split: { version: "2", weight: 0.25 },
    });

    const moved = await call("PUT", "/al/aliases/prod", { version: "2" });
    assert.deepEqual(
      [moved.json.version, moved.json.description, moved.json.split],
      ["2", "live", undefined],
    );
    await call("PUT", "/al/aliases/beta", { version: "$LATEST" });
    const { json } = await call("GET", "/al/aliases");
    assert.deepEqual(
      json.aliases.map(({ name }: { name: string }) => name),
      ["beta", "prod"],
    );
    assert.equal((await call("DELETE", "/al/aliases/beta")).status, 204);
    assert.equal((await call("DELETE", "/al/aliases/beta")).status, 204);
  });

  it("refuse what they cannot be", async () => {
    await makeFunction(control, "bad");
    await change("bad", { memoryMib: 256 });
    for (const [alias, body] of [
      ["123", { version: 1 }],
      ["a.b", { version: 1 }],
      ["a", {}],
      ["a", { version: 0 }],
      ["a", { version: "x" }],
      ["a", { version: 9 }],
      ["a", { version: 1, split: { version: 1, weight: 0.5 } }],
      ["a", { version: 1, split: { version: 2, weight: 2 } }],
      ["a", { version: 1, weights: {} }],
    ] as const) {
      const { status } = await call("PUT", `/bad/aliases/${alias}`, body);
      assert.ok(status === 400 || status === 404, `${alias} ${JSON.stringify(body)}: ${status}`);
    }
    assert.deepEqual((await call("GET", "/bad/aliases")).json.aliases, []);
  });
});
