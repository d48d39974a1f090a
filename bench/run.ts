/**
 * `npm run bench`: every figure beside a yardstick measured in the same run, since machines differ and moods change.
 * Prints a table, and writes it as JSON to bench/results/. `npm run bench -- warm cold` runs some of the parts.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { join } from "node:path";
import { measureCold } from "./cold.ts";
import { measureControl } from "./control.ts";
import { measureDeploy } from "./deploy.ts";
import { measureEvents } from "./events.ts";
import { measureIdle } from "./idle.ts";
import { measureImages } from "./images.ts";
import { printTable, type Row } from "./measure.ts";
import { measureSimulated } from "./simulate.ts";
import { measureStart } from "./start.ts";
import { measureStream } from "./stream.ts";
import { measureWarm } from "./warm.ts";

const PARTS: Readonly<Record<string, () => Promise<Row[]>>> = {
  warm: measureWarm,
  cold: measureCold,
  deploy: measureDeploy,
  start: measureStart,
  idle: measureIdle,
  events: measureEvents,
  control: measureControl,
  stream: measureStream,
  images: measureImages,
  simulate: measureSimulated,
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in PARTS));
if (unknown.length > 0) {
  process.stderr.write(`no such part: ${unknown.join(", ")}; there are ${Object.keys(PARTS).join(", ")}\n`);
  process.exit(2);
}

const machine = `${cpus().length} × ${cpus()[0]?.model ?? "unknown"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, load ${loadavg()[0]?.toFixed(2)}`;
process.stdout.write(`${machine}\n`);
if ((loadavg()[0] ?? 0) > cpus().length)
  process.stdout.write("noisy: other work is running; trust the ratios, not the figures\n");

const rows: Row[] = [];
for (const [name, measure] of Object.entries(PARTS)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  process.stderr.write(`measuring ${name}…\n`);
  rows.push(...(await measure()));
}
process.stdout.write("\n");
printTable(rows);

const results = join(import.meta.dirname, "results");
mkdirSync(results, { recursive: true });
const file = join(results, `${new Date().toISOString().replaceAll(":", "-")}.json`);
writeFileSync(file, `${JSON.stringify({ machine, rows }, undefined, 2)}\n`);
