import assert from "node:assert/strict";
import { it } from "node:test";
import { endText, type Report, reportText, startText } from "./platform-lines.ts";

const report: Report = {
  invocationId: "id",
  durationMs: 1.234,
  memoryMib: 128,
  memoryPeakMib: 38,
  initMs: undefined,
  outcome: "returned",
  errorType: undefined,
};
const begin =
  "REPORT RequestId: id\tDuration: 1.23 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 38 MB";

it("says START and END as Lambda does", () => {
  assert.equal(startText("id", "$LATEST"), "START RequestId: id Version: $LATEST");
  assert.equal(endText("id"), "END RequestId: id");
});

for (const [why, change, expected] of [
  ["a warm call", {}, `${begin}\t`],
  [
    "a cold call, whose initialisation is billed",
    { initMs: 101.111 },
    "REPORT RequestId: id\tDuration: 1.23 ms\tBilled Duration: 103 ms\tMemory Size: 128 MB\tMax Memory Used: 38 MB\tInit Duration: 101.11 ms\t\t",
  ],
  ["a timeout", { outcome: "timed-out" }, `${begin}\tStatus: timeout`],
  [
    "a crash",
    { outcome: "crashed", errorType: "Runtime.ExitError" },
    `${begin}\tStatus: error\tError Type: Runtime.ExitError`,
  ],
  [
    "an error of the handler",
    { outcome: "threw", errorType: "TypeError" },
    `${begin}\tStatus: error\tError Type: TypeError`,
  ],
  ["an error without a type", { outcome: "threw" }, `${begin}\tStatus: error`],
] as const) {
  it(`reports ${why}`, () => assert.equal(reportText({ ...report, ...change }), expected));
}

it("rounds what is billed up to whole milliseconds", () => {
  const billed = (durationMs: number) =>
    /Billed Duration: (\d+) ms/.exec(reportText({ ...report, durationMs }))?.[1];
  assert.deepEqual([0, 0.01, 1, 1.01, 2999.99].map(billed), ["0", "1", "1", "2", "3000"]);
});
