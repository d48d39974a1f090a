import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { makeFolder, startDaemon, until } from "./daemon.fake.ts";
import {
  deliveriesOf,
  makeHook,
  makeRepo,
  noGit,
  pushOf,
  sendAsGitHub,
  untilDeployed,
} from "./hook-sender.fake.ts";

const answering = (text: string) => `export const handler = async () => ${JSON.stringify(text)};`;

describe("hooks of a daemon", () => {
  const dataDir = mkdtempSync(join(tmpdir(), "lambdad-e2e-hooks-"));
  after(() => rmSync(dataDir, { recursive: true, force: true }));

  it("call the function with what was sent, once, across a restart too", async () => {
    using folder = makeFolder({
      "index.mjs": `export const handler = async ({ body, headers }) => ({ body, hook: headers["x-lambdad-hook"] });`,
    });
    const delivery = { id: "d1", body: '{"n":1}' };
    let path = "";
    {
      await using first = await startDaemon({ dataDir });
      await first.deploy(folder.path, "ci");
      path = await makeHook(first, { name: "push", function: "ci" });
      const answer = await sendAsGitHub(first, path, delivery);
      assert.equal(answer.status, 202, answer.text);
      const { eventId } = JSON.parse(answer.text);
      const result = await first.control("GET", `/v1/events/${eventId}/result?wait=30`);
      assert.deepEqual(JSON.parse(result.text), { body: delivery.body, hook: "push" });
      await first.stop("SIGKILL");
    }
    await using second = await startDaemon({ dataDir });
    const again = await sendAsGitHub(second, path, delivery);
    assert.deepEqual([again.status, JSON.parse(again.text).duplicate], [200, true]);
    assert.equal((await sendAsGitHub(second, path, { ...delivery, id: "d2", body: "{}" })).status, 202);
    await second.lambda("delete", "ci", "--yes");
    assert.equal((await sendAsGitHub(second, path, { ...delivery, id: "d3" })).status, 404);
  });

  it("deploy what is pushed, and begin anew when the daemon was killed in the middle", {
    skip: noGit,
  }, async () => {
    using folder = makeFolder();
    const repo = makeRepo(folder.path);
    const first = repo.commit({ "fn/index.mjs": answering("one") });
    let path = "";
    {
      await using daemon = await startDaemon({
        dataDir,
        env: { LAMBDAD_FAULT: "die:after-commit:beginDeployment:2" },
      });
      const deploy = { repo: folder.path, path: "fn" };
      path = await makeHook(daemon, { name: "site", function: "site", deploy });
      assert.equal((await sendAsGitHub(daemon, path, { id: "p1", body: pushOf(first) })).status, 202);
      const [deployed] = await untilDeployed(daemon, "site");
      assert.deepEqual(
        [deployed?.outcome, deployed?.deployment?.version],
        ["deployed", 1],
        deployed?.note ?? "",
      );
      assert.equal((await daemon.call("site")).text, "one");
      assert.match((await daemon.lambda("versions", "site")).stdout, new RegExp(`main@${first.slice(0, 7)}`));

      const second = repo.commit({ "fn/index.mjs": answering("two") });
      await sendAsGitHub(daemon, path, { id: "p2", body: pushOf(second) });
      await until(async () => (await daemon.call("site").catch(() => undefined)) === undefined, 30_000);
    }
    await using daemon = await startDaemon({ dataDir });
    const [deployed] = await untilDeployed(daemon, "site");
    assert.deepEqual(
      [deployed?.outcome, deployed?.deployment?.version, deployed?.deployment?.attempts],
      ["deployed", 2, 2],
      deployed?.note ?? "",
    );
    assert.equal((await daemon.call("site")).text, "two");

    const broken = repo.commit({ "fn/package.json": '{"dependencies":{"none":"file:./none.tgz"}}' });
    await sendAsGitHub(daemon, path, { id: "p3", body: pushOf(broken) });
    const [failed] = await untilDeployed(daemon, "site");
    assert.equal(failed?.outcome, "failed");
    const shown = await daemon.lambda("hook", "deliveries", "site", failed?.id ?? "");
    assert.match(shown.stdout, /npm install failed/);
    assert.equal((await daemon.call("site")).text, "two");
    assert.equal((await deliveriesOf(daemon, "site")).length, 3);
  });
});
