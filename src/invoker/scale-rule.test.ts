import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isAnotherInstanceWorthIt, type PoolLoad } from "./scale-rule.ts";

const quickCalls: PoolLoad = {
  waiting: 10,
  serving: 1,
  starting: 0,
  slotsPerInstance: 1,
  isReusable: true,
  serviceMs: 0.2,
  startMs: 50,
  sufferedMs: 0,
  cores: 2,
  isCpuBusy: () => false,
};

describe("isAnotherInstanceWorthIt", () => {
  for (const [expected, why, change] of [
    [true, "nothing serves yet", { serving: 0, serviceMs: undefined }],
    [true, "nothing serves any more", { serving: 0 }],
    [true, "nobody knows yet how long a call takes", { serviceMs: undefined }],
    [true, "waiting takes longer than starting", { serviceMs: 20 }],
    [true, "quick calls have waited for ten starts' worth", { sufferedMs: 501 }],
    [true, "an instance is used up by each call", { isReusable: false, starting: 9 }],
    [true, "calls wait for something other than the processor", { serviceMs: 19, serving: 2, starting: 1 }],
    [true, "long calls share a busy processor", { serviceMs: 100, serving: 2, isCpuBusy: () => true }],
    [true, "a core is without an instance", { serviceMs: 19, waiting: 50, isCpuBusy: () => true }],
    [
      false,
      "short calls wait for the processor",
      { serviceMs: 19, waiting: 50, serving: 2, isCpuBusy: () => true },
    ],
    [false, "the queue is gone before an instance is up", {}],
    [false, "as many are on their way as calls wait", { serving: 0, starting: 10, serviceMs: 20 }],
    [
      false,
      "one on its way has slots for all",
      { serving: 0, starting: 1, slotsPerInstance: 10, serviceMs: undefined },
    ],
    [false, "quick calls have a core's worth of instances each", { sufferedMs: 5_000, serving: 2 }],
  ] as const) {
    it(`says ${expected ? "yes" : "no"} when ${why}`, () => {
      assert.equal(isAnotherInstanceWorthIt({ ...quickCalls, ...change }), expected);
    });
  }
});
