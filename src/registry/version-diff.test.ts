import assert from "node:assert/strict";
import { it } from "node:test";
import { type FunctionConfig, TEXT_LOGGING, type Version } from "../core/function.ts";
import { sampleVersion } from "../store/samples.fake.ts";
import { changedMembers } from "./version-diff.ts";

const older = sampleVersion("f", "1", "a");

it("finds nothing between two versions that do the same", () => {
  const newer: Version = { ...older, label: "2", revisionId: "other", modifiedAt: 9 };
  assert.deepEqual(changedMembers(older, newer), []);
});

const changes: { [M in keyof FunctionConfig]: FunctionConfig[M] } = {
  runtime: "python3.13",
  entry: { kind: "handler", handler: "other.handler" },
  description: "new",
  memoryMib: 256,
  timeoutMs: 4_000,
  tmpMib: 1_024,
  environment: { GREETING: "other" },
  network: "none",
  slotsPerInstance: 2,
  architecture: "arm64",
  role: "arn:aws:iam::000000000000:role/r",
  layers: [
    {
      arn: "arn:aws:lambda:us-east-1:000000000000:layer:l:1",
      code: { treeId: "l", archiveSha256: "l", archiveBytes: 1, treeBytes: 1 },
    },
  ],
  optTreeId: "l",
  logging: { ...TEXT_LOGGING, format: "JSON" },
  mayInvoke: ["other-*"],
  kept: { kmsKeyArn: "arn:aws:kms:us-east-1:000000000000:key/k" },
};
for (const [member, value] of Object.entries(changes)) {
  it(`finds a change of ${member}`, () => {
    assert.deepEqual(changedMembers(older, { ...older, config: { ...older.config, [member]: value } }), [
      member,
    ]);
  });
}

it("tells code apart by tree and by archive", () => {
  assert.deepEqual(changedMembers(older, { ...older, code: { ...older.code, treeId: "b" } }), ["code"]);
  assert.deepEqual(changedMembers(older, { ...older, code: { ...older.code, archiveSha256: "b" } }), [
    "code",
  ]);
});

it("does not mind the order of variables", () => {
  const inOrder = (environment: Record<string, string>) => ({
    ...older,
    config: { ...older.config, environment },
  });
  assert.deepEqual(changedMembers(inOrder({ A: "1", B: "2" }), inOrder({ B: "2", A: "1" })), []);
  assert.deepEqual(changedMembers(inOrder({ A: "1" }), inOrder({ A: "1", B: "2" })), ["environment"]);
});
