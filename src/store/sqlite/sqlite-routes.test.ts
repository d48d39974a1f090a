import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { systemClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { sampleRoute } from "../../core/route-samples.fake.ts";
import { describeRoutes } from "../routes.contract.ts";
import { sampleFunction } from "../samples.fake.ts";
import { openSqliteStore } from "./sqlite-store.ts";

const root = await mkdtemp(join(tmpdir(), "lambdad-routes-"));
after(() => rm(root, { recursive: true }));
let count = 0;
const open = (dir = `${++count}`) =>
  openSqliteStore({ dir: join(root, dir), log: silentLog, clock: systemClock });

describeRoutes("sqlite", () => open());

describe("routes in SQLite", () => {
  it("survive a restart", async () => {
    const route = sampleRoute("GET api.localhost/stock/{symbol}");
    {
      await using store = await open("restart");
      await store.registry.saveFunction(sampleFunction("greet"));
      await store.routes.save(route);
    }
    await using store = await open("restart");
    assert.deepEqual(await store.routes.list(), [route]);
  });
});
