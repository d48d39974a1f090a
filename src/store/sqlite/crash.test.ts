import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { sampleName } from "../samples.fake.ts";
import { openSqliteStore } from "./sqlite-store.ts";

const KILLS = 32;
const PROGRAM = fileURLToPath(new URL("./crash-writer.fake.ts", import.meta.url));

/** Lets the program run until it has acknowledged so many saves, or for a moment if none, and kills it. */
async function killAfter(dir: string, saves: number): Promise<ReadonlyMap<string, number>> {
  const child = spawn(process.execPath, [PROGRAM, dir], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const acknowledged = new Map<string, number>();
  let count = 0;
  if (saves === 0) setTimeout(() => child.kill("SIGKILL"), Math.random() * 150);
  for await (const line of createInterface({ input: child.stdout })) {
    const [name, generation] = line.split(" ");
    acknowledged.set(name ?? "", Number(generation));
    if (++count === saves) child.kill("SIGKILL");
  }
  const [, signal] = await exited;
  assert.equal(signal, "SIGKILL", "the program was killed and did not end by itself");
  return acknowledged;
}

it(`has every acknowledged write after each of ${KILLS} kills, and no half of one`, async () => {
  const dir = await mkdtemp(join(tmpdir(), "lambdad-crash-"));
  try {
    const generations = new Map<string, number>();
    for (let kill = 0; kill < KILLS; kill++) {
      const saves = kill % 4 === 0 ? 0 : Math.ceil(Math.random() * 60);
      for (const [name, generation] of await killAfter(dir, saves)) generations.set(name, generation);

      await using store = await openSqliteStore({ dir, log: silentLog, clock: systemClock });
      for (const [name, acknowledged] of generations) {
        const record = await store.registry.findFunction(sampleName(name));
        const generation = record?.generation ?? 0;
        assert.ok(
          generation >= acknowledged,
          `${name}: ${acknowledged} was acknowledged, ${generation} is there`,
        );
        assert.ok(generation <= acknowledged + 1, "one save at most was under way");
        // What was under way is there now: the next kill may add one more to it.
        generations.set(name, generation);
        const versions = await store.registry.listVersions(sampleName(name), { after: 0, limit: 1e6 });
        assert.deepEqual(
          versions.map(({ label }) => label),
          Array.from({ length: generation }, (_, index) => `${index + 1}`),
        );
      }
      assert.equal(
        await store.registry.countFunctions(),
        (await store.registry.listFunctions({ after: undefined, limit: 99 })).length,
      );
    }
    assert.ok(Math.max(...generations.values()) > 100, "enough was written to mean something");
  } finally {
    await rm(dir, { recursive: true });
  }
});
