import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { makeZip } from "../../../code/archive-maker.fake.ts";
import { startControl, type TestControl, zipOf } from "../control.fake.ts";

let control: TestControl;
before(async () => {
  control = await startControl();
});
after(() => control[Symbol.asyncDispose]());

const layerZip = (text: string) => makeZip([{ name: "nodejs/tool.js", data: text }]);

async function send(method: string, path: string, body?: Buffer | string) {
  const answer = await control.send({ method, path, ...(body !== undefined && { body }) });
  return { status: answer.status, value: Object(answer.json), text: answer.text };
}

async function deploy(name: string, options: object) {
  const query = new URLSearchParams({ options: JSON.stringify(options) });
  const { status, text } = await send("POST", `/v1/functions/${name}/deploy?${query}`, zipOf());
  const lines = status === 200 ? text.trim().split("\n") : [text];
  return Object(JSON.parse(lines.at(-1) ?? "{}"));
}

describe("layers", () => {
  it("are published, listed, used by name or number, and kept by who uses them", async () => {
    const first = await send("POST", "/v1/layers/tools?description=one", layerZip("1"));
    assert.equal(first.status, 201, first.text);
    assert.equal(first.value.arn, "arn:aws:lambda:eu-central-1:123456789012:layer:tools:1");
    await send("POST", "/v1/layers/tools", layerZip("2"));
    await send("POST", "/v1/layers/fonts", layerZip("f"));
    const listed = (await send("GET", "/v1/layers")).value.layers;
    assert.deepEqual(
      listed.map((one: Record<string, unknown>) => [one.name, one.number, one.description]),
      [
        ["fonts", 1, ""],
        ["tools", 2, ""],
      ],
    );
    const done = await deploy("f", { layers: ["tools:1", "fonts"] });
    const arns = (config: { layers: { arn: string }[] }) =>
      config.layers.map(({ arn }) => arn.split(":layer:")[1]);
    assert.deepEqual(arns(done.function.latest.config), ["tools:1", "fonts:1"]);
    // Not said, they stay; and they are what AWS's clients see.
    assert.deepEqual(arns((await deploy("f", {})).function.latest.config), ["tools:1", "fonts:1"]);
    const aws = (await send("GET", "/2015-03-31/functions/f/configuration")).value;
    assert.equal(aws.Layers.length, 2);
    assert.equal((await send("DELETE", "/v1/layers/tools/1")).status, 204);
    assert.equal((await send("GET", "/v1/layers/tools")).value.versions.length, 1);
    const changed = await send("PATCH", "/v1/functions/f", JSON.stringify({ layers: ["tools"] }));
    assert.deepEqual(arns(changed.value.function.latest.config), ["tools:2"]);
    assert.deepEqual(arns((await deploy("f", { layers: [] })).function.latest.config), []);
  });

  for (const [why, layers, code] of [
    ["one that is not there", ["nothing"], "ResourceNotFound"],
    ["a number that is not there", ["fonts:9"], "ResourceNotFound"],
    ["a number that is none", ["fonts:x"], "InvalidRequest"],
    ["two colons", ["fonts:1:2"], "InvalidRequest"],
    ["twice the same", ["fonts:1", "fonts"], "InvalidRequest"],
    [
      "an ARN of another account",
      ["arn:aws:lambda:eu-central-1:999999999999:layer:fonts:1"],
      "InvalidRequest",
    ],
    ["too many", ["a", "b", "c", "d", "e", "f"], "InvalidRequest"],
  ] as const) {
    it(`are refused to a function: ${why}`, async () => {
      assert.equal((await deploy("g", { layers })).error.code, code);
    });
  }

  for (const [why, method, path, body, status, code] of [
    ["a bad name", "POST", "/v1/layers/a%20b", "x", 400, "InvalidRequest"],
    ["no upload", "POST", "/v1/layers/tools", "", 400, "InvalidArchive"],
    ["no archive", "POST", "/v1/layers/tools", "PK\u0003\u0004 not", 400, "InvalidArchive"],
    ["a layer that is not there", "GET", "/v1/layers/nothing", undefined, 404, "ResourceNotFound"],
    ["a version that is not there", "DELETE", "/v1/layers/tools/99", undefined, 404, "ResourceNotFound"],
    ["a version that is none", "DELETE", "/v1/layers/tools/x", undefined, 400, "InvalidRequest"],
  ] as const) {
    it(`are refused: ${why}`, async () => {
      const answer = await send(method, path, body);
      assert.deepEqual([answer.status, answer.value.error?.code], [status, code], answer.text);
    });
  }

  it("ask for the scope deploy to be published", async () => {
    const token = await control.issue({ scopes: ["read"] });
    const refused = await control.send({ method: "POST", path: "/v1/layers/x", body: layerZip("1"), token });
    assert.equal(refused.status, 403);
  });
});

describe("retired runtimes", () => {
  it("run on their successor, which is said", async () => {
    const done = await deploy("old", { runtime: "nodejs14.x" });
    assert.equal(done.function.latest.config.runtime, "nodejs24.x");
    assert.match(done.warnings[0], /nodejs14\.x is retired.*nodejs24\.x/);
    const changed = await send("PATCH", "/v1/functions/old", JSON.stringify({ runtime: "python3.7" }));
    assert.equal(changed.value.function.latest.config.runtime, "python3.13");
    assert.match(changed.value.warnings[0], /python3\.7 is retired/);
    assert.equal((await deploy("new", { runtime: "nodejs24.x" })).warnings, undefined);
  });
});
