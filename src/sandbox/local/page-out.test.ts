import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { setTimeout as sleepFor } from "node:timers/promises";
import { hasCompressedSwap } from "./compressed-swap.ts";
import { openTestDriver, without, withoutRoot } from "./test-driver.fake.ts";

const WAIT_MS_MAX = 30_000;
const MIB = 1024 * 1024;

const LACKING =
  withoutRoot() ||
  without("bwrap", "python3") ||
  (hasCompressedSwap() || process.env.REQUIRE_ALL === "1" ? false : "needs swap on zram, or zswap");

it("gives a frozen program's memory away, and the program goes on when it is thawed", {
  skip: LACKING,
}, async () => {
  await using test = await openTestDriver();
  const program =
    "import sys\nheld = bytearray(b'x') * 40_000_000\nprint('up', flush=True)\nfor line in sys.stdin: print(len(held), flush=True)";
  const sandbox = await test.start(`exec python3 -S -c "${program}"`, { hasInput: true });
  sandbox.stderr.resume();
  sandbox.telemetry.resume();
  await once(sandbox.stdout, "data");
  const before = residentBytes(test.instanceName);
  assert.ok(before > 40 * MIB, `${before} bytes`);

  sandbox.freezer?.freeze();
  sandbox.freezer?.pageOut?.();

  const giveUpAt = performance.now() + WAIT_MS_MAX;
  while (residentBytes(test.instanceName) > before / 2) {
    assert.ok(performance.now() < giveUpAt, "half of it is gone after a while");
    await sleepFor(10);
  }
  sandbox.freezer?.thaw();
  sandbox.stdin?.write("\n");
  const [answer] = await once(sandbox.stdout, "data");
  assert.equal(String(answer), "40000000\n");
  await sandbox[Symbol.asyncDispose]();
});

/** Anonymous memory of all sandboxes of that name, in either version's words. */
function residentBytes(instanceName: string): number {
  const folders = ["/sys/fs/cgroup/memory/lambdad", "/sys/fs/cgroup/lambdad"].map((top) =>
    join(top, instanceName),
  );
  const files = folders.flatMap((folder) => namesIn(folder).map((name) => join(folder, name, "memory.stat")));
  return files.reduce((sum, file) => sum + Number(/^(?:rss|anon) (\d+)$/m.exec(textOf(file))?.[1] ?? 0), 0);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
