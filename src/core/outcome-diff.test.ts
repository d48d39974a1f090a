import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { type ComparedOutcome, DIFFERENCES_MAX, diffOutcomes } from "./outcome-diff.ts";
import { parsePattern } from "./value-path.ts";

function returned(body: unknown, more: Partial<ComparedOutcome> = {}): ComparedOutcome {
  const bytes = Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
  return { kind: "returned", errorType: undefined, status: undefined, rawHeaders: [], body: bytes, ...more };
}

function diff(was: ComparedOutcome, is: ComparedOutcome, ignored: readonly string[] = []) {
  return diffOutcomes(was, is, { ignored: ignored.flatMap((text) => parsePattern(text) ?? []) });
}

const SAME = { differences: [], more: 0 };

describe("diffOutcomes", () => {
  it("finds nothing where JSON says the same in another order or spelling", () => {
    const was = returned('{"a": 1, "b": [true, null]}');
    const is = returned('{"b":[true,null],"a":1}');

    assert.partialDeepStrictEqual(diff(was, is), SAME);
  });

  it("names each place in JSON, what was there and what is", () => {
    const was = returned({ total: 7, items: [{ id: 1 }, { id: 2 }], gone: "x" });
    const is = returned({ total: 8, items: [{ id: 1 }, { id: 3 }, { id: 4 }], "new key": null });

    assert.deepEqual(diff(was, is).differences, [
      { path: "body.total", was: "7", is: "8" },
      { path: "body.items[1].id", was: "2", is: "3" },
      { path: "body.items[2]", was: undefined, is: '{"id":4}' },
      { path: "body.gone", was: '"x"', is: undefined },
      { path: 'body["new key"]', was: undefined, is: "null" },
    ]);
  });

  it("looks into JSON that is a string", () => {
    const was = returned({ statusCode: 200, body: '{"total":1,"same":true}' });
    const is = returned({ statusCode: 200, body: '{"total":2,"same":true}' });

    assert.deepEqual(diff(was, is).differences, [{ path: "body.body.total", was: "1", is: "2" }]);
  });

  it("tells numbers apart that a double cannot hold", () => {
    const found = diff(returned('{"id":9007199254740993}'), returned('{"id":9007199254740992}'));

    assert.equal(found.differences[0]?.path, "body.id");
  });

  it("compares outcome, error type, status and headers, but for those that say nothing", () => {
    const was = returned("ok", { status: 200, rawHeaders: ["Date", "then", "X-Shop", "a", "x-gone", "1"] });
    const is: ComparedOutcome = {
      ...returned("ok", { status: 500, rawHeaders: ["date", "now", "x-shop", "b"] }),
      kind: "threw",
      errorType: "TypeError",
    };

    assert.deepEqual(diff(was, is).differences, [
      { path: "outcome", was: '"returned"', is: '"threw"' },
      { path: "errorType", was: undefined, is: '"TypeError"' },
      { path: "status", was: "200", is: "500" },
      { path: "headers.x-gone", was: '"1"', is: undefined },
      { path: "headers.x-shop", was: '"a"', is: '"b"' },
    ]);
  });

  it("leaves out what is to be ignored, and what is within", () => {
    const was = returned({ at: 1, items: [{ id: 1, at: { s: 1 } }] }, { rawHeaders: ["x-a", "1"] });
    const is = returned({ at: 2, items: [{ id: 1, at: { s: 2 } }] }, { rawHeaders: ["x-a", "2"] });

    assert.partialDeepStrictEqual(diff(was, is, ["body.at", "body.items[*].at", "headers.*"]), SAME);
    assert.equal(diff(was, is, ["body.items[*].at"]).differences.length, 2);
  });

  it("leaves out where in the code both threw", () => {
    const threw = (line: number): ComparedOutcome => ({
      ...returned({ errorType: "E", errorMessage: "no", trace: [`at ${line}`], stackTrace: [[line]] }),
      kind: "threw",
      errorType: "E",
    });

    assert.partialDeepStrictEqual(diff(threw(1), threw(2)), SAME);
  });

  it("compares text as text and bytes by their hash", () => {
    const bytes = (...values: number[]) => ({ ...returned(""), body: Uint8Array.from(values) });

    assert.deepEqual(diff(returned("one"), returned("two")).differences, [
      { path: "body", was: "one", is: "two" },
    ]);
    assert.deepEqual(diff(returned(""), returned('{"a":1}')).differences, [
      { path: "body", was: undefined, is: '{"a":1}' },
    ]);
    assert.match(diff(bytes(0xff, 1), bytes(0xff, 2)).differences[0]?.was ?? "", /^2 bytes, SHA-256 /);
  });

  it("compares what was too large to keep by its hash", () => {
    const large = returned("x".repeat(1_000));
    const sha256 = createHash("sha256").update("x".repeat(1_000)).digest("hex");
    const kept: ComparedOutcome = { ...large, body: { bytes: 1_000, sha256 } };

    assert.partialDeepStrictEqual(diff(kept, large), SAME);
    assert.equal(diff(kept, returned("y")).differences[0]?.path, "body");
  });

  it("lists so many differences and counts the others", () => {
    const list = (from: number) =>
      returned(Array.from({ length: DIFFERENCES_MAX + 20 }, (_, at) => at + from));

    const found = diff(list(0), list(1));

    assert.equal(found.differences.length, DIFFERENCES_MAX);
    assert.equal(found.more, 20);
  });

  it("compares what is nested too deeply as a whole", () => {
    const deep = (value: number) => returned(`${"[".repeat(50_000)}${value}${"]".repeat(50_000)}`);

    assert.equal(diff(deep(1), deep(2)).differences.length, 1);
  });

  it("cuts what is long", () => {
    const found = diff(returned("a".repeat(1_000)), returned("b"));

    assert.equal(found.differences[0]?.was?.length, 201);
  });
});
