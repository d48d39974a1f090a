/** A store and a scheduler on it, and nothing else: what the tests of schedules kill. Arguments: data folder, fault. */
import { systemClock } from "../../src/core/clock.ts";
import { parseFault } from "../../src/core/fault.ts";
import { silentLog } from "../../src/core/log.ts";
import { runScheduler } from "../../src/events/scheduler.ts";
import { openSqliteStore } from "../../src/store/sqlite/sqlite-store.ts";

const [dir = "", faultText = ""] = process.argv.slice(2);
const clock = systemClock;
const store = await openSqliteStore({ dir, log: silentLog, clock, fault: parseFault(faultText) });
const identity = { account: "123456789012", region: "us-east-1" };
const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());
process.stdout.write("ready\n");
const { schedules, events } = store;
await runScheduler({ schedules, events, identity, clock, log: silentLog }, { signal: stop.signal });
await store[Symbol.asyncDispose]();
