import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  CreateAliasCommand,
  CreateFunctionCommand,
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
  waitUntilFunctionUpdatedV2,
} from "@aws-sdk/client-lambda";
import { creation, makeFunction, named, startControl, type TestControl, zipOf } from "../control.fake.ts";

let control: TestControl;
let sdk: LambdaClient;
before(async () => {
  control = await startControl();
  sdk = control.sdk();
});
after(() => control[Symbol.asyncDispose]());

const ARN = "arn:aws:lambda:eu-central-1:123456789012:function";

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

  it("leaves a version that aliases point at, and names them as AWS does", async () => {
    await makeFunction(control, "aliased");
    await sdk.send(new PublishVersionCommand({ FunctionName: "aliased" }));
    for (const Name of ["live", "next"])
      await sdk.send(new CreateAliasCommand({ FunctionName: "aliased", Name, FunctionVersion: "1" }));
    await assert.rejects(
      sdk.send(new DeleteFunctionCommand({ FunctionName: "aliased", Qualifier: "1" })),
      (error: unknown) => {
        assert.ok(error instanceof ResourceConflictException);
        assert.equal(error.$metadata.httpStatusCode, 409);
        assert.match(
          error.message,
          /^Unable to delete version because the following aliases reference it: \[live, next\]/,
        );
        return true;
      },
    );
    assert.equal((await control.functions.listVersions(named("aliased"), { after: 0, limit: 9 })).length, 1);
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
