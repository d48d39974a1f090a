import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Distribution } from "./distribution.ts";

function of(values: Iterable<number>): Distribution {
  const distribution = new Distribution();
  for (const value of values) distribution.record(value);
  return distribution;
}

const spans = fc.array(fc.double({ min: 0.01, max: 1e7, noNaN: true }), { minLength: 1, maxLength: 200 });

describe("a distribution", () => {
  it("tells every percentile to 3.2 %, between the least and the most", () => {
    fc.assert(
      fc.property(spans, fc.double({ min: 0, max: 1, noNaN: true }), (values, share) => {
        const sorted = [...values].sort((a, b) => a - b);
        const exact = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
        const told = of(values).quantile(share) ?? 0;
        assert.ok(Math.abs(told - exact) <= exact * 0.032, `${share}: ${told} for ${exact}`);
        assert.ok(told >= (sorted[0] ?? 0) && told <= (sorted.at(-1) ?? 0));
      }),
    );
  });

  it("is the same whether values are recorded together, or apart and added", () => {
    fc.assert(
      fc.property(spans, spans, (some, others) => {
        const sum = of(some);
        sum.add(of(others));
        const whole = of([...some, ...others]).encode();
        // Sums of doubles differ in their last digits.
        assert.deepEqual(
          [sum.encode().slice(0, 1), sum.encode().slice(2)],
          [whole.slice(0, 1), whole.slice(2)],
        );
      }),
    );
  });

  it("survives being written down", () => {
    const before = of([0.5, 3, 3, 1_000, 899_999]);
    const after = new Distribution();
    after.addEncoded(JSON.parse(JSON.stringify(before.encode())));
    assert.deepEqual(after.encode(), before.encode());
    assert.equal(after.quantile(0.99), before.quantile(0.99));
  });

  it("takes what is no span, and what was never written by it, without harm", () => {
    const odd = of([0, -5, Number.NaN, Number.POSITIVE_INFINITY, 1e300, 5e-324]);
    assert.equal(odd.count, 6);
    const untouched = new Distribution();
    for (const text of ["null", '"x"', "{}", '["a"]', "[1,2,3,4,-999999,7]"]) {
      untouched.addEncoded(JSON.parse(text));
    }
    assert.ok(untouched.count <= 1);
    assert.equal(new Distribution().quantile(0.5), undefined);
  });

  it("counts what was at most so long, for histograms with bounds of their own", () => {
    const distribution = of([1, 2, 3, 4, 100]);
    assert.deepEqual(
      [0.5, 3.5, 50, 100, 1_000].map((ms) => distribution.countUpTo(ms)),
      [0, 3, 4, 5, 5],
    );
  });
});
