import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { type Clock, systemClock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import { SETTINGS_DEFAULT } from "../core/function-settings.ts";
import { newSandboxId } from "../core/ids.ts";
import { silentLog } from "../core/log.ts";
import { openRecords } from "../records/file-records.ts";
import { sampleFunction } from "../store/samples.fake.ts";
import { expireAll, runLogRetention } from "./log-retention.ts";

const DAY_MS = 24 * 3_600_000;
const { signal } = new AbortController();

it("removes what is older than its function keeps it, and nothing of others", async () => {
  const dir = await mkdtemp(join(tmpdir(), "retention-"));
  const kept = sampleFunction("kept");
  const short = sampleFunction("short", { settings: { ...SETTINGS_DEFAULT, logRetentionDays: 3 } });
  let now = Date.now() - 10 * DAY_MS;
  const clock: Clock = { ...systemClock, now: () => now };
  try {
    // A restart begins a new segment; the lines are of ten and five days ago, and of now.
    for (const daysAgo of [10, 5, 0]) {
      now = Date.now() - daysAgo * DAY_MS;
      await using records = openRecords({ dir, clock, log: silentLog });
      for (const { name } of [kept, short]) {
        const origin = {
          functionName: name,
          version: "1",
          liveVersion: undefined,
          sandboxId: newSandboxId(),
        };
        records.line(origin, "stdout", `of ${daysAgo} days ago`);
      }
      await records.flush();
    }
    await using records = openRecords({ dir, clock: systemClock, log: silentLog });
    await expireAll({ functions: { list: async () => [kept, short] }, records, clock: systemClock }, signal);
    const texts = async (functionName: typeof kept.name) => {
      const query = { functionName, sinceAt: undefined, untilAt: undefined, invocationId: undefined };
      const lines = records.read(
        { ...query, version: undefined, contains: undefined, last: undefined, follow: false },
        { signal },
      );
      const found: string[] = [];
      for await (const { text } of lines) found.push(text);
      return found;
    };
    assert.equal((await texts(kept.name)).length, 3);
    const left = await texts(short.name);
    assert.ok(!left.includes("of 10 days ago") && left.includes("of 0 days ago"), left.join());
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

it("goes on where functions cannot be read for once", async () => {
  const closing = new AbortController();
  const asked: string[] = [];
  const clock: Clock = { ...systemClock, sleep: async () => undefined };
  const list = async () => {
    asked.push("list");
    if (asked.length === 2) closing.abort();
    throw new PlatformError("StoreUnavailable", "timed out");
  };
  const records = { expire: async () => undefined };
  await runLogRetention({ functions: { list }, records, clock, log: silentLog }, closing);
  assert.equal(asked.length, 2);
});
