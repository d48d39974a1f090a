import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  CreateFunctionCommand,
  type CreateFunctionCommandInput,
  DeleteFunctionCommand,
  GetFunctionCommand,
  GetFunctionConfigurationCommand,
  type LambdaClient,
  ListFunctionsCommand,
  PreconditionFailedException,
  PublishVersionCommand,
  ResourceConflictException,
  ResourceNotFoundException,
  UpdateFunctionCodeCommand,
  UpdateFunctionConfigurationCommand,
  waitUntilFunctionActiveV2,
  waitUntilFunctionUpdatedV2,
} from "@aws-sdk/client-lambda";
import { makeZip } from "../../../code/archive-maker.fake.ts";
import { makeFunction, named, ROLE, startControl, type TestControl, zipOf } from "../control.fake.ts";

let control: TestControl;
let sdk: LambdaClient;
before(async () => {
  control = await startControl();
  sdk = control.sdk();
});
after(() => control[Symbol.asyncDispose]());

const ARN = "arn:aws:lambda:eu-central-1:123456789012:function";

function creation(name: string, more: Partial<CreateFunctionCommandInput> = {}): CreateFunctionCommandInput {
  return {
    FunctionName: name,
    Role: ROLE,
    Runtime: "nodejs24.x",
    Handler: "index.handler",
    Code: { ZipFile: zipOf() },
    ...more,
  };
}

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
    const { LastModified, CodeSha256, RevisionId, ...rest } = Object(answer.json);
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
      "a VPC",
      { VpcConfig: { SubnetIds: ["s"], SecurityGroupIds: ["g"] } },
      400,
      "InvalidParameterValueException",
      /VpcConfig is not supported/,
    ],
    [
      "layers",
      { Layers: ["arn:aws:lambda:eu-central-1:123456789012:layer:l:1"] },
      400,
      "InvalidParameterValueException",
      /Layers is not supported/,
    ],
    [
      "a dead-letter queue",
      { DeadLetterConfig: { TargetArn: "arn:aws:sqs:x:y:z" } },
      400,
      "InvalidParameterValueException",
      /DeadLetterConfig is not/,
    ],
    [
      "active tracing",
      { TracingConfig: { Mode: "Active" } },
      400,
      "InvalidParameterValueException",
      /TracingConfig is not/,
    ],
    [
      "a file system",
      { FileSystemConfigs: [{ Arn: "a", LocalMountPath: "/mnt/a" }] },
      400,
      "InvalidParameterValueException",
      /FileSystemConfigs/,
    ],
    ["a KMS key", { KMSKeyArn: "arn:aws:kms:x" }, 400, "InvalidParameterValueException", /KMSKeyArn/],
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
      "JSON logs",
      { LoggingConfig: { LogFormat: "JSON" } },
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

describe("GetFunction", () => {
  it("answers settled states, and a location from which the archive can be fetched without a key", async () => {
    await makeFunction(control, "got");
    const { Configuration, Code } = await sdk.send(new GetFunctionCommand({ FunctionName: "got" }));
    assert.deepEqual(
      [
        Configuration?.State,
        Configuration?.LastUpdateStatus,
        Configuration?.StateReason,
        Code?.RepositoryType,
      ],
      ["Active", "Successful", undefined, "S3"],
    );
    const fetched = await fetch(Code?.Location ?? "");
    assert.deepEqual(Buffer.from(await fetched.arrayBuffer()), zipOf());
    assert.equal((await fetch(`${Code?.Location}x`)).status, 404);
  });

  it("finds a function by every spelling, and its versions and aliases by qualifier", async () => {
    await makeFunction(control, "spelt");
    await sdk.send(new PublishVersionCommand({ FunctionName: "spelt", Description: "one" }));
    await control.functions.createAlias(named("spelt"), {
      name: "prod",
      version: "1",
      description: "",
      split: undefined,
    });
    for (const [FunctionName, Qualifier, arn, version] of [
      ["spelt", undefined, `${ARN}:spelt`, "$LATEST"],
      ["123456789012:function:spelt", undefined, `${ARN}:spelt`, "$LATEST"],
      [`${ARN}:spelt`, undefined, `${ARN}:spelt`, "$LATEST"],
      ["spelt:$LATEST", undefined, `${ARN}:spelt:$LATEST`, "$LATEST"],
      ["spelt:1", undefined, `${ARN}:spelt:1`, "1"],
      [`${ARN}:spelt:1`, "1", `${ARN}:spelt:1`, "1"],
      ["spelt", "prod", `${ARN}:spelt:prod`, "1"],
    ] as const) {
      const shown = await sdk.send(new GetFunctionConfigurationCommand({ FunctionName, Qualifier }));
      assert.deepEqual([shown.FunctionArn, shown.Version], [arn, version], FunctionName);
    }
  });

  for (const [FunctionName, Qualifier, text] of [
    ["missing", undefined, `Function not found: ${ARN}:missing`],
    ["missing", "$LATEST", `Function not found: ${ARN}:missing:$LATEST`],
    ["_nobody", undefined, `Function not found: ${ARN}:_nobody`],
    ["there", "99", `Function not found: ${ARN}:there:99`],
    ["there", "nope", `Function not found: ${ARN}:there:nope`],
  ] as const) {
    it(`does not find ${FunctionName} ${Qualifier ?? ""}`, async () => {
      await makeFunction(control, "there").catch(() => undefined);
      await assert.rejects(sdk.send(new GetFunctionCommand({ FunctionName, Qualifier })), (error) => {
        assert.ok(error instanceof ResourceNotFoundException);
        assert.deepEqual([error.message, error.Type, error.$metadata.httpStatusCode], [text, "User", 404]);
        return true;
      });
    });
  }

  it("refuses two qualifiers that differ before it looks", async () => {
    await assert.rejects(
      sdk.send(new GetFunctionCommand({ FunctionName: "missing:1", Qualifier: "2" })),
      /The derived qualifier from the function name does not match the specified qualifier\./,
    );
  });
});

describe("ListFunctions", () => {
  it("pages by 50 with an opaque marker that the last page lacks, and leaves states out", async () => {
    await using own = await startControl();
    const names = Array.from({ length: 53 }, (_, at) => `f-${String(at).padStart(2, "0")}`);
    for (const name of names) await makeFunction(own, name);
    const client = own.sdk();

    const first = await client.send(new ListFunctionsCommand({ MaxItems: 10_000 }));
    const second = await client.send(new ListFunctionsCommand({ Marker: first.NextMarker }));
    assert.deepEqual([first.Functions?.length, second.Functions?.length], [50, 3]);
    assert.deepEqual(
      [...(first.Functions ?? []), ...(second.Functions ?? [])].map((shown) => shown.FunctionName),
      names,
    );
    const raw = await own.send({ path: `/2015-03-31/functions/?Marker=${first.NextMarker}` });
    assert.equal("NextMarker" in Object(raw.json), false);
    const [listed] = first.Functions ?? [];
    assert.deepEqual([listed?.State, listed?.LastUpdateStatus], [undefined, undefined]);
  });

  it("lists every version, over pages of any size", async () => {
    await using own = await startControl();
    for (const name of ["a", "b"]) {
      await makeFunction(own, name);
      for (const round of [1, 2]) {
        await own.sdk().send(new UpdateFunctionConfigurationCommand({ FunctionName: name, Timeout: round }));
        await own.sdk().send(new PublishVersionCommand({ FunctionName: name }));
      }
    }
    for (const MaxItems of [1, 2, 3, 50]) {
      const found: string[] = [];
      let Marker: string | undefined;
      do {
        const page = await own
          .sdk()
          .send(new ListFunctionsCommand({ FunctionVersion: "ALL", MaxItems, Marker }));
        found.push(...(page.Functions ?? []).map((shown) => `${shown.FunctionName}:${shown.Version}`));
        Marker = page.NextMarker;
      } while (Marker !== undefined);
      assert.deepEqual(found, ["a:$LATEST", "a:1", "a:2", "b:$LATEST", "b:1", "b:2"], `pages of ${MaxItems}`);
    }
  });

  for (const query of [
    "MaxItems=0",
    "MaxItems=x",
    "MaxItems=10001",
    "Marker=%00!",
    "FunctionVersion=SOME",
    "MasterRegion=ALL",
  ]) {
    it(`refuses ${query}`, async () => {
      const answer = await control.send({ path: `/2015-03-31/functions?${query}` });
      assert.equal(answer.status, 400, answer.text);
    });
  }
});

describe("UpdateFunctionCode", () => {
  it("replaces the code, answers that it is in progress, and is done at the first look", async () => {
    await makeFunction(control, "code");
    const before = await sdk.send(new GetFunctionConfigurationCommand({ FunctionName: "code" }));
    const ZipFile = zipOf("exports.handler = async () => 2;");
    const answer = await sdk.send(new UpdateFunctionCodeCommand({ FunctionName: "code", ZipFile }));
    assert.equal(answer.LastUpdateStatus, "InProgress");
    assert.notEqual(answer.CodeSha256, before.CodeSha256);
    assert.notEqual(answer.RevisionId, before.RevisionId);
    const waited = await waitUntilFunctionUpdatedV2(
      { client: sdk, maxWaitTime: 2 },
      { FunctionName: "code" },
    );
    assert.equal(waited.state, "SUCCESS");
  });

  it("changes nothing on a dry run, and publishes if asked", async () => {
    await makeFunction(control, "dry");
    const before = await control.functions.get(named("dry"));
    const ZipFile = zipOf("exports.handler = async () => 3;");
    const dry = await sdk.send(new UpdateFunctionCodeCommand({ FunctionName: "dry", ZipFile, DryRun: true }));
    assert.notEqual(dry.CodeSha256, before.latest.code.archiveSha256);
    assert.deepEqual(await control.functions.get(named("dry")), before);

    const wet = await sdk.send(
      new UpdateFunctionCodeCommand({ FunctionName: "dry", ZipFile, Publish: true }),
    );
    assert.deepEqual([wet.Version, wet.FunctionArn], ["1", `${ARN}:dry:1`]);
  });

  it("refuses another revision, a missing function, an image and no code", async () => {
    await makeFunction(control, "refused");
    const before = await control.functions.get(named("refused"));
    const ZipFile = zipOf();
    const FunctionName = "refused";
    const update = (input: object) => sdk.send(new UpdateFunctionCodeCommand({ FunctionName, ...input }));
    await assert.rejects(update({ ZipFile, RevisionId: "x" }), PreconditionFailedException);
    await assert.rejects(update({ ZipFile, FunctionName: "missing" }), ResourceNotFoundException);
    await assert.rejects(
      update({ ImageUri: "i" }),
      /Please don't provide ImageUri when updating a function with packageType Zip\./,
    );
    await assert.rejects(update({ S3Bucket: "abc", S3Key: "k" }), /S3Bucket is not supported/);
    await assert.rejects(update({}), /Please provide a source for function code/);
    assert.deepEqual(await control.functions.get(named("refused")), before);
  });
});

describe("UpdateFunctionConfiguration", () => {
  it("changes what it names and keeps the rest", async () => {
    await sdk.send(
      new CreateFunctionCommand(
        creation("conf", { Timeout: 9, Environment: { Variables: { KEPT: "yes" } } }),
      ),
    );
    const changed = await sdk.send(
      new UpdateFunctionConfigurationCommand({ FunctionName: "conf", MemorySize: 256, Handler: "other.run" }),
    );
    const { MemorySize, Handler, Timeout, Environment, LastUpdateStatus } = changed;
    assert.deepEqual(
      { MemorySize, Handler, Timeout, Environment, LastUpdateStatus },
      {
        MemorySize: 256,
        Handler: "other.run",
        Timeout: 9,
        Environment: { Variables: { KEPT: "yes" } },
        LastUpdateStatus: "InProgress",
      },
    );
    const emptied = await sdk.send(
      new UpdateFunctionConfigurationCommand({ FunctionName: "conf", Environment: { Variables: {} } }),
    );
    assert.equal(emptied.Environment, undefined);
  });

  it("refuses another revision, and a handler for what is no handler", async () => {
    await makeFunction(control, "server");
    const { latest } = await control.functions.get(named("server"));
    const entry = { kind: "server", command: ["./run", "--fast"] } as const;
    await control.functions.update(named("server"), { config: { ...latest.config, entry } });
    const update = (input: object) =>
      sdk.send(new UpdateFunctionConfigurationCommand({ FunctionName: "server", ...input }));

    await assert.rejects(update({ RevisionId: latest.revisionId, Timeout: 5 }), PreconditionFailedException);
    await assert.rejects(update({ Handler: "index.handler" }), /this function is a server/);
    assert.equal((await update({ Handler: "./run", Timeout: 5 })).Timeout, 5);
  });
});

describe("DeleteFunction", () => {
  it("removes the function with its logs, and answers 204", async () => {
    await makeFunction(control, "gone");
    const answer = await control.send({ method: "DELETE", path: "/2015-03-31/functions/gone" });
    assert.deepEqual([answer.status, answer.text, control.forgotten], [204, "", ["gone"]]);
    await assert.rejects(
      sdk.send(new DeleteFunctionCommand({ FunctionName: "gone" })),
      ResourceNotFoundException,
    );
  });

  it("removes one version, never $LATEST alone, and takes a missing version as removed", async () => {
    await makeFunction(control, "parts");
    await sdk.send(new PublishVersionCommand({ FunctionName: "parts" }));
    await sdk.send(new UpdateFunctionConfigurationCommand({ FunctionName: "parts", Timeout: 4 }));
    const remove = (Qualifier: string) =>
      sdk.send(new DeleteFunctionCommand({ FunctionName: "parts", Qualifier }));
    await remove("1");
    await remove("99");
    await assert.rejects(
      remove("$LATEST"),
      /\$LATEST version cannot be deleted without deleting the function\./,
    );
    await assert.rejects(remove("prod"));
    assert.deepEqual(await control.functions.listVersions(named("parts"), { after: 0, limit: 9 }), []);
  });
});
