import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { MemoryMeter, readPeakMib } from "./memory-meter.ts";

describe("MemoryMeter", () => {
  let folder: string;
  let peakFile: string;
  let program: ChildProcess | undefined;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "meter-"));
    peakFile = join(folder, "memory.peak");
  });
  afterEach(async () => {
    if (program?.kill("SIGKILL")) await once(program, "exit");
    program = undefined;
    rmSync(folder, { recursive: true, force: true });
  });

  /** What stands in a group's files: its highest use, and a Node process beside two that are not to be seen. */
  async function startGroup(peakMib: number): Promise<{ readonly residentMib: () => number }> {
    program = spawn(process.execPath, ["-e", "console.log(1); setInterval(() => {}, 1e6)"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    assert.ok(program.stdout);
    await once(program.stdout, "data");
    writeFileSync(peakFile, `${peakMib * 1024 * 1024}\n`);
    writeFileSync(join(folder, "cgroup.procs"), `0\n999999999\n${program.pid}\n`);
    const status = () => readFileSync(`/proc/${program?.pid}/status`, "utf8");
    return { residentMib: () => Number(/^VmHWM:\s+(\d+) kB/m.exec(status())?.[1]) / 1024 };
  }

  it("says what counted for the group, and what its program held with pages that count for others", async () => {
    const { residentMib } = await startGroup(3);
    using meter = new MemoryMeter(() => peakFile);
    const used = meter.usedMib();
    assert.ok(used > 20 && used <= Math.ceil(residentMib()), `${used} MiB`);
    assert.equal(meter.peakMib(), 3);
  });

  it("says what counted where that is more: processes beside the program, files in memory", async () => {
    await startGroup(400);
    using meter = new MemoryMeter(() => peakFile);
    assert.deepEqual([meter.usedMib(), meter.peakMib()], [400, 400]);
  });

  it("looks again at once when it is asked for now, else after a second", async () => {
    await startGroup(400);
    using meter = new MemoryMeter(() => peakFile);
    meter.usedMib();
    writeFileSync(peakFile, String(500 * 1024 * 1024));
    assert.equal(meter.usedMib(), 400);
    assert.equal(meter.usedMib("now"), 500);
  });

  it("knows what was when the group has gone, and nothing where there is none", async () => {
    await startGroup(3);
    const meter = new MemoryMeter(() => peakFile);
    const used = meter.usedMib("now");
    program?.kill("SIGKILL");
    for (let looks = 0; looks < 5; looks++) assert.equal(meter.usedMib("now"), used);
    rmSync(folder, { recursive: true });
    assert.equal(meter.usedMib("now"), used);
    meter.end(5);
    assert.deepEqual([meter.usedMib("now"), meter.peakMib("now")], [used, 5]);
    using none = new MemoryMeter(() => undefined);
    assert.deepEqual([none.usedMib("now"), none.peakMib("now")], [0, 0]);
  });

  it("reads a peak in MiB, rounded up, and 0 where there is none", () => {
    assert.deepEqual([readPeakMib(undefined), readPeakMib(peakFile)], [0, 0]);
    writeFileSync(peakFile, "1048577\n");
    assert.equal(readPeakMib(peakFile), 2);
    writeFileSync(peakFile, "max\n");
    assert.equal(readPeakMib(peakFile), 0);
  });
});
