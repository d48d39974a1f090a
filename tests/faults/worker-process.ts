/**
 * A store and a worker on its events, and nothing else: what the tests of leases stop and continue. Each call writes
 * when it begins and ends. Arguments: data folder, ledger, ms of a lease.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { runEventWorker } from "../../src/events/event-worker.ts";
import { fakeInvocations, returned } from "../../src/invoker/invocations.fake.ts";
import { sampleFunction } from "../../src/store/samples.fake.ts";
import { openSqliteStore } from "../../src/store/sqlite/sqlite-store.ts";
import { openLedger } from "./ledger.ts";

const [dir = "", effects = "", leaseMs = ""] = process.argv.slice(2);
const CALL_MS_MAX = 150;

const store = await openSqliteStore({ dir, log: silentLog, clock: systemClock });
const ledger = openLedger(effects);
const record = sampleFunction("f");
const target = { record, version: record.latest, qualifier: undefined };
const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());
process.stdout.write("ready\n");
await runEventWorker(
  {
    events: store.events,
    functions: { resolve: async () => target, resolveCached: () => target },
    invocations: fakeInvocations(async ({ invocationId }) => {
      await ledger.note({ call: invocationId });
      await sleep(Math.random() * CALL_MS_MAX);
      return returned("{}");
    }),
    deliver: async () => ({ kind: "delivered", status: 200 }),
    identity: { accountId: "123456789012", region: "us-east-1" },
    clock: systemClock,
    log: silentLog,
    leaseMs: Number(leaseMs),
  },
  { signal: stop.signal },
);
await store[Symbol.asyncDispose]();
