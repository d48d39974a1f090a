/** Row R33 of the failure matrix, with as many cases as there is time for: each round has zones, years and expressions of its own. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { judgeRandomCases } from "../../src/core/schedule-oracle.fake.ts";

const CASES_MAX = Number(process.env.FAULTS_CASES ?? 1_000_000);
/** However slow the machine is. */
const CASES_MIN = Math.min(100_000, CASES_MAX);
const CASES_PER_ROUND = 10_000;
/** CPU time after which the least is enough; with FAULTS_CASES all of them are judged. */
const CPU_MS_MAX = process.env.FAULTS_CASES === undefined ? 300_000 : Number.POSITIVE_INFINITY;

it(`finds the same instants as a look at every minute, in up to ${CASES_MAX} random cases`, (t) => {
  const seed = Number(process.env.FAULTS_SEED ?? Date.now() % 1_000_000_007);
  const counts = { seed, cases: 0, asked: 0, withChange: 0 };
  const cpuMs = () => Object.values(process.cpuUsage()).reduce((sum, us) => sum + us / 1_000, 0);
  for (let round = 0; counts.cases < CASES_MAX; round += 1) {
    if (counts.cases >= CASES_MIN && cpuMs() > CPU_MS_MAX) break;
    const report = judgeRandomCases(seed + round, Math.min(CASES_PER_ROUND, CASES_MAX - counts.cases));
    assert.deepEqual(report.differences.slice(0, 5), []);
    counts.cases += report.cases;
    counts.asked += report.asked;
    counts.withChange += report.withChange;
  }
  t.diagnostic(JSON.stringify(counts));
  assert.ok(counts.withChange > counts.cases / 4, "many are near a change of the clock");
});
