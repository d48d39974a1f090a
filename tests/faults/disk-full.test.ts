/** Row R5 of the failure matrix: the disk fills up under a queue, and has room again. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { systemClock } from "../../src/core/clock.ts";
import { isPlatformError } from "../../src/core/errors.ts";
import type { EventId } from "../../src/core/ids.ts";
import { silentLog } from "../../src/core/log.ts";
import { sampleEnding, sampleEvent } from "../../src/store/event-samples.fake.ts";
import { openSqliteStore } from "../../src/store/sqlite/sqlite-store.ts";
import { skipWithout } from "../e2e/daemon.fake.ts";

const CYCLES = Number(process.env.FAULTS_CYCLES ?? 50);
const RECOVERED_MS_MAX = 5_000;
const EVENT_BYTES = 20_000;
const SIZE = "16m";
const NO_KEY = { idempotencyKey: undefined };

const disk = mkdtempSync(join(tmpdir(), "lambdad-disk-"));
const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${SIZE}`, "tmpfs", disk]);
if (mounted.status !== 0) rmdirSync(disk);
const skip = skipWithout("mount (as root)", mounted.status === 0);

it(`acknowledges nothing that it has no room for, ${CYCLES} times, and goes on without a restart`, {
  skip,
}, async (t) => {
  const ballast = join(disk, "ballast");
  const acknowledged: EventId[] = [];
  let refused = 0;
  let slowestMs = 0;
  try {
    {
      await using store = await openSqliteStore({
        dir: join(disk, "data"),
        log: silentLog,
        clock: systemClock,
      });
      const { events } = store;
      const enqueue = async () => {
        const { id } = await events.enqueue(sampleEvent("f", "x".repeat(EVENT_BYTES)), NO_KEY);
        acknowledged.push(id);
      };
      await enqueue();
      const [first] = acknowledged;
      assert.ok(first);
      for (let cycle = 0; cycle < CYCLES; cycle++) {
        fill(ballast);
        const until = performance.now() + 30_000;
        const refusedBefore = refused;
        while (refused < refusedBefore + 3) {
          assert.ok(performance.now() < until, "the disk did not fill up");
          await enqueue().catch((error: unknown) => {
            assert.ok(isPlatformError(error, "StorageFull"), String(error));
            refused += 1;
          });
        }
        assert.ok(await events.find(first), "what is there can be read");
        rmSync(ballast);
        const freedAt = performance.now();
        await enqueue();
        slowestMs = Math.max(slowestMs, performance.now() - freedAt);
      }
    }
    await using store = await openSqliteStore({
      dir: join(disk, "data"),
      log: silentLog,
      clock: systemClock,
    });
    const { events } = store;
    for (const id of acknowledged) assert.equal((await events.find(id))?.state, "queued");
    assert.equal(events.counts().queued, acknowledged.length, "nothing is there that was refused");
    const [claim] = await events.claim({ leaseMs: 60_000, limit: 1, room: () => 1 });
    assert.ok(claim && (await events.end(claim, sampleEnding(claim))));
    t.diagnostic(
      JSON.stringify({ acknowledged: acknowledged.length, refused, slowestMs: Math.round(slowestMs) }),
    );
    assert.ok(slowestMs <= RECOVERED_MS_MAX);
  } finally {
    spawnSync("umount", [disk]);
    rmdirSync(disk);
  }
});

/** Takes all the room that is left. */
function fill(file: string): void {
  for (const size of [1_048_576, 4_096]) while (hasTaken(file, size));
}

function hasTaken(file: string, size: number): boolean {
  try {
    writeFileSync(file, Buffer.alloc(size), { flag: "a" });
    return true;
  } catch {
    return false;
  }
}
