import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import fc from "fast-check";
import {
  makeFunction,
  named,
  ROLE,
  splitToken,
  startControl,
  type TestControl,
  zipOf,
} from "../control.fake.ts";
import { garbage, refusesGarbage } from "./garbage.fake.ts";

let control: TestControl;
before(async () => {
  control = await startControl();
  await makeFunction(control, "there");
  await control.functions.publish(named("there"), {});
});
after(() => control[Symbol.asyncDispose]());

describe("every AWS operation", () => {
  it("answers garbage with one of AWS's errors, and never with a fault of ours", async () => {
    await refusesGarbage(control, 50);
  });

  it("leaves a function as it is, whatever nonsense it is told", async () => {
    const before = await control.functions.get(named("there"));
    const wrong = fc.constantFrom(
      { Timeout: "3" },
      { Timeout: 1.5 },
      { MemorySize: 1e9 },
      { Environment: { Variables: { A: "too short a name" } } },
      { Environment: { Variables: { AA: 1 } } },
      { Environment: [] },
      { Handler: "\t" },
      { Role: "" },
      { Description: "x".repeat(257) },
      { EphemeralStorage: {} },
      { EphemeralStorage: { Size: 1 } },
      { Layers: ["a"] },
      { RevisionId: "not this" },
    );
    await fc.assert(
      fc.asyncProperty(wrong, garbage, async (broken, more) => {
        const answer = await control.send({
          method: "PUT",
          path: "/2015-03-31/functions/there/configuration",
          body: JSON.stringify({ ...more, ...broken }),
        });
        assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status} ${answer.text}`);
      }),
      { numRuns: 100 },
    );
    assert.deepEqual(await control.functions.get(named("there")), before);
  });

  it("takes any name in the path for one that is not there, or for no name", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ minLength: 1, maxLength: 300, unit: "binary" }), async (text) => {
        if (!text.isWellFormed()) return;
        const path = `/2015-03-31/functions/${encodeURIComponent(text)}/configuration`;
        const { status } = await control.send({ path });
        assert.ok([400, 403, 404].includes(status), `${JSON.stringify(text)}: ${status}`);
      }),
      { numRuns: 100 },
    );
  });
});

const CLI = "/usr/bin/aws";
const missing =
  !existsSync(CLI) && process.env.REQUIRE_ALL !== "1" ? "the AWS CLI is not here: apt install awscli" : false;

describe("the AWS CLI", { skip: missing }, () => {
  async function aws(...argv: readonly string[]): Promise<unknown> {
    const [id, secret] = splitToken(control.token);
    const { stdout } = await promisify(execFile)(
      CLI,
      ["lambda", ...argv, "--output", "json", "--no-cli-pager"],
      {
        env: {
          PATH: process.env.PATH,
          HOME: control.dir,
          AWS_ACCESS_KEY_ID: id,
          AWS_SECRET_ACCESS_KEY: secret,
          AWS_REGION: "eu-central-1",
          AWS_ENDPOINT_URL_LAMBDA: control.url,
          AWS_EC2_METADATA_DISABLED: "true",
        },
      },
    );
    return stdout.trim() === "" ? undefined : JSON.parse(stdout);
  }
  // Versions before 2.13 do not know AWS_ENDPOINT_URL_LAMBDA.
  const endpoint = () => ["--endpoint-url", control.url] as const;

  it("creates, lists, calls and deletes a function", async () => {
    const zip = join(control.dir, "code.zip");
    const out = join(control.dir, "out.json");
    await writeFile(zip, zipOf());
    const made = await aws(
      "create-function",
      ...endpoint(),
      "--function-name",
      "by-cli",
      "--runtime",
      "nodejs24.x",
      "--handler",
      "index.handler",
      "--role",
      ROLE,
      "--zip-file",
      `fileb://${zip}`,
      "--publish",
    );
    assert.equal(Object(made).Version, "1");
    const listed = await aws("list-functions", ...endpoint());
    assert.deepEqual(
      Object(listed).Functions.map((shown: { FunctionName: string }) => shown.FunctionName),
      ["by-cli", "there"],
    );
    const called = await aws(
      "invoke",
      ...endpoint(),
      "--function-name",
      "by-cli:$LATEST",
      "--payload",
      '{"a":1}',
      "--cli-binary-format",
      "raw-in-base64-out",
      out,
    );
    assert.deepEqual(called, { StatusCode: 200, ExecutedVersion: "$LATEST" });
    await aws("delete-function", ...endpoint(), "--function-name", "by-cli");
    await assert.rejects(
      aws("get-function", ...endpoint(), "--function-name", "by-cli"),
      /ResourceNotFoundException/,
    );
  });
});
