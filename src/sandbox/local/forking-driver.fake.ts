import assert from "node:assert/strict";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { newSandboxId } from "../../core/ids.ts";
import { sourceUrl } from "../../core/source-url.ts";
import type { Driver, ForkSource, SandboxSpec } from "../driver.ts";
import { findTool } from "./host-world.ts";

const PYTHON = findTool("python3");

/** Forks, and becomes the command in its child: so whatever a sandbox promises can be asked by any program. */
const FORK_AND_RUN = [
  "import os, signal, sys",
  "sys.path.insert(0, '/var/runtime')",
  "from lambdad_runtime.zygote import run",
  "command = run(*map(int, sys.argv[1:]))",
  // Python ignores it, which programs would inherit.
  "signal.signal(signal.SIGPIPE, signal.SIG_DFL)",
  "os.execvpe(command[0], command, os.environ)",
].join("; ");

const FORK_FROM: ForkSource = {
  command: [PYTHON ?? "", "-S", "-B", "-c", FORK_AND_RUN],
  environment: {},
};

export const PYTHON_RUNTIME_DIR = join(fileURLToPath(sourceUrl("")), "..", "runtimes", "python");
const FORKS_AFTER_MS_MAX = 30_000;
const NEVER = new AbortController().signal;

export function withoutPython(): string | undefined {
  return PYTHON === undefined ? "python3 is not installed" : undefined;
}

/** Resolves to a driver whose sandboxes are all forks, but for those with a Runtime API on their own loopback. */
export async function forking(driver: Driver): Promise<Driver> {
  const spec = (made: SandboxSpec): SandboxSpec => ({
    ...made,
    runtimeDir: made.runtimeDir ?? PYTHON_RUNTIME_DIR,
    launch: (places) => ({ ...made.launch(places), forkFrom: FORK_FROM }),
  });
  const giveUpAt = performance.now() + FORKS_AFTER_MS_MAX;
  while ((await firstProcess(driver, spec)) === "bwrap") {
    assert.ok(performance.now() < giveUpAt, "sandboxes are forked after a while");
  }
  return {
    name: driver.name,
    isolation: () => driver.isolation(),
    start: (made, options) => driver.start(spec(made), options),
    startReady: async (made, options) =>
      driver.startReady?.(
        {
          ...made,
          runtimeDir: PYTHON_RUNTIME_DIR,
          launch: (places) => ({ ...made.launch(places), forkFrom: FORK_FROM }),
        },
        options,
      ),
    [Symbol.asyncDispose]: () => driver[Symbol.asyncDispose](),
  };
}

/** What the first process of a sandbox is called. */
async function firstProcess(driver: Driver, spec: (made: SandboxSpec) => SandboxSpec): Promise<string> {
  const sandbox = await driver.start(
    spec({
      id: newSandboxId(),
      codeDir: PYTHON_RUNTIME_DIR,
      runtimeDir: undefined,
      toolDirs: [],
      memoryMib: 128,
      cpus: 1,
      pidsMax: 16,
      tmpMib: 1,
      network: "host",
      hasInput: false,
      hasPort: false,
      onRuntimeApiConnection: undefined,
      launch: () => ({
        command: ["cat", "/proc/1/comm"],
        environment: { PATH: "/usr/bin:/bin" },
        workingDir: "/",
      }),
    }),
    { signal: NEVER },
  );
  sandbox.telemetry.resume();
  const [said, problem] = await Promise.all([text(sandbox.stdout), text(sandbox.stderr)]);
  await sandbox[Symbol.asyncDispose]();
  assert.equal(problem, "");
  return said.trim();
}
