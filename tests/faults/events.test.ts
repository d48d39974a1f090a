import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type FaultReport, runFaults } from "./event-faults.ts";

const seed = Number(process.env.FAULTS_SEED ?? Date.now() % 2 ** 31);
const KILLS = Number(process.env.FAULTS_KILLS ?? 200);
const KILLS_WITHIN_MS = 12 * 60_000;
const READY_MS_MAX = 3_000;
/** After a kill, to a start with nothing to recover. */
const RECOVERY_RATIO_MAX = 1.5;

function say(what: string, report: FaultReport): void {
  process.stdout.write(
    `# ${what}: ${JSON.stringify({ ...report, lost: report.lost.length, unexplained: report.unexplained.length })}\n`,
  );
}

function assertKept(report: FaultReport): void {
  assert.deepEqual(report.lost, []);
  assert.deepEqual(report.unexplained, []);
  assert.deepEqual(report.leaked, []);
  assert.equal(report.integrity, "ok");
  assert.ok(report.repeated <= report.inFlight, `${report.repeated} repeated, ${report.inFlight} in flight`);
}

describe("a daemon under a load of events", () => {
  it(`loses none by ${KILLS} kills at random moments`, async () => {
    const report = await runFaults({
      kills: KILLS,
      withinMs: KILLS_WITHIN_MS,
      seed,
      killAfterMs: [5, 1_000],
    });
    say("kills", report);
    assertKept(report);
    // 200 take five minutes; a host with an eighth of that speed has not to be waited for.
    assert.ok(report.kills === KILLS || report.kills >= KILLS / 8, `${report.kills} kills of ${KILLS}`);
    assert.ok(report.acknowledged > report.kills * 10, "enough was acknowledged to mean something");
    assert.ok(report.inFlight > 0, "some were running when it was killed");
    // The longest is what else the machine does; it is printed above. Where every start is slow, so are these.
    const calmMs = report.calmReadyMs.toSorted((a, b) => a - b)[report.calmReadyMs.length >> 1] ?? 0;
    const readyMsMax = Math.max(READY_MS_MAX, RECOVERY_RATIO_MAX * calmMs);
    assert.ok(
      report.readyMsMedian <= readyMsMax,
      `ready after ${report.readyMsMedian} ms, else ${calmMs} ms`,
    );
  });

  for (const operation of ["enqueueEvent", "claimEvent", "endEvent"]) {
    for (const moment of ["before", "after"]) {
      it(`loses none when it dies ${moment} the commit of ${operation}`, async () => {
        const fault = `die:${moment}-commit:${operation}:${3 + (seed % 5)}`;
        const report = await runFaults({ kills: 5, seed, fault });
        say(fault, report);
        assertKept(report);
        assert.equal(report.kills, 5);
      });
    }
  }

  it("is seen to lose events where they are acknowledged before they are on disk", async () => {
    const report = await runFaults({
      kills: 20,
      seed,
      fault: "acknowledge-early",
      killAfterMs: [300, 1_500],
    });
    say("control", report);
    assert.ok(report.lost.length > 0, "a store without durability must be found out");
  });
});
