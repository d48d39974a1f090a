/** Row R2 of the failure matrix, for what people change: death before and after the commit of each, in a daemon. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type FakeSqs, startFakeSqs } from "../../src/events/sqs/sqs-server.fake.ts";
import { eventOperations } from "../../src/store/sqlite/event-operations.ts";
import { eventUpkeepOperations } from "../../src/store/sqlite/event-upkeep-operations.ts";
import { OPERATION_NAMES } from "../../src/store/sqlite/operations.ts";
import { startDaemon, type TestDaemon, until } from "../e2e/daemon.fake.ts";
import { CHANGES } from "./people-changes.ts";

const TIMES = Number(process.env.FAULTS_TIMES ?? 5);

/** Nobody asks for these: they come by themselves, and have tests of their own. */
const BY_THEMSELVES: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    Object.keys({ ...eventOperations, ...eventUpkeepOperations }).map((name) => [
      name,
      "event-points.test.ts",
    ]),
  ),
  fireSchedule: "schedules.test.ts",
  takeDelivery: "hooks.test.ts",
  beginDeployment: "hooks.test.ts",
  endDeployment: "hooks.test.ts",
  // A text that is written over and over while a build runs, and what each start does again.
  logDeployment: "src/store/hooks.contract.ts",
  recoverDeployments: "src/store/hooks.contract.ts",
};

it("knows all that the writer can do", () => {
  const known = new Set([...CHANGES.map(({ operation }) => operation), ...Object.keys(BY_THEMSELVES)]);
  assert.deepEqual(
    OPERATION_NAMES.filter((name) => !known.has(name)),
    [],
  );
  assert.deepEqual(
    [...known].filter((name) => !OPERATION_NAMES.includes(name)),
    [],
  );
});

async function hasDied(daemon: TestDaemon): Promise<boolean> {
  return (await daemon.control("GET", "/health").catch(() => undefined)) === undefined;
}

for (const moment of ["before", "after"] as const) {
  describe(`a daemon that dies ${moment} the commit`, () => {
    let sqs: FakeSqs;
    before(async () => {
      sqs = await startFakeSqs();
    });
    after(() => sqs[Symbol.asyncDispose]());

    for (const { what, operation, prepare, change, count } of CHANGES) {
      it(`by which ${what} leaves the ${moment === "after" ? "new" : "old"}, ${TIMES} times`, async () => {
        const dataDir = mkdtempSync(join(tmpdir(), "lambdad-faults-people-"));
        const env = { LAMBDAD_FAULT: `die:${moment}-commit:${operation}:1` };
        const expected = moment === "after" ? 1 : 0;
        try {
          {
            await using daemon = await startDaemon({ dataDir });
            await prepare(daemon, TIMES, sqs);
          }
          for (let n = 1; n <= TIMES; n += 1) {
            await using daemon = await startDaemon({ dataDir, env });
            // The one before found out by this one, which has not come by the point yet.
            if (n > 1) assert.equal(await count(daemon, n - 1), expected, `time ${n - 1}`);
            await change(daemon, n, sqs);
            await until(() => hasDied(daemon));
            assert.equal(await daemon.stop(), null, `it did not come by ${env.LAMBDAD_FAULT}`);
          }
          await using daemon = await startDaemon({ dataDir });
          assert.equal(await count(daemon, TIMES), expected, `time ${TIMES}`);
          for (let n = 1; n <= TIMES; n += 1) {
            // Whoever asked for it, and got no answer, asks again.
            await change(daemon, n, sqs);
            assert.equal(await count(daemon, n), 1, `time ${n}, asked for again`);
          }
        } finally {
          rmSync(dataDir, { recursive: true, force: true });
        }
      });
    }
  });
}
