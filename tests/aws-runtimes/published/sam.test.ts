/** The SAM CLI as it is published, from PyPI, against this server: it is fetched, which takes minutes. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { LambdaClient, TagResourceCommand } from "@aws-sdk/client-lambda";
import { makeFolder, skipWithout, startDaemon } from "../../e2e/daemon.fake.ts";
import { environmentOf, must } from "./client.ts";

it("SAM's CLI invokes remotely, shows logs, and syncs code into a function of its stack", {
  skip: skipWithout("python3", spawnSync("python3", ["--version"]).status === 0),
}, async () => {
  using folder = makeFolder();
  cpSync(join(import.meta.dirname, "sam"), folder.path, { recursive: true });
  await must("python3", ["-m", "venv", "venv"], { cwd: folder.path });
  const bin = join(folder.path, "venv/bin");
  await must(join(bin, "pip"), ["install", "--quiet", "-r", "requirements.txt"], { cwd: folder.path });
  await using daemon = await startDaemon();
  using code = makeFolder({
    "index.js": "exports.handler = async () => { console.log('seen'); return 'deployed'; };",
  });
  await daemon.deploy(code.path, "hello");
  const arn = "arn:aws:lambda:us-east-1:000000000000:function:hello";
  const env = { ...environmentOf(daemon), HOME: folder.path };
  // Which function a resource of the template has become is all that SAM asks CloudFormation for.
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = env;
  const client = new LambdaClient({
    endpoint: env.AWS_ENDPOINT_URL,
    region: "us-east-1",
    credentials: { accessKeyId, secretAccessKey },
  });
  await client.send(
    new TagResourceCommand({
      Resource: arn,
      Tags: { "lambdad:stack": "app", "lambdad:logical-id": "Hello" },
    }),
  );
  client.destroy();
  const sam = (args: readonly string[], input = "") =>
    must(join(bin, "sam"), args, { cwd: folder.path, env, input });
  assert.match(await sam(["remote", "invoke", arn, "--event", "{}"]), /"deployed"/);
  assert.match(await sam(["logs", "--cw-log-group", "/aws/lambda/hello"]), /seen/);
  await sam(
    ["sync", "--code", "--no-watch", "--stack-name", "app", "--s3-bucket", "none", "--no-dependency-layer"],
    "y\n",
  );
  assert.match(await sam(["remote", "invoke", "Hello", "--stack-name", "app"]), /"synced by sam"/);
  assert.match(await sam(["logs", "--stack-name", "app", "--name", "Hello"]), /seen/);
  assert.match(await sam(["list", "resources", "--stack-name", "app"]), /Hello +hello/);
});
