import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeFolder, startDaemon, until } from "../e2e/daemon.fake.ts";
import {
  deliveriesOf,
  makeHook,
  makeRepo,
  noGit,
  pushOf,
  sendAsGitHub,
  untilDeployed,
} from "../e2e/hook-sender.fake.ts";

const ROUNDS = 5;
const KILLS = 20;
const DELIVERIES = 40;

/** Around each write of a deployment, and of the version that it publishes. */
const DEPLOYMENT_POINTS = [
  "after-commit:takeDelivery",
  "before-commit:beginDeployment",
  "after-commit:beginDeployment",
  "before-commit:saveFunction",
  "after-commit:saveFunction",
  "before-commit:endDeployment",
  "after-commit:endDeployment",
];

describe("hooks of a daemon that is killed", () => {
  it("lose no delivery that was acknowledged, and take none twice", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "lambdad-faults-hooks-"));
    using folder = makeFolder({ "index.mjs": "export const handler = async ({ body }) => body;" });
    const acknowledged = new Set<string>();
    try {
      let path = "";
      for (let kill = 0; kill <= KILLS; kill += 1) {
        await using daemon = await startDaemon({ dataDir });
        if (kill === 0) {
          await daemon.deploy(folder.path, "ci");
          path = await makeHook(daemon, { name: "push", function: "ci" });
        }
        const dies = setTimeout(() => void daemon.stop("SIGKILL"), randomInt(20, 400));
        // As senders do, those that were not answered are sent again.
        const sending = Array.from({ length: DELIVERIES }, async (_, index) => {
          const id = `d${index}`;
          const answer = await sendAsGitHub(daemon, path, { id, body: `{"n":${index}}` }).catch(
            () => undefined,
          );
          if (answer?.status === 202 || answer?.status === 200) acknowledged.add(id);
        });
        await Promise.all(sending);
        if (kill === KILLS) clearTimeout(dies);
        else await daemon.stop("SIGKILL");
      }
      await using daemon = await startDaemon({ dataDir });
      for (let index = 0; index < DELIVERIES; index += 1) {
        const answer = await sendAsGitHub(daemon, path, { id: `d${index}`, body: `{"n":${index}}` });
        assert.ok(answer.status === 202 || answer.status === 200, answer.text);
      }
      const taken = (await deliveriesOf(daemon, "push")).filter(({ outcome }) => outcome === "accepted");
      const ids = taken.map(({ senderId }) => senderId);
      assert.equal(new Set(ids).size, ids.length, "one was taken twice");
      for (const id of acknowledged) assert.ok(ids.includes(id), `${id} was acknowledged and is gone`);
      const { text } = await daemon.control("GET", "/v1/events?function=ci&limit=500");
      const events: { id: string }[] = JSON.parse(text).events;
      assert.deepEqual(events.map(({ id }) => id).sort(), taken.map(({ eventId }) => eventId ?? "").sort());
      await until(async () => {
        const open = await daemon.control("GET", "/v1/events?function=ci&state=queued,running");
        return JSON.parse(open.text).events.length === 0;
      }, 60_000);
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  });

  for (const point of DEPLOYMENT_POINTS) {
    it(`deploy each push once and in the end, killed at ${point}`, { skip: noGit }, async () => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const dataDir = mkdtempSync(join(tmpdir(), "lambdad-faults-hooks-"));
        using folder = makeFolder();
        const repo = makeRepo(folder.path);
        const commit = repo.commit({ "index.mjs": "export const handler = async () => 1;" });
        try {
          {
            await using daemon = await startDaemon({ dataDir, env: { LAMBDAD_FAULT: `die:${point}:1` } });
            const path = await makeHook(daemon, {
              name: "site",
              function: "site",
              deploy: { repo: folder.path },
            });
            await sendAsGitHub(daemon, path, { id: "p", body: pushOf(commit) }).catch(() => undefined);
            await until(async () => (await daemon.call("none").catch(() => undefined)) === undefined, 60_000);
          }
          await using daemon = await startDaemon({ dataDir });
          const deliveries = await untilDeployed(daemon, "site");
          assert.deepEqual(
            deliveries.map(({ outcome, deployment }) => [outcome, deployment?.version]),
            [["deployed", 1]],
            JSON.stringify(deliveries),
          );
          const { text } = await daemon.control("GET", "/v1/functions/site/versions");
          assert.equal(JSON.parse(text).versions.length, 1);
          assert.equal((await daemon.call("site")).text, "1");
        } finally {
          rmSync(dataDir, { recursive: true, force: true });
        }
      }
    });
  }
});
