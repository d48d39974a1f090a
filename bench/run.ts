/**
 * `npm run bench`: every figure beside a yardstick measured in the same run, since machines differ and moods change.
 * Prints a table, and writes it as JSON and as a page with plots to bench/results/. `npm run bench -- warm cold` runs some of
 * the parts.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";
import { type Found, printTable, type Row, timesOfYardstick } from "./measure.ts";
import { pageOf } from "./page.ts";
import type { Plot } from "./plot.ts";

const PARTS: Readonly<Record<string, () => Promise<Found>>> = {
  warm: async () => (await import("./warm.ts")).measureWarm(),
  cold: async () => (await import("./cold.ts")).measureCold(),
  snapshot: async () => (await import("./snapshot.ts")).measureSnapshots(),
  density: async () => (await import("./density.ts")).measureDensity(),
  neighbour: async () => (await import("./neighbour.ts")).measureNeighbour(),
  switch: async () => (await import("./switch.ts")).measureSwitch(),
  peers: async () => (await import("./peers.ts")).measurePeers(),
  deploy: async () => ({ rows: await (await import("./deploy.ts")).measureDeploy() }),
  dev: async () => ({ rows: await (await import("./dev.ts")).measureDev() }),
  release: async () => ({ rows: await (await import("./release.ts")).measureReleases() }),
  start: async () => ({ rows: await (await import("./start.ts")).measureStart() }),
  idle: async () => ({ rows: await (await import("./idle.ts")).measureIdle() }),
  events: async () => ({ rows: await (await import("./events.ts")).measureEvents() }),
  control: async () => ({ rows: await (await import("./control.ts")).measureControl() }),
  stream: async () => ({ rows: await (await import("./stream.ts")).measureStream() }),
  images: async () => ({ rows: await (await import("./images.ts")).measureImages() }),
  simulate: async () => ({ rows: await (await import("./simulate.ts")).measureSimulated() }),
};

/** How far `node -e 0` may move within a run before it is called noisy: the slowest tenth over the median. */
const NOISE_MAX = 1.5;

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in PARTS));
if (unknown.length > 0) {
  process.stderr.write(`no such part: ${unknown.join(", ")}; there are ${Object.keys(PARTS).join(", ")}\n`);
  process.exit(2);
}

const startedAt = new Date();
const machine = `${cpus().length} × ${cpus()[0]?.model ?? "unknown"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node ${process.version}, ${startedAt.toISOString()}`;
process.stdout.write(`${machine}\n`);

const rows: Row[] = [];
const plots: Plot[] = [];
const noise = { loads: [loadNow()], spreads: [await timesOfYardstick()] };
for (const [name, measure] of Object.entries(PARTS)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  process.stderr.write(`measuring ${name}…\n`);
  const found = await measure();
  rows.push(...found.rows);
  plots.push(...(found.plots ?? []));
  noise.spreads.push(await timesOfYardstick());
}
const remarks = remarksOn(noise);
process.stdout.write("\n");
printTable(rows);
for (const remark of remarks) process.stdout.write(`${remark}\n`);

const results = join(import.meta.dirname, "results");
mkdirSync(results, { recursive: true });
const file = join(results, startedAt.toISOString().replaceAll(":", "-"));
writeFileSync(`${file}.json`, `${JSON.stringify({ machine, remarks, rows, plots }, undefined, 2)}\n`);
writeFileSync(`${file}.html`, pageOf({ machine, remarks, rows, plots }));
process.stdout.write(`\n${file}.json\n${file}.html\n`);

function loadNow(): number {
  return loadavg()[0] ?? 0;
}

/** The load before the first part is not ours; how long the same program takes each time shows what came later. */
function remarksOn(seen: {
  readonly loads: readonly number[];
  readonly spreads: readonly (readonly number[])[];
}): string[] {
  const all = seen.spreads.flat().sort((a, b) => a - b);
  const at = (share: number) => all[Math.floor(all.length * share)] ?? Number.NaN;
  const moved = at(0.9) / at(0.5);
  const before = seen.loads[0] ?? 0;
  const found = `node -e 0 took ${at(0.5).toFixed(0)} ms (median), ${at(0.9).toFixed(0)} ms (slowest tenth); load before ${before.toFixed(2)}`;
  if (moved <= NOISE_MAX && before <= cpus().length / 2) return [found];
  return [`noisy: other work was running; trust the ratios, not the figures (${found})`];
}
