/** What clients as they are published are run with. */
import assert from "node:assert/strict";
import { run, type TestDaemon } from "../../e2e/daemon.fake.ts";

/** Key pair, region and endpoint, as AWS's tools read them. */
export function environmentOf(daemon: TestDaemon) {
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
export async function must(
  command: string,
  args: readonly string[],
  options: Parameters<typeof run>[2],
): Promise<string> {
  const ran = await run(command, args, options);
  assert.equal(ran.code, 0, `${command} ${args.join(" ")}: ${ran.stdout}${ran.stderr}`);
  return ran.stdout + ran.stderr;
}
