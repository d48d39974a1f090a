import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, it } from "node:test";
import { makeFolder, type Ran, startDaemon } from "../e2e/daemon.fake.ts";

const HANDLER = (answer: string) => `export const handler = async () => ${JSON.stringify(answer)};\n`;
const FILE = `project: shop
functions:
  orders: { calls: [prices] }
  prices: {}
schedules:
  nightly: { function: orders, cron: "0 3 * * *" }
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

for (const moment of ["before-commit", "after-commit"]) {
  it(`is the old release or the new one after a kill -9 ${moment} of a switch`, async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "lambdad-e2e-project-"));
    after(() => rmSync(dataDir, { recursive: true, force: true }));
    using folder = makeProject();
    {
      await using daemon = await startDaemon({ dataDir });
      deployed(await daemon.lambda("deploy", folder.path));
    }
    for (const name of ["orders", "prices"]) {
      writeFileSync(join(folder.path, name, "index.mjs"), HANDLER(`${name} 2`));
    }
    {
      const env = { LAMBDAD_FAULT: `die:${moment}:applyProject:1` };
      await using daemon = await startDaemon({ dataDir, env });
      const cut = await daemon.lambda("deploy", folder.path);
      assert.equal(cut.code, 6, cut.stderr);
    }
    await using daemon = await startDaemon({ dataDir });
    const answers = [(await daemon.call("orders")).text, (await daemon.call("prices")).text];
    const number = moment === "before-commit" ? 1 : 2;
    assert.deepEqual(answers, [`orders ${number}`, `prices ${number}`]);
    deployed(await daemon.lambda("deploy", folder.path));
    assert.equal((await daemon.call("prices")).text, "prices 2");
  });
}
