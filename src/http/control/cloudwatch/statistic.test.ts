import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Distribution } from "../../../records/metrics/distribution.ts";
import { Tally } from "../../../records/metrics/tally.ts";
import { findLambdaMetric, type Samples } from "./lambda-metrics.ts";
import { parseStatistic } from "./statistic.ts";

/** Durations of 1 to 100 ms and one of 10 s, as they are kept. */
function durations(): Samples {
  const tally = new Tally();
  for (let ms = 1; ms <= 100; ms += 1) {
    tally.ended("returned");
    tally.duration.record(ms);
  }
  tally.ended("returned");
  tally.duration.record(10_000);
  return findLambdaMetric("Duration")?.samples([tally]) ?? assert.fail("no samples");
}

describe("parseStatistic", () => {
  const samples = durations();
  for (const [name, wanted] of [
    ["SampleCount", 101],
    ["Sum", 15_050],
    ["Average", 15_050 / 101],
    ["Minimum", 1],
    ["Maximum", 10_000],
    ["p50", 51],
    ["p100", 10_000],
    ["tm99", 50.5],
    ["TM(:99%)", 50.5],
    ["TM(0%:100%)", 15_050 / 101],
    ["TM(10%:90%)", 51],
    ["TM(20:60)", 40.5],
    ["TM(200:)", 10_000],
    ["tc99", 100],
    ["TC(20:60)", 40],
    ["TC(150:200.25)", 0],
    ["TS(:99%)", 5_050],
    ["TS(20:60)", 1_620],
    ["ts100", 15_050],
    ["WM(:99%)", (5_050 + 100) / 101],
    ["WM(10:90)", 49.9],
    ["PR(:50)", (100 * 50) / 101],
    ["PR(150:20000)", 100 / 101],
    ["PR(0:)", 100],
    ["IQM", 51],
    ["iqm", 51],
  ] as const) {
    it(`${name} is right to the width of a bucket`, () => {
      const found = parseStatistic(name)(samples);
      assert.ok(found !== undefined);
      // A value near a bound may be counted on its other side: as far as a bucket is wide.
      const within = /^(TC|PR|TS|WM|TM)\(/.test(name) ? 0.07 : 0.035;
      assert.ok(Math.abs(found - wanted) <= within * Math.max(1, wanted), `${found} is not ${wanted}`);
    });
  }

  it("gives nothing for a mean of no values", () => {
    assert.equal(parseStatistic("TM(150:200.25)")(samples), undefined);
    assert.equal(parseStatistic("TC(20000:)")(samples), 0);
  });

  it("knows counts to the last one", () => {
    const tally = new Tally();
    for (const outcome of ["returned", "returned", "returned", "threw"] as const) tally.ended(outcome);
    const errors = findLambdaMetric("Errors")?.samples([tally]) ?? assert.fail("no samples");
    const figures = ["TC(0:)", "PR(:0)", "tm75", "p80", "TS(0:1)"].map((name) =>
      parseStatistic(name)(errors),
    );
    assert.deepEqual(figures, [1, 75, 0, 1, 1]);
  });

  for (const name of [
    "",
    "Median",
    "constructor",
    "p",
    "p101",
    "p-1",
    "p1.12345678901",
    "tm",
    "TM99",
    "tm(10%:90%)",
    "TM(:)",
    "TM(10%:90)",
    "TM(90%:10%)",
    "TC(60:20)",
    "PR(10%:90%)",
    "PR90",
    "pr90",
    "XX(1:2)",
    "IQM(1:2)",
    "TM(1:2",
  ]) {
    it(`refuses ${name || "nothing"}`, () => {
      assert.throws(() => parseStatistic(name), { code: "ValidationFailed", message: /is not supported/ });
    });
  }
});

describe("the buckets of a distribution", () => {
  it("are those that have something, ascending, within what was recorded", () => {
    const distribution = new Distribution();
    assert.deepEqual(distribution.buckets(), []);
    for (const ms of [5, 5, 400]) distribution.record(ms);
    const found = distribution.buckets();
    assert.deepEqual(
      found.map(({ count }) => count),
      [2, 1],
    );
    assert.ok(found.every(({ value }) => value >= 5 && value <= 400));
  });
});
