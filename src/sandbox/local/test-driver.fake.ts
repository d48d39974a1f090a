/** A local driver in a folder of its own, and scripts in it, for tests beside. */
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { silentLog } from "../../core/log.ts";
import type { Driver, Sandbox, SandboxSpec } from "../driver.ts";
import { specOf } from "../sandbox-spec.fake.ts";
import { openLocalDriver } from "./driver.ts";
import { forking } from "./forking-driver.fake.ts";
import { findTool } from "./host-world.ts";

export const NEVER = new AbortController().signal;

/** Why a test that needs it cannot run here; undefined if it can, or if it must. */
export function without(...tools: readonly string[]): string | false {
  const missing = tools.find((tool) => findTool(tool) === undefined);
  return missing === undefined || process.env.REQUIRE_ALL === "1" ? false : `${missing} is not installed`;
}

export function withoutRoot(): string | false {
  return process.getuid?.() === 0 ? false : "needs root";
}

let instances = 0;

export interface TestDriver extends AsyncDisposable {
  readonly driver: Driver;
  readonly runDir: string;
  readonly codeDir: string;
  readonly instanceName: string;
  start(script: string, changes?: Partial<SandboxSpec>): Promise<Sandbox>;
  /** Runs to the end and gives what was said on stdout. */
  run(script: string, changes?: Partial<SandboxSpec>): Promise<string>;
}

interface TestDriverChanges {
  readonly allowUnsandboxed?: boolean;
  readonly bubblewrap?: string;
  /** Sandboxes are forked from a process that runs already. */
  readonly isForking?: boolean;
}

export async function openTestDriver({
  isForking = false,
  ...changes
}: TestDriverChanges = {}): Promise<TestDriver> {
  const folder = await mkdtemp(join(tmpdir(), "sb-"));
  const codeDir = join(folder, "code");
  await mkdir(codeDir, { mode: 0o755 });
  await writeFile(join(codeDir, "hello"), "hello\n");
  const runDir = join(folder, "run");
  instances += 1;
  const instanceName = `test-${process.pid}-${instances}`;
  const opened = await openLocalDriver({
    runDir,
    instanceName,
    allowUnsandboxed: false,
    log: silentLog,
    ...changes,
  });
  const driver = isForking ? await forking(opened) : opened;
  const start = (script: string, spec: Partial<SandboxSpec> = {}) =>
    driver.start(specOf(codeDir, script, spec), { signal: NEVER });
  return {
    driver,
    runDir,
    codeDir,
    instanceName,
    start,
    async run(script, spec = {}) {
      const sandbox = await start(script, spec);
      sandbox.telemetry.resume();
      const [stdout, stderr] = await Promise.all([
        text(sandbox.stdout),
        text(sandbox.stderr),
        sandbox.exited,
      ]);
      await sandbox[Symbol.asyncDispose]();
      return stdout + (stderr && `stderr: ${stderr}`);
    },
    async [Symbol.asyncDispose]() {
      await driver[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Resolves when the program has said something. */
export async function untilItSpeaks(sandbox: Sandbox): Promise<void> {
  sandbox.stderr.resume();
  sandbox.telemetry.resume();
  await once(sandbox.stdout, "data");
}

/** Folders of sandboxes, and groups of this instance, that are there now. */
export async function census(runDir: string, instanceName: string): Promise<readonly string[]> {
  const folders = (await readdir(runDir).catch(() => [])).filter((name) => /^(sb-|probe-)/.test(name));
  const groups: string[] = [];
  for (const hierarchy of await readdir("/sys/fs/cgroup").catch(() => [])) {
    for (const folder of [
      join("/sys/fs/cgroup", hierarchy, "lambdad", instanceName),
      join("/sys/fs/cgroup/lambdad", instanceName),
    ]) {
      const inside = await readdir(folder, { withFileTypes: true }).catch(() => []);
      groups.push(...inside.filter((entry) => entry.isDirectory()).map((entry) => join(folder, entry.name)));
    }
  }
  return [...folders, ...groups];
}
