/** The SAM CLI as it is published, from PyPI, against this server: it is fetched, which takes minutes. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { it } from "node:test";
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
  // All it asks CloudFormation for is which function a resource of the template has become.
  const stack = createServer((_, response) => response.end(RESOURCES)).listen(0, "127.0.0.1");
  await once(stack, "listening");
  const { port } = stack.address() as AddressInfo;
  const env = {
    ...environmentOf(daemon),
    HOME: folder.path,
    AWS_ENDPOINT_URL_CLOUDFORMATION: `http://127.0.0.1:${port}`,
  };
  const sam = (args: readonly string[], input = "") =>
    must(join(bin, "sam"), args, { cwd: folder.path, env, input });
  try {
    const arn = "arn:aws:lambda:us-east-1:000000000000:function:hello";
    assert.match(await sam(["remote", "invoke", arn, "--event", "{}"]), /"deployed"/);
    assert.match(await sam(["logs", "--cw-log-group", "/aws/lambda/hello"]), /seen/);
    await sam(
      ["sync", "--code", "--no-watch", "--stack-name", "app", "--s3-bucket", "none", "--no-dependency-layer"],
      "y\n",
    );
    assert.match(await sam(["remote", "invoke", "Hello", "--stack-name", "app"]), /"synced by sam"/);
  } finally {
    stack.close();
    stack.closeAllConnections();
  }
});

const RESOURCES = `<ListStackResourcesResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">
<ListStackResourcesResult><StackResourceSummaries><member>
<LogicalResourceId>Hello</LogicalResourceId><PhysicalResourceId>hello</PhysicalResourceId>
<ResourceType>AWS::Lambda::Function</ResourceType><ResourceStatus>CREATE_COMPLETE</ResourceStatus>
<LastUpdatedTimestamp>2026-01-01T00:00:00Z</LastUpdatedTimestamp>
</member></StackResourceSummaries></ListStackResourcesResult></ListStackResourcesResponse>`;
