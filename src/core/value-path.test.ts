import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { covers, formatPath, leadsTo, parsePattern, type Step } from "./value-path.ts";

function pattern(text: string) {
  const parsed = parsePattern(text);
  assert.ok(parsed, text);
  return parsed;
}

describe("paths into values", () => {
  it("reads what it writes, whatever the keys are", () => {
    const paths: Step[][] = [
      ["status"],
      ["headers", "x-total"],
      ["body", "items", 2, "id"],
      ["body", "a b", "c.d", 'quo"te', "ü", ""],
    ];
    for (const path of paths) assert.ok(leadsTo(pattern(formatPath(path)), path), formatPath(path));
    assert.equal(formatPath(["body", "items", 2, "a b"]), 'body.items[2]["a b"]');
  });

  it("takes * for any one step", () => {
    const any = pattern("body.items[*].id");

    assert.ok(leadsTo(any, ["body", "items", 7, "id"]));
    assert.ok(leadsTo(pattern("body.*.id"), ["body", "items", "id"]));
    assert.equal(leadsTo(any, ["body", "items", "id"]), false);
    assert.equal(leadsTo(any, ["body", "items", 7, "name"]), false);
  });

  it("covers what is within, and not what is above", () => {
    const part = pattern("body.user");

    assert.ok(covers(part, ["body", "user", "name"]));
    assert.equal(covers(part, ["body"]), false);
    assert.equal(leadsTo(part, ["body", "user", "name"]), false);
  });

  for (const text of [
    "",
    ".",
    "body.",
    "body..a",
    ".body",
    "body[",
    "body[a]",
    'body["\\q"]',
    "bo dy",
    "body[1]a",
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.equal(parsePattern(text), undefined));
  }

  it("refuses what is too long", () => assert.equal(parsePattern("a".repeat(257)), undefined));
});
