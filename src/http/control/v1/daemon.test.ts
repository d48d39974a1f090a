import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { systemClock } from "../../../core/clock.ts";
import type { LogLine, LogQuery } from "../../../records/records.ts";
import { makeFunction, startControl, type TestControl } from "../control.fake.ts";
import { V1_ROUTES } from "./routes.ts";

let control: TestControl;
before(async () => {
  control = await startControl();
  await makeFunction(control, "greet");
});
after(() => control[Symbol.asyncDispose]());

function line(text: string): LogLine {
  return {
    at: 1,
    functionName: "greet",
    version: "$LATEST",
    liveVersion: 1,
    sandboxId: "sb-1",
    invocationId: undefined,
    stream: "stdout",
    text,
  };
}

describe("keys", () => {
  it("are made once with their secret, listed without it, and revoked at once", async () => {
    const made = await control.send({
      method: "POST",
      path: "/v1/keys",
      body: JSON.stringify({ scopes: ["read", "read"], functions: "greet*", description: "for a page" }),
    });
    const { key, secret, token } = Object(made.json);
    assert.equal(made.status, 201);
    assert.equal(token, `${key.id}.${secret}`);
    assert.deepEqual([key.scopes, key.functions, key.isImported], [["read"], "greet*", false]);

    const listed = await control.send({ path: "/v1/keys" });
    assert.ok(listed.text.includes(key.id) && !listed.text.includes(secret));
    assert.equal((await control.send({ path: "/v1/functions/greet", token })).status, 200);
    assert.equal((await control.send({ method: "DELETE", path: `/v1/keys/${key.id}` })).status, 204);
    assert.equal((await control.send({ path: "/v1/functions/greet", token })).status, 401);
  });

  it("are taken over with their secret", async () => {
    const pair = { id: "AKIAIOSFODNN7EXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };
    const body = JSON.stringify({ ...pair, scopes: ["read"] });
    assert.equal((await control.send({ method: "POST", path: "/v1/keys", body })).status, 201);
    const token = `${pair.id}.${pair.secret}`;
    assert.equal((await control.send({ path: "/v1/status", token })).status, 200);
    assert.equal((await control.send({ method: "POST", path: "/v1/keys", body })).status, 409);
  });

  for (const body of [
    { scopes: [] },
    { scopes: ["root"] },
    { functions: "a b" },
    { id: "AKIAIOSFODNN7EXAMPL2" },
    { secret: "x".repeat(40) },
    { id: "short", secret: "x".repeat(40) },
    { id: "AKIAIOSFODNN7EXAMPL2", secret: "short" },
    { admin: true },
    { expiresAt: "tomorrow" },
  ]) {
    it(`are not made of ${JSON.stringify(body)}`, async () => {
      const before = (await control.keys.list()).length;
      const answer = await control.send({ method: "POST", path: "/v1/keys", body: JSON.stringify(body) });
      assert.equal(answer.status, 400);
      assert.equal((await control.keys.list()).length, before);
    });
  }

  it("that are not there cannot be revoked", async () => {
    for (const id of ["LKZZZZZZZZZZZZZZZZZZ", "x"]) {
      assert.equal((await control.send({ method: "DELETE", path: `/v1/keys/${id}` })).status, 404);
    }
  });
});

describe("logs", () => {
  it("are asked for as the caller says", async () => {
    const asked: LogQuery[] = [];
    control.logs = async function* (query) {
      asked.push(query);
      yield line("one");
      yield line("two");
    };
    const id = "01234567-89ab-cdef-0123-456789abcdef";
    const query = `since=5&until=9&id=${id}&version=7&grep=a%20b&last=10`;
    const answer = await control.send({ path: `/v1/functions/greet/logs?${query}` });
    assert.equal(answer.headers["content-type"], "application/x-ndjson");
    assert.deepEqual(answer.text.split("\n"), [JSON.stringify(line("one")), JSON.stringify(line("two")), ""]);
    assert.deepEqual(asked, [
      {
        functionName: "greet",
        sinceAt: 5,
        untilAt: 9,
        invocationId: id,
        version: "7",
        contains: "a b",
        last: 10,
        follow: false,
      },
    ]);
  });

  for (const query of ["id=x", "version=prod", "since=-1", "last=x", `grep=${"x".repeat(1025)}`]) {
    it(`refuse ${query.slice(0, 20)}`, async () => {
      assert.equal((await control.send({ path: `/v1/functions/greet/logs?${query}` })).status, 400);
    });
  }

  it("are not there for a function that is not", async () => {
    assert.equal((await control.send({ path: "/v1/functions/missing/logs" })).status, 404);
  });

  it("follow with a heartbeat until the reader leaves", async () => {
    // Time passes only when the test lets a heartbeat's sleep end.
    const beats: (() => void)[] = [];
    const ended = Promise.withResolvers<void>();
    await using own = await startControl({
      clock: {
        ...systemClock,
        sleep: (_ms, { signal }) =>
          new Promise((resolve, reject) => {
            beats.push(resolve);
            signal.addEventListener("abort", () => reject(signal.reason));
          }),
      },
    });
    await makeFunction(own, "greet");
    own.logs = async function* (_query, signal) {
      yield line("first");
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      ended.resolve();
    };
    const seen: string[] = [];
    const arrived: (() => void)[] = [];
    const outgoing = get({
      host: "127.0.0.1",
      port: own.port,
      path: "/v1/functions/greet/logs?follow=1",
      agent: false,
      headers: { authorization: `Bearer ${own.token}` },
    });
    outgoing.on("error", () => undefined);
    const next = () => new Promise<void>((resolve) => arrived.push(resolve));
    const first = next();
    outgoing.on("response", (response) => {
      response.on("error", () => undefined);
      response.on("data", (chunk) => {
        seen.push(String(chunk));
        arrived.shift()?.();
      });
    });
    await first;
    const second = next();
    beats[0]?.();
    await second;
    assert.deepEqual(seen, [`${JSON.stringify(line("first"))}\n`, "\n"]);
    outgoing.destroy();
    await ended.promise;
  });

  it("that are followed do not keep the daemon from stopping", async () => {
    const own = await startControl();
    await makeFunction(own, "greet");
    const begun = Promise.withResolvers<void>();
    own.logs = async function* (_query, signal) {
      begun.resolve();
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    };
    const answer = own.send({ path: "/v1/functions/greet/logs?follow=1" });
    await begun.promise;
    const startedAt = performance.now();
    await own[Symbol.asyncDispose]();
    assert.ok(performance.now() - startedAt < 4_000);
    assert.equal((await answer).status, 200);
  });
});

describe("the daemon", () => {
  it("tells its facts and its runtimes", async () => {
    const status = Object((await control.send({ path: "/v1/status" })).json);
    assert.deepEqual(
      [status.account, status.region, status.isolation],
      ["123456789012", "eu-central-1", { isIsolated: true, gaps: [] }],
    );
    const { runtimes } = Object((await control.send({ path: "/v1/runtimes" })).json);
    assert.deepEqual(runtimes, [
      { name: "nodejs24.x", isHere: true, path: "/usr/bin/node", version: "24.0.0" },
    ]);
  });

  it("describes every route of its own API for machines", async () => {
    const document = Object((await control.send({ path: "/v1/openapi.json" })).json);
    assert.equal(document.openapi, "3.1.0");
    for (const { method, path, name } of V1_ROUTES) {
      assert.equal(document.paths[path][method.toLowerCase()].operationId, name);
    }
    const names = JSON.stringify(document).match(/#\/components\/schemas\/\w+/g) ?? [];
    for (const name of names) assert.ok(document.components.schemas[name.split("/").at(-1) ?? ""], name);
  });
});

describe("docs/api.md", () => {
  it("has a row for every route with its scope, and for no other", () => {
    const page = readFileSync(join(import.meta.dirname, "../../../../docs/api.md"), "utf8");
    const rows = [...page.matchAll(/^\| `([A-Z]+) ([^`?]+)(?:\?[^`]*)?` \| (\w+) \|/gm)];
    const shown = rows.map(([, method, path, scope]) => `${method} ${path} ${scope}`);
    const names: Readonly<Record<string, string>> = { number: "N" };
    const expected = V1_ROUTES.map(({ method, path, access }) => {
      const upper = path.replace(/\{(\w+)\}/g, (_, name: string) => names[name] ?? name.toUpperCase());
      return `${method} ${upper} ${access === "open" || access === "link" ? "none" : access}`;
    });
    assert.deepEqual(shown.sort(), expected.sort());
  });
});
