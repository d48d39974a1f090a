import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  CreateFunctionCommand,
  DeleteLayerVersionCommand,
  GetFunctionConfigurationCommand,
  GetLayerVersionByArnCommand,
  GetLayerVersionCommand,
  type LambdaClient,
  LambdaServiceException,
  ListLayersCommand,
  ListLayerVersionsCommand,
  PublishLayerVersionCommand,
  ResourceNotFoundException,
  UpdateFunctionConfigurationCommand,
} from "@aws-sdk/client-lambda";
import { makeZip } from "../../../code/archive-maker.fake.ts";
import { ROLE, startControl, type TestControl, zipOf } from "../control.fake.ts";

const LAYER = "arn:aws:lambda:eu-central-1:123456789012:layer";

let control: TestControl;
let sdk: LambdaClient;
before(async () => {
  control = await startControl();
  sdk = control.sdk();
});
after(() => control[Symbol.asyncDispose]());

function layerZip(files: Readonly<Record<string, string>>): Buffer {
  return makeZip(Object.entries(files).map(([name, data]) => ({ name, data })));
}

function publish(
  LayerName: string,
  input: object = {},
  files: Readonly<Record<string, string>> = { x: "1" },
) {
  return sdk.send(
    new PublishLayerVersionCommand({ LayerName, Content: { ZipFile: layerZip(files) }, ...input }),
  );
}

function create(FunctionName: string, input: object = {}) {
  return sdk.send(
    new CreateFunctionCommand({
      FunctionName,
      Role: ROLE,
      Runtime: "nodejs24.x",
      Handler: "index.handler",
      Code: { ZipFile: zipOf() },
      ...input,
    }),
  );
}

function refusal(name: string, message: string | RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof LambdaServiceException, String(error));
    assert.equal(error.name, name);
    if (typeof message === "string") assert.equal(error.message, message);
    else assert.match(error.message, message);
    return true;
  };
}

describe("layers", () => {
  it("are published, found by number and by ARN, and fetched", async () => {
    const made = await publish("tools", {
      Description: "tools",
      LicenseInfo: "MIT",
      CompatibleRuntimes: ["nodejs24.x", "python3.13"],
      CompatibleArchitectures: ["x86_64"],
    });
    assert.deepEqual(
      [made.$metadata.httpStatusCode, made.LayerArn, made.LayerVersionArn, made.Version],
      [201, `${LAYER}:tools`, `${LAYER}:tools:1`, 1],
    );
    assert.deepEqual(made.CompatibleRuntimes, ["nodejs24.x", "python3.13"]);
    assert.deepEqual(made.CompatibleArchitectures, ["x86_64"]);
    assert.deepEqual([made.LicenseInfo, made.Description], ["MIT", "tools"]);
    assert.match(made.CreatedDate ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000$/);
    const zip = Buffer.from(await (await fetch(made.Content?.Location ?? "")).arrayBuffer());
    assert.equal(zip.length, made.Content?.CodeSize);

    const second = await publish("tools");
    assert.equal(second.Version, 2);
    assert.deepEqual(second.CompatibleRuntimes, []);
    const found = await sdk.send(new GetLayerVersionCommand({ LayerName: "tools", VersionNumber: 1 }));
    const byName = await sdk.send(
      new GetLayerVersionCommand({ LayerName: `${LAYER}:tools`, VersionNumber: 1 }),
    );
    const byArn = await sdk.send(new GetLayerVersionByArnCommand({ Arn: `${LAYER}:tools:1` }));
    for (const { LayerVersionArn, Content } of [found, byName, byArn]) {
      assert.equal(LayerVersionArn, made.LayerVersionArn);
      assert.equal(Content?.CodeSha256, made.Content?.CodeSha256);
    }
  });

  it("are listed from the newest, in pages and by what they are made for", async () => {
    await publish("listed", { CompatibleRuntimes: ["python3.13"] });
    for (let count = 0; count < 3; count++) await publish("listed", { CompatibleRuntimes: ["nodejs24.x"] });
    const list = (input: object = {}) =>
      sdk.send(new ListLayerVersionsCommand({ LayerName: "listed", ...input }));
    const first = await list({ MaxItems: 3 });
    assert.deepEqual(
      first.LayerVersions?.map(({ Version }) => Version),
      [4, 3, 2],
    );
    const rest = await list({ Marker: first.NextMarker });
    assert.deepEqual([rest.LayerVersions?.map(({ Version }) => Version), rest.NextMarker], [[1], undefined]);
    const python = await list({ CompatibleRuntime: "python3.13" });
    assert.deepEqual(
      python.LayerVersions?.map(({ Version }) => Version),
      [1],
    );
    assert.deepEqual((await sdk.send(new ListLayerVersionsCommand({ LayerName: "none" }))).LayerVersions, []);

    const { Layers } = await sdk.send(new ListLayersCommand({ CompatibleRuntime: "python3.13" }));
    const listed = Layers?.find(({ LayerName }) => LayerName === "listed");
    assert.deepEqual([listed?.LayerArn, listed?.LatestMatchingVersion?.Version], [`${LAYER}:listed`, 1]);
    const page = await sdk.send(new ListLayersCommand({ MaxItems: 1 }));
    assert.equal(page.Layers?.length, 1);
    const next = await sdk.send(new ListLayersCommand({ MaxItems: 50, Marker: page.NextMarker }));
    assert.ok(next.Layers?.every(({ LayerName }) => LayerName !== page.Layers?.[0]?.LayerName));
  });

  it("that are not there are told so", async () => {
    const missing = refusal("ResourceNotFoundException", "The resource you requested does not exist.");
    await assert.rejects(
      sdk.send(new GetLayerVersionCommand({ LayerName: "no", VersionNumber: 1 })),
      missing,
    );
    await assert.rejects(sdk.send(new GetLayerVersionByArnCommand({ Arn: `${LAYER}:no:1` })), missing);
    const foreign = "arn:aws:lambda:us-east-1:999999999999:layer:no:1";
    await assert.rejects(sdk.send(new GetLayerVersionByArnCommand({ Arn: foreign })), missing);
    await sdk.send(new DeleteLayerVersionCommand({ LayerName: "no", VersionNumber: 1 }));
  });

  it("refuse what they cannot be", async () => {
    const invalid = "InvalidParameterValueException";
    await assert.rejects(publish("bad name"), refusal("ValidationException", /'layerName' failed/));
    await assert.rejects(
      publish("r", { CompatibleRuntimes: ["cobol"] }),
      refusal("ValidationException", /cobol/),
    );
    await assert.rejects(
      publish("e", { Content: { ZipFile: Buffer.from("no zip") } }),
      refusal(invalid, /^Could not unzip uploaded file/),
    );
    await assert.rejects(
      publish("s", { Content: { S3Bucket: "b", S3Key: "k" } }),
      refusal(invalid, /S3Bucket is not supported/),
    );
    await assert.rejects(
      sdk.send(new GetLayerVersionCommand({ LayerName: "tools", VersionNumber: 0 })),
      refusal(invalid, "Layer Version Cannot be less than 1."),
    );
    const byArn = new GetLayerVersionByArnCommand({ Arn: "layer" });
    await assert.rejects(sdk.send(byArn), refusal("ValidationException", /'arn' failed/));
  });
});

describe("Layers of a function", () => {
  it("are shown, merged, kept when deleted, and taken off", async () => {
    const a = await publish("one", {}, { "nodejs/a.js": "1" });
    const b = await publish("two", {}, { "nodejs/b.js": "2" });
    const Layers = [a.LayerVersionArn ?? "", b.LayerVersionArn ?? ""];
    const made = await create("layered", { Layers });
    assert.deepEqual(
      made.Layers,
      [a, b].map(({ LayerVersionArn: Arn, Content }) => ({ Arn, CodeSize: Content?.CodeSize })),
    );
    await sdk.send(new DeleteLayerVersionCommand({ LayerName: "one", VersionNumber: 1 }));
    const get = () => sdk.send(new GetFunctionConfigurationCommand({ FunctionName: "layered" }));
    assert.equal((await get()).Layers?.length, 2);
    const update = (input: object) =>
      sdk.send(new UpdateFunctionConfigurationCommand({ FunctionName: "layered", ...input }));
    assert.equal((await update({ Timeout: 5 })).Layers?.length, 2);
    const { optTreeId, layers } = (await control.functions.list({ after: undefined, limit: 100 })).find(
      ({ name }) => name === "layered",
    )?.latest.config ?? { layers: [] };
    assert.match(optTreeId ?? "", /^[0-9a-f]{64}$/);
    assert.ok(layers.every(({ code }) => code.treeId !== optTreeId));
    await assert.rejects(
      update({ Layers }),
      refusal("InvalidParameterValueException", `Layer version ${Layers[0]} does not exist.`),
    );
    assert.equal((await update({ Layers: [] })).Layers, undefined);
  });

  it("are refused in AWS's words", async () => {
    const invalid = "InvalidParameterValueException";
    const first = (await publish("twin")).LayerVersionArn ?? "";
    const second = (await publish("twin")).LayerVersionArn ?? "";
    await assert.rejects(
      create("twins", { Layers: [first, second] }),
      refusal(
        invalid,
        `Two different versions of the same layer are not allowed to be referenced in the same function. ${first} and ${second} are versions of the same layer.`,
      ),
    );
    await assert.rejects(
      create("six", { Layers: [1, 2, 3, 4, 5, 6].map((number) => `${LAYER}:l${number}:1`) }),
      refusal(invalid, "Cannot reference more than 5 layers."),
    );
    await assert.rejects(
      create("lost", { Layers: [`${LAYER}:lost:1`] }),
      refusal(invalid, `Layer version ${LAYER}:lost:1 does not exist.`),
    );
    await assert.rejects(create("odd", { Layers: ["lost"] }), refusal("ValidationException", /'layers.0'/));
    await assert.rejects(
      sdk.send(new GetFunctionConfigurationCommand({ FunctionName: "lost" })),
      ResourceNotFoundException,
    );
  });
});

describe("LoggingConfig", () => {
  it("is kept, with AWS's defaults for levels", async () => {
    const made = await create("json", { LoggingConfig: { LogFormat: "JSON", LogGroup: "/my/group" } });
    assert.deepEqual(made.LoggingConfig, {
      LogFormat: "JSON",
      ApplicationLogLevel: "INFO",
      SystemLogLevel: "INFO",
      LogGroup: "/my/group",
    });
    const update = (LoggingConfig: object) =>
      sdk.send(new UpdateFunctionConfigurationCommand({ FunctionName: "json", LoggingConfig }));
    const warn = await update({ ApplicationLogLevel: "WARN" });
    assert.deepEqual(
      [warn.LoggingConfig?.LogFormat, warn.LoggingConfig?.ApplicationLogLevel],
      ["JSON", "WARN"],
    );
    const text = await update({ LogFormat: "Text" });
    assert.deepEqual(text.LoggingConfig, { LogFormat: "Text", LogGroup: "/my/group" });
    await assert.rejects(
      update({ SystemLogLevel: "WARN" }),
      refusal("InvalidParameterValueException", /need the LogFormat JSON/),
    );
    await assert.rejects(
      update({ LogFormat: "XML" }),
      refusal("ValidationException", /loggingConfig.logFormat/),
    );
  });
});
