import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  afterFunctionError,
  afterSetback,
  isTooOld,
  RETRY_POLICY_DEFAULT,
  type RetryFacts,
} from "./retry.ts";

const facts = (more: Partial<RetryFacts> = {}): RetryFacts => ({
  errors: 0,
  setbacks: 0,
  agedFromAt: 0,
  now: 0,
  random: 0,
  ...more,
});
const HOUR = 3_600_000;

describe("after an error of the function", () => {
  for (const [errors, expected] of [
    [1, { kind: "retry", dueAt: 60_000 }],
    [2, { kind: "retry", dueAt: 120_000 }],
    [3, { kind: "give-up", condition: "RetriesExhausted" }],
  ] as const) {
    it(`decides ${JSON.stringify(expected)} for the ${errors}.`, () => {
      assert.deepEqual(afterFunctionError(RETRY_POLICY_DEFAULT, facts({ errors })), expected);
    });
  }

  it("gives up at once where no retry is wanted", () => {
    const decision = afterFunctionError({ ...RETRY_POLICY_DEFAULT, retriesMax: 0 }, facts({ errors: 1 }));
    assert.deepEqual(decision, { kind: "give-up", condition: "RetriesExhausted" });
  });
});

describe("after an attempt that came to no call", () => {
  it("waits 1 s, then twice as long each time, up to 5 minutes", () => {
    const waits = Array.from({ length: 12 }, (_, index) => {
      const decision = afterSetback(RETRY_POLICY_DEFAULT, facts({ setbacks: index + 1 }));
      return decision.kind === "retry" && decision.dueAt / 1_000;
    });
    assert.deepEqual(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
  });

  it("never overflows", () => {
    const decision = afterSetback(RETRY_POLICY_DEFAULT, facts({ setbacks: Number.MAX_SAFE_INTEGER }));
    assert.deepEqual(decision, { kind: "retry", dueAt: 300_000 });
  });
});

describe("the age of an event", () => {
  it("ends it when the next attempt would come too late, and not a moment before", () => {
    const at = (now: number) => afterSetback(RETRY_POLICY_DEFAULT, facts({ setbacks: 1, now })).kind;
    assert.deepEqual([at(6 * HOUR - 1_000), at(6 * HOUR - 999)], ["retry", "give-up"]);
    assert.deepEqual(
      [isTooOld(RETRY_POLICY_DEFAULT, 0, 6 * HOUR), isTooOld(RETRY_POLICY_DEFAULT, 0, 6 * HOUR + 1)],
      [false, true],
    );
  });
});

it("spreads retries by at most the share of jitter, and never brings one forward", () => {
  for (const random of [0, 0.5, 0.999]) {
    const decision = afterFunctionError(RETRY_POLICY_DEFAULT, facts({ errors: 1, random }));
    assert.ok(decision.kind === "retry" && decision.dueAt >= 60_000 && decision.dueAt < 66_000);
  }
});
