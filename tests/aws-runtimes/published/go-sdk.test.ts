/** The SDK for Go as it is published, built against this server: it is fetched, which takes a minute. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { makeFolder, run, startDaemon, type TestDaemon } from "../../e2e/daemon.fake.ts";

function skip(tool: string, flag: string): string | false {
  if (process.env.REQUIRE_ALL === "1" || spawnSync(tool, [flag]).status === 0) return false;
  return `${tool} is not installed`;
}

function environmentOf(daemon: TestDaemon): Record<string, string> {
  const [id = "", secret = ""] = daemon.key.split(".");
  return {
    AWS_ACCESS_KEY_ID: id,
    AWS_SECRET_ACCESS_KEY: secret,
    AWS_REGION: "us-east-1",
    AWS_DEFAULT_REGION: "us-east-1",
    AWS_ENDPOINT_URL: `http://127.0.0.1:${daemon.controlPort}`,
    AWS_EC2_METADATA_DISABLED: "true",
    SAM_CLI_TELEMETRY: "0",
  };
}

/** Runs to its end, which must be a good one; gives what it printed. */
async function must(
  command: string,
  args: readonly string[],
  options: Parameters<typeof run>[2],
): Promise<string> {
  const ran = await run(command, args, options);
  assert.equal(ran.code, 0, `${command} ${args.join(" ")}: ${ran.stdout}${ran.stderr}`);
  return ran.stdout + ran.stderr;
}

it("the SDK for Go makes all calls that Terraform and Pulumi make of it, waiters included", {
  skip: skip("go", "version"),
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
