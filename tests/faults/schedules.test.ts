import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runScheduleFaults } from "./schedule-faults.ts";

describe("schedules", () => {
  it("fire each of 1,200 instants once, whatever is killed around them", async (t) => {
    const report = await runScheduleFaults({
      rounds: 40,
      schedulesPerRound: 30,
      seed: Date.now() % 2 ** 31,
    });
    t.diagnostic(JSON.stringify(report));
    assert.deepEqual([report.missed, report.doubled, report.integrity], [[], [], "ok"]);
    assert.equal(report.kills, 40);
  });

  for (const point of ["before-commit:fireSchedule", "after-commit:fireSchedule"]) {
    it(`fire each instant once when the process dies at ${point}, five times over`, async (t) => {
      const fault = `die:${point}:3`;
      const report = await runScheduleFaults({ rounds: 5, schedulesPerRound: 10, seed: 1, fault });
      t.diagnostic(JSON.stringify(report));
      assert.deepEqual([report.missed, report.doubled, report.integrity], [[], [], "ok"]);
      assert.equal(report.kills, 5, "the point was not reached each time");
    });
  }
});
