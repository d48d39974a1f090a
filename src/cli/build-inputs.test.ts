import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseSecretOption, readBuildArgs, readSecrets } from "./build-inputs.ts";

describe("readBuildArgs", () => {
  it("takes pairs, and names that the environment has", () =>
    assert.deepEqual(readBuildArgs(["A=1", "B=", "C=x=y", "D"], { D: "of the environment" }), {
      ...{ A: "1", B: "", C: "x=y", D: "of the environment" },
    }));
  it("takes all away with none", () => assert.deepEqual(readBuildArgs(["none"], {}), {}));
  for (const [given, said] of [
    ["E", /--build-arg E: the environment has no E/],
    ["=x", /expected KEY=VALUE.*got ""=…/],
    ["A-B=secret", /got "A-B"=…/],
  ] as const)
    it(`refuses ${given}`, () => assert.throws(() => readBuildArgs([given], {}), { message: said }));
});

describe("parseSecretOption", () => {
  it("takes files and variables", () => {
    assert.deepEqual(parseSecretOption("id=a,src=f"), { id: "a", file: "f", env: undefined });
    assert.deepEqual(parseSecretOption("type=file,id=a,source=f"), { id: "a", file: "f", env: undefined });
    assert.deepEqual(parseSecretOption("id=a,env=B"), { id: "a", file: undefined, env: "B" });
  });
  for (const given of ["token", "id=a", "src=f", "id=a,src=f,env=B", "id=a b,src=f", "id=a,value=topsecret"])
    it(`refuses ${given} without repeating it`, () =>
      assert.throws(
        () => parseSecretOption(given),
        (error: Error) => /expected id=NAME,src=FILE/.test(error.message) && !/topsecret/.test(error.message),
      ));
});

describe("readSecrets", () => {
  it("says which one cannot be had", async () => {
    await assert.rejects(readSecrets([{ id: "a", file: "nowhere" }], "/", {}), /build secret a: cannot read/);
    await assert.rejects(readSecrets([{ id: "a", env: "B" }], "/", {}), /build secret a: .* has no B/);
    const twice = [
      { id: "a", env: "B" },
      { id: "a", env: "B" },
    ];
    await assert.rejects(readSecrets(twice, "/", { B: "x" }), /build secret a is given twice/);
  });
});
