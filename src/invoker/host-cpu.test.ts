import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { HostCpu } from "./host-cpu.ts";

describe("HostCpu", () => {
  let dir: string;
  let file: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "host-cpu-"));
    file = join(dir, "stat");
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  /** Two cores that have been idle for so many ticks of 10 ms, and waited for a disk for so many. */
  function kernelSays(idle: number, waiting: number): void {
    writeFileSync(file, `cpu  10 0 10 ${idle} ${waiting} 0 0 0 0 0\ncpu0 5 0 5 0 0 0 0 0 0 0\n`);
  }

  for (const [expected, why, idleTicks, waitingTicks, atMs] of [
    [true, "its cores had nothing to spare", 5, 0, 1_000],
    [false, "a quarter of its time was idle", 50, 0, 1_000],
    [false, "the idle time was waiting for a disk", 0, 50, 1_000],
    [false, "the last look is so long ago that it says nothing of now", 0, 0, 60_000],
  ] as const) {
    it(`is ${expected ? "busy" : "not busy"} if ${why}`, () => {
      const cpu = new HostCpu({ file, cores: 2 });
      kernelSays(1_000, 100);
      assert.equal(cpu.isBusy(0), false);
      kernelSays(1_000 + idleTicks, 100 + waitingTicks);
      assert.equal(cpu.isBusy(atMs), expected);
    });
  }

  it("looks only now and then", () => {
    const cpu = new HostCpu({ file, cores: 2 });
    kernelSays(1_000, 0);
    cpu.isBusy(0);
    cpu.isBusy(1_000);
    kernelSays(9_000, 0);
    assert.equal(cpu.isBusy(1_100), true);
    assert.equal(cpu.isBusy(1_300), false);
  });

  it("is not busy where there is nothing to read, or nothing that it knows", () => {
    const cpu = new HostCpu({ file: join(dir, "absent"), cores: 2 });
    assert.deepEqual([cpu.isBusy(0), cpu.isBusy(1_000)], [false, false]);
    writeFileSync(file, "intr 1 2 3\n");
    const other = new HostCpu({ file, cores: 2 });
    assert.deepEqual([other.isBusy(0), other.isBusy(1_000)], [false, false]);
  });
});
