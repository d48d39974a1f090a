/** Row R11 of the failure matrix: a worker that stood still for longer than its leases. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { RETRY_POLICY_DEFAULT } from "../../src/core/retry.ts";
import { seededRandom } from "../../src/core/seeded-random.fake.ts";
import { workOn } from "../../src/events/event-attempt.ts";
import { sampleEventConfig } from "../../src/events/events.fake.ts";
import { fakeInvocations, returned } from "../../src/invoker/invocations.fake.ts";
import type { ClaimedEvent } from "../../src/store/event-queue.ts";
import { sampleEvent } from "../../src/store/event-samples.fake.ts";
import { sampleFunction, sampleName } from "../../src/store/samples.fake.ts";
import { openSqliteStore } from "../../src/store/sqlite/sqlite-store.ts";
import { readLedger } from "./ledger.ts";

const TIMES = Number(process.env.FAULTS_STOPS ?? 200);
const seed = Number(process.env.FAULTS_SEED ?? Date.now() % 2 ** 31);
const LEASE_MS = 90;
/** More than may run at once, so that each stop is met with some running and some waiting. */
const EVENTS = 40 * TIMES;
const NO_KEY = { idempotencyKey: undefined };

const root = await mkdtemp(join(tmpdir(), "lambdad-leases-"));
after(() => rm(root, { recursive: true }));

const open = (name: string) => openSqliteStore({ dir: join(root, name), log: silentLog, clock: systemClock });

describe("leases", () => {
  it(`let a worker that was stopped ${TIMES} times for twice their time run each event once`, async (t) => {
    const random = seededRandom(seed);
    const effects = join(root, "effects");
    {
      await using store = await open("stopped");
      await Promise.all(Array.from({ length: EVENTS }, () => store.events.enqueue(sampleEvent("f"), NO_KEY)));
    }
    const program = join(import.meta.dirname, "worker-process.ts");
    const child = spawn(process.execPath, [program, join(root, "stopped"), effects, `${LEASE_MS}`], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exited = once(child, "exit");
    try {
      await Promise.race([once(child.stdout, "data"), exited]);
      for (let stop = 0; stop < TIMES; stop++) {
        await sleep(random() * 2 * LEASE_MS);
        child.kill("SIGSTOP");
        await sleep(2 * LEASE_MS);
        child.kill("SIGCONT");
      }
    } finally {
      child.kill("SIGCONT");
      child.kill("SIGTERM");
      await exited;
    }
    assert.equal(child.exitCode, 0);
    const runs = new Map<unknown, number>();
    for (const { call } of readLedger(effects)) runs.set(call, (runs.get(call) ?? 0) + 1);
    const doubled = [...runs].filter(([, count]) => count > 1);
    t.diagnostic(JSON.stringify({ seed, stops: TIMES, ran: runs.size, doubled: doubled.length }));
    assert.deepEqual(doubled, []);
    assert.ok(runs.size > TIMES, "enough ran to mean something");
    await using store = await open("stopped");
    assert.equal(store.events.counts(sampleName("f")).queued, EVENTS - runs.size);
  });

  it(`let no late result count, ${TIMES} times over`, async () => {
    await using store = await open("taken-over");
    const { events } = store;
    const record = sampleFunction("f", {
      eventInvokeConfigs: [
        sampleEventConfig({
          onSuccess: { kind: "function", functionName: sampleName("told"), qualifier: undefined },
        }),
      ],
    });
    const target = { record, version: record.latest, qualifier: undefined };
    const workOnIt = (claim: ClaimedEvent, run: () => Promise<string>) =>
      workOn(
        {
          events,
          functions: { resolve: async () => target },
          invocations: fakeInvocations(async () => returned(await run())),
          deliver: async () => ({ kind: "delivered", status: 200 }),
          identity: { accountId: "123456789012", region: "us-east-1" },
          policy: RETRY_POLICY_DEFAULT,
          random: Math.random,
          clock: systemClock,
          log: silentLog,
          storeRetryMs: 1,
        },
        claim,
        { signal: new AbortController().signal },
      );
    const claim = async (leaseMs: number) => {
      const room = (lane: string) => (lane === "f" ? 1 : 0);
      const [claimed] = await events.claim({ leaseMs, limit: 1, room });
      assert.ok(claimed);
      return claimed;
    };
    for (let time = 0; time < TIMES; time++) {
      const { id } = await events.enqueue(sampleEvent("f"), NO_KEY);
      const stopped = await claim(1);
      const continued = Promise.withResolvers<void>();
      const late = workOnIt(stopped, async () => {
        await continued.promise;
        return "late";
      });
      await sleep(2);
      const taken = await claim(60_000);
      assert.equal(taken.facts.id, id);
      const isLateFirst = time % 2 === 0;
      if (isLateFirst) {
        continued.resolve();
        await late;
        assert.equal((await events.find(id))?.state, "running");
      }
      await workOnIt(taken, async () => "in time");
      continued.resolve();
      await late;
      const facts = await events.find(id);
      assert.equal(facts?.state, "done");
      assert.deepEqual(
        facts?.attempts.map(({ outcome }) => outcome),
        ["lost", "returned"],
      );
      const result = await events.findResult(id);
      assert.equal(Buffer.from(result?.payload ?? []).toString(), "in time");
    }
    assert.equal(events.counts(sampleName("told")).queued, TIMES, "one record for each");
  });
});
