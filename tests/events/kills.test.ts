/** The short form of tests/faults/events.test.ts: a few kills in every run of the suite. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { runFaults } from "../faults/event-faults.ts";

it("loses no acknowledged event by kills, and repeats none but those that ran", async () => {
  const report = await runFaults({
    kills: 4,
    seed: Date.now() % 2 ** 31,
    killAfterMs: [50, 500],
  });
  assert.ok(report.acknowledged >= 3, `only ${report.acknowledged} were acknowledged`);
  assert.deepEqual([report.leaked, report.lost, report.unexplained, report.integrity], [[], [], [], "ok"]);
  assert.ok(report.repeated <= report.inFlight, JSON.stringify(report));
});
