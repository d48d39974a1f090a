import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { callFunction } from "./client.ts";
import { median, type Row } from "./measure.ts";
import { ROOT, startDaemon } from "./processes.ts";

const RUNS = 10;
const BAR_MS = 300;

/** `lambda deploy` of a folder with one file, and its first answer: from the start of the command to the last byte. */
export async function measureDeploy(): Promise<Row[]> {
  await using daemon = await startDaemon();
  const folder = mkdtempSync(join(tmpdir(), "lambdad-bench-deploy-"));
  const values: number[] = [];
  try {
    for (let run = 0; run <= RUNS; run++) {
      writeFileSync(join(folder, "index.mjs"), `export const handler = async () => ({ run: ${run} });\n`);
      const startedAt = performance.now();
      const args = ["deploy", folder, "--name", "quick", "--server", daemon.controlUrl, "--key", daemon.key];
      const cli = spawn(join(ROOT, "bin/lambda"), args, { stdio: ["ignore", "ignore", "inherit"] });
      const [code] = await once(cli, "exit");
      if (code !== 0) throw new Error(`lambda deploy left with ${code}`);
      const answer = await callFunction(daemon, "quick");
      if (!answer.toString().includes(`${run}`)) throw new Error(`a stale answer: ${answer}`);
      if (run > 0) values.push(performance.now() - startedAt);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return [
    {
      measure: "lambda deploy of one file to first answer",
      value: median(values),
      unit: "ms",
      yardstick: "",
      yardstickValue: undefined,
      ratio: undefined,
      bar: `at most ${BAR_MS} ms`,
      isMet: median(values) <= BAR_MS,
      spread: [Math.min(...values), Math.max(...values)],
      runs: values.length,
    },
  ];
}
