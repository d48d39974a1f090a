/**
 * A program for the crash test: saves functions and publishes versions without end, and prints `NAME GENERATION` for
 * each save that was acknowledged. Its argument is the data folder.
 */
import { writeSync } from "node:fs";
import { systemClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { sampleFunction, sampleVersion } from "../samples.fake.ts";
import { openSqliteStore } from "./sqlite-store.ts";

const WRITERS = 4;

const { registry } = await openSqliteStore({
  dir: process.argv[2] ?? "",
  log: silentLog,
  clock: systemClock,
});

async function saveForEver(name: string): Promise<never> {
  const stored = await registry.findFunction(sampleFunction(name).name);
  for (let generation = (stored?.generation ?? 0) + 1; ; generation++) {
    await registry.saveFunction(sampleFunction(name, { generation }), sampleVersion(name, `${generation}`));
    writeSync(1, `${name} ${generation}\n`);
  }
}

await Promise.all(Array.from({ length: WRITERS }, (_, index) => saveForEver(`f${index}`)));
