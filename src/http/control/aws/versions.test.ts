import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  CreateAliasCommand,
  DeleteAliasCommand,
  GetAliasCommand,
  InvalidParameterValueException,
  type LambdaClient,
  ListAliasesCommand,
  ListVersionsByFunctionCommand,
  PreconditionFailedException,
  PublishVersionCommand,
  ResourceConflictException,
  ResourceNotFoundException,
  UpdateAliasCommand,
  UpdateFunctionConfigurationCommand,
} from "@aws-sdk/client-lambda";
import { makeFunction, startControl, type TestControl } from "../control.fake.ts";

const ARN = "arn:aws:lambda:eu-central-1:123456789012:function";

let control: TestControl;
let sdk: LambdaClient;
before(async () => {
  control = await startControl();
  sdk = control.sdk();
});
after(() => control[Symbol.asyncDispose]());

/** A function with versions 1 to `count`. */
async function withVersions(FunctionName: string, count: number): Promise<void> {
  await makeFunction(control, FunctionName);
  for (let round = 1; round <= count; round++) {
    await sdk.send(new UpdateFunctionConfigurationCommand({ FunctionName, Timeout: round }));
    await sdk.send(new PublishVersionCommand({ FunctionName }));
  }
}

describe("PublishVersion", () => {
  it("freezes $LATEST under a number, and answers the same one until something changes", async () => {
    await makeFunction(control, "pub");
    const publish = (input: object = {}) =>
      sdk.send(new PublishVersionCommand({ FunctionName: "pub", ...input }));
    const first = await publish({ Description: "the first" });
    const again = await publish({ Description: "not used" });
    assert.deepEqual(
      [first.Version, first.FunctionArn, first.Description, first.State, first.LastUpdateStatus],
      ["1", `${ARN}:pub:1`, "the first", "Active", "Successful"],
    );
    assert.deepEqual([again.Version, again.RevisionId], ["1", first.RevisionId]);

    const changed = await sdk.send(
      new UpdateFunctionConfigurationCommand({ FunctionName: "pub", Timeout: 9 }),
    );
    await assert.rejects(publish({ RevisionId: first.RevisionId }), PreconditionFailedException);
    assert.equal((await publish({ RevisionId: changed.RevisionId })).Version, "2");
  });

  it("refuses a hash that is not that of $LATEST, with both in the text", async () => {
    await makeFunction(control, "hashed");
    await assert.rejects(
      sdk.send(new PublishVersionCommand({ FunctionName: "hashed", CodeSha256: "abc=" })),
      /^InvalidParameterValueException: CodeSHA256 \(abc=\) is different from current CodeSHA256 in \$LATEST \(.{44}\)\. Please try again with the CodeSHA256 in \$LATEST\.$/,
    );
  });

  it("refuses a function that is not there, and one named with a version", async () => {
    const publish = (FunctionName: string) => sdk.send(new PublishVersionCommand({ FunctionName }));
    await assert.rejects(publish("missing"), ResourceNotFoundException);
    await assert.rejects(publish("pub:1"), InvalidParameterValueException);
  });
});

describe("ListVersionsByFunction", () => {
  it("begins with $LATEST and pages without losing any", async () => {
    await withVersions("many", 4);
    for (const MaxItems of [1, 2, 3, 5, 10_000]) {
      const found: string[] = [];
      let Marker: string | undefined;
      do {
        const page = await sdk.send(
          new ListVersionsByFunctionCommand({ FunctionName: "many", MaxItems, Marker }),
        );
        found.push(...(page.Versions ?? []).map((shown) => shown.FunctionArn ?? ""));
        Marker = page.NextMarker;
      } while (Marker !== undefined);
      const expected = ["$LATEST", "1", "2", "3", "4"].map((label) => `${ARN}:many:${label}`);
      assert.deepEqual(found, expected, `pages of ${MaxItems}`);
    }
  });
});

describe("aliases", () => {
  it("are created, read, listed, moved and removed", async () => {
    await withVersions("al", 2);
    const FunctionName = "al";
    const created = await control.send({
      method: "POST",
      path: "/2015-03-31/functions/al/aliases",
      body: JSON.stringify({ Name: "prod", FunctionVersion: "1" }),
    });
    const { RevisionId, ...shape } = Object(created.json);
    assert.equal(created.status, 201);
    assert.deepEqual(shape, {
      AliasArn: `${ARN}:al:prod`,
      Name: "prod",
      FunctionVersion: "1",
      Description: "",
    });

    const moved = await sdk.send(
      new UpdateAliasCommand({
        FunctionName,
        Name: "prod",
        FunctionVersion: "2",
        RoutingConfig: { AdditionalVersionWeights: { "1": 0.2 } },
        RevisionId,
      }),
    );
    assert.deepEqual(moved.RoutingConfig, { AdditionalVersionWeights: { "1": 0.2 } });
    assert.notEqual(moved.RevisionId, RevisionId);

    const kept = await sdk.send(new UpdateAliasCommand({ FunctionName, Name: "prod", Description: "live" }));
    assert.deepEqual([kept.Description, kept.RoutingConfig], ["live", moved.RoutingConfig]);
    const cleared = await sdk.send(new UpdateAliasCommand({ FunctionName, Name: "prod", RoutingConfig: {} }));
    assert.equal(cleared.RoutingConfig, undefined);

    await sdk.send(new CreateAliasCommand({ FunctionName, Name: "beta", FunctionVersion: "$LATEST" }));
    const all = await sdk.send(new ListAliasesCommand({ FunctionName }));
    const onTwo = await sdk.send(new ListAliasesCommand({ FunctionName, FunctionVersion: "2" }));
    const first = await sdk.send(new ListAliasesCommand({ FunctionName, MaxItems: 1 }));
    const second = await sdk.send(
      new ListAliasesCommand({ FunctionName, MaxItems: 1, Marker: first.NextMarker }),
    );
    assert.deepEqual(
      [all, onTwo, first, second].map((page) => page.Aliases?.map((alias) => alias.Name)),
      [["beta", "prod"], ["prod"], ["beta"], ["prod"]],
    );
    assert.equal(second.NextMarker, undefined);

    await sdk.send(new DeleteAliasCommand({ FunctionName, Name: "prod" }));
    await sdk.send(new DeleteAliasCommand({ FunctionName, Name: "prod" }));
    await assert.rejects(sdk.send(new GetAliasCommand({ FunctionName, Name: "prod" })), (error) => {
      assert.ok(error instanceof ResourceNotFoundException);
      assert.equal(error.message, `Cannot find alias arn: ${ARN}:al:prod`);
      return true;
    });
    await assert.rejects(
      sdk.send(new UpdateAliasCommand({ FunctionName, Name: "prod", FunctionVersion: "1" })),
      new RegExp(`Alias not found: ${ARN}:al:prod$`),
    );
  });

  it("refuse what they cannot point at", async () => {
    await withVersions("bad", 2);
    const create = (input: object) =>
      sdk.send(new CreateAliasCommand({ FunctionName: "bad", Name: "a", FunctionVersion: "1", ...input }));
    await create({ Name: "taken" });

    await assert.rejects(create({ Name: "taken" }), (error) => {
      assert.ok(error instanceof ResourceConflictException);
      assert.equal(error.message, `Alias already exists: ${ARN}:bad:taken`);
      return true;
    });
    await assert.rejects(create({ FunctionVersion: "9" }), new RegExp(`Function not found: ${ARN}:bad:9$`));
    await assert.rejects(
      create({ FunctionName: "missing" }),
      new RegExp(`Function not found: ${ARN}:missing$`),
    );
    await assert.rejects(create({ Name: "123" }), /ValidationException: .*'name'/);
    await assert.rejects(create({ FunctionVersion: "one" }), /ValidationException: .*'functionVersion'/);
    for (const weights of [
      { "1": 0.5 },
      { "2": 1.5 },
      { "2": -1 },
      { "1": 0.1, "2": 0.1 },
      { $LATEST: 0.5 },
      { "9": 0.5 },
    ]) {
      await assert.rejects(
        create({ RoutingConfig: { AdditionalVersionWeights: weights } }),
        (error) =>
          error instanceof InvalidParameterValueException || error instanceof ResourceNotFoundException,
        JSON.stringify(weights),
      );
    }
    const { Aliases } = await sdk.send(new ListAliasesCommand({ FunctionName: "bad" }));
    assert.deepEqual(
      Aliases?.map((alias) => alias.Name),
      ["taken"],
    );
  });

  it("refuse a change that is based on an older one", async () => {
    await withVersions("rev", 1);
    const key = { FunctionName: "rev", Name: "a" };
    await sdk.send(new CreateAliasCommand({ ...key, FunctionVersion: "1" }));
    await assert.rejects(
      sdk.send(new UpdateAliasCommand({ ...key, Description: "x", RevisionId: "older" })),
      (error) =>
        error instanceof PreconditionFailedException && /GetFunction\/GetAlias API/.test(error.message),
    );
  });
});
