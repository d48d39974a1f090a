/** Every operation of the Lambda API, as the official SDK for JavaScript sends it and reads the answer. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as sdk from "@aws-sdk/client-lambda";
import { makeZip } from "../../src/code/archive-maker.fake.ts";
import { AWS_OPERATIONS } from "../../src/http/control/aws/routes.ts";
import { send, startDaemon, type TestDaemon, until } from "../e2e/daemon.fake.ts";
import { PROOF } from "./proof.ts";
import { startQueues } from "./queue.ts";

const ROLE = "arn:aws:iam::000000000000:role/service";
const zip = (code: string) => makeZip([{ name: "index.mjs", data: code }]);
const ECHO = zip(
  "export const handler = async (event, context) => ({ event, arn: context.invokedFunctionArn });",
);
const CSC = "arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-0123456789abcdef0";
const DURABLE = "arn:aws:lambda:us-east-1:000000000000:function:f:1/durable-execution/x/y";

let daemon: TestDaemon;
let queues: Awaited<ReturnType<typeof startQueues>>;
let client: sdk.LambdaClient;
/** Operations that were answered as they should be. */
const proved = new Set<string>();

before(async () => {
  queues = await startQueues();
  daemon = await startDaemon({ flags: queues.flags });
  client = clientOf(daemon.key);
});
after(async () => {
  client.destroy();
  await daemon[Symbol.asyncDispose]();
  await queues[Symbol.asyncDispose]();
});

function clientOf(token: string): sdk.LambdaClient {
  const [accessKeyId = "", secretAccessKey = ""] = token.split(".");
  return new sdk.LambdaClient({
    endpoint: `http://127.0.0.1:${daemon.controlPort}`,
    region: "us-east-1",
    credentials: { accessKeyId, secretAccessKey },
    maxAttempts: 1,
  });
}

/** Sends an operation by its name, so that what was proved can be told. */
async function call(name: string, input: object = {}): Promise<Record<string, unknown>> {
  const Command: unknown = Reflect.get(sdk, `${name}Command`);
  assert.ok(typeof Command === "function", name);
  const answer = await client.send(Reflect.construct(Command, [input]));
  proved.add(name);
  return Object(answer);
}

/** The same for one that must be refused with that name. */
async function refused(name: string, input: object, error: string): Promise<void> {
  await assert.rejects(call(name, input), { name: error }, name);
  proved.add(name);
}

const F = { FunctionName: "f" };

describe("the official SDK", () => {
  it("makes, changes, publishes and reads a function", async () => {
    const made = await call("CreateFunction", {
      ...F,
      Role: ROLE,
      Runtime: "nodejs24.x",
      Handler: "index.handler",
      Code: { ZipFile: ECHO },
      Tags: { team: "a" },
    });
    assert.equal(made.State, "Pending");
    await sdk.waitUntilFunctionActiveV2({ client, maxWaitTime: 10 }, F);
    await call("UpdateFunctionCode", { ...F, ZipFile: ECHO });
    await sdk.waitUntilFunctionUpdatedV2({ client, maxWaitTime: 10 }, F);
    await call("UpdateFunctionConfiguration", {
      ...F,
      Timeout: 9,
      Environment: { Variables: { GREETING: "hi" } },
    });
    assert.equal((await call("PublishVersion", F)).Version, "1");
    await sdk.waitUntilPublishedVersionActive({ client, maxWaitTime: 10 }, { ...F, Qualifier: "1" });
    const { Configuration, Tags } = await call("GetFunction", F);
    assert.equal(Object(Configuration).Timeout, 9);
    assert.deepEqual(Tags, { team: "a" });
    assert.deepEqual(Object(await call("GetFunctionConfiguration", F)).Environment, {
      Variables: { GREETING: "hi" },
    });
    assert.equal(Object((await call("ListFunctions")).Functions).length, 1);
    assert.equal(Object((await call("ListVersionsByFunction", F)).Versions).length, 2);
  });

  it("moves aliases", async () => {
    await call("CreateAlias", { ...F, Name: "live", FunctionVersion: "1" });
    await call("UpdateAlias", { ...F, Name: "live", Description: "what runs" });
    assert.equal((await call("GetAlias", { ...F, Name: "live" })).Description, "what runs");
    assert.equal(Object((await call("ListAliases", F)).Aliases).length, 1);
  });

  it("calls it in all ways", async () => {
    const answer = await call("Invoke", { ...F, Qualifier: "live", Payload: '{"a":1}', LogType: "Tail" });
    const { event, arn } = JSON.parse(Buffer.from(Object(answer.Payload)).toString());
    assert.deepEqual([event, arn], [{ a: 1 }, "arn:aws:lambda:us-east-1:000000000000:function:f:live"]);
    assert.match(Buffer.from(String(answer.LogResult), "base64").toString(), /REPORT RequestId/);
    assert.equal((await call("Invoke", { ...F, InvocationType: "DryRun" })).StatusCode, 204);
    assert.equal((await call("Invoke", { ...F, InvocationType: "Event", Payload: "{}" })).StatusCode, 202);
    assert.equal((await call("InvokeAsync", { ...F, InvokeArgs: "{}" })).Status, 202);
    const { EventStream } = await call("InvokeWithResponseStream", { ...F, Payload: '{"b":2}' });
    let text = "";
    const stream: AsyncIterable<sdk.InvokeWithResponseStreamResponseEvent> = Object(EventStream);
    for await (const { PayloadChunk } of stream) text += Buffer.from(PayloadChunk?.Payload ?? []).toString();
    assert.deepEqual(JSON.parse(text).event, { b: 2 });
  });

  it("keeps policies, and calls a URL that asks for a signature", async () => {
    await call("AddPermission", { ...F, StatementId: "s", Action: "lambda:InvokeFunction", Principal: "*" });
    assert.match(String((await call("GetPolicy", F)).Policy), /"Sid":"s"/);
    const ResourceArn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    const { Policy } = await call("GetResourcePolicy", { ResourceArn });
    await call("PutResourcePolicy", { ResourceArn, Policy });
    await call("RemovePermission", { ...F, StatementId: "s" });
    await call("PutResourcePolicy", { ResourceArn, Policy });
    await call("DeleteResourcePolicy", { ResourceArn });
    const { FunctionUrl } = await call("CreateFunctionUrlConfig", { ...F, AuthType: "NONE" });
    const { host } = new URL(String(FunctionUrl));
    const get = () => send(daemon.gatewayPort, "/", { headers: { host } });
    assert.equal((await get()).status, 200);
    await call("UpdateFunctionUrlConfig", { ...F, AuthType: "AWS_IAM" });
    assert.equal((await get()).status, 403);
    assert.equal((await call("GetFunctionUrlConfig", F)).AuthType, "AWS_IAM");
    assert.equal(Object((await call("ListFunctionUrlConfigs", F)).FunctionUrlConfigs).length, 1);
    await call("DeleteFunctionUrlConfig", F);
  });

  it("limits it, and keeps instances started", async () => {
    await call("PutFunctionConcurrency", { ...F, ReservedConcurrentExecutions: 5 });
    assert.equal((await call("GetFunctionConcurrency", F)).ReservedConcurrentExecutions, 5);
    const live = { ...F, Qualifier: "live" };
    const put = await call("PutProvisionedConcurrencyConfig", {
      ...live,
      ProvisionedConcurrentExecutions: 2,
    });
    assert.equal(put.Status, "IN_PROGRESS");
    await until(async () => (await call("GetProvisionedConcurrencyConfig", live)).Status === "READY");
    const listed = await call("ListProvisionedConcurrencyConfigs", F);
    assert.equal(Object(listed.ProvisionedConcurrencyConfigs)[0].AvailableProvisionedConcurrentExecutions, 2);
    await refused(
      "PutProvisionedConcurrencyConfig",
      { ...live, ProvisionedConcurrentExecutions: 6 },
      "InvalidParameterValueException",
    );
    await call("DeleteProvisionedConcurrencyConfig", live);
    await refused("GetProvisionedConcurrencyConfig", live, "ProvisionedConcurrencyConfigNotFoundException");
    await call("DeleteFunctionConcurrency", F);
  });

  it("keeps its other settings", async () => {
    const Resource = "arn:aws:lambda:us-east-1:000000000000:function:f";
    await call("TagResource", { Resource, Tags: { stage: "test" } });
    await call("UntagResource", { Resource, TagKeys: ["team"] });
    assert.deepEqual((await call("ListTags", { Resource })).Tags, { stage: "test" });
    await call("PutRuntimeManagementConfig", { ...F, UpdateRuntimeOn: "FunctionUpdate" });
    assert.equal((await call("GetRuntimeManagementConfig", F)).UpdateRuntimeOn, "FunctionUpdate");
    await call("PutFunctionRecursionConfig", { ...F, RecursiveLoop: "Allow" });
    assert.equal((await call("GetFunctionRecursionConfig", F)).RecursiveLoop, "Allow");
    assert.equal((await call("GetFunctionCodeSigningConfig", F)).FunctionName, "f");
    assert.equal(Object((await call("GetAccountSettings")).AccountUsage).FunctionCount, 1);
    await call("PutFunctionEventInvokeConfig", { ...F, MaximumRetryAttempts: 1 });
    await call("UpdateFunctionEventInvokeConfig", { ...F, MaximumEventAgeInSeconds: 90 });
    assert.equal((await call("GetFunctionEventInvokeConfig", F)).MaximumEventAgeInSeconds, 90);
    assert.equal(
      Object((await call("ListFunctionEventInvokeConfigs", F)).FunctionEventInvokeConfigs).length,
      1,
    );
    await call("DeleteFunctionEventInvokeConfig", F);
  });

  it("publishes layers", async () => {
    const layer = { LayerName: "l" };
    const { LayerVersionArn } = await call("PublishLayerVersion", { ...layer, Content: { ZipFile: ECHO } });
    await call("GetLayerVersion", { ...layer, VersionNumber: 1 });
    await call("GetLayerVersionByArn", { Arn: LayerVersionArn });
    assert.equal(Object((await call("ListLayerVersions", layer)).LayerVersions).length, 1);
    assert.equal(Object((await call("ListLayers")).Layers).length, 1);
    await refused("GetLayerVersionPolicy", { ...layer, VersionNumber: 1 }, "ResourceNotFoundException");
    await refused(
      "RemoveLayerVersionPermission",
      { ...layer, VersionNumber: 1, StatementId: "s" },
      "ResourceNotFoundException",
    );
    await refused(
      "AddLayerVersionPermission",
      { ...layer, VersionNumber: 1, StatementId: "s", Action: "lambda:GetLayerVersion", Principal: "*" },
      "InvalidParameterValueException",
    );
    await call("DeleteLayerVersion", { ...layer, VersionNumber: 1 });
  });

  it("calls a function for a queue, with AWS's records, states and errors", async () => {
    const { sqs } = queues;
    const EventSourceArn = sqs.create("orders");
    const Patterns = ['{"body":{"kind":["order"]}}'];
    const made = await call("CreateEventSourceMapping", {
      ...F,
      EventSourceArn,
      BatchSize: 5,
      FilterCriteria: { Filters: Patterns.map((Pattern) => ({ Pattern })) },
      FunctionResponseTypes: ["ReportBatchItemFailures"],
      ScalingConfig: { MaximumConcurrency: 2 },
      Tags: { team: "a" },
    });
    const { UUID, LastModified, $metadata, ...shape } = made;
    assert.ok(LastModified instanceof Date);
    assert.equal(Object($metadata).httpStatusCode, 202);
    const EventSourceMappingArn = `arn:aws:lambda:us-east-1:000000000000:event-source-mapping:${String(UUID)}`;
    assert.deepEqual(shape, {
      BatchSize: 5,
      EventSourceArn,
      EventSourceMappingArn,
      FilterCriteria: { Filters: [{ Pattern: Patterns[0] }] },
      FunctionArn: "arn:aws:lambda:us-east-1:000000000000:function:f",
      FunctionResponseTypes: ["ReportBatchItemFailures"],
      MaximumBatchingWindowInSeconds: 0,
      ScalingConfig: { MaximumConcurrency: 2 },
      State: "Creating",
      StateTransitionReason: "USER_INITIATED",
    });
    const state = async () => (await call("GetEventSourceMapping", { UUID })).State;
    await until(async () => (await state()) === "Enabled");
    sqs.send("orders", '{"kind":"order"}');
    sqs.send("orders", '{"kind":"other"}');
    await until(async () => sqs.bodies("orders").length === 0);
    const done = await call("GetEventSourceMapping", { UUID });
    assert.equal(done.LastProcessingResult, "OK");

    const changed = await call("UpdateEventSourceMapping", { UUID, Enabled: false, ScalingConfig: {} });
    assert.deepEqual([changed.State, changed.ScalingConfig, changed.BatchSize], ["Updating", undefined, 5]);
    await until(async () => (await state()) === "Disabled", 60_000);
    sqs.send("orders", '{"kind":"order"}');
    await call("UpdateEventSourceMapping", { UUID, Enabled: true, FilterCriteria: { Filters: [] } });
    await until(async () => sqs.bodies("orders").length === 0);

    assert.deepEqual((await call("ListTags", { Resource: EventSourceMappingArn })).Tags, { team: "a" });
    await call("TagResource", { Resource: EventSourceMappingArn, Tags: { b: "c" } });
    await call("UntagResource", { Resource: EventSourceMappingArn, TagKeys: ["team"] });
    assert.deepEqual((await call("ListTags", { Resource: EventSourceMappingArn })).Tags, { b: "c" });
    const listed = async (input: object) =>
      Object((await call("ListEventSourceMappings", input)).EventSourceMappings).length;
    assert.equal(await listed({}), 1);
    assert.equal(await listed({ ...F, EventSourceArn }), 1);
    assert.equal(await listed({ FunctionName: "f:live" }), 0);
    assert.equal(await listed({ EventSourceArn: `${EventSourceArn}2` }), 0);

    const short = sqs.create("short", { visibilitySeconds: 1 });
    const refusals: readonly (readonly [error: string, message: RegExp, input: object])[] = [
      ["ResourceConflictException", /already exists.*existing mapping with UUID/, { EventSourceArn }],
      ["InvalidParameterValueException", /NonExistentQueue/, { EventSourceArn: `${EventSourceArn}2` }],
      [
        "InvalidParameterValueException",
        /^Queue visibility timeout: 1 seconds is less than Function timeout: \d+ seconds$/,
        { EventSourceArn: short },
      ],
      ["InvalidParameterValueException", /^Function does not exist$/, { FunctionName: "g", EventSourceArn }],
      ["InvalidParameterValueException", /^Unrecognized event source\.$/, {}],
      [
        "InvalidParameterValueException",
        /^Invalid filter pattern definition\./,
        { EventSourceArn: short, FilterCriteria: { Filters: [{ Pattern: '{"body":1}' }] } },
      ],
      [
        "InvalidParameterValueException",
        /^Unsupported DestinationConfig parameter for given event source mapping type\.$/,
        { EventSourceArn: short, DestinationConfig: { OnFailure: { Destination: EventSourceArn } } },
      ],
      [
        "InvalidParameterValueException",
        /^Maximum batch window in seconds must be greater than 0/,
        { EventSourceArn: short, BatchSize: 11 },
      ],
      [
        "ValidationException",
        /Value '10001' at 'batchSize' failed to satisfy constraint: Member must have value less than or equal to 10000/,
        { EventSourceArn: short, BatchSize: 10_001 },
      ],
      [
        "ValidationException",
        /at 'scalingConfig.maximumConcurrency' failed to satisfy constraint: Member must have value greater than or equal to 2/,
        { EventSourceArn: short, ScalingConfig: { MaximumConcurrency: 1 } },
      ],
      [
        "InvalidParameterValueException",
        /not supported by lambdad/,
        { EventSourceArn: "arn:aws:kinesis:us-east-1:000000000000:stream/s" },
      ],
    ];
    for (const [name, message, input] of refusals) {
      await assert.rejects(call("CreateEventSourceMapping", { ...F, ...input }), { name, message });
    }

    const deleted = await call("DeleteEventSourceMapping", { UUID });
    assert.equal(deleted.State, "Deleting");
    for (const name of ["Get", "Update", "Delete"]) {
      await refused(`${name}EventSourceMapping`, { UUID }, "ResourceNotFoundException");
    }
  });

  it("is told what there is not here", async () => {
    assert.deepEqual((await call("ListCodeSigningConfigs")).CodeSigningConfigs, []);
    const AllowedPublishers = {
      SigningProfileVersionArns: ["arn:aws:signer:us-east-1:000000000000:/signing-profiles/p/v"],
    };
    await refused("CreateCodeSigningConfig", { AllowedPublishers }, "InvalidParameterValueException");
    for (const name of [
      "GetCodeSigningConfig",
      "UpdateCodeSigningConfig",
      "DeleteCodeSigningConfig",
      "ListFunctionsByCodeSigningConfig",
    ]) {
      await refused(name, { CodeSigningConfigArn: CSC }, "CodeSigningConfigNotFoundException");
    }
    await refused(
      "PutFunctionCodeSigningConfig",
      { ...F, CodeSigningConfigArn: CSC },
      "CodeSigningConfigNotFoundException",
    );
    await call("DeleteFunctionCodeSigningConfig", F);
    assert.deepEqual((await call("ListCapacityProviders")).CapacityProviders, []);
    const CapacityProviderName = "c";
    const VpcConfig = { SubnetIds: ["subnet-1"], SecurityGroupIds: ["sg-1"] };
    const PermissionsConfig = { CapacityProviderOperatorRoleArn: ROLE };
    await refused(
      "CreateCapacityProvider",
      { CapacityProviderName, VpcConfig, PermissionsConfig },
      "InvalidParameterValueException",
    );
    for (const name of [
      "GetCapacityProvider",
      "UpdateCapacityProvider",
      "DeleteCapacityProvider",
      "ListFunctionVersionsByCapacityProvider",
    ]) {
      await refused(name, { CapacityProviderName }, "ResourceNotFoundException");
    }
    await refused("GetFunctionScalingConfig", { ...F, Qualifier: "1" }, "ResourceNotFoundException");
    await refused("PutFunctionScalingConfig", { ...F, Qualifier: "1" }, "InvalidParameterValueException");
    assert.deepEqual((await call("ListDurableExecutionsByFunction", F)).DurableExecutions, []);
    const execution = { DurableExecutionArn: DURABLE, CheckpointToken: "t" };
    for (const name of [
      "GetDurableExecution",
      "GetDurableExecutionHistory",
      "GetDurableExecutionState",
      "CheckpointDurableExecution",
      "StopDurableExecution",
    ]) {
      await refused(name, execution, "ResourceNotFoundException");
    }
    for (const name of ["Success", "Failure", "Heartbeat"]) {
      await refused(`SendDurableExecutionCallback${name}`, { CallbackId: "c" }, "ResourceNotFoundException");
    }
  });

  it("lets a function call others with the credentials it finds, and nothing else", async () => {
    const Code = {
      ZipFile: zip(
        'export const handler = async () => Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith("AWS_")));',
      ),
    };
    await call("CreateFunction", {
      FunctionName: "caller",
      Role: ROLE,
      Runtime: "nodejs24.x",
      Handler: "index.handler",
      Code,
    });
    const environment = async () => {
      const { Payload } = await call("Invoke", { FunctionName: "caller" });
      return JSON.parse(Buffer.from(Object(Payload)).toString());
    };
    assert.equal((await environment()).AWS_ACCESS_KEY_ID, undefined);
    const changed = await daemon.control("PATCH", "/v1/functions/caller", { mayInvoke: ["f"] });
    assert.equal(changed.status, 200, changed.text);
    const found = await environment();
    const own = new sdk.LambdaClient({
      endpoint: found.AWS_ENDPOINT_URL_LAMBDA,
      region: found.AWS_REGION,
      maxAttempts: 1,
      credentials: {
        accessKeyId: found.AWS_ACCESS_KEY_ID,
        secretAccessKey: found.AWS_SECRET_ACCESS_KEY,
        sessionToken: found.AWS_SESSION_TOKEN,
      },
    });
    assert.equal((await own.send(new sdk.InvokeCommand(F))).StatusCode, 200);
    await assert.rejects(own.send(new sdk.InvokeCommand({ FunctionName: "caller" })), {
      name: "AccessDeniedException",
    });
    await assert.rejects(own.send(new sdk.GetFunctionCommand(F)), { name: "AccessDeniedException" });
    own.destroy();
    await call("DeleteFunction", { FunctionName: "caller" });
  });

  it("removes it", async () => {
    await call("DeleteAlias", { ...F, Name: "live" });
    await call("DeleteFunction", F);
    await refused("GetFunction", F, "ResourceNotFoundException");
  });

  it("has proved what docs/compatibility.md says it proves", () => {
    const claimed = AWS_OPERATIONS.filter(({ name }) => PROOF[name].includes("SDK")).map(({ name }) => name);
    assert.deepEqual([...proved].sort(), claimed.sort());
  });
});
