/** Containers whose program has input, and with it a first process that starts it and tells its end. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { newSandboxId } from "../../src/core/ids.ts";
import type { Driver, SandboxImage } from "../../src/sandbox/driver.ts";
import { importTestImage, openTestDriver } from "./driver.suite.ts";
import type { TestEngine } from "./engine.ts";

const NEVER = new AbortController().signal;
const PATH = "/usr/local/bin:/usr/bin:/bin";
const execute = promisify(execFile);

let drivers = 0;

export function describeFirstProcess(
  getEngine: () => TestEngine,
  engine: {
    /** In place of a temporary folder, which other users may not enter. */
    readonly runDir?: () => string;
    /** Whether it says that it was its memory that ended a program. */
    readonly tellsOutOfMemory: boolean;
    /** Whether what is mounted on this host after its start is there for it as well. */
    readonly seesMounts: boolean;
  },
): void {
  describe("a container whose program has input", () => {
    let folder = "";
    let image: SandboxImage;
    let driver: Driver;

    const open = (runDir: string, programDir?: string) => {
      drivers += 1;
      return openTestDriver(getEngine(), runDir, `first-${process.pid}-${drivers}`, programDir);
    };
    before(async () => {
      image = await importTestImage(getEngine());
      folder = engine.runDir?.() ?? (await mkdtemp(join(tmpdir(), "fp-")));
      driver = open(join(folder, "run"));
    });
    after(async () => {
      await driver[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    });

    const start = (command: readonly [string, ...string[]], by = driver) =>
      by.start(
        {
          id: newSandboxId(),
          codeDir: "",
          runtimeDir: undefined,
          toolDirs: [],
          memoryMib: 128,
          cpus: 1,
          pidsMax: 64,
          tmpMib: 8,
          network: "none",
          hasInput: true,
          hasPort: false,
          onRuntimeApiConnection: undefined,
          image,
          launch: () => ({ command, environment: { PATH }, workingDir: "/var/task" }),
        },
        { signal: NEVER },
      );
    const run = async (command: readonly [string, ...string[]], input: string | Buffer = "", by = driver) => {
      const sandbox = await start(command, by);
      const outputs = Promise.all([text(sandbox.stdout), text(sandbox.stderr)]);
      sandbox.stdin?.end(input);
      const exit = await sandbox.exited;
      await sandbox[Symbol.asyncDispose]();
      const [stdout, stderr] = await outputs;
      return { exit, stdout, stderr };
    };

    it("prints what it prints, all of it, and nothing else", async () => {
      const input = Buffer.alloc(300_000, "0123456789");
      const script = "cat; echo $$ >&2; exit 4";
      const { exit, stdout, stderr } = await run(["sh", "-c", script], input);
      assert.deepEqual({ ...exit }, { exitCode: 4, signal: null, outOfMemory: false });
      assert.equal(stdout, input.toString());
      // Its signals reach it: it is not the first process of its container.
      assert.match(stderr, /^[2-9]\d*\n$/);
    });

    it("is told apart from one that a signal has ended", async () => {
      const { exit, stdout } = await run(["sh", "-c", "echo last words; kill -9 $$"]);
      assert.equal(stdout, "last words\n");
      assert.deepEqual({ ...exit }, { exitCode: null, signal: "SIGKILL", outOfMemory: false });
    });

    if (engine.tellsOutOfMemory)
      it("is told apart from one that took more memory than it may", async () => {
        const { exit } = await run(["sh", "-c", "exec perl -e 'my $x = qq(x) x 400_000_000'"]);
        assert.deepEqual([exit.outOfMemory, exit.exitCode], [true, null]);
      });

    it("is asked to end by SIGTERM", async () => {
      const sandbox = await start([
        "sh",
        "-c",
        "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done",
      ]);
      sandbox.stderr.resume();
      let stdout = "";
      const isUp = Promise.withResolvers<void>();
      sandbox.stdout.setEncoding("utf8").on("data", (said: string) => {
        stdout += said;
        if (stdout.startsWith("up\n")) isUp.resolve();
      });
      await isUp.promise;
      sandbox.terminate?.();
      assert.equal((await sandbox.exited).exitCode, 5);
      await sandbox[Symbol.asyncDispose]();
      assert.equal(stdout, "up\nbye\n");
    });

    it("does not start without a program, and says so", async () => {
      await assert.rejects(start(["nothing-here"]), {
        code: "SandboxStartFailed",
        message:
          /cannot start a container for .*: exec: "nothing-here": executable file not found in \$PATH$/,
      });
      await assert.rejects(start(["/var/task/hello"]), {
        message: /exec: "\/var\/task\/hello": permission denied$/,
      });
    });

    it("does without one where the engine does not see it", async () => {
      await using other = open(join(folder, "run2"), join(folder, "programs"));
      assert.doesNotMatch((await run(["sh", "-c", "cat; echo $$"], "in ", other)).stdout, /^in 1\n/);
      await rm(join(folder, "run2/first"));
      assert.equal((await run(["sh", "-c", "cat; echo $$"], "in ", other)).stdout, "in 1\n");
    });

    if (engine.seesMounts)
      it("does without one where none of the folders is for programs", async () => {
        const noPrograms = join(folder, "noexec");
        await mkdir(noPrograms, { recursive: true });
        await execute("mount", ["-t", "tmpfs", "-o", "noexec,mode=0711", "tmpfs", noPrograms]);
        try {
          await using without = open(join(noPrograms, "run"), join(noPrograms, "programs"));
          assert.equal((await run(["sh", "-c", "cat; echo $$"], "in ", without)).stdout, "in 1\n");
          await using second = open(join(noPrograms, "run2"), join(folder, "programs"));
          assert.doesNotMatch((await run(["sh", "-c", "cat; echo $$"], "in ", second)).stdout, /^in 1\n/);
        } finally {
          await execute("umount", ["-l", noPrograms]);
        }
      });
  });
}
