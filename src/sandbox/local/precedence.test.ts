import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { getPriority, setPriority } from "node:os";
import { text } from "node:stream/consumers";
import { it } from "node:test";
import { DaemonPrecedence } from "./precedence.ts";
import { loadSyscalls } from "./syscalls.ts";
import { withoutRoot } from "./test-driver.fake.ts";

const syscalls = await loadSyscalls();
const LACKING = withoutRoot() || (syscalls ? false : "needs node:ffi");

/** A shell that says its program's niceness when it is told to. */
function startShell(niceness: number): ChildProcess & { readonly pid: number } {
  const child = spawn("sh", ["-c", "read line; nice"], { stdio: ["pipe", "pipe", "inherit"] });
  assert.ok(child.pid !== undefined);
  setPriority(child.pid, niceness);
  return Object.assign(child, { pid: child.pid });
}

it("puts the daemon first while it is told to, and nothing that it starts", { skip: LACKING }, async () => {
  assert.ok(syscalls);
  const shell = startShell(0);
  const precedence = new DaemonPrecedence(syscalls, { pid: shell.pid, niceness: 0 });
  assert.equal(getPriority(shell.pid), 0);
  precedence.putFirst(true);
  assert.equal(getPriority(shell.pid), -10);
  precedence.putFirst(false);
  assert.equal(getPriority(shell.pid), 0);
  precedence.putFirst(true);
  shell.stdin?.end("\n");
  assert.ok(shell.stdout);
  assert.equal(await text(shell.stdout), "0\n");
});

it("leaves the niceness that somebody gave it", { skip: LACKING }, async () => {
  assert.ok(syscalls);
  const shell = startShell(7);
  new DaemonPrecedence(syscalls, { pid: shell.pid, niceness: 7 }).putFirst(true);
  assert.equal(getPriority(shell.pid), 7);
  shell.stdin?.end("\n");
  assert.ok(shell.stdout);
  assert.equal(await text(shell.stdout), "7\n");
});

it("does no harm where the daemon is gone, or the kernel refuses", () => {
  const refusing = {
    setScheduling: () => {
      throw new Error("sched_setattr failed with errno 1");
    },
  };
  for (const pid of [process.pid, 2 ** 22 + 1]) {
    new DaemonPrecedence(refusing, { pid, niceness: 0 }).putFirst(true);
  }
});
