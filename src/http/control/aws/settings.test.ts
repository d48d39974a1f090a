import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  CreateAliasCommand,
  CreateFunctionUrlConfigCommand,
  DeleteFunctionConcurrencyCommand,
  DeleteFunctionUrlConfigCommand,
  GetAccountSettingsCommand,
  GetFunctionCodeSigningConfigCommand,
  GetFunctionCommand,
  GetFunctionConcurrencyCommand,
  GetFunctionUrlConfigCommand,
  InvalidParameterValueException,
  type LambdaClient,
  ListFunctionUrlConfigsCommand,
  ListTagsCommand,
  PutFunctionConcurrencyCommand,
  ResourceConflictException,
  ResourceNotFoundException,
  TagResourceCommand,
  UntagResourceCommand,
  UpdateFunctionUrlConfigCommand,
} from "@aws-sdk/client-lambda";
import { makeFunction, startControl, type TestControl, zipOf } from "../control.fake.ts";

const ARN = "arn:aws:lambda:eu-central-1:123456789012:function";

let control: TestControl;
let sdk: LambdaClient;
before(async () => {
  control = await startControl();
  sdk = control.sdk();
});
after(() => control[Symbol.asyncDispose]());

describe("reserved concurrency", () => {
  it("is set, read, shown by GetFunction, and taken away", async () => {
    await makeFunction(control, "conc");
    const FunctionName = "conc";
    assert.deepEqual((await control.send({ path: "/2019-09-30/functions/conc/concurrency" })).json, {});
    const put = new PutFunctionConcurrencyCommand({ FunctionName, ReservedConcurrentExecutions: 0 });
    assert.equal((await sdk.send(put)).ReservedConcurrentExecutions, 0);
    assert.equal(
      (await sdk.send(new GetFunctionConcurrencyCommand({ FunctionName }))).ReservedConcurrentExecutions,
      0,
    );
    const { Concurrency } = await sdk.send(new GetFunctionCommand({ FunctionName }));
    assert.deepEqual(Concurrency, { ReservedConcurrentExecutions: 0 });
    await sdk.send(new DeleteFunctionConcurrencyCommand({ FunctionName }));
    assert.equal((await sdk.send(new GetFunctionCommand({ FunctionName }))).Concurrency, undefined);
  });

  it("is refused for versions, negative numbers and missing functions", async () => {
    const put = (FunctionName: string, ReservedConcurrentExecutions: number) =>
      sdk.send(new PutFunctionConcurrencyCommand({ FunctionName, ReservedConcurrentExecutions }));
    await assert.rejects(put("conc:1", 1), /permitted on Lambda functions only/);
    await assert.rejects(put("conc", -1), /ValidationException/);
    await assert.rejects(put("missing", 1), new RegExp(`Function not found: ${ARN}:missing:\\$LATEST$`));
  });
});

describe("a limit on calls over all functions", () => {
  it("is shown, and keeps what reservations must leave", async () => {
    await using limited = await startControl({
      quotas: { concurrencyMax: 200, unreservedMin: 100, requestsPerSecondMax: undefined },
    });
    for (const name of ["a", "b"]) await makeFunction(limited, name);
    const sdk = limited.sdk();
    const reserve = (FunctionName: string, ReservedConcurrentExecutions: number) =>
      sdk.send(new PutFunctionConcurrencyCommand({ FunctionName, ReservedConcurrentExecutions }));
    await reserve("a", 60);
    await assert.rejects(
      reserve("b", 41),
      /decreases account's UnreservedConcurrentExecution below its minimum value of \[100\]/,
    );
    await reserve("a", 10);
    await reserve("b", 41);
    const { AccountLimit } = await sdk.send(new GetAccountSettingsCommand({}));
    assert.deepEqual(
      [AccountLimit?.ConcurrentExecutions, AccountLimit?.UnreservedConcurrentExecutions],
      [200, 149],
    );
  });
});

describe("a limit on requests", () => {
  it("answers with a throttle, but never to calls of functions", async () => {
    await using limited = await startControl({
      quotas: { concurrencyMax: undefined, unreservedMin: 0, requestsPerSecondMax: 3 },
    });
    await makeFunction(limited, "a");
    const list = () => limited.send({ path: "/2015-03-31/functions" });
    const answers = await Promise.all(Array.from({ length: 6 }, list));
    const refused = answers.filter(({ status }) => status === 429);
    assert.ok(refused.length >= 3, String(refused.length));
    assert.deepEqual(refused[0]?.json, {
      Reason: "CallerRateLimitExceeded",
      Type: "User",
      message: "Rate exceeded",
    });
    const call = { method: "POST", path: "/2015-03-31/functions/a/invocations", body: "{}" };
    assert.equal((await limited.send(call)).status, 200);
  });
});

describe("tags", () => {
  it("are added, replaced, listed and removed", async () => {
    await makeFunction(control, "tagged");
    const Resource = `${ARN}:tagged`;
    await sdk.send(new TagResourceCommand({ Resource, Tags: { a: "1", b: "2" } }));
    await sdk.send(new TagResourceCommand({ Resource, Tags: { b: "3", __proto__x: "4" } }));
    assert.deepEqual((await sdk.send(new ListTagsCommand({ Resource }))).Tags, {
      a: "1",
      b: "3",
      __proto__x: "4",
    });
    await sdk.send(new UntagResourceCommand({ Resource, TagKeys: ["a", "__proto__x", "never"] }));
    assert.deepEqual((await sdk.send(new ListTagsCommand({ Resource }))).Tags, { b: "3" });
  });

  it("are refused on versions, beyond 50, and of missing functions", async () => {
    const Resource = `${ARN}:tagged`;
    const tag = (resource: string, Tags: Record<string, string>) =>
      sdk.send(new TagResourceCommand({ Resource: resource, Tags }));
    await assert.rejects(
      tag(`${Resource}:1`, { a: "b" }),
      /Tags on function aliases and versions are not supported/,
    );
    await assert.rejects(tag(`${ARN}:missing`, { a: "b" }), ResourceNotFoundException);
    const many = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`t${at}`, ""]));
    await assert.rejects(tag(Resource, many), /Number of tags exceeds resource tag limit\./);
    await assert.rejects(tag(Resource, { "aws:x": "b" }), InvalidParameterValueException);
  });
});

describe("the account", () => {
  it("tells its limits and what is used", async () => {
    await using own = await startControl();
    await makeFunction(own, "one");
    await makeFunction(own, "two");
    const { AccountUsage, AccountLimit } = await own.sdk().send(new GetAccountSettingsCommand({}));
    assert.deepEqual(AccountUsage, { TotalCodeSize: 2 * zipOf().length, FunctionCount: 2 });
    assert.equal(AccountLimit?.CodeSizeUnzipped, 262_144_000);
    const old = await own.send({ path: "/2016-08-19/account-settings/" });
    assert.equal(old.status, 200);
  });
});

describe("GetFunctionCodeSigningConfig", () => {
  it("answers the name alone, as Terraform reads it", async () => {
    await makeFunction(control, "signed");
    const answer = await control.send({ path: "/2020-06-30/functions/signed/code-signing-config" });
    assert.deepEqual([answer.status, answer.json], [200, { FunctionName: "signed" }]);
    await assert.rejects(
      sdk.send(new GetFunctionCodeSigningConfigCommand({ FunctionName: "missing" })),
      ResourceNotFoundException,
    );
  });
});

describe("function URLs", () => {
  it("are created, read, changed, listed and removed", async () => {
    await makeFunction(control, "web");
    const FunctionName = "web";
    const created = await control.send({
      method: "POST",
      path: "/2021-10-31/functions/web/url",
      body: JSON.stringify({ AuthType: "NONE", Cors: { AllowOrigins: ["*"], MaxAge: 60 } }),
    });
    const { FunctionUrl, CreationTime, ...shape } = Object(created.json);
    assert.equal(created.status, 201);
    assert.match(FunctionUrl, /^http:\/\/[a-z2-7]{32}\.lambda-url\.eu-central-1\.localhost:8080\/$/);
    assert.deepEqual(shape, {
      FunctionArn: `${ARN}:web`,
      AuthType: "NONE",
      Cors: { AllowOrigins: ["*"], MaxAge: 60 },
    });

    const got = await sdk.send(new GetFunctionUrlConfigCommand({ FunctionName }));
    assert.deepEqual(
      [got.InvokeMode, got.LastModifiedTime, got.FunctionUrl],
      ["BUFFERED", CreationTime, FunctionUrl],
    );
    const changed = await sdk.send(
      new UpdateFunctionUrlConfigCommand({
        FunctionName,
        InvokeMode: "RESPONSE_STREAM",
        AuthType: "AWS_IAM",
      }),
    );
    assert.deepEqual(
      [changed.InvokeMode, changed.AuthType, changed.Cors, changed.FunctionUrl],
      ["RESPONSE_STREAM", "AWS_IAM", { AllowOrigins: ["*"], MaxAge: 60 }, FunctionUrl],
    );

    const [, urlId = ""] = /^http:\/\/(\w+)\./.exec(FunctionUrl) ?? [];
    assert.equal((await control.functions.findByUrlId(urlId))?.name, "web");
    await sdk.send(new DeleteFunctionUrlConfigCommand({ FunctionName }));
    assert.equal(await control.functions.findByUrlId(urlId), undefined);
    assert.deepEqual(
      (await sdk.send(new ListFunctionUrlConfigsCommand({ FunctionName }))).FunctionUrlConfigs,
      [],
    );
  });

  it("belong to a function or an alias, never to a version", async () => {
    await makeFunction(control, "owned");
    const FunctionName = "owned";
    await sdk.send(new CreateAliasCommand({ FunctionName, Name: "prod", FunctionVersion: "$LATEST" }));
    const create = (Qualifier?: string) =>
      sdk.send(new CreateFunctionUrlConfigCommand({ FunctionName, Qualifier, AuthType: "NONE" }));
    const [bare, aliased] = [await create(), await create("prod")];
    assert.deepEqual([bare.FunctionArn, aliased.FunctionArn], [`${ARN}:owned`, `${ARN}:owned:prod`]);
    const { FunctionUrlConfigs } = await sdk.send(new ListFunctionUrlConfigsCommand({ FunctionName }));
    assert.equal(FunctionUrlConfigs?.length, 2);

    await assert.rejects(create("prod"), (error) => {
      assert.ok(error instanceof ResourceConflictException);
      assert.equal(
        error.message,
        `Failed to create function url config for [functionArn = ${ARN}:owned:prod]. Error message:  FunctionUrlConfig exists for this Lambda function`,
      );
      return true;
    });
    for (const Qualifier of ["1", "$LATEST"]) await assert.rejects(create(Qualifier), /ValidationException/);
    await assert.rejects(create("nope"), /Function does not exist/);
  });

  it("are not found with AWS's texts", async () => {
    const FunctionName = "plain";
    await makeFunction(control, FunctionName);
    const resource = /The resource you requested does not exist\./;
    await assert.rejects(sdk.send(new GetFunctionUrlConfigCommand({ FunctionName })), resource);
    await assert.rejects(sdk.send(new GetFunctionUrlConfigCommand({ FunctionName: "missing" })), resource);
    await assert.rejects(sdk.send(new DeleteFunctionUrlConfigCommand({ FunctionName })), resource);
    await assert.rejects(sdk.send(new UpdateFunctionUrlConfigCommand({ FunctionName })), resource);
    await assert.rejects(
      sdk.send(new ListFunctionUrlConfigsCommand({ FunctionName: "missing" })),
      /Function does not exist/,
    );
  });

  it("refuse an unknown AuthType and a CORS rule that is none", async () => {
    for (const body of [
      {},
      { AuthType: "SOME" },
      { AuthType: "NONE", Cors: { AllowMethods: ["TRACE"] } },
      { AuthType: "NONE", Cors: { MaxAge: -1 } },
    ]) {
      const answer = await control.send({
        method: "POST",
        path: "/2021-10-31/functions/plain/url",
        body: JSON.stringify(body),
      });
      assert.deepEqual([answer.status, answer.headers["x-amzn-errortype"]], [400, "ValidationException"]);
    }
  });
});
