import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ReadyDemand } from "./ready-demand.ts";

const HOUR_MS = 3_600_000;

describe("the demand for ready sandboxes", () => {
  it("is one while nobody asks, and none after a day", () => {
    const demand = new ReadyDemand(0);
    assert.deepEqual(
      [1_000, HOUR_MS, 23 * HOUR_MS, 25 * HOUR_MS].map((at) => demand.wanted(at)),
      [1, 1, 1, 0],
    );
  });

  it("has a margin for bursts behind a start, which goes again", () => {
    const demand = new ReadyDemand(0);
    demand.asked(1_000);
    assert.deepEqual([demand.wanted(1_000), demand.wanted(20_000), demand.wanted(90_000)], [3, 2, 1]);
  });

  it("covers what is asked for while one is made", () => {
    const demand = new ReadyDemand(0);
    for (let at = 0; at < 10_000; at += 100) demand.asked(at);
    for (let refill = 0; refill < 20; refill += 1) demand.refilled(500);
    assert.equal(demand.wanted(10_000), 7);
  });

  it("counts no more starts than it remembers", () => {
    const demand = new ReadyDemand(0);
    for (let count = 0; count < 100_000; count += 1) demand.asked(1);
    assert.ok(demand.wanted(2) < 20);
  });
});
