import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { makeFolder, send, startDaemon } from "./daemon.fake.ts";

const HANDLER = `export const handler = async (e) => ({ key: e.routeKey, parameters: e.pathParameters });`;

describe("routes of a daemon", () => {
  const dataDir = mkdtempSync(join(tmpdir(), "lambdad-e2e-routes-"));
  after(() => rmSync(dataDir, { recursive: true, force: true }));

  it("lead to their function from the moment they are answered, over a kill, until it is deleted", async () => {
    const host = "api.localhost";
    const ask = (port: number) => send(port, "/stock/AMZN", { headers: { host } });
    {
      await using first = await startDaemon({ dataDir });
      using folder = makeFolder({ "index.mjs": HANDLER });
      await first.deploy(folder.path, "stock");
      assert.equal((await ask(first.gatewayPort)).status, 404);
      await first.lambda("route", "add", "GET /stock/{symbol}", "--function", "stock", "--host", host);
      const answer = await ask(first.gatewayPort);
      assert.deepEqual(JSON.parse(answer.text), {
        key: "GET /stock/{symbol}",
        parameters: { symbol: "AMZN" },
      });
      await first.lambda("route", "update", "GET /stock/{symbol}", "--auth", "key");
      assert.equal((await ask(first.gatewayPort)).status, 401);
      await first.stop("SIGKILL");
    }
    await using second = await startDaemon({ dataDir });
    assert.equal((await ask(second.gatewayPort)).status, 401);
    await second.lambda("delete", "stock", "--yes");
    assert.equal((await ask(second.gatewayPort)).status, 404);
    assert.match((await second.lambda("route", "list", "--json")).stdout, /"routes": \[\]/);
  });
});
