import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { openBuildGroup } from "./build-group.ts";

const ROOT = "/sys/fs/cgroup";
const LIMITS = { memoryBytes: 32 * 1024 * 1024, cpus: 1, limitMs: 1_000 };
const VERSION = {
  engine: "28.2.2",
  apiVersion: "1.47",
  architecture: "amd64",
  runc: undefined,
  isPodman: false,
};
const TRAITS = {
  isPodman: false,
  isRootless: false,
  limits: { memory: true, cpu: true, pids: true },
  cgroupDriver: "cgroupfs",
  gaps: [],
};

/** Where processes are put into a group: the folder of its memory, of either version. */
function memoryFolder(): string | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const folder of [join(ROOT, "memory"), ROOT]) {
    try {
      accessSync(join(folder, "cgroup.procs"), constants.W_OK);
      return folder;
    } catch {
      // Of the other version, or not ours to write.
    }
  }
  return undefined;
}

async function groupsOf(instance: string): Promise<string[]> {
  const names = [ROOT, ...(await readdir(ROOT)).map((name) => join(ROOT, name))];
  const lists = await Promise.all(names.map((folder) => readdir(folder).catch(() => [])));
  return lists.flat().filter((name) => name.startsWith(`lambdad-${instance}-build-`));
}

describe("openBuildGroup", () => {
  const memory = memoryFolder();
  const skip = memory === undefined ? "control groups are root's to make" : false;

  it("limits what is put into it, tells that it was full, and is gone afterwards", { skip }, async () => {
    const instance = `test${process.pid}`;
    const group = await openBuildGroup({ version: VERSION, traits: TRAITS }, instance, LIMITS);
    assert.ok(typeof group === "object", String(group));
    const script = "read go; head -c 200000000 /dev/zero | tail -c 100000000 > /dev/null; echo $?";
    const child = spawn("bash", ["-o", "pipefail", "-c", script], { stdio: ["pipe", "pipe", "ignore"] });
    await writeFile(join(memory ?? "", group.parent, "cgroup.procs"), String(child.pid));
    child.stdin.end("go\n");
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
    await once(child, "close");
    assert.equal(said, "137\n");
    assert.equal(await group.wasFull(true), true);
    await group[Symbol.asyncDispose]();
    assert.deepEqual(await groupsOf(instance), []);
  });

  for (const [what, engine, said] of [
    [
      "an engine that BuildKit takes no group of",
      { version: { ...VERSION, engine: "20.10.24", apiVersion: "1.41" }, traits: TRAITS },
      /^Docker 20\.10\.24 gives BuildKit none \(23 or later does\)$/,
    ],
    [
      "a rootless engine",
      { version: VERSION, traits: { ...TRAITS, isRootless: true } },
      /^a rootless engine gives BuildKit none$/,
    ],
  ] as const) {
    it(`says why there is none for ${what}`, async () =>
      assert.match(String(await openBuildGroup(engine, "test", LIMITS)), said));
  }
});
