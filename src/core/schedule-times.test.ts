import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cpuMsOf } from "./cpu-time.fake.ts";
import { judgeRandomCases } from "./schedule-oracle.fake.ts";
import { latestInstants, openInstants, type Timing } from "./schedule-times.ts";

function instants(expression: string, timeZone = "UTC", change: Partial<Timing> = {}) {
  return openInstants({
    expression,
    timeZone,
    anchorAt: Date.parse("2027-01-01T00:00:00Z"),
    startAt: undefined,
    endAt: undefined,
    ...change,
  });
}

function first(
  count: number,
  expression: string,
  timeZone: string,
  after: string,
  change?: Partial<Timing>,
): string[] {
  const { next } = instants(expression, timeZone, change);
  const found: string[] = [];
  for (let at = next(Date.parse(after)); at !== undefined && found.length < count; at = next(at)) {
    found.push(new Date(at).toISOString().replace(":00.000Z", "Z"));
  }
  return found;
}

describe("the instants of a schedule", () => {
  for (const [why, expression, zone, after, expected] of [
    [
      "a daily job in a gap runs when the gap ends, and as ever the next day",
      "30 2 * * *",
      "Europe/Berlin",
      "2027-03-27T12:00Z",
      ["2027-03-28T01:00Z", "2027-03-29T00:30Z"],
    ],
    [
      "several times in one gap are one",
      "0,30 2,3 * * *",
      "Europe/Berlin",
      "2027-03-28T00:00Z",
      ["2027-03-28T01:00Z", "2027-03-28T01:30Z"],
    ],
    [
      "a gap may begin a minute after midnight",
      "5 1 * * *",
      "Asia/Gaza",
      "2010-03-26T12:00Z",
      ["2010-03-26T22:05Z", "2010-03-27T22:05Z"],
    ],
    [
      "a daily job in a fold runs at the first of the two",
      "30 2 * * *",
      "Europe/Berlin",
      "2027-10-30T12:00Z",
      ["2027-10-31T00:30Z", "2027-11-01T01:30Z"],
    ],
    [
      "an interval goes on through a fold",
      "*/30 * * * *",
      "Europe/Berlin",
      "2027-10-31T00:00Z",
      ["2027-10-31T00:30Z", "2027-10-31T01:00Z", "2027-10-31T01:30Z", "2027-10-31T02:00Z"],
    ],
    [
      "AWS's cron leaves out what does not exist",
      "cron(30 2 * * ? *)",
      "America/New_York",
      "2027-03-13T12:00Z",
      ["2027-03-15T06:30Z"],
    ],
    [
      "AWS's cron takes what comes twice once",
      "cron(0/30 1 * * ? *)",
      "America/New_York",
      "2027-11-07T05:00Z",
      ["2027-11-07T05:30Z", "2027-11-08T06:00Z"],
    ],
    [
      "a gap at midnight",
      "0 0 * * *",
      "America/Santiago",
      "2027-09-04T12:00Z",
      ["2027-09-05T04:00Z", "2027-09-06T03:00Z"],
    ],
    [
      "a change by half an hour",
      "15 2 * * *",
      "Australia/Lord_Howe",
      "2027-10-02T00:00Z",
      ["2027-10-02T15:30Z", "2027-10-03T15:15Z"],
    ],
    ["a leap day", "0 0 29 2 *", "UTC", "2027-01-01T00:00Z", ["2028-02-29T00:00Z", "2032-02-29T00:00Z"]],
    [
      "days by rule",
      "cron(16 0 ? * MON-FRI *)",
      "UTC",
      "2027-01-01T12:00Z",
      ["2027-01-04T00:16Z", "2027-01-05T00:16Z"],
    ],
    [
      "a range of hours over midnight",
      "cron(0 23-1 * * ? *)",
      "UTC",
      "2027-01-01T22:30Z",
      ["2027-01-01T23:00Z", "2027-01-02T00:00Z", "2027-01-02T01:00Z", "2027-01-02T23:00Z"],
    ],
    [
      "either day where both are narrowed",
      "0 0 13 * FRI",
      "UTC",
      "2027-01-08T12:00Z",
      ["2027-01-13T00:00Z", "2027-01-15T00:00Z"],
    ],
    ["both days where one begins with *", "0 0 */2 * FRI", "UTC", "2027-01-02T00:00Z", ["2027-01-15T00:00Z"]],
    [
      "a rate in steps from its anchor",
      "rate(90 minutes)",
      "Europe/Berlin",
      "2027-03-28T00:10Z",
      ["2027-03-28T01:30Z", "2027-03-28T03:00Z"],
    ],
    [
      "a time in a zone",
      "at(2027-07-01T08:00:00)",
      "Europe/Berlin",
      "2027-01-01T00:00Z",
      ["2027-07-01T06:00Z"],
    ],
    [
      "a time in a gap",
      "at(2027-03-28T02:30:00)",
      "Europe/Berlin",
      "2027-01-01T00:00Z",
      ["2027-03-28T01:00Z"],
    ],
    ["a time that is past", "at(2026-07-01T08:00:00)", "UTC", "2027-01-01T00:00Z", []],
    ["years that are past", "cron(0 0 1 1 ? 1999)", "UTC", "2027-01-01T00:00Z", []],
  ] as const) {
    it(`knows ${why}`, () => {
      assert.deepEqual(first(expected.length || 1, expression, zone, after), expected);
    });
  }

  it("keeps to start and end", () => {
    const bounds = { startAt: Date.parse("2027-01-01T10:00Z"), endAt: Date.parse("2027-01-01T12:00Z") };
    assert.deepEqual(first(9, "@hourly", "UTC", "2027-01-01T00:00Z", bounds), [
      "2027-01-01T10:00Z",
      "2027-01-01T11:00Z",
    ]);
  });

  it("gives the latest of many past instants without looking at all of them", () => {
    const to = Date.parse("2028-01-01T00:00:30Z");
    let found: readonly number[] = [];
    const cpuMs = cpuMsOf(() => {
      found = latestInstants(instants("* * * * *"), Date.parse("2027-01-01T00:00Z"), to, 2);
    });
    assert.deepEqual(
      found.map((at) => new Date(at).toISOString()),
      ["2027-12-31T23:59:00.000Z", "2028-01-01T00:00:00.000Z"],
    );
    assert.ok(cpuMs < 500, `${cpuMs} ms of CPU`);
    assert.equal(latestInstants(instants("0 0 1 1 *"), Date.parse("2026-06-01T00:00Z"), to, 5).length, 2);
    assert.deepEqual(latestInstants(instants("* * * * *"), 0, to, 0), []);
  });

  for (const zone of ["Mars/Olympus", "", "+01:00", "CET'; --"]) {
    it(`refuses the time zone ${JSON.stringify(zone)}`, () => {
      assert.throws(() => instants("@daily", zone), /time zone .*IANA/);
    });
  }

  it("agrees with a look at every minute, in 10,000 random cases", (t) => {
    const seed = Date.now() % 1_000_000_007;
    const report = judgeRandomCases(seed, 10_000);
    t.diagnostic(`seed ${seed}: ${JSON.stringify({ ...report, differences: report.differences.length })}`);
    assert.deepEqual(report.differences.slice(0, 5), []);
    assert.ok(report.withChange > 2_000, "too few cases had a change of the clock");
    assert.ok(report.slowestMs <= 10, `the slowest answer took ${report.slowestMs} ms`);
  });
});
