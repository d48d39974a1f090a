import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { systemClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { describeSources } from "../sources.contract.ts";
import { openSqliteStore } from "./sqlite-store.ts";

const root = await mkdtemp(join(tmpdir(), "lambdad-sources-"));
after(() => rm(root, { recursive: true }));
let count = 0;

describeSources("sqlite", () =>
  openSqliteStore({ dir: join(root, `${++count}`), log: silentLog, clock: systemClock }),
);
