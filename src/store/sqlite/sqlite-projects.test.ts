import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { systemClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { describeProjects } from "../projects.contract.ts";
import { openSqliteStore } from "./sqlite-store.ts";

const folder = await mkdtemp(join(tmpdir(), "projects-test-"));
after(() => rm(folder, { recursive: true, force: true }));

describeProjects("sqlite", async () =>
  openSqliteStore({ dir: await mkdtemp(join(folder, "data-")), log: silentLog, clock: systemClock }),
);
