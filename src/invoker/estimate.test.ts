import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Estimate } from "./estimate.ts";
import { isAnotherInstanceWorthIt } from "./scale-rule.ts";

function estimateOf(...measured: readonly number[]): Estimate {
  const estimate = new Estimate(60);
  for (const ms of measured) estimate.add(ms);
  return estimate;
}

const quick = Array.from({ length: 100 }, () => 0.05);

describe("Estimate", () => {
  it("is the guess until something was measured, then the measurement", () => {
    assert.deepEqual([estimateOf().ms, estimateOf().isMeasured], [60, false]);
    assert.deepEqual([estimateOf(3).ms, estimateOf(3).isMeasured], [3, true]);
  });

  it("follows calls that have become slow within a few of them", () => {
    const { ms } = estimateOf(...Array.from({ length: 20 }, () => 5), 500, 500, 500, 500, 500);
    assert.ok(ms > 150, `${ms} ms after five calls of 500`);
  });

  it("follows calls that have become quick", () => {
    const { ms } = estimateOf(500, ...Array.from({ length: 20 }, () => 5));
    assert.ok(ms < 20, `${ms} ms after twenty calls of 5`);
  });

  it("does not start an instance for each who waited while one quick call was held up", () => {
    const serviceMs = estimateOf(...quick, 40).ms;
    let starting = 0;
    const load = { waiting: 80, serving: 1, slotsPerInstance: 1, isReusable: true, startMs: 5 };
    const host = { sufferedMs: 0, cores: 2, isCpuBusy: () => false };
    while (isAnotherInstanceWorthIt({ ...load, ...host, serviceMs, starting })) starting += 1;
    assert.ok(starting <= 2, `${starting} instances started`);
  });

  it("counts from nothing, too", () => {
    assert.ok(estimateOf(0, 40, 40, 40, 40, 40, 40, 40, 40).ms > 10);
  });
});
