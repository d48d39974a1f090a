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

/** The same for ES modules: what they know of themselves, live bindings, cycles, and every way in which one leads to another. */
const MODULE_FILES = {
  "package.json": `{"name":"mine","type":"module","imports":{"#inner":"./lib/inner.js"},"exports":"./index.js"}`,
  "index.js": `
import { createRequire } from "node:module";
import * as a from "./lib/a.js";
import { count, grow } from "./lib/live.js";
import inner from "#inner";
import both, { kind } from "both";
import plain, { named } from "plain";
import data from "./data.json" with { type: "json" };
const early = await import("./lib/early.mjs");
const missing = await import("not-installed").catch((error) => error.code);
const twice = await Promise.all([import("./lib/live.js?other"), import("./lib/live.js")]);
const viaRequire = createRequire(import.meta.url)("both");
grow();
export const handler = async (event) => {
  if (event.fail) a.fail();
  const late = await import("./lib/late.js");
  return {
    names: [a.url.split("/").slice(-2), a.folder.split("/").at(-1), a.file.split("/").at(-1)],
    count, early: early.value, late: late.count, inner, both, kind, viaRequire, plain: plain.named, named,
    data: data.n, missing, cycle: a.cycle(), others: twice.map((each) => each.count),
    same: twice[1].grow === grow, keys: Object.keys(a), tag: a[Symbol.toStringTag],
    resolved: import.meta.resolve("both").split("/").at(-1), main: import.meta.main,
  };
};
`,
  "lib/a.js": `
import { sawEarly } from "./b.js";
export const url = import.meta.url, folder = import.meta.dirname, file = import.meta.filename;
export function early() { return true; }
export const cycle = () => sawEarly;
export function fail() { throw new TypeError("by a"); }
`,
  "lib/b.js": `import { early } from "./a.js";\nexport const sawEarly = early();\n`,
  "lib/live.js": `export let count = 0;\nexport const grow = () => { count += 1; };\n`,
  "lib/late.js": `export { count } from "./live.js";\n`,
  "lib/early.mjs": `export const value = await Promise.resolve("waited for");\n`,
  "lib/inner.js": `import { handler } from "mine";\nexport default typeof import.meta.url;\nexport const own = () => handler;\n`,
  "data.json": `{"n": 7}`,
  "node_modules/both/package.json": `{"name":"both","exports":{"import":"./module.mjs","require":"./common.cjs"}}`,
  "node_modules/both/module.mjs": `export default "imported";\nexport const kind = "module";\n`,
  "node_modules/both/common.cjs": `module.exports = "required";\n`,
  "node_modules/plain/package.json": `{"name":"plain","main":"main"}`,
  "node_modules/plain/main.js": `exports.named = require("./other").named;\n`,
  "node_modules/plain/other.js": `exports.named = "from other";\n`,
};

describe("a pack of ES modules", () => {
  for (const runtime of ["nodejs24.x", "nodejs22.x"]) {
    const spec: FunctionSpec = { files: MODULE_FILES, runtime };

    it(`gives what its files give (${runtime})`, async () => {
      await using plain = await startFunction(spec);
      await using packed = await startFunction({ ...spec, pack: { rewrite: {} } });
      const expected = await plain.result({});
      assert.ok(isRecord(expected));
      assert.deepEqual(
        [expected.count, expected.others, expected.both, expected.viaRequire, expected.late],
        [1, [0, 1], "imported", "required", 1],
      );
      assert.deepEqual(await packed.result({}), expected);
      const [one, other] = await Promise.all([plain.error({ fail: true }), packed.error({ fail: true })]);
      assert.deepEqual(withoutFolder(other), withoutFolder(one));
    });
  }

  it("is what is loaded, and not the files", async () => {
    const broken = "throw new Error('read')";
    const names = ["index.js", "lib/a.js", "lib/b.js", "lib/inner.js", "node_modules/both/module.mjs"];
    await using fn = await startFunction({
      files: MODULE_FILES,
      pack: { rewrite: Object.fromEntries(names.map((name) => [name, broken])) },
    });
    const found = await fn.result({});
    assert.ok(isRecord(found));
    assert.deepEqual([found.cycle, found.both, found.count], [true, "imported", 1]);
  });

  it("is let go of once the function has loaded", async () => {
    await using fn = await startFunction({
      files: {
        ...MODULE_FILES,
        "index.js": `
import "./lib/a.js";
export const handler = async () => (await import("./lib/late.js")).count;
`,
      },
      pack: { rewrite: { "lib/late.js": "export const count = 'read from its file';" } },
    });
    assert.equal(await fn.result({}), "read from its file");
  });

  it("is not used by who has Node resolve otherwise", async () => {
    await using fn = await startFunction({
      files: {
        ...MODULE_FILES,
        "index.js": `import "./lib/b.js";\nimport kind from "custom";\nexport const handler = async () => kind;\n`,
        "node_modules/custom/package.json": `{"exports":{"special":"./special.mjs","default":"./usual.mjs"}}`,
        "node_modules/custom/special.mjs": `export default "special";`,
        "node_modules/custom/usual.mjs": `export default "usual";`,
      },
      environment: { NODE_OPTIONS: "--conditions=special" },
      pack: { rewrite: {} },
    });
    assert.equal(await fn.result({}), "special");
  });

  it("lets a loader of the function's own see every module", async () => {
    const files = {
      ...MODULE_FILES,
      "index.js": `
import { register } from "node:module";
register("./loader.mjs", import.meta.url);
const { default: pet } = await import("./lib/pet.js");
import "./lib/b.js";
export const handler = async () => pet;
`,
      "lib/pet.js": `export default "cat";`,
      "loader.mjs": `
export async function load(url, context, next) {
  const loaded = await next(url, context);
  return url.endsWith("pet.js") ? { ...loaded, source: String(loaded.source).replace("cat", "dog") } : loaded;
}
`,
    };
    for (const pack of [undefined, { rewrite: {} }]) {
      await using fn = await startFunction({ files, pack });
      assert.equal(await fn.result({}), "dog");
    }
  });

  it("says of an import that fails what is said without one", async () => {
    for (const text of ["import { nothing } from './live.js';", "import './gone.js';", "export const = 1;"]) {
      const files = { ...MODULE_FILES, "lib/b.js": text };
      const messages = await Promise.all(
        [undefined, { rewrite: {} }].map(async (pack) => {
          await using fn = await launchFunction({ files, pack });
          const error = await fn.channel.ready.then(
            () => assert.fail("it started"),
            (error: unknown) => error,
          );
          assert.ok(error instanceof Error && "payload" in error && error.payload instanceof Uint8Array);
          const { errorType, errorMessage } = JSON.parse(Buffer.from(error.payload).toString());
          return withoutFolder({ errorType, errorMessage });
        }),
      );
      assert.deepEqual(messages[1], messages[0]);
    }
  });
});

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
