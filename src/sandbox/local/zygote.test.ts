import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleepFor } from "node:timers/promises";
import { newSandboxId } from "../../core/ids.ts";
import type { Sandbox } from "../driver.ts";
import { specOf } from "../sandbox-spec.fake.ts";
import { PYTHON_RUNTIME_DIR } from "./forking-driver.fake.ts";
import { findTool } from "./host-world.ts";
import { tryKill } from "./processes.ts";
import {
  NEVER,
  openTestDriver,
  type TestDriver,
  untilItSpeaks,
  without,
  withoutRoot,
} from "./test-driver.fake.ts";

const LACKING = withoutRoot() || without("bwrap", "python3");
const WAIT_MS_MAX = 30_000;

/** Runs Python code in what was forked, without becoming another program; the token is there to be found by. */
function runInFork(token: string): string {
  return [
    "import os, random, sys, threading",
    "sys.path.insert(0, '/var/runtime')",
    "from lambdad_runtime.zygote import run",
    "from lambdad_runtime import bare_fork",
    "from lambdad_runtime.renew import renew",
    "random.random()",
    "assert bare_fork.can_fork_barely()",
    `command = run(*map(int, sys.argv[1:]), bare_fork.bare_fork) if '${token}' else None`,
    "bare_fork.renew()",
    "renew()",
    "exec(command[1])",
  ].join("; ");
}

describe("a zygote", { skip: LACKING }, () => {
  let test: TestDriver;
  const token = `zygote-${randomBytes(6).toString("hex")}`;

  const start = (code: string, environment: Readonly<Record<string, string>> = {}): Promise<Sandbox> =>
    test.driver.start(
      specOf(test.codeDir, "", {
        runtimeDir: PYTHON_RUNTIME_DIR,
        launch: () => ({
          command: [findTool("python3") ?? "", code],
          environment,
          workingDir: "/",
          forkFrom: {
            command: [findTool("python3") ?? "", "-S", "-B", "-c", runInFork(token)],
            environment: {},
          },
        }),
      }),
      { signal: NEVER },
    );
  const run = async (code: string, environment: Readonly<Record<string, string>> = {}) => {
    const sandbox = await start(code, environment);
    sandbox.telemetry.resume();
    const [said, problem] = await Promise.all([text(sandbox.stdout), text(sandbox.stderr), sandbox.exited]);
    await sandbox[Symbol.asyncDispose]();
    return said + problem;
  };
  /** The first is started from nothing, where the code is a script that does not exist. */
  const untilForked = async () => {
    const giveUpAt = performance.now() + WAIT_MS_MAX;
    while (!(await run("print('forked')")).includes("forked\n")) {
      assert.ok(performance.now() < giveUpAt, "sandboxes are forked after a while");
    }
  };

  before(async () => {
    test = await openTestDriver();
    await untilForked();
  });
  after(async () => {
    await test[Symbol.asyncDispose]();
  });

  it("hands nothing on from one child to the next", async () => {
    const secret = randomBytes(24).toString("hex");
    const found = await run("print(os.environ['SECRET'])", { SECRET: secret });
    assert.equal(found.trim(), secret);
    // Not as it is in the code itself, which would be found, too.
    const backwards = [...secret].reverse().join("");
    const scan = `
wanted = '${backwards}'[::-1].encode()
hits = 0
memory = open('/proc/self/mem', 'rb', 0)
for line in open('/proc/self/maps'):
    place, rights = line.split()[:2]
    if 'r' not in rights or '[v' in line: continue
    low, high = (int(each, 16) for each in place.split('-'))
    memory.seek(low)
    data = memory.read(high - low)
    hits += data.count(wanted)
print('hits', hits)
`;
    // Its own text of what it looks for is there at least once: a scan that finds nothing would prove nothing.
    assert.match(await run(scan), /^hits [1-3]\n$/);
    assert.match(
      await run(scan.replace("hits = 0", "hits = 0; held = [wanted + b'!' for _ in range(9)]")),
      /hits (9|1\d)\n/,
    );
  });

  it("gives each child chances and numbers of its own", async () => {
    const say =
      "print(random.random(), os.urandom(8).hex(), os.getpid(), os.getppid(), threading.main_thread().native_id)";
    const [one, other] = await Promise.all([run(say), run(say)]);
    const [chance, bytes, pid, parent, thread] = one.trim().split(" ");
    // Its parent is in another namespace.
    assert.deepEqual([pid, parent, thread], ["2", "0", "2"]);
    assert.notEqual(other.split(" ")[0], chance);
    assert.notEqual(other.split(" ")[1], bytes);
  });

  it("has a first process beside each child that takes in the dead, and lies open to nobody", async () => {
    const orphan = `
import time
if os.fork() == 0:
    orphan = os.fork()
    if orphan == 0: os._exit(0)
    print('orphan', orphan, flush=True)
    os._exit(0)
os.wait()
while any(name.isdigit() and int(name) > 2 for name in os.listdir('/proc')): time.sleep(0.001)
for name in ('mem', 'environ', 'fd'):
    try: os.open('/proc/1/' + name, os.O_RDONLY); print(name, 'can be opened')
    except PermissionError: pass
try: os.kill(1, 9); print('can be killed')
except PermissionError: pass
# What both could write to would be a way from one to the other.
print([line for line in open('/proc/self/maps') if line.split()[1].startswith('rw-s')])
print(*[line.split()[1] for line in open('/proc/1/status') if line.startswith(('CapPrm', 'CapEff'))])
`;
    assert.match(await run(orphan), /^orphan \d+\n\[\]\n0{16} 0{16}\n$/);
  });

  it("says what keeps a child from its sandbox, on the child's stderr", async () => {
    const sandbox = await test.driver.start(
      specOf(test.codeDir, "", {
        runtimeDir: PYTHON_RUNTIME_DIR,
        launch: () => ({
          command: [findTool("python3") ?? "", "print('not reached')"],
          environment: {},
          workingDir: "/nowhere",
          forkFrom: {
            command: [findTool("python3") ?? "", "-S", "-B", "-c", runInFork(token)],
            environment: {},
          },
        }),
      }),
      { signal: NEVER },
    );
    sandbox.telemetry.resume();
    const [said, problem, exit] = await Promise.all([
      text(sandbox.stdout),
      text(sandbox.stderr),
      sandbox.exited,
    ]);
    assert.deepEqual([said, exit.exitCode], ["", 125]);
    assert.match(problem, /^lambdad: .*No such file or directory: '\/nowhere'\n$/);
    await sandbox[Symbol.asyncDispose]();
  });

  it("has one that has loaded more for those who ask for it, and serves where that one fails", async () => {
    const python = [findTool("python3") ?? "", "-S", "-B", "-c"] as const;
    const otherwise = { command: [...python, runInFork(token)], environment: {} } as const;
    const say =
      "print('ssl' in sys.modules, 'ssl' in sys.modules and sys.modules['ssl'].RAND_bytes(9).hex())";
    const startReady = async (more: string) => {
      assert.ok(test.driver.startReady);
      const { id, codeDir, ...rest } = specOf(test.codeDir, "", { runtimeDir: PYTHON_RUNTIME_DIR });
      const launch = () => ({
        command: [python[0], say] as const,
        environment: {},
        workingDir: "/",
        forkFrom: {
          command: [...python, `${more}; ${runInFork(token)}`] as const,
          environment: {},
          otherwise,
        },
      });
      const ready = await test.driver.startReady({ ...rest, launch, id: newSandboxId() }, { signal: NEVER });
      assert.ok(ready);
      const { sandbox } = ready;
      sandbox.telemetry.resume();
      const [said, problem] = await Promise.all([text(sandbox.stdout), text(sandbox.stderr), sandbox.exited]);
      await sandbox[Symbol.asyncDispose]();
      return (said + problem).trim().split(" ");
    };
    // At once, since nobody waits for what is only to be ready. Its generator of random bytes has been used already.
    const more = "import ssl; ssl.RAND_bytes(1)";
    const [one, other] = [await startReady(more), await startReady(more)];
    assert.deepEqual([one[0], other[0]], ["True", "True"]);
    assert.notEqual(one[1], other[1]);
    assert.deepEqual(await startReady("raise SystemExit('no')"), ["False", "False"]);
  });

  it("takes its children along when it dies, and has a successor", async () => {
    const sandbox = await start("import time; print('up', flush=True); time.sleep(1000)");
    await untilItSpeaks(sandbox);
    // One takes others of them along.
    for (const pid of processesWith(token)) tryKill(pid);
    assert.equal((await sandbox.exited).signal, "SIGKILL");
    await sandbox[Symbol.asyncDispose]();
    await untilForked();
  });

  it("is gone with its driver", async () => {
    await test[Symbol.asyncDispose]();
    const giveUpAt = performance.now() + WAIT_MS_MAX;
    while (processesWith(token).length > 0) {
      assert.ok(performance.now() < giveUpAt, "nothing of it is left after a while");
      await sleepFor(10);
    }
  });
});

function processesWith(token: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => commandOf(pid).includes(token));
}

/** Empty if it has gone meanwhile. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}
