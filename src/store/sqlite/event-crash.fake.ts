/**
 * A program for the crash test of events: does everything that the writer can do about them, round after
 * round, and prints a line for each step that was acknowledged. Arguments: the data folder, and the fault.
 */
import { writeSync } from "node:fs";
import { systemClock } from "../../core/clock.ts";
import { parseFault } from "../../core/fault.ts";
import type { EventId } from "../../core/ids.ts";
import { silentLog } from "../../core/log.ts";
import type { ClaimedEvent } from "../event-queue.ts";
import { sampleAttempt, sampleEnding, sampleEvent, sampleResult } from "../event-samples.fake.ts";
import { sampleFunction, sampleName } from "../samples.fake.ts";
import { openSqliteStore } from "./sqlite-store.ts";

const REASON = { condition: "RetriesExhausted", message: "why" } as const;
const name = sampleName("f");

const store = await openSqliteStore({
  dir: process.argv[2] ?? "",
  log: silentLog,
  clock: systemClock,
  fault: parseFault(process.argv[3] ?? ""),
});
const { events, registry } = store;
if (!(await registry.findFunction(name))) await registry.saveFunction(sampleFunction("f"));

function say(what: string, id: string): void {
  writeSync(1, `${what} ${id}\n`);
}

async function accept(key?: string): Promise<EventId> {
  const { id } = await events.enqueue(sampleEvent("f"), { idempotencyKey: key });
  say("queued", id);
  return id;
}

async function claim(): Promise<ClaimedEvent> {
  for (;;) {
    const [claimed] = await events.claim({ leaseMs: 60_000, limit: 1, room: () => 1 });
    if (claimed) return claimed;
    await accept();
  }
}

for (let round = 0; ; round++) {
  await Promise.all([accept(), accept(`key ${round} ${Math.random()}`), accept()]);
  const done = await claim();
  say("running", done.facts.id);
  const followUps = [sampleEvent("f", "next")];
  await events.end(done, sampleEnding(done, { result: sampleResult("x".repeat(5_000)), followUps }));
  say("done", done.facts.id);

  const later = await claim();
  const delay = { dueAt: systemClock.now(), attempt: sampleAttempt(later, "threw"), errors: 1, setbacks: 0 };
  await events.delay(later, delay);
  say("delayed", later.facts.id);

  const failed = await claim();
  await events.end(failed, sampleEnding(failed, { state: "failed", reason: REASON }));
  say("failed", failed.facts.id);
  await events.requeue([failed.facts.id], { qualifier: "7" });
  say("queued", failed.facts.id);

  const dead = await claim();
  await events.end(dead, sampleEnding(dead, { state: "failed", reason: REASON }));
  await events.removeDeadLetters(name, [dead.facts.id], 10);
  say("removed", dead.facts.id);

  const unwanted = await accept();
  await events.cancel(unwanted, REASON);
  say("cancelled", unwanted);

  if (round % 3 === 2) {
    await events.cancelAll(name, REASON);
    say("cancelled-all", "-");
    const now = systemClock.now() + 1;
    while (await events.prune({ endedBefore: now, deadLettersBefore: now }));
    say("pruned", "-");
  }
}
