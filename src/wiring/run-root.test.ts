import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { runRoot, sandboxRoot } from "./run-root.ts";

const TMPFS = 0x01021994;
const LACKING =
  process.getuid?.() !== 0
    ? "needs root"
    : !isTmpfs("/dev/shm") || isTmpfs(tmpdir())
      ? "needs a folder on a disk and one in memory"
      : false;

function isTmpfs(path: string): boolean {
  return existsSync(path) && statfsSync(path).type === TMPFS;
}

describe("the folder of sandboxes", { skip: LACKING }, () => {
  let disk = "";
  let memory = "";
  const usual = runRoot({});
  const onDisk = () => sandboxRoot({}, { run: disk, shared: memory });

  beforeEach(() => {
    disk = mkdtempSync(join(tmpdir(), "lambdad-run-"));
    memory = mkdtempSync("/dev/shm/lambdad-run-");
  });
  afterEach(() => {
    for (const dir of [disk, memory]) rmSync(dir, { recursive: true, force: true });
  });

  it("is the usual one where that is in memory, and where there is no memory for it", () => {
    assert.equal(sandboxRoot({}, { run: memory, shared: memory }), usual);
    assert.equal(sandboxRoot({}, { run: disk, shared: disk }), usual);
    assert.equal(sandboxRoot({}, { run: join(disk, "missing"), shared: memory }), usual);
  });

  it("is in memory where the usual one is on a disk, for root alone, also the next time", () => {
    const found = onDisk();
    assert.equal(found, join(memory, "lambdad"));
    assert.equal(statSync(found).mode & 0o777, 0o700);
    assert.equal(onDisk(), found);
  });

  it("is not what somebody else has made there before", () => {
    const folder = join(memory, "lambdad");
    mkdirSync(folder);
    chownSync(folder, 12_345, 12_345);
    assert.equal(onDisk(), usual);
    chownSync(folder, 0, 0);
    chmodSync(folder, 0o777);
    assert.equal(onDisk(), usual);
    rmSync(folder, { recursive: true });
    symlinkSync(disk, folder);
    assert.equal(onDisk(), usual);
  });
});
