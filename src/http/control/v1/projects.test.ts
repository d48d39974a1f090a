import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { PlatformError } from "../../../core/errors.ts";
import type { Target } from "../../../registry/target.ts";
import { named, startControl, type TestControl, zipOf } from "../control.fake.ts";

let control: TestControl;
let usual: Pick<TestControl, "prepare" | "warm" | "logs">;
before(async () => {
  control = await startControl();
  usual = { prepare: control.prepare, warm: control.warm, logs: control.logs };
});
beforeEach(() => Object.assign(control, usual));
after(() => control[Symbol.asyncDispose]());

async function call(method: string, path: string, body?: unknown, token?: string) {
  const answer = await control.send({
    method,
    path: `/v1/projects${path}`,
    ...(body !== undefined && {
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
    }),
    ...(token !== undefined && { token }),
  });
  const lines = answer.text.split("\n").filter((line) => line !== "");
  const [value = {}] = lines.slice(-1).map((line) => Object(JSON.parse(line)));
  return { status: answer.status, value, lines };
}

async function build(project: string, name: string, token?: string) {
  const path = `/v1/projects/${project}/builds/${name}`;
  const answer = await control.send({ method: "POST", path, body: zipOf(), ...(token && { token }) });
  return { status: answer.status, last: Object(JSON.parse(answer.text.trim().split("\n").at(-1) ?? "{}")) };
}

const inputs = (letter: string) => letter.repeat(64);

async function release(project: string, names: readonly string[], more: object = {}, letter = "a") {
  const functions: Record<string, unknown> = {};
  for (const name of names) {
    const { last } = await build(project, name);
    functions[name] = { inputs: inputs(letter), build: last.build, environment: { LETTER: letter } };
  }
  return call("POST", `/${project}/releases`, { functions, ...more });
}

describe("a project", () => {
  it("is released, told about, and switched back", async () => {
    const schedules = { "shop-nightly": { function: "orders", expression: "0 3 * * *" } };
    const first = await release("shop", ["orders", "prices"], { schedules, commit: "4f2a", by: "ann" });
    assert.equal(first.value.type, "done", first.lines.join());
    assert.deepEqual(
      [first.value.release, first.value.isMade, first.value.url, first.value.readyMs],
      [1, false, "http://r1--shop.localhost:8080", { orders: 12.4, prices: 12.4 }].map((value) =>
        typeof value === "object" ? { orders: 12, prices: 12 } : value,
      ),
    );
    await release("shop", ["orders", "prices"], {}, "b");
    const { value } = await call("GET", "/shop");
    assert.deepEqual([value.liveRelease, value.live.number, value.releases], [2, 2, 2]);
    const shown = (await call("GET", "/shop/releases/1")).value;
    assert.deepEqual(
      [shown.state, shown.commit, shown.environment, shown.schedules[0].expression],
      ["earlier", "4f2a", { orders: ["LETTER"], prices: ["LETTER"] }, "0 3 * * *"],
    );
    assert.match(shown.createdBy, /^ann \(LK/);
    const { difference } = (await call("GET", "/shop/releases/1/compare/2")).value;
    assert.deepEqual(difference.schedules, [{ name: "shop-nightly", change: "removed" }]);
    assert.deepEqual(difference.functions[0].members, ["environment"]);
    const switched = (await call("POST", "/shop/switch", { by: "ann" })).value;
    assert.deepEqual([switched.from, switched.to, switched.release.state], [2, 1, "live"]);
    const target = await control.functions.resolve(named("orders"), undefined);
    assert.equal(target.version.config.environment.LETTER, "a");
    const listed = (await call("GET", "/shop/releases")).value.releases;
    assert.deepEqual(
      listed.map((each: { number: number; state: string }) => [each.number, each.state]),
      [
        [2, "earlier"],
        [1, "live"],
      ],
    );
  });

  it("is not built again of inputs that a release has", async () => {
    await release("twice", ["t1"]);
    const again = {
      functions: { t1: { inputs: inputs("a"), memoryMib: 512, environment: { LETTER: "a" } } },
    };
    const { value } = await call("POST", "/twice/releases", again);
    assert.deepEqual(
      [value.type, value.release, value.difference.functions],
      ["done", 2, [{ name: "t1", change: "changed", from: 1, to: 2, members: ["memoryMib"] }]],
    );
    const same = (await call("POST", "/twice/releases", again)).value;
    assert.deepEqual([same.release, same.isMade, same.isLive], [2, true, true]);
    const unknown = { functions: { t1: { inputs: inputs("c") } } };
    assert.match((await call("POST", "/twice/releases", unknown)).value.error.message, /build them first/);
  });

  it("tells what it would do, and does nothing, when it is asked to", async () => {
    const functions = { dry1: { inputs: inputs("a") } };
    const { value } = await call("POST", "/dry/releases", { functions, isDryRun: true });
    assert.deepEqual(
      [value.release, value.difference.functions[0].change, value.isMade],
      [1, "added", false],
    );
    assert.equal((await call("GET", "/dry")).status, 404);
  });

  it("says why something does not start, with its last lines, and leaves all as it is", async () => {
    await release("sick", ["s1", "s2"]);
    control.logs = async function* () {
      const line = { at: 1, functionName: "s2", version: "2", liveVersion: undefined, sandboxId: "sb" };
      yield { ...line, invocationId: undefined, stream: "stdout" as const, text: "connecting to db\n" };
    };
    control.warm = async (target: Target) => {
      if (target.record.name === "s2") throw new PlatformError("SandboxStartFailed", "no database");
      return 1;
    };
    const { value } = await release("sick", ["s1", "s2"], {}, "b");
    assert.equal(value.error.code, "ReleaseFailed");
    assert.match(value.error.message, /"s2" does not start, so release 1 stays live: no database/);
    assert.match(value.error.message, /connecting to db/);
    const { liveRelease, latest } = (await call("GET", "/sick")).value;
    assert.deepEqual([liveRelease, latest.number], [1, 1]);
  });

  it("asks before it takes a function out", async () => {
    await release("less", ["l1", "l2"]);
    const refused = await release("less", ["l1"]);
    assert.equal(refused.value.error.code, "ResourceConflict");
    const pruned = await release("less", ["l1"], { prune: true });
    assert.deepEqual(pruned.value.difference.functions[0].change, "removed");
    assert.deepEqual((await call("DELETE", "/less")).value, { functions: ["l1", "l2"] });
    assert.equal((await call("GET", "/less")).status, 404);
  });

  it("is for keys that are good for all of its functions", async () => {
    await release("mine", ["m1", "m2"]);
    const token = await control.issue({ scopes: ["deploy"], functions: "m1" });
    assert.equal((await build("mine", "m2", token)).status, 403);
    const order = { functions: { m1: { inputs: inputs("a") }, m2: { inputs: inputs("a") } } };
    assert.equal((await call("POST", "/mine/releases", order, token)).value.error.code, "Forbidden");
    assert.equal((await call("POST", "/mine/switch", {}, token)).status, 403);
    assert.equal((await call("DELETE", "/mine", undefined, token)).status, 403);
  });

  for (const [why, path, body] of [
    ["a name that is no host's", "/Shop/releases", { functions: {} }],
    ["a release without functions", "/bad/releases", { functions: {} }],
    ["a function without inputs", "/bad/releases", { functions: { f: {} } }],
    ["an unknown member", "/bad/releases", { functions: { f: { inputs: inputs("a"), memory: 1 } } }],
    [
      "a function that cannot be called that",
      "/bad/releases",
      { functions: { "a b": { inputs: inputs("a") } } },
    ],
    [
      "a build that is not there",
      "/bad/releases",
      { functions: { f: { inputs: inputs("a"), build: "bld_1" } } },
    ],
    ["a switch to nothing", "/bad/switch", { to: 0 }],
  ] as const) {
    it(`refuses ${why}`, async () => {
      const { status, value } = await call("POST", path, body);
      assert.ok(status >= 400 || value.type === "error", JSON.stringify(value));
    });
  }
});
