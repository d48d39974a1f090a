import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  formatCondition,
  formatSticky,
  metCondition,
  parseCondition,
  parseSticky,
  placeOf,
} from "./canary.ts";
import { isPlatformError } from "./errors.ts";

const isRefused = (error: unknown) => isPlatformError(error, "InvalidRequest");

describe("conditions of a canary", () => {
  it("are read as they are written", () => {
    for (const text of ["error-rate>1%", "error-rate>0%", "error-rate>0.5%", "p99>500ms", "p50>0.5ms"])
      assert.equal(formatCondition(parseCondition(text)), text);
    assert.deepEqual(parseCondition(" p95 > 1.5s "), { metric: "p95", above: 1_500 });
  });

  it("are refused if they say nothing that could be judged", () => {
    for (const text of [
      "",
      "error-rate",
      "error-rate>1",
      "error-rate>100%",
      "error-rate>5ms",
      "p99>1%",
      "p98>1ms",
      "p99<5ms",
      "error-rate>-1%",
    ])
      assert.throws(() => parseCondition(text), isRefused, text);
  });

  it("are met above their limit, not at it, and never without calls", () => {
    const conditions = ["error-rate>10%", "p99>500ms"].map(parseCondition);
    assert.equal(metCondition(conditions, { calls: 0, errors: 0 }), undefined);
    assert.equal(metCondition(conditions, { calls: 10, errors: 1, p99: 500 }), undefined);
    assert.equal(
      metCondition(conditions, { calls: 10, errors: 2, p99: 900 }),
      "error-rate>10% was met: error-rate was 20% of 10 calls",
    );
    assert.match(
      metCondition(conditions, { calls: 1, errors: 0, p99: 501 }) ?? "",
      /p99 was 501 ms of 1 call$/,
    );
  });
});

describe("the key that keeps callers on their side", () => {
  it("is a header, a cookie or the address", () => {
    assert.deepEqual(parseSticky("header:X-User"), { kind: "header", name: "x-user" });
    assert.deepEqual(parseSticky("cookie:Session"), { kind: "cookie", name: "Session" });
    assert.equal(formatSticky(parseSticky("ip")), "ip");
    for (const text of ["", "header:", "header:a b", "query:x", "cookie:a;b", "IP"])
      assert.throws(() => parseSticky(text), isRefused, text);
  });

  it("spreads keys evenly, neighbours too, and anew for each canary", () => {
    const keys = Array.from({ length: 20_000 }, (_, index) => `user-${index}`);
    const chosen = (startedAt: number) => keys.filter((key) => placeOf(key, startedAt) < 0.1);
    const one = chosen(1_700_000_000_000);
    const other = new Set(chosen(1_700_000_000_001));
    // Five standard deviations.
    for (const count of [one.length, other.size]) assert.ok(Math.abs(count - 2_000) < 213, `${count}`);
    const both = one.filter((key) => other.has(key)).length;
    assert.ok(Math.abs(both - 200) < 71, `${both} are chosen by both`);
    assert.equal(placeOf("a", 1), placeOf("a", 1));
  });
});
