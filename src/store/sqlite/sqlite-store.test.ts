import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe } from "node:test";
import { systemClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { describeStore } from "../store.contract.ts";
import { openSqliteStore } from "./sqlite-store.ts";

describe("sqlite", async () => {
  const root = await mkdtemp(join(tmpdir(), "lambdad-store-"));
  after(() => rm(root, { recursive: true }));
  let count = 0;
  describeStore("sqlite", () =>
    openSqliteStore({ dir: join(root, `${++count}`), log: silentLog, clock: systemClock }),
  );
  assert.ok(root);
});
