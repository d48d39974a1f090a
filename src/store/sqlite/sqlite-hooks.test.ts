import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, describe, it } from "node:test";
import { systemClock } from "../../core/clock.ts";
import { isPlatformError } from "../../core/errors.ts";
import { HOOK_IDS_KEPT_MS } from "../../core/limits.ts";
import { silentLog } from "../../core/log.ts";
import { sampleEvent } from "../event-samples.fake.ts";
import { sampleDelivery, sampleHook } from "../hook-samples.fake.ts";
import { describeHooks } from "../hooks.contract.ts";
import { sampleFunction, sampleName } from "../samples.fake.ts";
import { openSqliteStore } from "./sqlite-store.ts";

const root = await mkdtemp(join(tmpdir(), "lambdad-hooks-"));
after(() => rm(root, { recursive: true }));
let count = 0;
const open = (dir = `${++count}`, perFunctionMax = 1_000) =>
  openSqliteStore({
    dir: join(root, dir),
    log: silentLog,
    clock: systemClock,
    eventLimits: { perFunctionMax, totalMax: 10_000 },
  });

describeHooks("sqlite", () => open());

describe("hooks in SQLite", () => {
  it("know what they took before a restart", async () => {
    const hook = sampleHook("a");
    const marks = { ids: ["1"], signed: undefined };
    {
      await using store = await open("again");
      await store.registry.saveFunction(sampleFunction("greet"));
      await store.hooks.save(hook);
      await store.hooks.take(sampleDelivery(hook), marks);
    }
    await using store = await open("again");
    const taken = await store.hooks.take(sampleDelivery(hook), marks);
    assert.equal(taken.kind, "known");
    assert.equal((await store.hooks.deliveries(hook.id, { before: undefined, limit: 10 })).length, 1);
  });

  it("forget what came so long ago that it is not remembered any more", async () => {
    const dir = "forgetful";
    await using store = await open(dir);
    await store.registry.saveFunction(sampleFunction("greet"));
    const hook = sampleHook("a");
    await store.hooks.save(hook);
    const take = (id: string, at: number) =>
      store.hooks.take(sampleDelivery(hook, { at }), { ids: [id], signed: undefined });
    await take("old", 1_000);
    const later = 1_000 + HOOK_IDS_KEPT_MS + 1;
    using database = new DatabaseSync(join(root, dir, "lambdad.db"), { readOnly: true });
    const remembered = () => Number(database.prepare("SELECT count(*) AS count FROM hook_mark").get()?.count);
    // Which of them has old ones forgotten is drawn: about one in 256.
    let taken = 0;
    while (remembered() > taken) {
      assert.ok(taken < 20_000, `after ${taken} deliveries the old one is still remembered`);
      await Promise.all(Array.from({ length: 256 }, (_, index) => take(`${taken + index}`, later)));
      taken += 256;
    }
    assert.equal((await take("old", later)).kind, "taken");
    assert.equal((await take("0", later)).kind, "known");
  });

  it("refuse a delivery whose event has no room, and take it once there is", async () => {
    await using store = await open("full", 1);
    await store.registry.saveFunction(sampleFunction("greet"));
    const hook = sampleHook("a");
    await store.hooks.save(hook);
    const take = (id: string) =>
      store.hooks.take(sampleDelivery(hook, { outcome: "accepted", event: sampleEvent("greet", id) }), {
        ids: [id],
        signed: undefined,
      });
    await take("1");
    await assert.rejects(take("2"), (error) => isPlatformError(error, "TooManyEvents"));
    await store.events.cancelAll(sampleName("greet"), { condition: "Cancelled", message: "" });
    assert.equal((await take("2")).kind, "taken");
  });
});
