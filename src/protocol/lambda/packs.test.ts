import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type FunctionSpec,
  launchFunction,
  OLD_NODE,
  PYTHON,
  skipWithout,
  startFunction,
} from "./managed-function.fake.ts";

/** A little of all that modules do: names, cycles, JSON, both kinds of package, optional ones, and code that is loaded late. */
const NODE_FILES = {
  "index.js": `
const a = require("./lib/a");
const both = require("both");
let missing = "nothing";
try { require("not-installed"); } catch (error) { missing = error.code; }
exports.handler = async (event) => {
  if (event.fail) a.fail();
  const late = await import("./lib/late.mjs");
  return {
    a: a.name, data: require("./data.json").n, both: both.kind, late: late.kind, missing,
    cycle: a.cycle(), resolved: require.resolve("both").endsWith("both/index.js"),
    paths: require.resolve.paths("x")[0].endsWith("/node_modules"), inCache: Object.keys(require.cache).length,
    same: require("./lib/a") === a, parent: module.children.length,
  };
};
`,
  "lib/a.js": `
exports.name = __filename.split("/").slice(-2).join("/") + " in " + __dirname.split("/").at(-1);
exports.early = true;
const b = require("./b");
exports.cycle = () => b.sawEarly;
exports.fail = function failHere() { throw new TypeError("by a"); };
`,
  "lib/b.js": `exports.sawEarly = require("./a").early === true;\n`,
  "lib/late.mjs": `import both from "both";\nexport const kind = both.kind + " late";\n`,
  "data.json": `{"n": 7}`,
  "node_modules/both/package.json": `{"name":"both","main":"index.js"}`,
  "node_modules/both/index.js": `module.exports = { kind: "both " + (typeof require.main) + (this === exports) };\n`,
};

describe("a pack of a Node function", () => {
  for (const [runtime, interpreter] of [
    ["nodejs24.x", undefined],
    ["nodejs22.x", undefined],
    ["nodejs20.x", OLD_NODE],
  ] as const) {
    const skip = runtime === "nodejs20.x" ? skipWithout(OLD_NODE, "a Node of the system") : false;
    const spec: FunctionSpec = { files: NODE_FILES, runtime, ...(interpreter && { interpreter }) };

    it(`gives what its files give (${runtime})`, { skip }, async () => {
      await using plain = await startFunction(spec);
      await using packed = await startFunction({ ...spec, pack: { rewrite: {} } });
      const expected = await plain.result({});
      const found = await packed.result({});
      assert.ok(isRecord(expected) && isRecord(found));
      // The loader of packs is one of the modules then.
      assert.deepEqual({ ...found, inCache: 0 }, { ...expected, inCache: 0 });
      const [one, other] = await Promise.all([plain.error({ fail: true }), packed.error({ fail: true })]);
      assert.deepEqual(withoutFolder(other), withoutFolder(one));
    });
  }

  it("is what is loaded, and not the files", async () => {
    await using fn = await startFunction({
      files: NODE_FILES,
      pack: { rewrite: { "lib/a.js": "throw new Error('read')", "lib/b.js": "throw new Error('read')" } },
    });
    const found = await fn.result({});
    assert.ok(isRecord(found));
    assert.deepEqual([found.a, found.cycle], ["lib/a.js in lib", true]);
  });

  it("leaves modules alone that somebody compiles otherwise", async () => {
    await using fn = await startFunction({
      files: {
        "index.js": `
const Module = require("node:module");
const compile = Module.prototype._compile;
Module.prototype._compile = function (text, name) { return compile.call(this, text.replace("cat", "dog"), name); };
const pet = require("./pet");
require("./other");
exports.handler = async () => pet;
`,
        "pet.js": `module.exports = "cat";`,
        "other.js": "",
      },
      pack: { rewrite: {} },
    });
    assert.equal(await fn.result({}), "dog");
  });

  it("is not made of code that gains nothing, nor fails for what does not compile", async () => {
    for (const files of [
      { "index.mjs": "export const handler = async () => 1" },
      { "index.js": "exports.handler = async () => 1", "b.js": "this is no (", "c.ts": "type A = 1" },
    ]) {
      await using fn = await startFunction({ files, pack: { rewrite: {} } });
      assert.equal(await fn.result({}), 1);
    }
  });

  it("says of a syntax error what is said without one", async () => {
    const files = { ...NODE_FILES, "lib/b.js": "exports.x = (;\n" };
    const messages = await Promise.all(
      [undefined, { rewrite: {} }].map(async (pack) => {
        await using fn = await launchFunction({ files, pack });
        const error = await fn.channel.ready.then(
          () => assert.fail("it started"),
          (error: unknown) => error,
        );
        assert.ok(error instanceof Error && "payload" in error && error.payload instanceof Uint8Array);
        const { errorType, errorMessage, trace } = JSON.parse(Buffer.from(error.payload).toString());
        // Further down are the frames of whoever loads.
        return withoutFolder({ errorType, errorMessage, trace: trace.slice(0, 4) });
      }),
    );
    assert.deepEqual(messages[1], messages[0]);
  });
});

describe("a pack of a Python function", { skip: skipWithout(PYTHON, "python3") }, () => {
  const files = {
    "index.py": "import helper.deep\n\ndef handler(event, context):\n    return helper.deep.answer(event)\n",
    "helper/__init__.py": "",
    "helper/deep.py":
      "def answer(event):\n    if event.get('fail'):\n        raise ValueError('by deep')\n    return __file__.split('/')[-1]\n",
    "broken.py": "def (:\n",
  };
  const spec: FunctionSpec = { files, runtime: "python3.12" };

  it("gives what its files give, and the same stack", async () => {
    await using plain = await startFunction(spec);
    await using packed = await startFunction({ ...spec, pack: { rewrite: {} } });
    assert.equal(await packed.result({}), "deep.py");
    const [one, other] = await Promise.all([plain.error({ fail: true }), packed.error({ fail: true })]);
    assert.deepEqual(withoutFolder(other), withoutFolder(one));
  });

  it("is what is run, and not the files", async () => {
    await using fn = await startFunction({
      ...spec,
      pack: { rewrite: { "helper/deep.py": "raise Exception('read')\n" } },
    });
    assert.equal(await fn.result({}), "deep.py");
  });
});

function withoutFolder(value: Record<string, unknown>): unknown {
  return JSON.parse(
    JSON.stringify({ ...value, requestId: "" }).replaceAll(/lambdad-code-[A-Za-z0-9]+/g, "CODE"),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
