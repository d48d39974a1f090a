/** The short form of tests/faults/schedules.test.ts. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { runScheduleFaults } from "../faults/schedule-faults.ts";

it("fires each instant once, whatever is killed around it", async () => {
  const report = await runScheduleFaults({ rounds: 3, schedulesPerRound: 10, seed: Date.now() % 2 ** 31 });
  assert.deepEqual([report.missed, report.doubled, report.integrity, report.kills], [[], [], "ok", 3]);
});
