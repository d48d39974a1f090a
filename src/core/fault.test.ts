import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { newTimeOuts, parseFault } from "./fault.ts";

describe("faults", () => {
  for (const text of [
    "",
    "die",
    "die:x:0",
    "time-out:101:1",
    "time-out:5",
    "time-out:events:3",
    "time-out:a.b:0",
  ]) {
    it(`are not ${JSON.stringify(text)}`, () => assert.equal(parseFault(text), undefined));
  }

  it("let the first calls of one name time out", () => {
    const timesOut = newTimeOuts(parseFault("time-out:events.claim:2"));
    const calls = ["events.end", "events.claim", "events.claim", "events.claim"];
    assert.deepEqual(
      calls.map((call) => timesOut?.(call)),
      [false, true, true, false],
    );
  });

  it("let a share of all time out, the same for the same seed", () => {
    const draw = (seed: number) => {
      const timesOut = newTimeOuts(parseFault(`time-out:5:${seed}`));
      return Array.from({ length: 10_000 }, () => timesOut?.("any"));
    };
    assert.deepEqual(draw(7), draw(7));
    assert.notDeepEqual(draw(7), draw(8));
    const count = draw(7).filter((isOut) => isOut).length;
    assert.ok(count > 300 && count < 700, `${count}`);
    assert.equal(newTimeOuts(parseFault("acknowledge-early")), undefined);
  });
});
