import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { it } from "node:test";
import { AWS_OPERATIONS } from "../../src/http/control/aws/routes.ts";
import { run, skipWithout, startDaemon } from "../e2e/daemon.fake.ts";
import { PROOF } from "./proof.ts";
import { startQueues } from "./queue.ts";

const python = ["python3", "/usr/bin/python3"].find(
  (path) => spawnSync(path, ["-c", "import boto3"]).status === 0,
);

it("boto3, its waiters and its paginators do all that the compatibility page says", {
  skip: skipWithout("boto3", python !== undefined),
}, async () => {
  await using queues = await startQueues();
  await using daemon = await startDaemon({ flags: queues.flags });
  const queue = queues.sqs.create("orders");
  queues.sqs.send("orders", '{"a":1}');
  const [id = "", secret = ""] = daemon.key.split(".");
  const suite = join(import.meta.dirname, "boto3_suite.py");
  const ran = await run(python ?? "", [suite, `http://127.0.0.1:${daemon.controlPort}`, id, secret, queue], {
    env: {
      AWS_EC2_METADATA_DISABLED: "true",
      AWS_CONFIG_FILE: "/dev/null",
      AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
    },
  });
  assert.equal(ran.code, 0, ran.stderr);
  assert.deepEqual(queues.sqs.bodies("orders"), []);
  const claimed = AWS_OPERATIONS.filter(({ name }) => PROOF[name].includes("boto3")).map(({ name }) => name);
  assert.deepEqual(JSON.parse(ran.stdout), claimed.sort());
});
