import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../src/core/clock.ts";
import { type EventId, parseEventId } from "../../src/core/ids.ts";
import { silentLog } from "../../src/core/log.ts";
import { eventOperations } from "../../src/store/sqlite/event-operations.ts";
import { eventUpkeepOperations } from "../../src/store/sqlite/event-upkeep-operations.ts";
import { openSqliteStore } from "../../src/store/sqlite/sqlite-store.ts";

const PROGRAM = fileURLToPath(new URL("../../src/store/sqlite/event-crash.fake.ts", import.meta.url));
const TIMES = Number(process.env.FAULTS_TIMES ?? 5);

/** What the writer does about events, from the source itself. Keys are pruned a day later, which no test waits for. */
const OPERATIONS = [...Object.keys(eventOperations), ...Object.keys(eventUpkeepOperations)].filter(
  (name) => name !== "pruneEventKeys",
);

/** Runs the program until the fault kills it. Gives the last that was said of each event. */
async function dieBy(dir: string, fault: string): Promise<ReadonlyMap<string, string>> {
  const child = spawn(process.execPath, [PROGRAM, dir, fault], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const overdue = setTimeout(() => child.kill("SIGTERM"), 120_000);
  const said = new Map<string, string>();
  for await (const line of createInterface({ input: child.stdout })) {
    const [what = "", id = ""] = line.split(" ");
    if (what === "cancelled-all") said.clear();
    else said.set(id, what);
  }
  const [, signal] = await exited;
  clearTimeout(overdue);
  assert.equal(signal, "SIGKILL", `${fault} was not come by`);
  return said;
}

/** Where an event may be whose last acknowledged step was this: there, or where the step after it leads. */
const NEXT: Readonly<Record<string, readonly string[]>> = {
  queued: ["queued", "running", "done", "failed", "cancelled", "gone"],
  running: ["queued", "done"],
  done: ["done", "gone"],
  delayed: ["queued", "running", "done", "failed", "cancelled", "gone"],
  failed: ["failed", "queued", "gone"],
  removed: ["gone"],
  cancelled: ["cancelled", "gone"],
};

for (const moment of ["before-commit", "after-commit"]) {
  describe(`death ${moment}`, () => {
    for (const operation of OPERATIONS) {
      it(`of ${operation} leaves the old or the new, ${TIMES} times`, async () => {
        for (let time = 1; time <= TIMES; time++) {
          const dir = await mkdtemp(join(tmpdir(), "lambdad-event-crash-"));
          try {
            // What ran is recovered at a start, so there has to be a death before.
            const isAtStart = operation === "recoverEvents";
            const first = await dieBy(
              dir,
              `die:after-commit:${isAtStart ? "claimEvent" : operation}:${time}`,
            );
            await check(dir, first, !isAtStart);
            const nth = isAtStart ? 1 : time + 1;
            const second = await dieBy(dir, `die:${moment}:${operation}:${nth}`);
            await check(dir, second, true);
          } finally {
            await rm(dir, { recursive: true });
          }
        }
      });
    }
  });
}

async function check(dir: string, said: ReadonlyMap<string, string>, opens: boolean): Promise<void> {
  if (!opens) return;
  // A look that leaves what ran running would be another program's; this one queues it, as the next daemon does.
  await using store = await openSqliteStore({ dir, log: silentLog, clock: systemClock });
  for (const [text, what] of said) {
    const id: EventId | undefined = parseEventId(text);
    if (!id) continue;
    const facts = await store.events.find(id);
    const state = facts?.state ?? "gone";
    assert.ok(NEXT[what]?.includes(state), `${id}: ${what} was acknowledged, it is ${state}`);
    if (!facts) continue;
    assert.deepEqual(
      facts.attempts.map(({ number }) => number),
      Array.from({ length: facts.attempt }, (_, index) => index + 1),
      "attempts are numbered without a gap",
    );
    if (what === "done" && state === "done") {
      assert.equal((await store.events.findResult(id))?.payload.byteLength, 5_000);
    }
  }
}
