/** The SDK for Go as it is published, built against this server: it is fetched, which takes a minute. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { makeFolder, skipWithout, startDaemon } from "../../e2e/daemon.fake.ts";
import { environmentOf, must } from "./client.ts";

it("the SDK for Go makes all calls that Terraform and Pulumi make of it, waiters included", {
  skip: skipWithout("go", spawnSync("go", ["version"]).status === 0),
}, async () => {
  using folder = makeFolder();
  cpSync(join(import.meta.dirname, "go-sdk"), folder.path, { recursive: true });
  const env = { CGO_ENABLED: "0", GOFLAGS: "-mod=readonly" };
  await must("go", ["build", "-o", "lifecycle", "."], { cwd: folder.path, env });
  await using daemon = await startDaemon();
  const said = await must(join(folder.path, "lifecycle"), [], {
    env: {
      ...environmentOf(daemon),
      ENDPOINT: `http://127.0.0.1:${daemon.controlPort}`,
      ARCHITECTURE: process.arch,
    },
  });
  assert.equal(said, "done\n");
});
