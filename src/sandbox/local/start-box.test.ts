import assert from "node:assert/strict";
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { firstUid, INNER_UID } from "./abilities.ts";
import type { Box, BoxParts, Jail } from "./box.ts";
import { type CgroupLayout, closeCgroups, openCgroups } from "./cgroups.ts";
import { findHostWorld } from "./host-world.ts";
import type { StartRequest } from "./messages.ts";
import { canUseReadyShell, discard, startBox, startReadyShell } from "./start-box.ts";
import { loadSyscalls } from "./syscalls.ts";
import { without, withoutRoot } from "./test-driver.fake.ts";

const isRoot = process.getuid?.() === 0;
let opened = 0;

async function openParts(
  test: TestContext,
  lacks: { readonly syscalls?: true; readonly groups?: true } = {},
) {
  const runDir = mkdtempSync(join(tmpdir(), "sb-"));
  opened += 1;
  const layout: CgroupLayout = lacks.groups
    ? { version: undefined, hierarchies: [], missing: [] }
    : openCgroups({
        instanceName: `box-${process.pid}-${opened}`,
        mountinfo: readFileSync("/proc/self/mountinfo", "utf8"),
        ownGroups: readFileSync("/proc/self/cgroup", "utf8"),
        isRoot,
      });
  test.after(() => {
    closeCgroups(layout);
    rmSync(runDir, { recursive: true, force: true });
  });
  const jail: Jail = {
    world: findHostWorld("/usr/bin/bwrap", join(runDir, "etc")),
    user: isRoot
      ? { kind: "host", uid: firstUid("box-test") + opened }
      : { kind: "namespace", uid: INNER_UID },
    filterFile: undefined,
  };
  const syscalls = lacks.syscalls ? undefined : await loadSyscalls();
  const parts: BoxParts = { runDir, layout, syscalls, jail };
  return { parts, jail, runDir };
}

function requestOf(runDir: string, script: string, changes: Partial<StartRequest> = {}): StartRequest {
  return {
    id: "sb-0123456789abcdef",
    codeDir: join(runDir, "etc"),
    runtimeDir: null,
    optDir: null,
    toolDirs: [],
    memoryMib: 128,
    cpus: 1,
    pidsMax: 16,
    tmpMib: 8,
    isOffline: false,
    hasInput: false,
    wantsListener: false,
    forkFrom: null,
    command: ["/bin/sh", "-c", script],
    environment: { PATH: "/usr/bin:/bin" },
    workingDir: "/",
    hosts: "",
    ...changes,
  };
}

/** Waits for its end; gives the exit code and what it said. */
async function finish(box: Box): Promise<readonly [code: number | null, said: string]> {
  const fd = openSync(join(box.tracks.folder, "stdout"), constants.O_RDWR | constants.O_NONBLOCK);
  const { exitCode } = await box.exited;
  const bytes = Buffer.alloc(65_536);
  let said = "";
  try {
    said = bytes.toString("utf8", 0, readSync(fd, bytes));
  } catch {
    // EAGAIN: nothing was said.
  }
  closeSync(fd);
  await box.release();
  return [exitCode, said];
}

describe("startBox", { skip: without("bwrap") }, () => {
  it("does without the calls that only newer Nodes have", async (test) => {
    const { parts, runDir } = await openParts(test, { syscalls: true });
    const box = await startBox(
      parts,
      requestOf(runDir, "echo hi; tail -n +3 /proc/net/dev | wc -l", { isOffline: true }),
    );
    assert.deepEqual(await finish(box), [0, "hi\n1\n"]);
  });

  it("does without control groups, and still takes every child along", async (test) => {
    const { parts, runDir } = await openParts(test, { groups: true });
    const box = await startBox(parts, requestOf(runDir, "setsid sleep 1000 & echo hi"));
    assert.deepEqual(await finish(box), [0, "hi\n"]);
  });

  it("passes line breaks on as they are", async (test) => {
    const { parts, runDir } = await openParts(test);
    const request = requestOf(runDir, "", {
      command: ["/usr/bin/printf", "%s|", "a\nb", " c ", "\\n", "$HOME `id` 'x'"],
      environment: { LD_X: "1\n2", Y: "3\n4" },
    });
    const box = await startBox(parts, request);
    assert.deepEqual(await finish(box), [0, "a\nb| c |\\n|$HOME `id` 'x'|"]);
  });

  it("refuses words that would pass for several, and leaves nothing", async (test) => {
    const { parts, runDir } = await openParts(test);
    await assert.rejects(startBox(parts, requestOf(runDir, "true", { workingDir: "/\0--bind\0/\0/" })));
    assert.deepEqual(readdirSync(runDir), ["etc"]);
  });

  it("leaves nothing when a socket inside cannot be made", async (test) => {
    const { parts, runDir } = await openParts(test, { syscalls: true });
    await assert.rejects(
      startBox(parts, requestOf(runDir, "true", { isOffline: true, wantsListener: true })),
    );
    assert.deepEqual(readdirSync(runDir), ["etc"]);
  });

  it("leaves nothing when a plain program is missing", async (test) => {
    const { parts, runDir } = await openParts(test);
    const request = requestOf(runDir, "", { command: ["/nonexistent/program"] });
    await assert.rejects(startBox({ ...parts, jail: undefined }, request), { code: "ENOENT" });
    assert.deepEqual(readdirSync(runDir), ["etc"]);
  });
});

describe("a ready shell", { skip: without("bwrap") }, () => {
  it("becomes what it is told", async (test) => {
    const { parts, jail, runDir } = await openParts(test);
    const shell = await startReadyShell(parts, jail);
    const request = requestOf(runDir, 'echo "$1" "$0"; read x || echo empty', {});
    const box = await startBox(
      parts,
      { ...request, command: [...request.command, "-n", "  two  words\\"] },
      shell,
    );
    assert.equal(box, shell.box);
    assert.deepEqual(await finish(box), [0, "  two  words\\ -n\nempty\n"]);
  });

  it("goes without a trace when nobody needs it", async (test) => {
    const { parts, jail, runDir } = await openParts(test);
    const shell = await startReadyShell(parts, jail);
    await discard(shell.box);
    assert.deepEqual(readdirSync(runDir), ["etc"]);
  });

  it("ends by itself when its orders never come", async (test) => {
    const { parts, jail } = await openParts(test);
    const shell = await startReadyShell(parts, jail);
    shell.orders.end();
    assert.deepEqual(await finish(shell.box), [0, ""]);
  });

  it("is of no use to what needs a network of its own, or has line breaks", {
    skip: withoutRoot(),
  }, async (test) => {
    const { parts, runDir } = await openParts(test);
    assert.equal(canUseReadyShell(parts, requestOf(runDir, "true")), true);
    assert.equal(canUseReadyShell(parts, requestOf(runDir, "true\n")), false);
    assert.equal(canUseReadyShell(parts, requestOf(runDir, "true", { environment: { PEM: "a\nb" } })), true);
    assert.equal(canUseReadyShell(parts, requestOf(runDir, "true", { isOffline: true })), false);
    assert.equal(canUseReadyShell({ ...parts, jail: undefined }, requestOf(runDir, "true")), false);
  });
});
