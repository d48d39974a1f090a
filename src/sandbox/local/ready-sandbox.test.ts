import assert from "node:assert/strict";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { isPlatformError } from "../../core/errors.ts";
import { newSandboxId } from "../../core/ids.ts";
import type { ReadySandbox } from "../driver.ts";
import { PATH } from "../sandbox-spec.fake.ts";
import { NEVER, openTestDriver, type TestDriver, without, withoutRoot } from "./test-driver.fake.ts";

const LACKING = withoutRoot() || without("bwrap");

/** A shell that does what it is told line by line, and says what comes of it. */
async function startReady(test: TestDriver) {
  const ready = await test.driver.startReady?.(
    {
      id: newSandboxId(),
      runtimeDir: undefined,
      toolDirs: [],
      memoryMib: 64,
      cpus: 1,
      pidsMax: 50,
      tmpMib: 8,
      network: "host",
      hasInput: true,
      hasPort: false,
      onRuntimeApiConnection: undefined,
      launch: () => ({
        command: ["/bin/sh", "-c", 'while IFS= read -r line; do eval "$line" 2>&1; done'],
        environment: { PATH },
        workingDir: "/",
      }),
    },
    { signal: NEVER },
  );
  assert.ok(ready, "this host can mount code later");
  const { sandbox } = ready;
  sandbox.stderr.resume();
  sandbox.telemetry.resume();
  const lines = createInterface({ input: sandbox.stdout })[Symbol.asyncIterator]();
  const say = async (command: string) => {
    sandbox.stdin?.write(`${command}; echo "|$?"\n`);
    let said = "";
    while (true) {
      const { value = "" } = await lines.next();
      const end = value.lastIndexOf("|");
      if (end >= 0) return { said: said + value.slice(0, end), status: Number(value.slice(end + 1)) };
      said += `${value}\n`;
    }
  };
  // Before that, its places may not be there yet.
  await say("true");
  return { ready, sandbox, say };
}

function give(test: TestDriver, ready: ReadySandbox, changes = {}) {
  return ready.specialise({ codeDir: test.codeDir, memoryMib: 100, cpus: 1, ...changes });
}

describe("a ready sandbox", { skip: LACKING }, () => {
  it("finds its code where it was not, read-only, and nothing of it on the host's side", async () => {
    await using test = await openTestDriver();
    const { ready, sandbox, say } = await startReady(test);
    assert.deepEqual(await say("ls /var/task /opt"), { said: "/opt:\n\n/var/task:\n", status: 0 });

    await give(test, ready);

    assert.equal((await say("cat /var/task/hello")).said.trim(), "hello");
    assert.match((await say("touch /var/task/x || echo refused")).said, /Read-only file system\nrefused/);
    assert.match(
      (await say("grep ' /var/task ' /proc/self/mountinfo | tail -1")).said,
      /\/var\/task ro,nosuid,nodev/,
    );
    assert.doesNotMatch(await readFile("/proc/self/mountinfo", "utf8"), new RegExp(test.runDir));
    await sandbox[Symbol.asyncDispose]();
  });

  it("finds layers in /opt", async () => {
    await using test = await openTestDriver();
    const optDir = join(test.runDir, "..", "layers");
    await mkdir(optDir);
    await writeFile(join(optDir, "tool"), "of a layer\n");
    const { ready, sandbox, say } = await startReady(test);
    await give(test, ready, { optDir });
    assert.equal((await say("cat /opt/tool")).said.trim(), "of a layer");
    await sandbox[Symbol.asyncDispose]();
  });

  it("says what it has used by now, not what it used while it was waiting", async () => {
    await using test = await openTestDriver();
    const { ready, sandbox, say } = await startReady(test);
    const waiting = sandbox.memoryPeakMib("now");
    assert.ok(waiting > 0 && waiting < 30, `${waiting} MiB`);
    await give(test, ready);
    await say("head -c 50000000 /dev/zero | tail -c 40000000 | wc -c");
    const used = sandbox.memoryPeakMib("now");
    assert.ok(used >= 38, `${used} MiB`);
    assert.equal(sandbox.memoryPeakMib(), used);
    await sandbox[Symbol.asyncDispose]();
  });

  it("takes code once", async () => {
    await using test = await openTestDriver();
    const { ready, sandbox } = await startReady(test);
    await give(test, ready);
    await assert.rejects(give(test, ready), (error) => isPlatformError(error, "SandboxStartFailed"));
    await sandbox[Symbol.asyncDispose]();
  });

  it("says that code is not there", async () => {
    await using test = await openTestDriver();
    const { ready, sandbox } = await startReady(test);
    await assert.rejects(give(test, ready, { codeDir: "/nowhere" }), (error) =>
      isPlatformError(error, "SandboxStartFailed"),
    );
    await sandbox[Symbol.asyncDispose]();
  });

  it("has the limits of the version once it has its code", async () => {
    await using test = await openTestDriver();
    const { ready, sandbox, say } = await startReady(test);
    const fill = () => say("head -c 50000000 /dev/zero | tail -c 40000000 | wc -c");
    assert.equal((await fill()).said.trim(), "40000000");
    await give(test, ready, { memoryMib: 32 });
    assert.notEqual((await fill()).said.trim(), "40000000");
    await sandbox[Symbol.asyncDispose]();
  });

  it("stands still while it is frozen, and goes on when it is thawed", async () => {
    await using test = await openTestDriver();
    const { sandbox, say } = await startReady(test);
    assert.ok(sandbox.freezer);
    sandbox.freezer.freeze();
    const answer = say("echo on");
    const isStill = await Promise.race([
      answer.then(() => false),
      new Promise((resolve) => setTimeout(resolve, 100, true)),
    ]);
    sandbox.freezer.thaw();
    assert.deepEqual([isStill, (await answer).said.trim()], [true, "on"]);
    await sandbox[Symbol.asyncDispose]();
  });

  it("is gone after it was frozen and disposed, without its code", async () => {
    await using test = await openTestDriver();
    const { sandbox } = await startReady(test);
    sandbox.freezer?.freeze();
    await sandbox[Symbol.asyncDispose]();
    assert.doesNotMatch(await readFile("/proc/self/mountinfo", "utf8"), new RegExp(test.runDir));
    await rm(test.codeDir, { recursive: true });
  });
});
