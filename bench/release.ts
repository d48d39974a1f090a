import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeFolder, startDaemon, type TestDaemon } from "../tests/e2e/daemon.fake.ts";
import { switchUnderLoad } from "../tests/projects/release-switch.fake.ts";
import { ceilingRow, plainRow, type Row } from "./measure.ts";

const FUNCTIONS = 20;
const DEPLOYS = 7;
const ROLLBACKS = 20;
const CHAINS = Number(process.env.BENCH_CHAINS ?? 10_000);
const PER_SECOND = 500;
const SWITCHES = 10;

/** Projects: what a deploy costs where nothing has changed, a rollback, and what calls notice of a switch. */
export async function measureReleases(): Promise<Row[]> {
  return [...(await measureUnchanged()), ...(await measureRollbacks()), ...(await measureSwitches())];
}

async function measureUnchanged(): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), "lambdad-bench-release-"));
  try {
    const names = Array.from({ length: FUNCTIONS }, (_, index) => `f${index}`);
    writeFileSync(
      join(folder, "lambda.yaml"),
      `project: many\nfunctions:\n${names.map((name) => `  ${name}: {}\n`).join("")}`,
    );
    for (const name of names) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, "index.mjs"), `export const handler = async () => "${name}";\n`);
    }
    await using daemon = await startDaemon();
    await timedCommand(daemon, "deploy", folder);
    const values: number[] = [];
    for (let run = 0; run < DEPLOYS; run += 1) values.push(await timedCommand(daemon, "deploy", folder));
    return [ceilingRow(`lambda deploy of ${FUNCTIONS} unchanged functions`, "ms", values, 1_000)];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function measureRollbacks(): Promise<Row[]> {
  await using daemon = await startDaemon();
  using folder = makeFolder({
    "a/index.mjs": "export const handler = async () => process.env.MARK;\n",
    "b/index.mjs": "export const handler = async () => process.env.MARK;\n",
    "c/index.mjs": "export const handler = async () => process.env.MARK;\n",
  });
  for (const mark of [1, 2]) {
    const file = `project: trio\nenvironment: { MARK: "${mark}" }\nfunctions: { a: {}, b: {}, c: {} }\n`;
    writeFileSync(join(folder.path, "lambda.yaml"), file);
    await timedCommand(daemon, "deploy", folder.path);
  }
  const values: number[] = [];
  for (let run = 0; run < ROLLBACKS; run += 1) {
    const startedAt = performance.now();
    const answer = await daemon.control("POST", "/v1/projects/trio/switch", { to: 1 + (run % 2) });
    values.push(performance.now() - startedAt);
    if (answer.status !== 200) throw new Error(answer.text);
  }
  const command = [await timedCommand(daemon, "rollback", "--project", "trio", "--to", "1")];
  return [
    ceilingRow("rollback of a project of three functions", "ms", values, 200),
    plainRow("lambda rollback, the whole command", "ms", command),
  ];
}

async function measureSwitches(): Promise<Row[]> {
  await using daemon = await startDaemon();
  const load = { chains: CHAINS, perSecond: PER_SECOND, switches: SWITCHES };
  const { answered, mixed, failed, switchMs } = await switchUnderLoad(daemon, load);
  for (const text of failed.slice(0, 5)) process.stderr.write(`failed: ${text}\n`);
  const chains = [...answered.values()].reduce((sum, count) => sum + count, mixed.length + failed.length);
  return [
    ceilingRow(`chains that failed during ${SWITCHES} switches, of ${chains}`, "", [failed.length], 0),
    ceilingRow(`chains that mixed releases during ${SWITCHES} switches`, "", [mixed.length], 0),
    plainRow(`a rollback at ${PER_SECOND} chains/s`, "ms", switchMs),
  ];
}

async function timedCommand(daemon: TestDaemon, ...args: string[]): Promise<number> {
  const startedAt = performance.now();
  const ran = await daemon.lambda(...args);
  if (ran.code !== 0) throw new Error(`lambda ${args.join(" ")}: ${ran.stderr}`);
  return performance.now() - startedAt;
}
