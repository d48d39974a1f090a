/** Random histories on SQLite and on the fake at the same time: every answer is the same, also after a restart. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import fc from "fast-check";
import { systemClock } from "../../core/clock.ts";
import { isPlatformError } from "../../core/errors.ts";
import { silentLog } from "../../core/log.ts";
import { sampleFunction, sampleName, sampleVersion } from "../samples.fake.ts";
import { fakeRegistry } from "../store.fake.ts";
import type { Registry } from "../store.ts";
import { openSqliteStore } from "./sqlite-store.ts";

const NAMES = ["a", "b", "B"];

type Step =
  | {
      readonly kind: "save";
      readonly name: string;
      readonly ahead: number;
      readonly publish: number;
      readonly url: string;
      readonly code: string;
    }
  | { readonly kind: "delete"; readonly name: string }
  | { readonly kind: "delete version"; readonly name: string; readonly number: number };

const name = fc.constantFrom(...NAMES);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("save" as const),
      name,
      ahead: fc.constantFrom(1, 1, 1, 1, 0, 2),
      publish: fc.nat(4),
      url: fc.constantFrom("", "", "u1", "u2"),
      code: fc.constantFrom("x", "y", "z"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("delete" as const), name }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("delete version" as const), name, number: fc.nat(4) }),
  },
);

/** What came of a step: its result, or the code of its error. */
async function perform(registry: Registry, step: Step): Promise<unknown> {
  const functionName = sampleName(step.name);
  try {
    switch (step.kind) {
      case "delete":
        return await registry.deleteFunction(functionName);
      case "delete version":
        return await registry.deleteVersion(functionName, step.number);
      case "save": {
        const generation = Math.max(
          1,
          ((await registry.findFunction(functionName))?.generation ?? 0) + step.ahead,
        );
        const urls = step.url
          ? [
              {
                urlId: step.url,
                qualifier: undefined,
                authType: "NONE",
                invokeMode: "BUFFERED",
                cors: undefined,
                createdAt: 1,
                modifiedAt: 1,
              } as const,
            ]
          : [];
        const record = sampleFunction(step.name, {
          generation,
          urls,
          latest: sampleVersion(step.name, "$LATEST", step.code),
        });
        const published =
          step.publish > 0 ? sampleVersion(step.name, `${step.publish}`, step.code) : undefined;
        return await registry.saveFunction(record, published);
      }
    }
  } catch (error) {
    if (!isPlatformError(error)) throw error;
    return error.code;
  }
}

async function everything(registry: Registry): Promise<unknown> {
  const page = { after: 0, limit: 99 };
  const code = await registry.codeInUse();
  return {
    functions: await registry.listFunctions({ after: undefined, limit: 99 }),
    versions: await Promise.all(NAMES.map((name) => registry.listVersions(sampleName(name), page))),
    count: await registry.countFunctions(),
    urls: await Promise.all(["u1", "u2"].map(async (id) => (await registry.findFunctionByUrlId(id))?.name)),
    code: [[...code.treeIds].sort(), [...code.archives].sort()],
  };
}

it("answers as the fake does, at every step and after a restart", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
      const dir = await mkdtemp(join(tmpdir(), "lambdad-history-"));
      const open = () => openSqliteStore({ dir, log: silentLog, clock: systemClock });
      const model = fakeRegistry();
      try {
        {
          await using store = await open();
          for (const step of steps) {
            assert.deepEqual(
              await perform(store.registry, step),
              await perform(model, step),
              JSON.stringify(step),
            );
            assert.deepEqual(await everything(store.registry), await everything(model), JSON.stringify(step));
          }
        }
        await using store = await open();
        assert.deepEqual(await everything(store.registry), await everything(model));
      } finally {
        await rm(dir, { recursive: true });
      }
    }),
    { numRuns: 20 },
  );
});
