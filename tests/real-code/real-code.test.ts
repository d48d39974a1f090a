/** Applications as people write them for Lambda, unchanged: detected, built, and their handlers called. */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { ZipFile } from "yazl";
import { buildEnvironment } from "../../src/code/build/tool.ts";
import { openDepot } from "../../src/code/depot.ts";
import { prepareCode } from "../../src/code/prepare.ts";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { REAL_APPS, REAL_CALLS, toEvent } from "./calls.ts";

const run = promisify(execFile);
const never = new AbortController().signal;

const CALL_NODE = `
const { handler } = await import(process.argv[1]);
const context = { awsRequestId: "1", getRemainingTimeInMillis: () => 3000, callbackWaitsForEmptyEventLoop: true };
const answers = [];
for (const event of JSON.parse(process.argv[2])) answers.push(await handler(event, context));
console.log(JSON.stringify(answers));`;
const CALL_PYTHON = `
import importlib, json, sys
handler = importlib.import_module(sys.argv[1]).handler
print(json.dumps([handler(event, None) for event in json.loads(sys.argv[2])]))`;

interface Answer {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly cookies?: readonly string[];
  readonly body: string;
}

describe("real code", () => {
  for (const { folder, tool } of REAL_APPS) {
    const isMissing = process.env.REQUIRE_ALL !== "1" && spawnSync(tool, ["--version"]).status !== 0;
    it(`${folder} is built as it is and answers`, {
      skip: isMissing && `${tool} is not installed`,
    }, async () => {
      const dir = await mkdtemp(join(tmpdir(), "real-code-"));
      try {
        const app = await prepareApp(dir, folder);
        const events = JSON.stringify(REAL_CALLS.map(toEvent));
        const { stdout } = await (app.runtime.startsWith("python")
          ? run("python3", ["-c", CALL_PYTHON, "main", events], { cwd: app.tree })
          : run(process.execPath, [
              ...["--input-type=module", "-e", CALL_NODE],
              ...[pathToFileURL(join(app.tree, "index.js")).href, events],
            ]));
        const answers: readonly Answer[] = JSON.parse(stdout);
        for (const [index, call] of REAL_CALLS.entries()) {
          const answer = answers[index];
          assert.deepEqual([answer?.statusCode, JSON.parse(answer?.body ?? "")], [call.status, call.answer]);
          // One cookie may stay among the headers; Lambda takes either.
          const cookie = answer?.cookies?.[0] ?? answer?.headers["set-cookie"];
          assert.equal(cookie?.slice(0, call.cookie?.length), call.cookie);
        }
      } finally {
        await rm(dir, { recursive: true });
      }
    });
  }
});

async function prepareApp(dir: string, folder: string): Promise<{ tree: string; runtime: string }> {
  const depot = await openDepot({ dir: join(dir, "depot"), log: silentLog, clock: systemClock });
  const source = join(import.meta.dirname, folder);
  const file = join(dir, "app.zip");
  await writeFile(file, await zipFolder(source));
  const build = {
    stagingDir: join(dir, "depot", "staging"),
    cacheDir: join(dir, "cache"),
    environment: buildEnvironment(process.env),
    nodeBinDir: dirname(process.execPath),
    esbuild: undefined,
    timeLimitMs: 240_000,
  };
  const runtimes = {
    newestPython: async () => undefined,
    look: async (name: string) => ({ name, isHere: false, path: undefined }),
  };
  const settings = {
    runtime: undefined,
    kind: undefined,
    handler: undefined,
    module: undefined,
    command: undefined,
  };
  const prepared = await prepareCode(
    { depot, build, runtimes },
    { file, name: "app.zip" },
    { ...settings, build: true, allowScripts: false },
    { signal: never, output: () => undefined, step: () => undefined },
  );
  return { tree: await depot.openTree(prepared.code.treeId), runtime: prepared.runtime };
}

async function zipFolder(folder: string): Promise<Buffer> {
  const zip = new ZipFile();
  for (const name of await readdir(folder)) zip.addBuffer(await readFile(join(folder, name)), name);
  zip.end();
  const chunks: Buffer[] = [];
  for await (const chunk of zip.outputStream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
