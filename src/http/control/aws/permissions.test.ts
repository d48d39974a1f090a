import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  AddPermissionCommand,
  type AddPermissionCommandInput,
  CreateAliasCommand,
  DeleteAliasCommand,
  DeleteResourcePolicyCommand,
  GetPolicyCommand,
  GetResourcePolicyCommand,
  InvokeCommand,
  PublishVersionCommand,
  PutResourcePolicyCommand,
  RemovePermissionCommand,
} from "@aws-sdk/client-lambda";
import { ACCOUNT, makeFunction, startControl, type TestControl } from "../control.fake.ts";
import { functionArn } from "./names.ts";

let control: TestControl;
before(async () => {
  control = await startControl();
});
after(() => control[Symbol.asyncDispose]());

let count = 0;
async function fresh(): Promise<string> {
  const name = `policed-${++count}`;
  await makeFunction(control, name);
  return name;
}

const statement = (FunctionName: string, more: Partial<AddPermissionCommandInput> = {}) =>
  new AddPermissionCommand({
    FunctionName,
    StatementId: "s3",
    Action: "lambda:InvokeFunction",
    Principal: "s3.amazonaws.com",
    ...more,
  });

const fails = (name: string, message: string | RegExp) => (error: Error) => {
  const text = "Message" in error ? String(error.Message) : error.message;
  assert.equal(error.name, name);
  if (typeof message === "string") assert.equal(text || error.message, message);
  else assert.match(text || error.message, message);
  return true;
};

describe("resource policies", () => {
  it("are kept and shown as AWS shows them, one for each qualifier", async () => {
    const name = await fresh();
    const sdk = control.sdk();
    const arn = functionArn(ACCOUNT, name);
    const added = await sdk.send(
      statement(name, { SourceArn: "arn:aws:s3:::bucket", SourceAccount: "123456789012" }),
    );
    const expected = {
      Sid: "s3",
      Effect: "Allow",
      Principal: { Service: "s3.amazonaws.com" },
      Action: "lambda:InvokeFunction",
      Resource: arn,
      Condition: {
        StringEquals: { "AWS:SourceAccount": "123456789012" },
        ArnLike: { "AWS:SourceArn": "arn:aws:s3:::bucket" },
      },
    };
    assert.deepEqual(JSON.parse(added.Statement ?? ""), expected);
    const shown = await sdk.send(new GetPolicyCommand({ FunctionName: name }));
    assert.deepEqual(JSON.parse(shown.Policy ?? ""), {
      Version: "2012-10-17",
      Id: "default",
      Statement: [expected],
    });
    assert.match(shown.RevisionId ?? "", /^[0-9a-f-]{36}$/);

    await sdk.send(new PublishVersionCommand({ FunctionName: name }));
    await sdk.send(new CreateAliasCommand({ FunctionName: name, Name: "live", FunctionVersion: "1" }));
    await sdk.send(statement(name, { Qualifier: "live", Principal: "111122223333" }));
    const ofAlias = await sdk.send(new GetPolicyCommand({ FunctionName: `${arn}:live` }));
    const [only] = JSON.parse(ofAlias.Policy ?? "").Statement;
    assert.deepEqual(
      [only.Principal, only.Resource],
      [{ AWS: "arn:aws:iam::111122223333:root" }, `${arn}:live`],
    );

    await sdk.send(new DeleteAliasCommand({ FunctionName: name, Name: "live" }));
    await sdk.send(new CreateAliasCommand({ FunctionName: name, Name: "live", FunctionVersion: "1" }));
    await assert.rejects(
      sdk.send(new GetPolicyCommand({ FunctionName: name, Qualifier: "live" })),
      fails("ResourceNotFoundException", "The resource you requested does not exist."),
    );
  });

  it("lose a statement by its id, and are gone with the last", async () => {
    const name = await fresh();
    const sdk = control.sdk();
    const remove = (StatementId: string, more = {}) =>
      sdk.send(new RemovePermissionCommand({ FunctionName: name, StatementId, ...more }));
    await assert.rejects(
      remove("s3"),
      fails("ResourceNotFoundException", "No policy is associated with the given resource."),
    );
    await sdk.send(statement(name));
    await assert.rejects(
      remove("x"),
      fails("ResourceNotFoundException", "Statement x is not found in resource policy."),
    );
    await assert.rejects(
      remove("s3", { RevisionId: "old" }),
      fails("PreconditionFailedException", /Call the GetPolicy API/),
    );
    const { RevisionId } = await sdk.send(new GetPolicyCommand({ FunctionName: name }));
    await remove("s3", { RevisionId });
    await assert.rejects(
      sdk.send(new GetPolicyCommand({ FunctionName: name })),
      fails("ResourceNotFoundException", "The resource you requested does not exist."),
    );
  });

  it("are refused as AWS refuses them", async () => {
    const name = await fresh();
    const sdk = control.sdk();
    const arn = functionArn(ACCOUNT, name);
    await sdk.send(statement(name));
    const cases: readonly [Partial<AddPermissionCommandInput>, string, string | RegExp][] = [
      [
        {},
        "ResourceConflictException",
        "The statement id (s3) provided already exists. Please provide a new statement id, or remove the existing statement.",
      ],
      [
        { StatementId: "b", Principal: "nobody" },
        "InvalidParameterValueException",
        "The provided principal was invalid. Please check the principal and try again.",
      ],
      [
        { StatementId: "b", Qualifier: "$LATEST" },
        "InvalidParameterValueException",
        "We currently do not support adding policies for $LATEST.",
      ],
      [{ StatementId: "b", Qualifier: "7" }, "ResourceNotFoundException", `Function not found: ${arn}:7`],
      [
        { StatementId: "b", Qualifier: "live" },
        "ResourceNotFoundException",
        `Cannot find alias arn: ${arn}:live`,
      ],
      [{ StatementId: "b", RevisionId: "old" }, "PreconditionFailedException", /Call the GetPolicy API/],
      [
        { StatementId: "b c" },
        "ValidationException",
        /'statementId' failed .* pattern: \(\[a-zA-Z0-9-_\]\+\)/,
      ],
      [{ StatementId: "b", Action: "s3:Get" }, "ValidationException", /'action' failed/],
      [
        { StatementId: "b", FunctionUrlAuthType: "NONE" },
        "InvalidParameterValueException",
        /only supported for lambda:InvokeFunctionUrl/,
      ],
      [
        { StatementId: "b", FunctionName: "missing" },
        "ResourceNotFoundException",
        `Function not found: ${functionArn(ACCOUNT, "missing")}`,
      ],
    ];
    for (const [change, error, message] of cases) {
      await assert.rejects(sdk.send(statement(name, change)), fails(error, message), JSON.stringify(change));
    }
    await assert.rejects(
      sdk.send(new RemovePermissionCommand({ FunctionName: "missing", StatementId: "s" })),
      fails("ResourceNotFoundException", `No policy found for: ${functionArn(ACCOUNT, "missing")}`),
    );
  });

  it("are at most 20 KB", async () => {
    const name = await fresh();
    const sdk = control.sdk();
    const SourceArn = `arn:aws:s3:::${"b".repeat(1_900)}`;
    for (let at = 0; at < 9; at++) await sdk.send(statement(name, { StatementId: `s${at}`, SourceArn }));
    await assert.rejects(
      sdk.send(statement(name, { StatementId: "last", SourceArn })),
      fails(
        "PolicyLengthExceededException",
        /^The final policy size \(\d+\) is bigger than the limit \(20480\)\.$/,
      ),
    );
  });

  it("can be put, read and deleted as a whole", async () => {
    const name = await fresh();
    const sdk = control.sdk();
    const ResourceArn = functionArn(ACCOUNT, name);
    await sdk.send(
      statement(name, { Principal: "*", Action: "lambda:InvokeFunctionUrl", FunctionUrlAuthType: "NONE" }),
    );
    const { Policy, RevisionId } = await sdk.send(new GetResourcePolicyCommand({ ResourceArn }));
    const renamed = (Policy ?? "").replace('"s3"', '"other"');
    const put = await sdk.send(new PutResourcePolicyCommand({ ResourceArn, Policy: renamed, RevisionId }));
    assert.equal(put.Policy, renamed);
    for (const wrong of [
      "{",
      "{}",
      '{"Statement":[]}',
      renamed.replace("Allow", "Deny"),
      renamed.replace(name, "x"),
    ]) {
      await assert.rejects(
        sdk.send(new PutResourcePolicyCommand({ ResourceArn, Policy: wrong })),
        fails("InvalidParameterValueException", /^Policy: expected/),
      );
    }
    await sdk.send(new DeleteResourcePolicyCommand({ ResourceArn }));
    await assert.rejects(sdk.send(new GetResourcePolicyCommand({ ResourceArn })), {
      name: "ResourceNotFoundException",
    });
  });
});

describe("a key for other functions", () => {
  it("may call what the policy of just that qualifier allows it", async () => {
    const name = await fresh();
    const admin = control.sdk();
    await admin.send(new PublishVersionCommand({ FunctionName: name }));
    await admin.send(new CreateAliasCommand({ FunctionName: name, Name: "live", FunctionVersion: "1" }));
    const caller = control.sdk(await control.issue({ functions: "something-else" }));
    const call = (Qualifier?: string) =>
      caller.send(new InvokeCommand({ FunctionName: name, ...(Qualifier && { Qualifier }) }));
    await assert.rejects(call("live"), { name: "AccessDeniedException" });
    await admin.send(statement(name, { Qualifier: "live", Principal: ACCOUNT.account }));
    assert.equal((await call("live")).StatusCode, 200);
    assert.equal(
      (await caller.send(new InvokeCommand({ FunctionName: `${functionArn(ACCOUNT, name)}:live` })))
        .StatusCode,
      200,
    );
    for (const other of [undefined, "1", "$LATEST", "dead"]) {
      await assert.rejects(call(other), { name: "AccessDeniedException" }, String(other));
    }
    await admin.send(
      new RemovePermissionCommand({ FunctionName: name, Qualifier: "live", StatementId: "s3" }),
    );
    await assert.rejects(call("live"), { name: "AccessDeniedException" });
  });

  it("is not let in by statements for services, other accounts, other actions or other sources", async () => {
    const name = await fresh();
    const admin = control.sdk();
    await admin.send(statement(name, { StatementId: "a" }));
    await admin.send(statement(name, { StatementId: "b", Principal: "999999999999" }));
    await admin.send(statement(name, { StatementId: "c", Principal: "*", Action: "lambda:GetFunction" }));
    await admin.send(statement(name, { StatementId: "d", Principal: "*", SourceArn: "arn:aws:s3:::b" }));
    await admin.send(statement(name, { StatementId: "e", Principal: "*", InvokedViaFunctionUrl: true }));
    const caller = control.sdk(await control.issue({ functions: "something-else" }));
    await assert.rejects(caller.send(new InvokeCommand({ FunctionName: name })), {
      name: "AccessDeniedException",
    });
  });

  it("cannot tell a function that is not there from one that it may not call", async () => {
    const token = await control.issue({ functions: "something-else" });
    const path = "/2015-03-31/functions/missing/invocations";
    assert.equal((await control.send({ method: "POST", path, token, body: "{}" })).status, 403);
  });

  it("gets nothing but calls out of a policy", async () => {
    const name = await fresh();
    await control.sdk().send(statement(name, { Principal: "*", Action: "lambda:*" }));
    const caller = control.sdk(await control.issue({ functions: "x", scopes: ["invoke", "deploy"] }));
    await assert.rejects(caller.send(new GetPolicyCommand({ FunctionName: name })), {
      name: "AccessDeniedException",
    });
    const reader = control.sdk(await control.issue({ functions: "x", scopes: ["read"] }));
    await assert.rejects(reader.send(new InvokeCommand({ FunctionName: name })), {
      name: "AccessDeniedException",
    });
  });
});
