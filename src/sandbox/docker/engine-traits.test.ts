import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { traitsOf } from "./engine-traits.ts";
import { holderProgram } from "./holder-program.ts";

const VERSION = { engine: "x", apiVersion: "1.41", architecture: "amd64", runc: undefined, isPodman: false };
const SECCOMP = "name=seccomp,profile=default";
const ALL = { memory: true, cpu: true, pids: true };
const NONE = { memory: false, cpu: false, pids: false };

describe("traitsOf", () => {
  for (const [what, info, limits, isRootless] of [
    ["an engine of root", { SecurityOptions: [SECCOMP], CgroupVersion: "1" }, ALL, false],
    [
      "rootless Docker without groups",
      { SecurityOptions: [SECCOMP, "name=rootless"], CgroupDriver: "none", MemoryLimit: false },
      NONE,
      true,
    ],
    [
      "rootless Podman, which claims what it does not do",
      { SecurityOptions: [SECCOMP], Rootless: true, CgroupVersion: "1", MemoryLimit: true },
      NONE,
      true,
    ],
    [
      "rootless with groups of version 2",
      { SecurityOptions: [SECCOMP, "name=rootless"], CgroupDriver: "systemd", CgroupVersion: "2" },
      ALL,
      true,
    ],
    [
      "a host without a limit of processes",
      { SecurityOptions: [SECCOMP], PidsLimit: false },
      { ...ALL, pids: false },
      false,
    ],
  ] as const) {
    it(`knows ${what}`, () => {
      const traits = traitsOf(info, VERSION);
      assert.deepEqual([traits.limits, traits.isRootless], [limits, isRootless]);
      const isLimited = Object.values(limits).every((is) => is);
      assert.equal(traits.gaps.length, isLimited ? 0 : 1, traits.gaps.join("\n"));
    });
  }

  it("says all that is missing in one sentence, with the remedy", () => {
    const info = { SecurityOptions: [SECCOMP], Rootless: true, CgroupVersion: "1" };
    assert.match(
      traitsOf(info, VERSION).gaps.join(),
      /^containers have no limit of memory, CPU time or processes: .*Delegate=/,
    );
  });
});

describe("the program that holds networks", () => {
  it("runs until it is killed", async () => {
    const program = holderProgram(process.arch);
    assert.ok(program);
    const folder = await mkdtemp(join(tmpdir(), "holder-"));
    const file = join(folder, "wait");
    await writeFile(file, program, { mode: 0o755 });
    const child = spawn(file);
    await once(child, "spawn");
    // What it is stopped and let go on with ends a wait; it has to begin the next.
    child.kill("SIGSTOP");
    child.kill("SIGCONT");
    child.kill("SIGTERM");
    assert.deepEqual(await once(child, "exit"), [null, "SIGTERM"]);
    await rm(folder, { recursive: true });
  });

  it("is there for arm64, and for nothing that it was not written for", () => {
    assert.equal(holderProgram("arm64")?.readUInt16LE(18), 183);
    assert.equal(holderProgram("riscv64"), undefined);
  });
});
