import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, it } from "node:test";
import { makeFolder, type Ran, startDaemon, type TestDaemon, until } from "../e2e/daemon.fake.ts";

const WAIT_MS = 60_000;
const GOOD = 'export const handler = async () => "good";\n';
const BAD = 'export const handler = async () => { throw new Error("bad"); };\n';
const FLAGS = ["--canary", "90%", "--for", "1h", "--abort-on", "error-rate>5%", "--min-calls", "5"];

interface Answer {
  readonly canary?: { readonly state: string };
  readonly liveVersion?: number;
  readonly liveRelease?: number;
}

/** What a canary can be of: what its record is saved with, and how many of these a deploy takes to begin it. */
const KINDS = [
  {
    kind: "a function",
    files: { "index.mjs": GOOD },
    code: "index.mjs",
    flags: ["--name", "f"],
    path: "/v1/functions/f/canary",
    operation: "saveFunction",
    // The first publishes the version aside.
    begins: 2,
  },
  {
    kind: "a release",
    files: { "lambda.yaml": "project: shop\nfunctions:\n  f: {}\n", "f/index.mjs": GOOD },
    code: "f/index.mjs",
    flags: [],
    path: "/v1/projects/shop/canary",
    operation: "applyProject",
    begins: 1,
  },
] as const;

function succeeded(ran: Ran): void {
  assert.equal(ran.code, 0, ran.stderr + ran.stdout);
}

async function answerOf(daemon: TestDaemon, path: string): Promise<Answer> {
  const { status, text } = await daemon.control("GET", path);
  return status === 404 ? {} : JSON.parse(text);
}

/** Calls until the condition holds; calls that fail since the daemon dies are no matter. */
async function callUntil(daemon: TestDaemon, condition: () => Promise<boolean> | boolean): Promise<void> {
  await until(async () => {
    await daemon.call("f").catch(() => undefined);
    return await condition();
  }, WAIT_MS);
}

const no = () => false;
const yes = () => true;

async function goesBack(daemon: TestDaemon, path: string): Promise<void> {
  await callUntil(daemon, async () => (await answerOf(daemon, path)).canary?.state === "aborted");
  const { liveVersion, liveRelease } = await answerOf(daemon, path);
  assert.equal(liveVersion ?? liveRelease, 1);
  for (let call = 0; call < 10; call += 1) assert.equal((await daemon.call("f")).text, "good");
}

for (const { kind, files, code, flags, path, operation, begins } of KINDS) {
  for (const moment of ["before-commit", "after-commit"]) {
    it(`${kind} is tried or not after a kill -9 ${moment} of its begin, and goes back`, async () => {
      const dataDir = mkdtempSync(join(tmpdir(), "lambdad-e2e-canary-"));
      after(() => rmSync(dataDir, { recursive: true, force: true }));
      using folder = makeFolder(files);
      {
        await using daemon = await startDaemon({ dataDir });
        succeeded(await daemon.lambda("deploy", folder.path, ...flags));
      }
      writeFileSync(join(folder.path, code), BAD);
      {
        const env = { LAMBDAD_FAULT: `die:${moment}:${operation}:${begins}` };
        await using daemon = await startDaemon({ dataDir, env });
        const cut = await daemon.lambda("deploy", folder.path, ...flags, ...FLAGS);
        assert.notEqual(cut.code, 0, cut.stdout);
      }
      await using daemon = await startDaemon({ dataDir });
      const found = await answerOf(daemon, path);
      assert.equal(found.canary?.state, moment === "before-commit" ? undefined : "running");
      if (!found.canary) succeeded(await daemon.lambda("deploy", folder.path, ...flags, ...FLAGS));
      await goesBack(daemon, path);
    });

    it(`${kind} is judged once more, or has been, after a kill -9 ${moment} of its end`, async () => {
      const dataDir = mkdtempSync(join(tmpdir(), "lambdad-e2e-canary-"));
      after(() => rmSync(dataDir, { recursive: true, force: true }));
      using folder = makeFolder(files);
      {
        await using daemon = await startDaemon({ dataDir });
        succeeded(await daemon.lambda("deploy", folder.path, ...flags));
        writeFileSync(join(folder.path, code), BAD);
        succeeded(await daemon.lambda("deploy", folder.path, ...flags, ...FLAGS));
      }
      {
        const env = { LAMBDAD_FAULT: `die:${moment}:${operation}:1` };
        await using daemon = await startDaemon({ dataDir, env });
        await callUntil(daemon, () => daemon.control("GET", "/health").then(no, yes));
      }
      await using daemon = await startDaemon({ dataDir });
      const { canary } = await answerOf(daemon, path);
      assert.equal(canary?.state, moment === "before-commit" ? "running" : "aborted");
      await goesBack(daemon, path);
    });
  }
}
