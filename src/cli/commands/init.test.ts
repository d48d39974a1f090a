import assert from "node:assert/strict";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { openLambda } from "../lambda-process.fake.ts";
import { TEMPLATE_NAMES } from "../templates.ts";

describe("lambda init", () => {
  for (const template of TEMPLATE_NAMES) {
    it(`makes a function from template ${template}`, async () => {
      await using lambda = await openLambda("http://127.0.0.1:1");
      const ran = await lambda.run(["init", "sub/hello", "--template", template]);
      assert.equal(ran.exitCode, 0);
      assert.equal(ran.stderr, "next: lambda dev sub/hello, or lambda deploy sub/hello\n");
      const all = await readdir(join(lambda.dir, "sub", "hello"), { recursive: true, withFileTypes: true });
      const files = all.filter((entry) => entry.isFile()).map(({ name }) => name);
      assert.equal(ran.stdout, `made hello from template ${template}: ${files.length} files\n`);
      assert.ok(files.includes("README.md"));
    });
  }

  it("lists the templates", async () => {
    await using lambda = await openLambda("http://127.0.0.1:1");
    const { stdout } = await lambda.run(["init", "--list"]);
    assert.deepEqual(
      stdout.split("\n").map((line) => line.split(" ")[0]),
      [...TEMPLATE_NAMES, ""],
    );
    assert.deepEqual(Object.keys(JSON.parse((await lambda.run(["init", "--list", "--json"])).stdout)), [
      "templates",
    ]);
    assert.match((await lambda.run(["init"])).stderr, /^error: name the folder to make\n/);
    assert.equal((await lambda.run(["init", "--template", "cobol", "x"])).exitCode, 2);
  });

  it("takes JavaScript where nobody can be asked", async () => {
    await using lambda = await openLambda("http://127.0.0.1:1");
    assert.match((await lambda.run(["init", "x"])).stdout, /from template nodejs:/);
  });

  it("keeps programs executable", async () => {
    await using lambda = await openLambda("http://127.0.0.1:1");
    await lambda.run(["init", "hello", "--template", "shell"]);
    assert.equal((await stat(join(lambda.dir, "hello", "bootstrap"))).mode & 0o111, 0o111);
  });

  it("overwrites nothing", async () => {
    await using lambda = await openLambda("http://127.0.0.1:1");
    await mkdir(join(lambda.dir, "hello"));
    await writeFile(join(lambda.dir, "hello", "index.mjs"), "mine");
    const ran = await lambda.run(["init", "hello"]);
    assert.deepEqual([ran.exitCode, ran.stdout], [2, ""]);
    assert.match(ran.stderr, /^error: hello is not empty \(it has "index\.mjs"\): nothing was written\n/);
    assert.equal(await readFile(join(lambda.dir, "hello", "index.mjs"), "utf8"), "mine");
    assert.match((await lambda.run(["init", "hello/index.mjs"])).stderr, /hello\/index\.mjs is a file/);
  });
});
