import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { countOomKills, makeGroup, openCgroups, parseMounts, setLimits } from "./cgroups.ts";

/** A folder that looks like a mounted cgroup v2 tree; the kernel's own behaviour is not imitated. */
function fakeUnified(
  test: TestContext,
  groups: readonly string[],
  controllers = "cpuset cpu io memory hugetlb pids",
) {
  const root = mkdtempSync(join(tmpdir(), "cgroup-"));
  test.after(() => rmSync(root, { recursive: true, force: true }));
  for (const group of ["", ...groups]) {
    mkdirSync(join(root, group), { recursive: true });
    writeFileSync(join(root, group, "cgroup.controllers"), controllers);
    writeFileSync(join(root, group, "cgroup.subtree_control"), controllers);
    writeFileSync(join(root, group, "cgroup.procs"), "");
  }
  return { root, mountinfo: `30 23 0:27 / ${root} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n` };
}

describe("parseMounts", () => {
  it("finds the controllers of version 1 in the mount options", () => {
    const lines = [
      "33 32 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct",
      "36 32 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory",
      "40 32 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd",
      "22 27 0:21 / /proc rw,relatime - proc proc rw",
      "",
    ];
    assert.deepEqual(parseMounts(lines.join("\n")), [
      { version: 1, path: "/sys/fs/cgroup/cpu", root: "/", controllers: ["cpu"] },
      { version: 1, path: "/sys/fs/cgroup/memory", root: "/", controllers: ["memory"] },
    ]);
  });

  it("finds those of version 2 in the tree", (test) => {
    const { root, mountinfo } = fakeUnified(test, [], "cpu memory hugetlb");
    assert.deepEqual(parseMounts(mountinfo), [
      { version: 2, path: root, root: "/", controllers: ["memory", "cpu"] },
    ]);
  });

  for (const text of ["", "nonsense", "a - b - c", "1 2 3"]) {
    it(`finds nothing in ${JSON.stringify(text)}`, () => assert.deepEqual(parseMounts(text), []));
  }
});

describe("openCgroups", () => {
  const ownGroups = "0::/system.slice/lambdad.service\n";

  it("makes root's groups at the top of version 2", (test) => {
    const { root, mountinfo } = fakeUnified(test, ["lambdad", "lambdad/main"]);
    const layout = openCgroups({ instanceName: "main", mountinfo, ownGroups, isRoot: true });
    assert.deepEqual(layout, {
      version: 2,
      hierarchies: [
        { version: 2, folder: join(root, "lambdad/main"), controllers: ["memory", "cpu", "pids"] },
      ],
      missing: [],
    });
  });

  it("makes other users' groups in the one that was delegated to them", (test) => {
    const own = "system.slice/lambdad.service";
    const { root, mountinfo } = fakeUnified(test, [own, `${own}/lambdad`, `${own}/lambdad/main`]);
    const layout = openCgroups({ instanceName: "main", mountinfo, ownGroups, isRoot: false });
    assert.equal(layout.hierarchies[0]?.folder, join(root, own, "lambdad/main"));
    assert.deepEqual(layout.missing, []);
  });

  it("has all functions together weigh as much as one process on each CPU in version 1", (test) => {
    const root = mkdtempSync(join(tmpdir(), "cgroup-"));
    test.after(() => rmSync(root, { recursive: true, force: true }));
    mkdirSync(join(root, "lambdad"));
    writeFileSync(join(root, "lambdad/cpu.shares"), "1024");
    const mountinfo = `33 32 0:29 / ${root} rw,relatime - cgroup cgroup rw,cpu,cpuacct\n`;
    openCgroups({ instanceName: "main", mountinfo, ownGroups, isRoot: true });
    const shares = readFileSync(join(root, "lambdad/cpu.shares"), "utf8");
    assert.equal(shares, String(1_024 * availableParallelism()));
  });

  it("says which limits are missing, and why, where it may not write", () => {
    const mountinfo = "30 23 0:27 / /proc/self/cgroup rw - cgroup cgroup rw,memory\n";
    const layout = openCgroups({ instanceName: "main", mountinfo, ownGroups, isRoot: false });
    assert.deepEqual(layout.hierarchies, []);
    assert.equal(layout.version, 1);
    assert.deepEqual(
      layout.missing.map(({ controller }) => controller),
      ["memory", "cpu", "pids"],
    );
    assert.match(layout.missing[0]?.why ?? "", /proc/);
    assert.match(layout.missing[1]?.why ?? "", /does not offer/);
  });

  it("does without on a host that has none", () => {
    const layout = openCgroups({ instanceName: "main", mountinfo: "", ownGroups: "", isRoot: true });
    assert.deepEqual([layout.version, layout.hierarchies, layout.missing.length], [undefined, [], 3]);
  });
});

describe("a group", () => {
  it("sets the limits in the words of version 2", (test) => {
    const { root, mountinfo } = fakeUnified(test, ["lambdad", "lambdad/main"]);
    const layout = openCgroups({ instanceName: "main", mountinfo, ownGroups: "", isRoot: true });
    const group = makeGroup(layout, "sb-1");
    setLimits(layout, group, { memoryMib: 128, cpus: 0.5, pidsMax: 20 });
    const folder = join(root, "lambdad/main/sb-1");
    const read = (name: string) => readFileSync(join(folder, name), "utf8");
    assert.deepEqual(
      { memory: read("memory.max"), cpu: read("cpu.max"), pids: read("pids.max") },
      { memory: "134217728", cpu: "50000 100000", pids: "20" },
    );
    assert.deepEqual(group, {
      entrances: [join(folder, "cgroup.procs")],
      processesFile: join(folder, "cgroup.procs"),
      memoryPeakFile: join(folder, "memory.peak"),
      freezer: undefined,
      cpu: {
        usage: join(folder, "cpu.stat"),
        idle: null,
        weight: join(folder, "cpu.weight"),
        weightMin: "1",
      },
      folders: [folder],
    });
  });

  it("makes no group twice", (test) => {
    const { mountinfo } = fakeUnified(test, ["lambdad", "lambdad/main"]);
    const layout = openCgroups({ instanceName: "main", mountinfo, ownGroups: "", isRoot: true });
    makeGroup(layout, "sb-1");
    assert.throws(() => makeGroup(layout, "sb-1"), { code: "EEXIST" });
  });

  it("makes nothing without hierarchies", () => {
    const layout = openCgroups({ instanceName: "main", mountinfo: "", ownGroups: "", isRoot: true });
    assert.deepEqual(makeGroup(layout, "sb-1"), {
      entrances: [],
      processesFile: undefined,
      memoryPeakFile: undefined,
      freezer: undefined,
      cpu: undefined,
      folders: [],
    });
  });
});

describe("counters", () => {
  it("tell out of memory in either version's words", (test) => {
    const folder = mkdtempSync(join(tmpdir(), "cgroup-"));
    test.after(() => rmSync(folder, { recursive: true, force: true }));
    assert.equal(countOomKills({ folders: [folder] }), 0);
    writeFileSync(
      join(folder, "memory.events"),
      "low 0\nhigh 0\nmax 12\noom 1\noom_kill 2\noom_group_kill 1\n",
    );
    assert.equal(countOomKills({ folders: [folder] }), 2);
    writeFileSync(join(folder, "memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    assert.equal(countOomKills({ folders: [folder] }), 3);
    assert.equal(readdirSync(folder).length, 2);
  });
});
