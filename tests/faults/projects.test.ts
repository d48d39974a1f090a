import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, it } from "node:test";
import { startFakeSqs } from "../../src/events/sqs/sqs-server.fake.ts";
import { makeFolder, type Ran, startDaemon, type TestDaemon } from "../e2e/daemon.fake.ts";

const HANDLER = (answer: string) => `export const handler = async () => ${JSON.stringify(answer)};\n`;
const FILE = `project: shop
functions:
  orders: { calls: [prices] }
  prices: {}
schedules:
  nightly: { function: orders, cron: "0 3 * * *" }
hooks:
  push: { function: orders, provider: github }
sources:
  queue: { function: prices, queue: "arn:aws:sqs:us-east-1:000000000000:orders" }
`;

function makeProject(name = "shop", file = FILE) {
  return makeFolder({
    "lambda.yaml": file.replace("project: shop", `project: ${name}`),
    "orders/index.mjs": HANDLER("orders 1"),
    "prices/index.mjs": HANDLER("prices 1"),
  });
}

function deployed(ran: Ran): Ran {
  assert.equal(ran.code, 0, ran.stderr + ran.stdout);
  return ran;
}

interface Triggers {
  readonly hook: { readonly url: string; readonly function: string; readonly secrets: unknown };
  readonly source: { readonly id: string; readonly batchSize: number };
}

async function triggersOf(daemon: TestDaemon): Promise<Triggers> {
  const read = async (path: string) => JSON.parse((await daemon.control("GET", path)).text);
  const hook = await read("/v1/hooks/push");
  const [source] = (await read("/v1/sources")).sources;
  // Each daemon listens elsewhere.
  return { hook: { ...hook, url: new URL(hook.url).pathname }, source };
}

function secretFile(secret: string): string {
  const dir = mkdtempSync(join(tmpdir(), "lambdad-e2e-secret-"));
  after(() => rmSync(dir, { recursive: true, force: true }));
  writeFileSync(join(dir, "secret"), secret);
  return join(dir, "secret");
}

for (const moment of ["before-commit", "after-commit"]) {
  it(`is the old release or the new one after a kill -9 ${moment} of a switch`, async () => {
    await using sqs = await startFakeSqs();
    sqs.create("orders");
    const flags = [
      ...["--sqs-endpoint", sqs.url, "--sqs-access-key-id", sqs.login.accessKeyId],
      ...["--sqs-secret-file", secretFile(sqs.login.secret)],
    ];
    const dataDir = mkdtempSync(join(tmpdir(), "lambdad-e2e-project-"));
    after(() => rmSync(dataDir, { recursive: true, force: true }));
    using folder = makeProject();
    let before: Triggers;
    {
      await using daemon = await startDaemon({ dataDir, flags });
      deployed(await daemon.lambda("deploy", folder.path));
      before = await triggersOf(daemon);
    }
    writeFileSync(
      join(folder.path, "lambda.yaml"),
      FILE.replace("function: orders, provider", "function: prices, provider").replace(
        ':orders" }',
        ':orders", batch: 3 }',
      ),
    );
    for (const name of ["orders", "prices"]) {
      writeFileSync(join(folder.path, name, "index.mjs"), HANDLER(`${name} 2`));
    }
    {
      const env = { LAMBDAD_FAULT: `die:${moment}:applyProject:1` };
      await using daemon = await startDaemon({ dataDir, env, flags });
      const cut = await daemon.lambda("deploy", folder.path);
      assert.equal(cut.code, 6, cut.stderr);
    }
    await using daemon = await startDaemon({ dataDir, flags });
    const answers = [(await daemon.call("orders")).text, (await daemon.call("prices")).text];
    const number = moment === "before-commit" ? 1 : 2;
    assert.deepEqual(answers, [`orders ${number}`, `prices ${number}`]);
    const { hook, source } = await triggersOf(daemon);
    assert.deepEqual(
      [hook.url, hook.secrets, source.id],
      [before.hook.url, before.hook.secrets, before.source.id],
      "what others know them by stays",
    );
    assert.deepEqual([hook.function, source.batchSize], number === 1 ? ["orders", 10] : ["prices", 3]);
    deployed(await daemon.lambda("deploy", folder.path));
    assert.equal((await daemon.call("prices")).text, "prices 2");
  });
}
