import assert from "node:assert/strict";
import { it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import { SETTINGS_DEFAULT } from "../core/function-settings.ts";
import { silentLog } from "../core/log.ts";
import { openProvisioned, type ProvisionedProgress } from "./provisioned.ts";
import {
  type FakeProgram,
  initFailed,
  openTestHost,
  requestOf,
  returned,
  targetOf,
} from "./test-host.fake.ts";

const target = targetOf();
const { name } = target.record;

function asking(instances: number, revision = "r1"): FunctionRecord {
  const { record } = targetOf({ revision });
  const provisioned = [{ qualifier: "$LATEST", instances, modifiedAt: 0 }];
  return { ...record, settings: { ...SETTINGS_DEFAULT, provisioned } };
}

function open(
  stored: readonly FunctionRecord[],
  program: Partial<FakeProgram> = {},
  idleMsMax = 60_000,
  list = async (): Promise<FunctionRecord[]> => [...stored],
) {
  const host = openTestHost({ answer: () => returned("1"), ...program }, { idleMsMax });
  const provisioned = openProvisioned({
    functions: {
      list,
      getVersion: async () => target.version,
      resolve: async () => target,
    },
    invoker: host.invoker,
    clock: systemClock,
    log: silentLog,
  });
  const progressed = async (isRight: (progress: ProvisionedProgress) => boolean) => {
    for (let tries = 0; tries < 400; tries++) {
      const progress = provisioned.progress(name, "$LATEST");
      if (isRight(progress)) return progress;
      await sleep(10);
    }
    throw new Error(`stays at ${JSON.stringify(provisioned.progress(name, "$LATEST"))}`);
  };
  const close = async () => {
    await provisioned[Symbol.asyncDispose]();
    await host.invoker[Symbol.asyncDispose]();
  };
  return { host, provisioned, progressed, [Symbol.asyncDispose]: close };
}

it("starts what is stored, without a call", async () => {
  await using kept = open([asking(3)]);
  await kept.progressed(({ available }) => available === 3);
  assert.equal(kept.host.alive.size, 3);
});

it("reads again what is stored where it could not be read at first", async () => {
  let refusals = 1;
  await using kept = open([], {}, 60_000, async () => {
    if (refusals-- > 0) throw new PlatformError("StoreUnavailable", "timed out");
    return [asking(1)];
  });
  const failed = kept.provisioned.failed.then(undefined, (error: unknown) => error);
  const started = kept.progressed(({ available }) => available === 1);
  assert.deepEqual(await Promise.race([failed, started]), { available: 1, problem: undefined });
});

it("keeps them beyond the time that idle instances have, and lets them go when nobody asks any more", async () => {
  await using kept = open([asking(2)], {}, 1);
  await kept.progressed(({ available }) => available === 2);
  // One beyond what is kept: two are busy at most, so a third call in parallel is what the sweep may take.
  await Promise.all(
    [1, 2, 3].map(() =>
      kept.host.invoker.invoke(target, requestOf(), { signal: new AbortController().signal }),
    ),
  );
  await sleep(1_200);
  assert.equal(kept.host.alive.size, 2);
  kept.provisioned.functionChanged(name, target.record);
  for (let tries = 0; kept.host.alive.size > 0 && tries < 400; tries++) await sleep(10);
  assert.equal(kept.host.alive.size, 0);
});

it("starts another for one that has gone", async () => {
  await using kept = open([asking(1)], {
    answer: (_, sandbox) => {
      setImmediate(() => sandbox.exit({ exitCode: 1 }));
      return returned("1");
    },
  });
  await kept.progressed(({ available }) => available === 1);
  await kept.host.invoker.invoke(target, requestOf(), { signal: new AbortController().signal });
  await kept.progressed(({ available }) => available === 0);
  await kept.progressed(({ available }) => available === 1);
  assert.equal(kept.host.started, 2);
});

it("moves to a new revision", async () => {
  await using kept = open([asking(1)]);
  await kept.progressed(({ available }) => available === 1);
  const next = asking(2, "r2");
  kept.host.invoker.functionChanged(name, next);
  kept.provisioned.functionChanged(name, next);
  await kept.progressed(({ available }) => available === 2);
  assert.equal(kept.host.alive.size, 2);
  assert.equal(kept.host.started, 3);
});

it("says why nothing can be started", async () => {
  await using kept = open([asking(1)], {
    start: () => Promise.reject(initFailed("Runtime.ImportModuleError")),
  });
  const { available, problem } = await kept.progressed((progress) => progress.problem !== undefined);
  assert.equal(available, 0);
  assert.match(String(problem), /could not be initialised/);
});
