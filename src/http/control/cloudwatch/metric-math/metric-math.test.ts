import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Evaluator } from "./evaluate.ts";
import { parseExpression } from "./parse-expression.ts";
import { ExpressionError, type Series } from "./series.ts";

const MINUTE = 60_000;
const GAP = undefined;

/** A metric whose values are a minute apart. */
function metric(...values: readonly (number | undefined)[]): Series {
  const points = values.flatMap((value, index) =>
    value === undefined ? [] : [[index * MINUTE, value] as const],
  );
  return { label: "Errors", periodMs: MINUTE, points: new Map(points), isMetric: true };
}

const METRICS = {
  m1: metric(30, 20, 0, 0),
  m2: metric(20, GAP, 20, GAP),
  m3: metric(1, 1, 0, 0, GAP),
  m4: metric(30, GAP, 0, 0, 30),
  m5: metric(0, 0, 20, GAP, 20),
  sparse: metric(1, GAP, GAP, 7, GAP),
  none: metric(),
};

function evaluator(expressions: Readonly<Record<string, string>>): Evaluator {
  return new Evaluator({
    metrics: new Map(Object.entries(METRICS)),
    expressions: new Map(Object.entries(expressions).map(([id, text]) => [id, { text, periodMs: MINUTE }])),
    startAt: 0,
    endAt: 5 * MINUTE,
  });
}

/** The values of each series, `-` where a minute has none. */
function shown(text: string): readonly string[] {
  return evaluator({ e: text })
    .seriesOf("e")
    .map(({ points }) =>
      [0, 1, 2, 3, 4].map((minute) => String(points.get(minute * MINUTE) ?? "-")).join(" "),
    );
}

describe("metric math", () => {
  for (const [text, ...wanted] of [
    // AWS's own examples of comparisons, where what is missing counts as 0.
    ["m1 < m2", "0 0 1 0 -"],
    ["m1 >= 30", "1 0 0 0 -"],
    ["m1 > 15 AND m2 > 15", "1 0 0 0 -"],
    ["m1 == 20 || m2 == 20", "1 1 1 0 -"],
    ["m1 != 0", "1 1 0 0 -"],
    // Of IF.
    ["IF(m3, m4, m5)", "30 0 20 - -"],
    ["IF(m3, 5, m5)", "5 5 20 - -"],
    ["IF(m3, m4, 5)", "30 0 5 5 -"],
    ["IF(m1 > 10, m1)", "30 20 - - -"],
    ["IF(1, m1)", "30 20 0 0 -"],
    ["IF(0, m1)", "- - - - -"],
    ["IF(0, m1, 3)", "3 3 3 3 3"],
    // Arithmetic.
    ["m1 + m2", "50 20 20 0 -"],
    ["m1 - m2", "10 20 -20 0 -"],
    ["100 * m2 / m1", "66.66666666666667 0 - - -"],
    ["-m1 ^ 2", "-900 -400 0 0 -"],
    ["2 ^ 3 ^ 2 + m5 * 0", "512 512 512 - 512"],
    ["1 + 2 * 3 - 4 / 2 + 0 * m1", "5 5 5 5 -"],
    ["(1 + 2) * 3 + 0 * m1", "9 9 9 9 -"],
    ["m1 / 0", "- - - - -"],
    ["1.5e1 + .5 + m5", "15.5 15.5 35.5 - 35.5"],
    // Of one series a number, of several a series.
    ["m1 - MIN(m1)", "30 20 0 0 -"],
    ["m1 / MAX(m1) + AVG(m1) * 0 + SUM(m1) * 0", "1 0.6666666666666666 0 0 -"],
    ["SUM([m1, m2])", "50 20 20 0 -"],
    ["AVG([m1, m2])", "25 10 10 0 -"],
    ["MAX([m1, m2])", "30 20 20 0 -"],
    ["MIN([m1, m2])", "20 20 0 0 -"],
    ["STDDEV([m1, m2])", "5 0 10 0 -"],
    ["DATAPOINT_COUNT([m1, m2])", "2 1 2 1 -"],
    ["m5 * 0 + DATAPOINT_COUNT(m5)", "4 4 4 - 4"],
    ["[m1, m2] * 2", "60 40 0 0 -", "40 - 40 - -"],
    ["100 - [m1]", "70 80 100 100 -"],
    ["-[m1]", "-30 -20 0 0 -"],
    ["SUM(METRICS('m5'))", "0 0 20 - 20"],
    ['METRICS("parse")', "1 - - 7 -"],
    ["m3 * 0 + METRIC_COUNT(METRICS())", "7 7 7 7 -"],
    ["AVG([])"],
    // From one value to the next.
    ["DIFF(sparse)", "- - - 6 -"],
    ["DIFF_TIME(sparse)", "- - - 180 -"],
    ["RATE(m1 * 60)", "- -10 -20 0 -"],
    ["RUNNING_SUM(m1)", "30 50 50 50 -"],
    // What is missing.
    ["FILL(sparse, 0)", "1 0 0 7 0"],
    ["FILL(sparse, MAX(sparse))", "1 7 7 7 7"],
    ["FILL(sparse, REPEAT)", "1 1 1 7 7"],
    ["FILL(sparse, LINEAR)", "1 3 5 7 -"],
    ["FILL([sparse], m5)", "1 0 20 7 20"],
    ["FILL(none, 3)", "3 3 3 3 3"],
    ["TIME_SERIES(2 + 1)", "3 3 3 3 3"],
    // Rounding and the like.
    ["CEIL(m1 / 7)", "5 3 0 0 -"],
    ["FLOOR(m1 / 7)", "4 2 0 0 -"],
    ["ABS(-m1)", "30 20 0 0 -"],
    ["LOG10(m1 * 0 + 100)", "2 2 2 2 -"],
    ["m1 / PERIOD(m1)", "0.5 0.3333333333333333 0 0 -"],
    ["LOG(m1)", "3.4011973816621555 2.995732273553991 - - -"],
    // Lists.
    ["SORT([m2, m1], SUM, DESC)", "30 20 0 0 -", "20 - 20 - -"],
    ["SORT([m2, m1], SUM, DESC, 1)", "30 20 0 0 -"],
    ["SLICE(SORT([m2, m1], AVG, ASC), 1)", "20 - 20 - -"],
    ["FIRST([m2, m1])", "20 - 20 - -"],
    ["LAST([m2, m1])", "30 20 0 0 -"],
    ["REMOVE_EMPTY([none, m1])", "30 20 0 0 -"],
    // Time.
    ["MINUTE(m1)", "0 1 2 3 4"],
    ["HOUR(m1) + DAY(m1) * 10 + DATE(m1) * 100 + MONTH(m1) * 1000", "1140 1140 1140 1140 1140"],
    ["YEAR(m1) + EPOCH(m1)", "1970 2030 2090 2150 2210"],
  ] as const) {
    it(text, () => assert.deepEqual(shown(text), wanted));
  }

  it("takes the results of other expressions, each computed once, and lists of them", () => {
    const found = evaluator({ a: "m1 * 2", b: "a + a", c: "[a, b]" });
    assert.deepEqual(
      found.seriesOf("c").map(({ points }) => [...points.values()]),
      [
        [60, 40, 0, 0],
        [120, 80, 0, 0],
      ],
    );
  });

  for (const [text, message] of [
    ["", /ends too early/],
    ["m1 +", /ends too early/],
    ["(m1", /ends too early/],
    ["m1 m2", /unexpected "m2" at character 3/],
    ["m1 $ 2", /unexpected "\$" at character/],
    ["'open", /unexpected "'"/],
    ["gone + 1", /no metric or expression with the Id gone/],
    ["1 + 2", /result is a number.*TIME_SERIES/],
    ["AVG(m1)", /result is a number/],
    ["NOPE(m1)", /there is no function NOPE: give one of ABS, AVG/],
    ["constructor", /no metric or expression/],
    ["ANOMALY_DETECTION_BAND(m1)", /not supported by lambdad: no models/],
    ["SEARCH('{AWS/Lambda} Errors', 'Sum')", /not supported by lambdad: name the metrics/],
    ["ABS()", /ABS takes 1 arguments, not 0/],
    ["IF(m1)", /IF takes 2 to 3 arguments/],
    ["[m1] + [m2]", /does not take two arrays/],
    ["[1, m1]", /an array takes time series/],
    ["PERIOD(m1 + 1)", /PERIOD takes a metric/],
    ["SORT([m1], MEDIAN, ASC)", /SORT takes an array/],
    ["FILL(m1, NEVER)", /REPEAT or LINEAR, not NEVER/],
    ["FILL(m1, [m1])", /one time series to fill with/],
    ["m1 + ASC", /ASC is no metric/],
    ["m1 + 'text'", /a text stands where/],
    ["METRICS(m1)", /METRICS takes a text/],
    ["FIRST([])", /no time series to take/],
    ["e + 1", /e refers to itself/],
    [`${"(".repeat(100)}m1${")".repeat(100)}`, /nested too deeply/],
    [`${"-".repeat(100)}m1`, /nested too deeply/],
    ["m1+".repeat(1_000), /more than 2048 characters/],
  ] as const) {
    it(`refuses ${text.slice(0, 40) || "nothing"}`, () => {
      assert.throws(
        () => shown(text),
        (error) => error instanceof ExpressionError && message.test(error.message),
      );
    });
  }

  it("refuses more periods than an answer may have, and more work than a request is worth", () => {
    const long = (text: string) =>
      new Evaluator({
        metrics: new Map([["m1", { ...METRICS.m1, periodMs: 1_000 }]]),
        expressions: new Map([["e", { text, periodMs: 1_000 }]]),
        startAt: 0,
        endAt: 100_000_000,
      }).seriesOf("e");
    assert.equal(long("TIME_SERIES(1)")[0]?.points.size, 100_000);
    assert.throws(() => long(Array(60).fill("FILL(m1,0)").join("+")), /too much computing/);
    const endless = new Evaluator({
      metrics: new Map(),
      expressions: new Map([["e", { text: "TIME_SERIES(1)", periodMs: 1_000 }]]),
      startAt: 0,
      endAt: 1e12,
    });
    assert.throws(() => endless.seriesOf("e"), /choose a longer period/);
  });

  it("says of whatever is written that it can or cannot be computed, and nothing else", () => {
    const piece = fc.constantFrom(
      ..."m1 m2 e 1 .5 ( ) [ ] , + - * / ^ < >= == && OR AVG( IF( FILL( METRICS( SORT( ASC LINEAR 'x' \" é".split(
        " ",
      ),
    );
    void fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        try {
          for (const { points } of evaluator({ e: pieces.join(" ") }).seriesOf("e"))
            for (const [at, value] of points) assert.ok(Number.isFinite(at) && Number.isFinite(value));
        } catch (error) {
          assert.ok(error instanceof ExpressionError, String(error));
        }
      }),
      { numRuns: 1_000 },
    );
    void fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseExpression(text);
        } catch (error) {
          assert.ok(error instanceof ExpressionError, String(error));
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
