import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { setTimeout as sleepFor } from "node:timers/promises";
import { PackStore } from "../code/pack-store.ts";
import { systemClock } from "../core/clock.ts";
import type { Version } from "../core/function.ts";
import { silentLog } from "../core/log.ts";
import type { ProtocolAdapter, ResolvedRuntime } from "../protocol/protocol.ts";
import { startTestSandbox, testVersion } from "../protocol/test-sandbox.fake.ts";
import type { Driver, SandboxLaunch, SandboxPlaces } from "../sandbox/driver.ts";
import { Packs } from "./packs.ts";

const WAIT_MS_MAX = 30_000;

const version = testVersion({ kind: "handler", handler: "index.handler" }, {});

/** A packer is a shell script, its sandboxes are plain processes; each start is counted. */
async function openPacks(folder: string, script: string) {
  const codeDir = join(folder, "code");
  await mkdir(join(codeDir, "lib"), { recursive: true });
  const count = { starts: 0 };
  const launch = (places: SandboxPlaces): SandboxLaunch => ({
    command: ["/bin/sh", "-c", script],
    environment: {},
    workingDir: places.codeDir,
  });
  const adapter: ProtocolAdapter = {
    open: () => assert.fail("no function is started"),
    packer: () => ({ key: script, launch }),
  };
  const driver: Driver = {
    name: "plain",
    isolation: async () => ({ isIsolated: false, gaps: [] }),
    start: async () => {
      count.starts += 1;
      const channel = { onRuntimeApiConnection: undefined, hasInput: false, hasPort: false, launch };
      return await startTestSandbox(channel, { codeDir });
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
  const runtime: ResolvedRuntime = { interpreter: undefined, runtimeDir: undefined, toolDirs: [] };
  const packs = new Packs({
    driver,
    depot: { openTree: async () => codeDir },
    store: new PackStore(join(folder, "packs")),
    resolveRuntime: async () => runtime,
    adapterOf: async () => adapter,
    clock: systemClock,
    log: silentLog,
  });
  const find = async (version: Version) => packs.find(version, { adapter, runtime });
  return { packs, find, count };
}

async function untilStarted(count: { readonly starts: number }): Promise<void> {
  const giveUpAt = performance.now() + WAIT_MS_MAX;
  while (count.starts === 0) {
    assert.ok(performance.now() < giveUpAt, "it is made after a while");
    await sleepFor(5);
  }
}

describe("Packs", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "packs-"));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it("makes one behind the first start that finds none, and gives it to the next", async () => {
    const { packs, find, count } = await openPacks(folder, "printf pack");
    assert.equal(await find(version), undefined);
    const giveUpAt = performance.now() + WAIT_MS_MAX;
    let found: Uint8Array | undefined;
    while (!found && performance.now() < giveUpAt) {
      await sleepFor(5);
      found = await find(version);
    }
    assert.equal(Buffer.from(found ?? []).toString(), "pack");
    assert.equal(count.starts, 1);
    await packs[Symbol.asyncDispose]();
  });

  it("does not try again what failed, or what gave nothing", async () => {
    for (const script of ["printf half; exit 1", "exit 0"]) {
      const { packs, find, count } = await openPacks(folder, script);
      await find(version);
      await untilStarted(count);
      for (let tries = 0; tries < 20; tries += 1) {
        assert.equal(await find(version), undefined);
        await sleepFor(5);
      }
      assert.equal(count.starts, 1, script);
      await packs[Symbol.asyncDispose]();
    }
  });

  it("ends what it is doing when it is closed", async () => {
    const { packs, find, count } = await openPacks(folder, "exec sleep 1000");
    await find(version);
    await untilStarted(count);
    await packs[Symbol.asyncDispose]();
  });
});
