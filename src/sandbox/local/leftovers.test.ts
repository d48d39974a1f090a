import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { setTimeout as sleepFor } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isPlatformError } from "../../core/errors.ts";
import { silentLog } from "../../core/log.ts";
import { specOf } from "../sandbox-spec.fake.ts";
import { openLocalDriver } from "./driver.ts";
import { allProcesses, isAlive } from "./processes.ts";
import { census, NEVER, openTestDriver, untilItSpeaks, without } from "./test-driver.fake.ts";

const DAEMON = fileURLToPath(new URL("crashing-daemon.fake.ts", import.meta.url));

/** A daemon that has one sandbox with children in sessions of their own, all of which can be found by `token`. */
async function startDaemon(test: TestContext, kind: "jailed" | "plain") {
  const folder = await mkdtemp(join(tmpdir(), "sb-"));
  test.after(() => rm(folder, { recursive: true, force: true }));
  const codeDir = join(folder, "code");
  await mkdir(codeDir, { mode: 0o755 });
  const token = `86400.7${process.pid}${kind === "plain" ? 1 : 2}${Date.now() % 100_000}`;
  const script = `(setsid sleep ${token} &) ; (trap '' TERM; sleep ${token}) & echo up; sleep ${token}`;
  const runDir = join(folder, "run");
  const instanceName = `crash-${process.pid}-${kind}`;
  const daemon = spawn(process.execPath, [DAEMON, runDir, instanceName, codeDir, script, kind], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await Promise.race([once(daemon.stdout, "data"), once(daemon, "exit")]);
  const spawnerPid = await readSpawnerPid(runDir);
  return { daemon, spawnerPid, runDir, instanceName, codeDir, token };
}

async function readSpawnerPid(runDir: string): Promise<number> {
  return Number((await readFile(join(runDir, "owner"), "utf8")).split(" ")[2]);
}

async function kill(daemon: ChildProcess): Promise<void> {
  const exited = once(daemon, "exit");
  daemon.kill("SIGKILL");
  await exited;
}

async function processesWith(token: string): Promise<readonly number[]> {
  const found = await Promise.all(
    allProcesses().map(async (pid) => {
      const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
      return command.includes(token) && isAlive(pid) ? [pid] : [];
    }),
  );
  return found.flat();
}

async function until(isSo: () => boolean | Promise<boolean>, msMax: number): Promise<void> {
  const giveUpAt = performance.now() + msMax;
  while (!(await isSo())) {
    assert.ok(performance.now() < giveUpAt, `not within ${msMax} ms`);
    await sleepFor(10);
  }
}

for (const kind of ["jailed", "plain"] as const) {
  const skip = kind === "jailed" ? without("bwrap") : false;
  const again = {
    allowUnsandboxed: kind === "plain",
    ...(kind === "plain" && { bubblewrap: "/nonexistent/bwrap" }),
  };

  describe(`a killed daemon with ${kind} sandboxes`, { skip }, () => {
    it("takes its spawner and its sandboxes along", async (test) => {
      const { daemon, spawnerPid, runDir, instanceName, token } = await startDaemon(test, kind);
      assert.ok((await processesWith(token)).length >= 3);
      await kill(daemon);
      await until(async () => (await processesWith(token)).length === 0, 30_000);
      await until(() => !isAlive(spawnerPid), 30_000);
      assert.deepEqual(await census(runDir, instanceName), []);
    });

    it("is cleaned up after by its successor even if its spawner was killed, too", async (test) => {
      const { daemon, spawnerPid, runDir, instanceName, codeDir, token } = await startDaemon(test, kind);
      process.kill(spawnerPid, "SIGSTOP");
      await kill(daemon);
      process.kill(spawnerPid, "SIGKILL");
      const driver = await openLocalDriver({ runDir, instanceName, log: silentLog, ...again });
      await driver.start(specOf(codeDir, "echo up"), { signal: NEVER });
      assert.deepEqual(await processesWith(token), []);
      await driver[Symbol.asyncDispose]();
      assert.deepEqual(await census(runDir, instanceName), []);
    });

    it("is cleaned up after by its successor even if its spawner hangs", async (test) => {
      const { daemon, spawnerPid, runDir, instanceName, codeDir, token } = await startDaemon(test, kind);
      process.kill(spawnerPid, "SIGSTOP");
      await kill(daemon);
      const driver = await openLocalDriver({ runDir, instanceName, log: silentLog, ...again });
      await driver.start(specOf(codeDir, "echo up"), { signal: NEVER });
      assert.deepEqual(await processesWith(token), []);
      assert.ok(!isAlive(spawnerPid));
      await driver[Symbol.asyncDispose]();
    });
  });

  describe(`a killed spawner with ${kind} sandboxes`, { skip }, () => {
    it("ends its sandboxes; the next start brings a new one", async () => {
      await using host = await openTestDriver(again);
      const sandbox = await host.start("echo up; sleep 1000");
      await untilItSpeaks(sandbox);
      const spawnerPid = await readSpawnerPid(host.runDir);
      process.kill(spawnerPid, "SIGKILL");
      assert.deepEqual(await sandbox.exited, { exitCode: null, signal: "SIGKILL", outOfMemory: false });
      await sandbox[Symbol.asyncDispose]();
      assert.equal(await host.run("echo again"), "again\n");
      assert.notEqual(await readSpawnerPid(host.runDir), spawnerPid);
    });

    it("fails the starts that wait for it", async () => {
      await using host = await openTestDriver(again);
      await host.driver.isolation();
      const spawnerPid = await readSpawnerPid(host.runDir);
      process.kill(spawnerPid, "SIGSTOP");
      const starting = host.start("echo up");
      setImmediate(() => process.kill(spawnerPid, "SIGKILL"));
      await assert.rejects(starting, (error) => isPlatformError(error, "SandboxStartFailed"));
    });
  });
}

describe("openLocalDriver", () => {
  it("leaves the sandboxes of a living daemon alone", { skip: without("bwrap") }, async () => {
    await using host = await openTestDriver();
    const sandbox = await host.start("echo up; sleep 1000");
    await untilItSpeaks(sandbox);
    const intruder = spawn(
      process.execPath,
      [DAEMON, host.runDir, host.instanceName, host.codeDir, "echo up"],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    let said = "";
    intruder.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      said += chunk;
    });
    const [code] = await once(intruder, "exit");
    assert.equal(code, 1);
    assert.match(said, new RegExp(`in use by process ${process.pid}`));
    assert.equal(await host.run("echo still here"), "still here\n");
    await sandbox[Symbol.asyncDispose]();
  });

  it("returns at once", async () => {
    const startedAt = performance.now();
    const opened = await openTestDriver();
    // Making the test's own folders is part of this.
    assert.ok(performance.now() - startedAt < 2_000);
    await opened[Symbol.asyncDispose]();
  });

  it("touches nothing else in its folder", async (test) => {
    const folder = await mkdtemp(join(tmpdir(), "sb-"));
    test.after(() => rm(folder, { recursive: true, force: true }));
    await writeFile(join(folder, "notes"), "mine");
    const driver = await openLocalDriver({
      runDir: folder,
      instanceName: `other-${process.pid}`,
      allowUnsandboxed: true,
      log: silentLog,
    });
    await driver.isolation();
    await driver[Symbol.asyncDispose]();
    assert.deepEqual((await readdir(folder)).sort(), ["cache", "notes"]);
  });

  for (const [what, change] of [
    ["a run folder too long for sockets", { runDir: `/tmp/${"x".repeat(80)}` }],
    ["a name that leads elsewhere", { instanceName: "../other" }],
    ["an empty name", { instanceName: "" }],
  ] as const) {
    it(`refuses ${what}`, async () => {
      const parts = {
        runDir: "/tmp/x",
        instanceName: "x",
        allowUnsandboxed: false,
        log: silentLog,
        ...change,
      };
      await assert.rejects(openLocalDriver(parts), (error) => isPlatformError(error, "ConfigurationInvalid"));
    });
  }

  it("says what to install where nothing isolates", async () => {
    await using host = await openTestDriver({ bubblewrap: "/nonexistent/bwrap" });
    assert.equal((await host.driver.isolation()).isIsolated, false);
    await assert.rejects(host.start("echo up"), (error) => {
      assert.ok(isPlatformError(error, "IsolationUnavailable"));
      assert.match(error.message, /install the package bubblewrap/);
      assert.match(error.message, /--allow-unsandboxed/);
      return true;
    });
  });

  it("does not pretend that plain processes have no network", async () => {
    await using host = await openTestDriver({ bubblewrap: "/nonexistent/bwrap", allowUnsandboxed: true });
    await assert.rejects(host.start("echo up", { network: "none" }), (error) =>
      isPlatformError(error, "IsolationUnavailable"),
    );
  });
});
