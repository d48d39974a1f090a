/**
 * Whether a start-up snapshot of V8 would start functions faster than what there is: a sandbox that is ready, and a pack of
 * its modules (decision 0031). The yardstick is the best a snapshot could do: node from the function's blob, in no sandbox.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createFunction, zipOf } from "./client.ts";
import { type Found, inTurn, plainRow, type Row, ratioRow } from "./measure.ts";
import { openConnection } from "./one-connection.ts";
import { type Daemon, startDaemon, timeProcess } from "./processes.ts";

const RUNS = 10;
/** A sandbox is ready by then, and modules are packed. */
const PAUSE_MS = 2_000;
const MODULES = 200;
/** Of the machine at hand, some 80 ms. */
const COMPUTED = 400_000;

interface Subject {
  readonly name: string;
  /** CommonJS modules by path; `index.js` exports the handler. */
  readonly modules: Readonly<Record<string, string>>;
}

const SUBJECTS: readonly Subject[] = [
  { name: "a small handler", modules: { "index.js": "exports.handler = async () => 1;\n" } },
  { name: `a handler of ${MODULES} modules`, modules: manyModules() },
  { name: "a handler that computes while it loads", modules: { "index.js": computing() } },
  {
    name: "a handler that loads node:http",
    modules: {
      "index.js": "const http = require('node:http');\nexports.handler = async () => http.METHODS.length;\n",
    },
  },
];

export async function measureSnapshots(): Promise<Found> {
  await using daemon = await startDaemon();
  const dir = mkdtempSync(join(tmpdir(), "lambdad-bench-snapshot-"));
  try {
    const rows: Row[] = [];
    for (const [index, subject] of SUBJECTS.entries()) rows.push(await rowOf(daemon, dir, subject, index));
    return { rows };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

async function rowOf(daemon: Daemon, dir: string, { name, modules }: Subject, index: number): Promise<Row> {
  const script = join(dir, `${index}.js`);
  const blob = join(dir, `${index}.blob`);
  writeFileSync(script, asOneScript(modules));
  const built = spawnSync(process.execPath, ["--snapshot-blob", blob, "--build-snapshot", script]);
  const first = firstCall(daemon, `snapshot-${index}`, modules);
  if (built.status !== 0) {
    const values: number[] = [];
    for (let run = 0; run < RUNS; run += 1) values.push(await first());
    return plainRow(`first call, ${name} (no snapshot can be built of it)`, "ms", values);
  }
  const fromBlob = () => timeProcess(process.execPath, ["--snapshot-blob", blob, "x"]);
  const measured = await inTurn(RUNS, first, fromBlob);
  const row = ratioRow(`first call, ${name}`, "ms", "node from its snapshot", measured, {
    kind: "at most",
    ratio: 1,
  });
  // Nothing to be met: more than one says where a snapshot would be worth its while.
  return { ...row, bar: "", isMet: undefined };
}

/** Modules as functions of one script, since a snapshot is built of one; with what calls the handler when it is started. */
function asOneScript(modules: Readonly<Record<string, string>>): string {
  const table = Object.entries(modules).map(
    ([path, text]) => `${JSON.stringify(`./${path}`)}: function (exports, require, module) {\n${text}}`,
  );
  return `
const outer = require;
const table = {${table.join(",\n")}};
const cache = {};
function load(name) {
  if (!table[name]) return outer(name);
  if (cache[name]) return cache[name].exports;
  const module = (cache[name] = { exports: {} });
  table[name](module.exports, load, module);
  return module.exports;
}
const { handler } = load("./index.js");
require("node:v8").startupSnapshot.setDeserializeMainFunction(() => void handler());
`;
}

function manyModules(): Record<string, string> {
  const names = Array.from({ length: MODULES }, (_, index) => `m${index}.js`);
  const modules: Record<string, string> = {
    "index.js": `const all = [${names.map((name) => `require("./${name}")`).join(", ")}];\nexports.handler = async () => all.length;\n`,
  };
  for (const [index, name] of names.entries()) {
    const functions = Array.from(
      { length: 30 },
      (_, at) =>
        `exports.f${at} = function f${at}(a, b) { return [a, b, ${index}].map((x) => x + ${at}).join("-"); };`,
    );
    modules[name] =
      `${functions.join("\n")}\nexports.all = Object.keys(exports).map((key) => exports[key](1, 2));\n`;
  }
  return modules;
}

function computing(): string {
  return `
const table = new Map();
for (let n = 0; n < ${COMPUTED}; n++) table.set("key" + (n % 5000), Math.sqrt(n).toString(36));
exports.handler = async () => table.size;
`;
}

/** Of a function that has never run. */
function firstCall(
  daemon: Daemon,
  prefix: string,
  modules: Readonly<Record<string, string>>,
): () => Promise<number> {
  let count = 0;
  return async () => {
    const name = `${prefix}-${count++}`;
    const files = Object.fromEntries(Object.entries(modules).map(([path, content]) => [path, { content }]));
    await createFunction(daemon, {
      name,
      zip: await zipOf(files),
      runtime: "nodejs24.x",
      handler: "index.handler",
    });
    const connection = await openConnection(daemon.gatewayPort);
    await sleep(PAUSE_MS);
    const startedAt = performance.now();
    const status = await connection.call(name);
    const tookMs = performance.now() - startedAt;
    connection.close();
    if (status !== 200) throw new Error(`${name} answered ${status}`);
    return tookMs;
  };
}
