/** Row R15 of the failure matrix: a daemon is killed with many warm instances, and its successor begins with a clean host. */
import assert from "node:assert/strict";
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { it } from "node:test";
import { findChildren, findStartTime, isSameProcess } from "../../src/sandbox/local/processes.ts";
import { instanceName } from "../../src/wiring/host.ts";
import { sandboxRoot } from "../../src/wiring/run-root.ts";
import { makeFolder, processesWith, startDaemon, type TestDaemon, until } from "../e2e/daemon.fake.ts";

const TIMES = Number(process.env.FAULTS_TIMES ?? 100);
const WARM = 20;
const WARM_MS_MAX = 180_000;
const CLEAN_MS_MAX = 60_000;

const dataDir = mkdtempSync(join(tmpdir(), "lambdad-warm-kills-"));
const instance = instanceName(dataDir);
const runDir = join(sandboxRoot(process.env), instance);

it(`leaves nothing of ${WARM} warm instances when it is killed, ${TIMES} times`, async (t) => {
  const dead: Belongings[] = [];
  const figures = { warm: WARM, kills: 0, processes: 0, sandboxes: 0, groups: 0, sockets: 0, mounts: 0 };
  let warmMsMax = 0;
  let cleanMsMax = 0;
  /** A daemon with all its instances, on a host where nothing is left of those before it. */
  const startWarm = async (): Promise<TestDaemon> => {
    const startedAt = performance.now();
    const daemon = await startDaemon({ dataDir });
    await untilNothingOf(dead);
    if (dead.length > 0) cleanMsMax = Math.max(cleanMsMax, Math.round(performance.now() - startedAt));
    await until(async () => (await idleInstances(daemon)) >= WARM, WARM_MS_MAX);
    warmMsMax = Math.max(warmMsMax, Math.round(performance.now() - startedAt));
    assert.equal((await daemon.call("warm")).text, "alive");
    return daemon;
  };
  try {
    {
      await using first = await startDaemon({ dataDir });
      using folder = makeFolder({ "index.mjs": `export const handler = async () => "alive";` });
      await first.deploy(folder.path, "warm", "--min", `${WARM}`, "--max", `${WARM}`, "--memory", "128");
    }
    while (figures.kills < TIMES) {
      await using daemon = await startWarm();
      const belongings = belongingsOf(daemon);
      const { sandboxes, processes } = belongings;
      assert.ok(sandboxes.length >= WARM, `only ${sandboxes.length} sandboxes: there is nothing to clean up`);
      assert.ok(processes.length > WARM, `only ${processes.length} processes: there is nothing to clean up`);
      const census = censusOf(new Set(sandboxes));
      await daemon.stop("SIGKILL");
      figures.kills += 1;
      figures.processes += processes.length;
      figures.sandboxes += sandboxes.length;
      figures.groups += census.groups.length;
      figures.sockets += census.sockets.length;
      figures.mounts += census.mounts.length;
      dead.push(belongings);
    }
    {
      await using last = await startWarm();
      dead.push(belongingsOf(last));
    }
    await untilNothingOf(dead);
    // Nor of what was made after the last look.
    assert.deepEqual(globSync(join(runDir, "sb-*")), []);
    await until(() => processesWith(dataDir).length + processesWith(runDir).length === 0, CLEAN_MS_MAX);
    t.diagnostic(JSON.stringify({ ...figures, cleanMsMax, warmMsMax }));
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
    rmSync(runDir, { recursive: true, force: true });
  }
});

/** What a daemon has on its host while it lives. */
interface Belongings {
  readonly sandboxes: readonly string[];
  readonly processes: readonly { readonly pid: number; readonly startTime: string }[];
}

function belongingsOf(daemon: TestDaemon): Belongings {
  const pids = new Set([...descendantsOf(daemon.pid), ...processesWith(runDir)]);
  return {
    sandboxes: globSync(join(runDir, "sb-*")).map((path) => basename(path)),
    processes: [...pids].flatMap((pid) => {
      const startTime = findStartTime(pid);
      return startTime === undefined ? [] : [{ pid, startTime }];
    }),
  };
}

function descendantsOf(pid: number): readonly number[] {
  return [pid, ...findChildren(pid).flatMap(descendantsOf)];
}

/** What there is of these sandboxes beside processes. */
function censusOf(sandboxes: ReadonlySet<string>) {
  const isTheirs = (text: string) => (text.match(/sb-[0-9a-f]{16}/g) ?? []).some((id) => sandboxes.has(id));
  const linesOf = (file: string) => readFileSync(file, "utf8").split("\n").filter(isTheirs);
  return {
    folders: globSync(join(runDir, "sb-*")).filter(isTheirs),
    groups: globSync(`/sys/fs/cgroup/{.,*}/lambdad/${instance}/sb-*`).filter(isTheirs),
    sockets: linesOf("/proc/net/unix"),
    mounts: linesOf("/proc/self/mountinfo"),
  };
}

async function untilNothingOf(dead: readonly Belongings[]): Promise<void> {
  const sandboxes = new Set(dead.flatMap((belongings) => belongings.sandboxes));
  const left = () => [
    ...Object.values(censusOf(sandboxes)).flat(),
    ...dead
      .flatMap(({ processes }) => processes)
      .filter(({ pid, startTime }) => isSameProcess(pid, startTime))
      .map(({ pid }) => `process ${pid}`),
  ];
  await until(() => left().length === 0, CLEAN_MS_MAX).catch(() => assert.deepEqual(left(), []));
}

async function idleInstances(daemon: TestDaemon): Promise<number> {
  return JSON.parse((await daemon.control("GET", "/v1/functions/warm")).text).instances.idle;
}
