import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { callFunction } from "./client.ts";
import { ceilingRow, type Row } from "./measure.ts";
import { type Daemon, ROOT, timeProcess } from "./processes.ts";

const STARTS = 5;
const SAVES = 15;
const BUNDLES = 3;

/** What a save makes of the two functions. */
const CODE = {
  node: {
    file: "index.mjs",
    text: (save: number) => `export const handler = async () => "save ${save}.";\n`,
  },
  python: {
    file: "main.py",
    text: (save: number) => `def handler(event, context):\n    return "save ${save}."\n`,
  },
} as const;

type Language = keyof typeof CODE;

/** `lambda dev` on two functions: from the command to the first answer, from a save to an answer of the new code. */
export async function measureDev(): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), "lambdad-bench-dev-"));
  try {
    for (const language of ["node", "python"] as const) {
      mkdirSync(join(folder, language));
      save(folder, language, 0);
    }
    const starts: number[] = [];
    // The first makes bundle and caches.
    for (let run = 0; run <= STARTS; run += 1) {
      const startedAt = performance.now();
      await using dev = await startDev(folder);
      await callFunction(dev, "node");
      if (run > 0) starts.push(performance.now() - startedAt);
    }
    await using dev = await startDev(folder);
    const rows = [ceilingRow("lambda dev on two functions to first answer", "ms", starts, 1_500)];
    for (const language of ["node", "python"] as const)
      rows.push(
        ceilingRow(`save to live, ${language}`, "ms", await measureSaves(dev, folder, language), 300),
      );
    return [...rows, await measureBundle(folder)];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function measureSaves(
  dev: Pick<Daemon, "gatewayPort">,
  folder: string,
  language: Language,
): Promise<number[]> {
  const values: number[] = [];
  for (let run = 1; run <= SAVES; run += 1) {
    save(folder, language, run);
    const savedAt = performance.now();
    while (!(await callFunction(dev, language)).toString().includes(`save ${run}.`)) {
      if (performance.now() - savedAt > 30_000) throw new Error(`save ${run} of ${language} never went live`);
    }
    values.push(performance.now() - savedAt);
  }
  return values;
}

/** As editors do. */
function save(folder: string, language: Language, count: number): void {
  const { file, text } = CODE[language];
  const path = join(folder, language, file);
  writeFileSync(`${path}.tmp`, text(count));
  renameSync(`${path}.tmp`, path);
}

async function measureBundle(folder: string): Promise<Row> {
  const source = join(folder, "counter");
  cpSync(join(ROOT, "examples/counter-typescript"), source, { recursive: true });
  const values: number[] = [];
  for (let run = 0; run < BUNDLES; run += 1)
    values.push(
      await timeProcess(join(ROOT, "bin/lambda"), ["bundle", source, "--out", join(folder, "counter.run")]),
    );
  return ceilingRow("lambda bundle", "ms", values, 5_000);
}

interface Dev extends AsyncDisposable, Pick<Daemon, "gatewayPort"> {}

async function startDev(folder: string): Promise<Dev> {
  const child: ChildProcess = spawn(join(ROOT, "bin/lambda"), ["--json", "dev", folder, "--port", "0"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  if (!child.stdout) throw new Error("its output was not asked for");
  for await (const line of createInterface({ input: child.stdout })) {
    const { type, gateway } = JSON.parse(line);
    if (type !== "ready") continue;
    child.stdout.resume();
    return {
      gatewayPort: Number(new URL(gateway).port),
      async [Symbol.asyncDispose]() {
        child.kill("SIGINT");
        await exited;
      },
    };
  }
  throw new Error("lambda dev ended before it was ready");
}
