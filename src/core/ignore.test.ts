import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseIgnoreRules } from "./ignore.ts";

describe("parseIgnoreRules", () => {
  for (const [rules, path, expected] of [
    ["", ".git", true],
    ["", "vendor/.git", true],
    ["", ".lambdaignore", true],
    ["", ".gitignore", false],
    ["", "node_modules/x/index.js", false],
    ["", "node_modules/.cache/", true],
    ["", ".env", false],
    ["!.git", ".git", false],
    ["*.log", "a.log", true],
    ["*.log", "deep/er/a.log", true],
    ["*.log", "a.log.txt", false],
    ["/a.txt", "a.txt", true],
    ["/a.txt", "b/a.txt", false],
    ["docs/*.md", "docs/a.md", true],
    ["docs/*.md", "docs/b/a.md", false],
    ["docs/**", "docs/b/a.md", true],
    ["**/tests/", "a/b/tests/", true],
    ["**/tests/", "tests/", true],
    ["tests/", "tests", false],
    ["a/**/z", "a/z", true],
    ["a/**/z", "a/b/c/z", true],
    ["a?c", "abc", true],
    ["a?c", "a/c", false],
    ["[ab].txt", "b.txt", true],
    ["[!ab].txt", "b.txt", false],
    ["[!ab].txt", "c.txt", true],
    ["a.b+c(d)", "a.b+c(d)", true],
    ["a.b", "axb", false],
    ["# comment\n\n*.tmp  ", "x.tmp", true],
    ["\\#real", "#real", true],
    ["*.log\n!keep.log", "keep.log", false],
    ["!keep.log\n*.log", "keep.log", true],
    ["/", "a", false],
    ["[", "[", true],
  ] as const) {
    it(`${JSON.stringify(rules)} ${expected ? "leaves out" : "keeps"} ${path}`, () => {
      const isFolder = path.endsWith("/");
      const ignored = parseIgnoreRules(rules).isIgnored(isFolder ? path.slice(0, -1) : path, isFolder);
      assert.equal(ignored, expected);
    });
  }
});
