import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  CreateAliasCommand,
  DeleteAliasCommand,
  DeleteFunctionEventInvokeConfigCommand,
  GetFunctionEventInvokeConfigCommand,
  type LambdaClient,
  ListFunctionEventInvokeConfigsCommand,
  PublishVersionCommand,
  PutFunctionEventInvokeConfigCommand,
  type PutFunctionEventInvokeConfigCommandInput,
  ResourceNotFoundException,
  UpdateFunctionEventInvokeConfigCommand,
} from "@aws-sdk/client-lambda";
import { makeFunction, startControl, type TestControl } from "../control.fake.ts";

const ARN = "arn:aws:lambda:eu-central-1:123456789012:function";

let control: TestControl;
let sdk: LambdaClient;
before(async () => {
  control = await startControl();
  sdk = control.sdk();
  await makeFunction(control, "work");
  await sdk.send(new PublishVersionCommand({ FunctionName: "work" }));
  await sdk.send(new CreateAliasCommand({ FunctionName: "work", Name: "live", FunctionVersion: "1" }));
});
after(() => control[Symbol.asyncDispose]());

const put = (more: Partial<PutFunctionEventInvokeConfigCommandInput>) =>
  sdk.send(new PutFunctionEventInvokeConfigCommand({ FunctionName: "work", ...more }));

describe("event invoke configurations", () => {
  it("are put, read, changed in part, listed and deleted, for each qualifier apart", async () => {
    const made = await put({
      MaximumRetryAttempts: 1,
      MaximumEventAgeInSeconds: 60,
      DestinationConfig: {
        OnSuccess: { Destination: `${ARN}:other:prod` },
        OnFailure: { Destination: "https://example.org/hook?a=b" },
      },
    });
    assert.deepEqual(
      [made.FunctionArn, made.MaximumRetryAttempts, made.MaximumEventAgeInSeconds],
      [`${ARN}:work:$LATEST`, 1, 60],
    );
    assert.deepEqual(made.DestinationConfig, {
      OnSuccess: { Destination: `${ARN}:other:prod` },
      OnFailure: { Destination: "https://example.org/hook?a=b" },
    });
    assert.ok(Math.abs(Number(made.LastModified) - Date.now()) < 60_000);
    await put({ Qualifier: "live", MaximumRetryAttempts: 0 });

    const changed = await sdk.send(
      new UpdateFunctionEventInvokeConfigCommand({
        FunctionName: "work",
        DestinationConfig: { OnFailure: {} },
      }),
    );
    assert.deepEqual(changed.DestinationConfig, {
      OnSuccess: { Destination: `${ARN}:other:prod` },
      OnFailure: {},
    });
    assert.equal(changed.MaximumRetryAttempts, 1);

    const live = new GetFunctionEventInvokeConfigCommand({ FunctionName: "work", Qualifier: "live" });
    const found = await sdk.send(live);
    assert.deepEqual(
      [
        found.FunctionArn,
        found.MaximumRetryAttempts,
        found.MaximumEventAgeInSeconds,
        found.DestinationConfig,
      ],
      [`${ARN}:work:live`, 0, undefined, { OnSuccess: {}, OnFailure: {} }],
    );
    const list = new ListFunctionEventInvokeConfigsCommand({ FunctionName: "work", MaxItems: 1 });
    const first = await sdk.send(list);
    const second = await sdk.send(
      new ListFunctionEventInvokeConfigsCommand({ FunctionName: "work", Marker: first.NextMarker }),
    );
    const arns = [first, second].flatMap(({ FunctionEventInvokeConfigs }) =>
      (FunctionEventInvokeConfigs ?? []).map(({ FunctionArn }) => FunctionArn),
    );
    assert.deepEqual([arns, second.NextMarker], [[`${ARN}:work:$LATEST`, `${ARN}:work:live`], undefined]);

    await sdk.send(
      new DeleteFunctionEventInvokeConfigCommand({ FunctionName: "work", Qualifier: "$LATEST" }),
    );
    const gone = new GetFunctionEventInvokeConfigCommand({ FunctionName: "work" });
    await assert.rejects(sdk.send(gone), (error: Error) => {
      assert.ok(error instanceof ResourceNotFoundException);
      assert.match(error.message, /^The function arn:.*:work:\$LATEST doesn't have an EventInvokeConfig$/);
      return true;
    });
    await sdk.send(new DeleteAliasCommand({ FunctionName: "work", Name: "live" }));
    await assert.rejects(sdk.send(live), ResourceNotFoundException);
  });

  for (const [why, input, message] of [
    ["nothing at all", {}, /You must specify at least one of error handling or destination setting/],
    [
      "itself",
      { OnSuccess: { Destination: `${ARN}:work` } },
      /can't specify the function as a destination for itself/,
    ],
    [
      "a queue",
      { OnFailure: { Destination: "arn:aws:sqs:eu-central-1:123456789012:q" } },
      /is not supported by lambdad/,
    ],
    ["an address with a password", { OnSuccess: { Destination: "http://a:b@c/" } }, /expected an address/],
    ["an address that is none", { OnSuccess: { Destination: "http://" } }, /expected an address/],
    [
      "another account",
      { OnSuccess: { Destination: "arn:aws:lambda:eu-central-1:999999999999:function:g" } },
      /another account/,
    ],
  ] as const) {
    it(`refuse as destination ${why}`, async () => {
      const isNothing = Object.keys(input).length === 0;
      await assert.rejects(put(isNothing ? {} : { DestinationConfig: input }), message);
    });
  }

  for (const [why, more] of [
    ["three retries", { MaximumRetryAttempts: 3 }],
    ["an age below a minute", { MaximumEventAgeInSeconds: 59 }],
    ["an age above six hours", { MaximumEventAgeInSeconds: 21_601 }],
  ] as const) {
    it(`refuse ${why}`, async () => {
      await assert.rejects(put(more), { name: "ValidationException" });
    });
  }

  it("need a function, and an alias or version that is there", async () => {
    await assert.rejects(put({ FunctionName: "nobody", MaximumRetryAttempts: 1 }), {
      name: "ResourceNotFoundException",
      message: "The function doesn't exist.",
    });
    for (const Qualifier of ["9", "nowhere"]) {
      await assert.rejects(put({ Qualifier, MaximumRetryAttempts: 1 }), ResourceNotFoundException);
    }
  });
});
