import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseFunctionName } from "../../core/ids.ts";
import { testVersion } from "../test-sandbox.fake.ts";
import { ImportHistory } from "./import-history.ts";

const HANDLER = { kind: "handler", handler: "index.handler" } as const;
const MODULES = ["ssl", "_ssl", "asyncio", "asyncio.events", "concurrent.futures"];

function versionOf(name: string, environment: Readonly<Record<string, string>> = {}) {
  const functionName = parseFunctionName(name);
  assert.ok(functionName);
  return { ...testVersion(HANDLER, { runtime: "python3.12", environment }), functionName };
}

describe("what is known of imports", () => {
  it("is what the first start of a version said", () => {
    const history = new ImportHistory({ setsMax: 4 });
    assert.equal(history.of(versionOf("a")), undefined);
    history.learn(versionOf("a"), MODULES.join());
    history.learn(versionOf("a"), "all,that,it,has,loaded,besides");
    assert.deepEqual(history.of(versionOf("a")), MODULES);
    assert.equal(history.of(versionOf("b")), undefined);
    assert.equal(
      history.of({ ...versionOf("a"), code: { ...versionOf("a").code, treeId: "other" } }),
      undefined,
    );
  });

  it("is not what cannot be names of modules, nor what is hardly worth a process", () => {
    const history = new ImportHistory({ setsMax: 4 });
    for (const [name, label] of [
      ["nothing", ""],
      ["few", "ssl,json,time"],
      ["words", "a b,c,d,e"],
      ["paths", "../a,b,c,d"],
      ["options", "-c,b,c,d"],
      ["dots", "a..b,c,d,e"],
      ["nul", "a\0,b,c,d"],
      ["many", Array.from({ length: 1_001 }, (_, index) => `m${index}`).join()],
      ["long", Array.from({ length: 999 }, (_, index) => `m${index}${"x".repeat(50)}`).join()],
    ] as const) {
      history.learn(versionOf(name), label);
      assert.equal(history.of(versionOf(name)), undefined, name);
    }
  });

  it("is of no use to who sets variables that modules read when they are imported", () => {
    const history = new ImportHistory({ setsMax: 4 });
    history.learn(versionOf("a"), MODULES.join());
    assert.equal(history.of(versionOf("a", { OPENBLAS_NUM_THREADS: "1" })), undefined);
    assert.deepEqual(history.of(versionOf("a", { TABLE: "users" })), MODULES);
  });

  it("is of no use without room, which is made by who has not started for long", () => {
    let now = 0;
    const history = new ImportHistory({ setsMax: 2, now: () => now });
    const names = (each: string) => MODULES.map((name) => `${each}_${name}`);
    for (const each of ["a", "b", "c"]) history.learn(versionOf(each), names(each).join());
    assert.deepEqual(history.of(versionOf("a")), names("a"));
    now += 60_000;
    assert.deepEqual(history.of(versionOf("b")), names("b"));
    assert.equal(history.of(versionOf("c")), undefined);
    now += 560_000;
    assert.deepEqual(history.of(versionOf("c")), names("c"));
    assert.deepEqual([history.keeps(names("a")), history.keeps(names("b"))], [false, true]);
    assert.equal(history.of(versionOf("a")), undefined);
  });

  it("is nothing where none are to be kept", () => {
    const history = new ImportHistory({ setsMax: 0 });
    history.learn(versionOf("a"), MODULES.join());
    assert.equal(history.of(versionOf("a")), undefined);
  });
});
