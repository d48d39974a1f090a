import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { setTimeout as sleepFor } from "node:timers/promises";
import { openTestDriver, type TestDriver, without, withoutRoot } from "./test-driver.fake.ts";

const LACKING = withoutRoot() || without("bwrap");
const WAIT_MS_MAX = 60_000;
/** No other sandbox weighs as much. */
const CPUS = 2;
/** Where this host may have the controller, by version and by who mounted it. */
const TOPS = ["cpu", "cpu,cpuacct", "."].map((mount) => join("/sys/fs/cgroup", mount, "lambdad"));

it("tells what a sandbox has taken of the processor", { skip: LACKING }, async () => {
  await using test = await openTestDriver();
  const sandbox = await test.start("echo up; while :; do :; done");
  sandbox.stderr.resume();
  sandbox.telemetry.resume();
  await once(sandbox.stdout, "data");
  const { cpu } = sandbox;
  assert.ok(cpu);
  const before = cpu.usedMs();
  const giveUpAt = performance.now() + WAIT_MS_MAX;
  while (cpu.usedMs() < before + 50) {
    assert.ok(performance.now() < giveUpAt, "it takes 50 ms of CPU after a while");
    await sleepFor(10);
  }
  await sandbox[Symbol.asyncDispose]();
  cpu.standBack();
  cpu.stepForward();
  assert.ok(Number.isFinite(cpu.usedMs()), "one that is gone does no harm");
});

it("puts a sandbox behind the others, and gives it its share again", { skip: LACKING }, async () => {
  await using test = await openTestDriver();
  const sandbox = await test.start("echo up; exec sleep 1000", { cpus: CPUS });
  sandbox.stderr.resume();
  sandbox.telemetry.resume();
  await once(sandbox.stdout, "data");
  const { cpu } = sandbox;
  assert.ok(cpu);
  const folder = groupWithWeight(test, [String(CPUS * 1_024), String(CPUS * 100)]);
  const before = standingOf(folder);
  cpu.standBack();
  cpu.standBack();
  const behind = standingOf(folder);
  cpu.stepForward();
  cpu.stepForward();

  assert.notDeepEqual(behind, before);
  if (behind.idle !== undefined) assert.deepEqual([before.idle, behind.idle], ["0", "1"]);
  assert.deepEqual(standingOf(folder), before);
  await sandbox[Symbol.asyncDispose]();
});

/** The one beside those that are kept ready. */
function groupWithWeight(test: TestDriver, weights: readonly string[]): string {
  const folders = TOPS.map((top) => join(top, test.instanceName)).flatMap(foldersIn);
  const found = folders.filter((folder) => weights.includes(standingOf(folder).weight ?? ""));
  assert.equal(found.length, 1, JSON.stringify(folders));
  return String(found[0]);
}

function standingOf(folder: string): {
  readonly idle: string | undefined;
  readonly weight: string | undefined;
} {
  return {
    idle: textOf(join(folder, "cpu.idle")),
    weight: textOf(join(folder, "cpu.shares")) ?? textOf(join(folder, "cpu.weight")),
  };
}

function foldersIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(folder, entry.name));
  } catch {
    return [];
  }
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return undefined;
  }
}
