import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  CreateFunctionCommand,
  GetFunctionCommand,
  type LambdaClient,
  ResourceConflictException,
  waitUntilFunctionActiveV2,
} from "@aws-sdk/client-lambda";
import { makeZip } from "../../../code/archive-maker.fake.ts";
import { creation, named, ROLE, startControl, type TestControl, zipOf } from "../control.fake.ts";

let control: TestControl;
let sdk: LambdaClient;
before(async () => {
  control = await startControl();
  sdk = control.sdk();
});
after(() => control[Symbol.asyncDispose]());

const ARN = "arn:aws:lambda:eu-central-1:123456789012:function";

const BASE = {
  FunctionName: "raw",
  Role: ROLE,
  Runtime: "nodejs24.x",
  Handler: "index.handler",
  Code: { ZipFile: zipOf().toString("base64") },
};

async function create(body: unknown) {
  return control.send({ method: "POST", path: "/2015-03-31/functions", body: JSON.stringify(body) });
}

describe("CreateFunction", () => {
  it("answers the recorded members and no others, before the function is active", async () => {
    const answer = await create({ ...BASE, FunctionName: "shape" });
    assert.equal(answer.status, 201);
    const { LastModified, CodeSha256, RevisionId, RuntimeVersionConfig, ...rest } = Object(answer.json);
    const { RuntimeVersionArn } = RuntimeVersionConfig;
    assert.match(RuntimeVersionArn, /^arn:aws:lambda:[a-z0-9-]+::runtime:[0-9a-f]{64}$/);
    assert.match(LastModified, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000$/);
    assert.match(CodeSha256, /^[A-Za-z0-9+/]{43}=$/);
    assert.match(RevisionId, /^[0-9a-f-]{36}$/);
    assert.deepEqual(rest, {
      FunctionName: "shape",
      FunctionArn: `${ARN}:shape`,
      Runtime: "nodejs24.x",
      Role: ROLE,
      Handler: "index.handler",
      CodeSize: zipOf().length,
      Description: "",
      Timeout: 3,
      MemorySize: 128,
      Version: "$LATEST",
      TracingConfig: { Mode: "PassThrough" },
      State: "Pending",
      StateReason: "The function is being created.",
      StateReasonCode: "Creating",
      PackageType: "Zip",
      Architectures: ["x86_64"],
      EphemeralStorage: { Size: 512 },
      SnapStart: { ApplyOn: "None", OptimizationStatus: "Off" },
      LoggingConfig: { LogFormat: "Text", LogGroup: "/aws/lambda/shape" },
    });
  });

  it("keeps what it was given, and publishes if asked", async () => {
    const made = await sdk.send(
      new CreateFunctionCommand(
        creation("full", {
          Publish: true,
          Description: "does things",
          Timeout: 60,
          MemorySize: 512,
          EphemeralStorage: { Size: 1024 },
          Environment: { Variables: { STAGE: "test" } },
          Tags: { team: "a" },
          Architectures: ["x86_64"],
          TracingConfig: { Mode: "PassThrough" },
          VpcConfig: { SubnetIds: [], SecurityGroupIds: [] },
          Layers: [],
        }),
      ),
    );
    assert.deepEqual([made.Version, made.FunctionArn, made.State], ["1", `${ARN}:full:1`, "Pending"]);
    const { Configuration, Tags } = await sdk.send(new GetFunctionCommand({ FunctionName: "full" }));
    const { Description, Timeout, MemorySize, EphemeralStorage, Environment } = Configuration ?? {};
    assert.deepEqual(
      { Description, Timeout, MemorySize, EphemeralStorage, Environment, Tags },
      {
        Description: "does things",
        Timeout: 60,
        MemorySize: 512,
        EphemeralStorage: { Size: 1024 },
        Environment: { Variables: { STAGE: "test" } },
        Tags: { team: "a" },
      },
    );
  });

  it("is active at the first look of the waiter", async () => {
    await sdk.send(new CreateFunctionCommand(creation("waited")));
    const { state } = await waitUntilFunctionActiveV2(
      { client: sdk, maxWaitTime: 2 },
      { FunctionName: "waited" },
    );
    assert.equal(state, "SUCCESS");
  });

  it("refuses a name that exists with AWS's class and text", async () => {
    await sdk.send(new CreateFunctionCommand(creation("twice")));
    await assert.rejects(sdk.send(new CreateFunctionCommand(creation("twice"))), (error) => {
      assert.ok(error instanceof ResourceConflictException);
      assert.equal(error.message, "Function already exist: twice");
      return true;
    });
  });

  for (const [why, change, status, name, pattern] of [
    ["no role", { Role: undefined }, 400, "ValidationException", /Value null at 'role'.*must not be null/],
    [
      "a role that is none",
      { Role: "me" },
      400,
      "ValidationException",
      /Value 'me' at 'role'.*regular expression/,
    ],
    ["no code", { Code: undefined }, 400, "ValidationException", /'code'.*must not be null/],
    [
      "no handler",
      { Handler: undefined },
      400,
      "InvalidParameterValueException",
      /Runtime and Handler are mandatory/,
    ],
    ["a handler with spaces", { Handler: "a b" }, 400, "ValidationException", /'handler'/],
    ["a timeout of 0", { Timeout: 0 }, 400, "ValidationException", /'timeout'.*greater than or equal to 1$/],
    [
      "a timeout over 900",
      { Timeout: 901 },
      400,
      "ValidationException",
      /Value '901' at 'timeout'.*less than or equal to 900/,
    ],
    ["too little memory", { MemorySize: 127 }, 400, "ValidationException", /'memorySize'/],
    [
      "text for a number",
      { MemorySize: "128" },
      400,
      "InvalidRequestContentException",
      /memorySize: expected/,
    ],
    [
      "two mistakes at once",
      { Timeout: 0, MemorySize: 1 },
      400,
      "ValidationException",
      /^2 validation errors detected: .*; /,
    ],
    [
      "an unknown runtime",
      { Runtime: "cobol85" },
      400,
      "InvalidParameterValueException",
      /Value cobol85 at 'runtime'.*enum value set/,
    ],
    [
      "a retired runtime",
      { Runtime: "nodejs12.x" },
      400,
      "InvalidParameterValueException",
      /no longer supported for creating/,
    ],
    [
      "a runtime that is not here",
      { Runtime: "java21" },
      400,
      "InvalidParameterValueException",
      /install a Java runtime/,
    ],
    [
      "a name over 64 characters",
      { FunctionName: "a".repeat(65) },
      400,
      "InvalidParameterValueException",
      /1 validation error detected: .*less than or equal to 64/,
    ],
    ["a name with a space", { FunctionName: "a b" }, 400, "ValidationException", /functionName/],
    [
      "a name that begins with _",
      { FunctionName: "_a" },
      400,
      "InvalidParameterValueException",
      /must not begin with _/,
    ],
    [
      "a name with a qualifier",
      { FunctionName: "a:1" },
      400,
      "InvalidParameterValueException",
      /no qualifier/,
    ],
    [
      "another account",
      { FunctionName: "arn:aws:lambda:eu-central-1:999999999999:function:f" },
      403,
      "AccessDeniedException",
      /another account/,
    ],
    [
      "another region",
      { FunctionName: "arn:aws:lambda:us-east-1:123456789012:function:f" },
      404,
      "ResourceNotFoundException",
      /Functions from 'us-east-1' are not reachable in this region \('eu-central-1'\)/,
    ],
    [
      "a reserved variable",
      { Environment: { Variables: { AWS_REGION: "x", LAMBDA_TASK_ROOT: "y" } } },
      400,
      "InvalidParameterValueException",
      /Reserved keys used in this request: AWS_REGION, LAMBDA_TASK_ROOT$/,
    ],
    [
      "an ill-named variable",
      { Environment: { Variables: { "A-B": "x" } } },
      400,
      "ValidationException",
      /Map keys must satisfy constraint/,
    ],
    [
      "variables over 4 KB",
      { Environment: { Variables: { BIG: "x".repeat(4096) } } },
      400,
      "InvalidParameterValueException",
      /exceeded the 4KB limit\. String measured: \{"BIG"/,
    ],
    [
      "51 tags",
      { Tags: Object.fromEntries(Array.from({ length: 51 }, (_, at) => [`t${at}`, ""])) },
      400,
      "InvalidParameterValueException",
      /Number of tags exceeds/,
    ],
    [
      "code that is no zip",
      { Code: { ZipFile: Buffer.from("hello").toString("base64") } },
      400,
      "InvalidParameterValueException",
      /^Could not unzip uploaded file\. Please check your file, then try to upload again\.$/,
    ],
    [
      "code that is no base64",
      { Code: { ZipFile: "UEsDBA==*!" } },
      400,
      "InvalidParameterValueException",
      /Could not unzip/,
    ],
    [
      "a zip with ..",
      { Code: { ZipFile: makeZip([{ name: "../evil.js", data: "x" }]).toString("base64") } },
      400,
      "InvalidParameterValueException",
      /^Could not unzip uploaded file.*evil/,
    ],
    [
      "code in S3",
      { Code: { S3Bucket: "b", S3Key: "k" } },
      400,
      "InvalidParameterValueException",
      /S3Bucket is not supported by lambdad/,
    ],
    [
      "an image",
      { PackageType: "Image", Code: { ImageUri: "i" } },
      400,
      "InvalidParameterValueException",
      /PackageType is not supported/,
    ],
    [
      "what is no subnet",
      { VpcConfig: { SubnetIds: ["s"], SecurityGroupIds: ["g"] } },
      400,
      "ValidationException",
      /'vpcConfig.subnetIds.0' failed .* pattern: subnet-/,
    ],
    [
      "a layer that does not exist",
      { Layers: ["arn:aws:lambda:eu-central-1:123456789012:layer:l:1"] },
      400,
      "InvalidParameterValueException",
      /^Layer version arn:aws:lambda:eu-central-1:123456789012:layer:l:1 does not exist\.$/,
    ],
    [
      "a dead-letter queue",
      { DeadLetterConfig: { TargetArn: "arn:aws:sqs:x:y:z" } },
      400,
      "InvalidParameterValueException",
      /DeadLetterConfig is not/,
    ],
    [
      "a dead-letter queue",
      { DeadLetterConfig: { TargetArn: "arn:aws:sqs:us-east-1:123456789012:q" } },
      400,
      "InvalidParameterValueException",
      /DeadLetterConfig is not/,
    ],
    [
      "a file system",
      { FileSystemConfigs: [{ Arn: "a", LocalMountPath: "/mnt/a" }] },
      400,
      "InvalidParameterValueException",
      /FileSystemConfigs/,
    ],
    ["what is no KMS key", { KMSKeyArn: "key" }, 400, "ValidationException", /'kMSKeyArn'/],
    [
      "code signing",
      { CodeSigningConfigArn: "arn:x" },
      400,
      "InvalidParameterValueException",
      /CodeSigningConfigArn/,
    ],
    [
      "SnapStart",
      { SnapStart: { ApplyOn: "PublishedVersions" } },
      400,
      "InvalidParameterValueException",
      /SnapStart/,
    ],
    [
      "log levels without JSON",
      { LoggingConfig: { LogFormat: "Text", SystemLogLevel: "WARN" } },
      400,
      "InvalidParameterValueException",
      /LoggingConfig/,
    ],
    [
      "an image configuration",
      { ImageConfig: { Command: ["x"] } },
      400,
      "InvalidParameterValueException",
      /ImageConfig/,
    ],
    [
      "another architecture",
      { Architectures: ["arm64"] },
      400,
      "InvalidParameterValueException",
      /this host is x86_64/,
    ],
    [
      "an unknown architecture",
      { Architectures: ["mips"] },
      400,
      "ValidationException",
      /enum value set: \[x86_64, arm64\]/,
    ],
  ] as const) {
    it(`refuses ${why} and makes nothing`, async () => {
      const answer = await create({ ...BASE, ...change });
      assert.deepEqual([answer.status, answer.headers["x-amzn-errortype"]], [status, name], answer.text);
      const { message = "", Message = "" } = Object(answer.json);
      assert.match(`${message}${Message}`, pattern);
      await assert.rejects(control.functions.get(named("raw")));
    });
  }
});
