import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { list } from "tar";
import { openBuildContext } from "./dockerfile.ts";
import { parseDockerIgnore } from "./dockerignore.ts";

describe("parseDockerIgnore", () => {
  for (const [rules, ignored, kept] of [
    ["node_modules", ["node_modules", "node_modules/a/b.js"], ["src/node_modules", "node_modules2"]],
    ["**/node_modules", ["node_modules/x", "a/b/node_modules/x"], ["a/b"]],
    ["*.log", ["a.log"], ["logs/a.log", "a.log2"]],
    ["**/*.log", ["a.log", "b/c.log"], ["log"]],
    ["/dist/", ["dist", "dist/x"], ["a/dist"]],
    ["# a comment\n\n*.md\n!README.md", ["a.md"], ["README.md", "# a comment"]],
    ["*\n!src", ["a", "b/c"], ["src", "src/x"]],
    ["a?c", ["abc"], ["ac", "a/c"]],
    ["[ab].txt", ["a.txt"], ["c.txt"]],
    ["a/../b", ["b"], ["a"]],
    ["docs/**", ["docs/a", "docs/a/b"], ["doc"]],
    ["a+(b).txt", ["a+(b).txt"], ["ab.txt"]],
    ["[", [], ["a"]],
    ["[z-a]", [], ["b"]],
  ] as const) {
    it(`reads ${JSON.stringify(rules)}`, () => {
      const { isIgnored } = parseDockerIgnore(rules);
      assert.deepEqual(
        ignored.filter((path) => !isIgnored(path)),
        [],
      );
      assert.deepEqual(
        kept.filter((path) => isIgnored(path)),
        [],
      );
    });
  }
});

describe("openBuildContext", () => {
  it("sends folders and files but what is ignored, the Dockerfile in any case", async () => {
    const dir = await mkdtemp(join(tmpdir(), "context-"));
    await mkdir(join(dir, "src/inner"), { recursive: true });
    for (const path of ["Dockerfile", "a.secret", "src/inner/x.js", "@odd"])
      await writeFile(join(dir, path), "x");
    await writeFile(join(dir, ".dockerignore"), "*.secret\nDockerfile\n");
    const { context, files } = await openBuildContext(dir);
    const found: string[] = [];
    const parser = list({ onReadEntry: (entry) => found.push(entry.path) });
    for await (const chunk of context) parser.write(chunk);
    parser.end();
    assert.equal(files, 4);
    assert.deepEqual(found.sort(), [
      "./@odd",
      ".dockerignore",
      "Dockerfile",
      "src/",
      "src/inner/",
      "src/inner/x.js",
    ]);
    await rm(dir, { recursive: true });
  });
});
