import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
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
import { AWS_ROUTES } from "./routes.ts";

let control: TestControl;
before(async () => {
  control = await startControl();
  await makeFunction(control, "there");
  await control.functions.publish(named("there"), {});
});
after(() => control[Symbol.asyncDispose]());

/** Members that operations know, with values of every kind. */
const MEMBERS = [
  "FunctionName",
  "Role",
  "Runtime",
  "Handler",
  "Code",
  "Timeout",
  "MemorySize",
  "Environment",
  "Tags",
  "Publish",
  "Architectures",
  "EphemeralStorage",
  "VpcConfig",
  "Layers",
  "ZipFile",
  "DryRun",
  "RevisionId",
  "Name",
  "FunctionVersion",
  "RoutingConfig",
  "AuthType",
  "Cors",
  "InvokeMode",
  "ReservedConcurrentExecutions",
  "CodeSha256",
  "Description",
  "LoggingConfig",
  "TracingConfig",
  "__proto__",
  "constructor",
  "toString",
];

/** Wrong whatever the member: no operation takes a body of which a known member is like this. */
const garbage = fc.dictionary(
  fc.constantFrom(...MEMBERS),
  fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom("", "\u0000", "../..", "$LATEST", -1, 1e308, [], {}, [[]]),
  ),
  { minKeys: 1 },
);

const body = fc.oneof(
  garbage.map((value) => JSON.stringify(value)),
  fc.string(),
  fc.constantFrom(
    "",
    "null",
    "[]",
    "0",
    '"x"',
    "{",
    '{"a":',
    "\ufeff{}",
    '{"FunctionName":{"__proto__":1}}',
    "[".repeat(10_000),
  ),
);

const KNOWN_ERRORS = new Set([
  "InvalidParameterValueException",
  "ValidationException",
  "InvalidRequestContentException",
  "ResourceNotFoundException",
  "ResourceConflictException",
  "PreconditionFailedException",
  "UnknownOperationException",
  "AccessDeniedException",
  "CodeSigningConfigNotFoundException",
]);

/** Lists take no body, and where nothing is named nothing can be named wrongly. */
const TAKES_ANYTHING: ReadonlySet<string> = new Set([
  "GetAccountSettings",
  "ListFunctions",
  "ListLayers",
  "ListLayerVersions",
  "ListEventSourceMappings",
  "ListCodeSigningConfigs",
  "ListCapacityProviders",
]);

describe("every AWS operation", () => {
  it("answers garbage with one of AWS's errors, and never with a fault of ours", async () => {
    // What changes nothing but what a valid body says is tried on a function that is not there.
    for (const { name, method, path, query } of AWS_ROUTES) {
      const target = (query === undefined ? path : `${path}?${query}`)
        .replace("{FunctionName}", "missing")
        .replace("{Resource}", "arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Amissing")
        .replace("{ResourceArn}", "arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Amissing")
        .replace(/\{\w+\}/g, "x");
      if (TAKES_ANYTHING.has(name)) continue;
      await fc.assert(
        fc.asyncProperty(body, async (sent) => {
          const answer = await control.send({ method, path: target, body: sent });
          const error = String(answer.headers["x-amzn-errortype"]);
          assert.ok(answer.status >= 400 && answer.status < 500, `${name}: ${answer.status} ${answer.text}`);
          assert.ok(KNOWN_ERRORS.has(error), `${name}: ${error} ${answer.text}`);
          const { message, Message } = Object(answer.json);
          assert.ok(typeof (message ?? Message) === "string", answer.text);
        }),
        { numRuns: 8 },
      );
    }
    const all = await control.functions.list({ after: undefined, limit: 9 });
    assert.deepEqual(
      all.map((record) => record.name),
      ["there"],
    );
    assert.deepEqual(await readdir(join(control.dir, "uploads")), []);
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
