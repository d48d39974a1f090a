import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { makeZip } from "../../src/code/archive-maker.fake.ts";
import { AWS_OPERATIONS } from "../../src/http/control/aws/routes.ts";
import { makeFolder, run, skipWithout, startDaemon, type TestDaemon, until } from "../e2e/daemon.fake.ts";
import { PROOF } from "./proof.ts";
import { startQueues } from "./queue.ts";

/** Debian's, which is version 2: another `aws` may be first on PATH. */
const AWS = "/usr/bin/aws";

describe("the AWS CLI", { skip: skipWithout("awscli", existsSync(AWS)) }, () => {
  let daemon: TestDaemon;
  let queues: Awaited<ReturnType<typeof startQueues>>;
  const folder = makeFolder();
  const proved = new Set<string>();
  before(async () => {
    queues = await startQueues();
    daemon = await startDaemon({ flags: queues.flags });
    const code = "export const handler = async (event) => { console.log('seen', event.a); return event; };";
    writeFileSync(join(folder.path, "code.zip"), makeZip([{ name: "index.mjs", data: code }]));
  });
  after(async () => {
    await daemon[Symbol.asyncDispose]();
    await queues[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  async function aws(
    service: string,
    ...argv: readonly string[]
  ): Promise<{ code: number | null; text: string }> {
    const [id = "", secret = ""] = daemon.key.split(".");
    const endpoint = `http://127.0.0.1:${daemon.controlPort}`;
    // Versions before 2.13 do not know AWS_ENDPOINT_URL_LAMBDA.
    const ran = await run(
      AWS,
      ["--endpoint-url", endpoint, "--no-cli-pager", "--output", "json", service, ...argv],
      {
        cwd: folder.path,
        env: {
          HOME: folder.path,
          AWS_ACCESS_KEY_ID: id,
          AWS_SECRET_ACCESS_KEY: secret,
          AWS_REGION: "us-east-1",
          AWS_EC2_METADATA_DISABLED: "true",
        },
      },
    );
    return { code: ran.code, text: ran.code === 0 ? ran.stdout : ran.stderr };
  }

  /** `aws lambda NAME --function-name f …`, which must succeed; gives what it printed. */
  async function lambda(name: string, ...argv: readonly string[]): Promise<Record<string, unknown>> {
    const operation = name.replace(/(^|-)([a-z])/g, (_, _dash, letter: string) => letter.toUpperCase());
    const { code, text } = await aws("lambda", name, ...argv);
    assert.equal(code, 0, `${name}: ${text}`);
    proved.add(operation);
    return text.trim() === "" ? {} : JSON.parse(text);
  }

  const F = ["--function-name", "f"] as const;

  it("makes, calls and changes a function", async () => {
    await lambda(
      "create-function",
      ...F,
      "--runtime",
      "nodejs24.x",
      "--handler",
      "index.handler",
      "--role",
      "arn:aws:iam::000000000000:role/service",
      "--zip-file",
      "fileb://code.zip",
      "--publish",
    );
    assert.equal((await aws("lambda", "wait", "function-active-v2", ...F)).code, 0);
    await lambda("update-function-code", ...F, "--zip-file", "fileb://code.zip");
    await lambda("update-function-configuration", ...F, "--timeout", "8");
    assert.equal((await lambda("get-function-configuration", ...F)).Timeout, 8);
    await lambda("get-function", ...F);
    await lambda("list-functions");
    await lambda("publish-version", ...F);
    await lambda("list-versions-by-function", ...F);
    await lambda("create-alias", ...F, "--name", "live", "--function-version", "1");
    await lambda("update-alias", ...F, "--name", "live", "--description", "x");
    await lambda("get-alias", ...F, "--name", "live");
    await lambda("list-aliases", ...F);
    const raw = ["--cli-binary-format", "raw-in-base64-out", "--payload", '{"a":1}'];
    assert.equal(
      (await lambda("invoke", ...F, "--qualifier", "live", ...raw, "out.json")).ExecutedVersion,
      "1",
    );
  });

  it("tails the log", async () => {
    const tail = await aws("logs", "tail", "/aws/lambda/f", "--since", "1h");
    assert.equal(tail.code, 0, tail.text);
    assert.match(tail.text, /seen 1/);
    const filtered = await aws(
      "logs",
      "tail",
      "/aws/lambda/f",
      "--filter-pattern",
      "REPORT",
      "--format",
      "short",
    );
    assert.match(filtered.text, /REPORT RequestId/);
    assert.doesNotMatch(filtered.text, /seen/);
    const groups = await aws("logs", "describe-log-groups");
    assert.match(groups.text, /\/aws\/lambda\/f/);
  });

  it("sets what belongs to it", async () => {
    await lambda(
      "add-permission",
      ...F,
      "--statement-id",
      "s",
      "--action",
      "lambda:InvokeFunction",
      "--principal",
      "*",
    );
    await lambda("get-policy", ...F);
    await lambda("remove-permission", ...F, "--statement-id", "s");
    await lambda("create-function-url-config", ...F, "--auth-type", "NONE");
    await lambda("update-function-url-config", ...F, "--auth-type", "AWS_IAM");
    await lambda("get-function-url-config", ...F);
    await lambda("list-function-url-configs", ...F);
    await lambda("delete-function-url-config", ...F);
    await lambda("put-function-concurrency", ...F, "--reserved-concurrent-executions", "4");
    await lambda("get-function-concurrency", ...F);
    await lambda("delete-function-concurrency", ...F);
    const live = [...F, "--qualifier", "live"];
    await lambda("put-provisioned-concurrency-config", ...live, "--provisioned-concurrent-executions", "1");
    await lambda("get-provisioned-concurrency-config", ...live);
    await lambda("list-provisioned-concurrency-configs", ...F);
    await lambda("delete-provisioned-concurrency-config", ...live);
    const resource = ["--resource", "arn:aws:lambda:us-east-1:000000000000:function:f"];
    await lambda("tag-resource", ...resource, "--tags", "a=b");
    assert.deepEqual((await lambda("list-tags", ...resource)).Tags, { a: "b" });
    await lambda("untag-resource", ...resource, "--tag-keys", "a");
    await lambda("get-account-settings");
    await lambda("get-function-code-signing-config", ...F);
    await lambda("list-code-signing-configs");
  });

  it("calls it for a queue", async () => {
    const { sqs } = queues;
    const arn = sqs.create("orders");
    const { UUID } = await lambda(
      "create-event-source-mapping",
      ...F,
      "--event-source-arn",
      arn,
      "--filter-criteria",
      '{"Filters":[{"Pattern":"{\\"body\\":{\\"kind\\":[\\"order\\"]}}"}]}',
    );
    const uuid = ["--uuid", String(UUID)];
    sqs.send("orders", '{"kind":"order"}');
    await until(async () => sqs.bodies("orders").length === 0);
    await until(async () => (await lambda("get-event-source-mapping", ...uuid)).State === "Enabled");
    assert.equal((await lambda("update-event-source-mapping", ...uuid, "--batch-size", "3")).BatchSize, 3);
    const listed = await lambda("list-event-source-mappings", ...F, "--event-source-arn", arn);
    assert.equal(Object(listed.EventSourceMappings).length, 1);
    assert.equal((await lambda("delete-event-source-mapping", ...uuid)).State, "Deleting");
  });

  it("publishes a layer", async () => {
    const layer = ["--layer-name", "l"];
    await lambda("publish-layer-version", ...layer, "--zip-file", "fileb://code.zip");
    await lambda("get-layer-version", ...layer, "--version-number", "1");
    await lambda("list-layer-versions", ...layer);
    await lambda("list-layers");
    await lambda("delete-layer-version", ...layer, "--version-number", "1");
  });

  it("removes it, and is told that it is gone", async () => {
    await lambda("delete-alias", ...F, "--name", "live");
    await lambda("delete-function", ...F);
    const { code, text } = await aws("lambda", "get-function", ...F);
    assert.equal(code, 254);
    assert.match(text, /ResourceNotFoundException/);
  });

  it("has proved what docs/compatibility.md says it proves", () => {
    const claimed = AWS_OPERATIONS.filter(({ name }) => PROOF[name].includes("CLI")).map(({ name }) => name);
    assert.deepEqual([...proved].sort(), claimed.sort());
  });
});
