import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { systemClock } from "../../src/core/clock.ts";
import { isPlatformError } from "../../src/core/errors.ts";
import { EVENTS_PER_FUNCTION_MAX } from "../../src/core/limits.ts";
import { silentLog } from "../../src/core/log.ts";
import { sampleEvent } from "../../src/store/event-samples.fake.ts";
import { openSqliteStore } from "../../src/store/sqlite/sqlite-store.ts";

const REQUESTS = 1_000_000;
const CLIENTS = 64;
const GROWTH_MIB_MAX = 64;
const NO_KEY = { idempotencyKey: undefined };

const rssMib = () => process.memoryUsage.rss() / 2 ** 20;

it(`refuses what is beyond the limit of a function, in flat memory, and serves others`, async () => {
  const dir = await mkdtemp(join(tmpdir(), "lambdad-overload-"));
  try {
    await using store = await openSqliteStore({ dir, log: silentLog, clock: systemClock });
    const counts = { accepted: 0, refused: 0 };
    const push = async (requests: number) => {
      const client = async () => {
        for (let sent = 0; sent < requests / CLIENTS; sent++) {
          try {
            await store.events.enqueue(sampleEvent("f", '{"a":1}'), NO_KEY);
            counts.accepted += 1;
          } catch (error) {
            assert.ok(isPlatformError(error, "TooManyEvents") && error.retryAfterMs !== undefined);
            counts.refused += 1;
          }
        }
      };
      await Promise.all(Array.from({ length: CLIENTS }, client));
    };
    await push(5_000);
    const before = rssMib();
    await push(REQUESTS);
    const growth = rssMib() - before;
    process.stdout.write(`# ${JSON.stringify({ ...counts, growthMib: Math.round(growth) })}\n`);
    assert.equal(counts.accepted, EVENTS_PER_FUNCTION_MAX);
    assert.ok(growth <= GROWTH_MIB_MAX, `memory grew by ${growth} MiB`);
    await store.events.enqueue(sampleEvent("g"), NO_KEY);
    const [next] = await store.events.claim({ leaseMs: 1, limit: 2, room: () => 1 });
    assert.ok(next);
  } finally {
    await rm(dir, { recursive: true });
  }
});
