import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import type { CodeSettings } from "../../../code/prepare.ts";
import { startControl, type TestControl, zipOf } from "../control.fake.ts";

const encode = (text: string) => Buffer.from(text).toString("base64");

let control: TestControl;
let usual: TestControl["prepare"];
let seen: CodeSettings[] = [];
before(async () => {
  control = await startControl();
  usual = control.prepare;
});
beforeEach(() => {
  seen = [];
  control.prepare = (upload, settings, options) => {
    seen.push(settings);
    return usual(upload, settings, options);
  };
});
after(() => control[Symbol.asyncDispose]());

async function put(secrets: object, token?: string) {
  const body = JSON.stringify({ secrets });
  return await control.send({ method: "POST", path: "/v1/build-secrets", body, ...(token && { token }) });
}

async function deploy(options: object, token?: string) {
  const path = `/v1/functions/greet/deploy?options=${encodeURIComponent(JSON.stringify(options))}`;
  return await control.send({ method: "POST", path, body: zipOf(), ...(token && { token }) });
}

describe("secrets of a build", () => {
  it("are given to the one build that names them, with its arguments", async () => {
    const { status, json } = await put({ npmrc: encode("token=abc"), key: encode("k") });
    assert.equal(status, 201);
    const { id } = Object(json);
    assert.equal((await deploy({ buildSecrets: id, buildArgs: { STAGE: "x" } })).status, 200);
    const [settings] = seen;
    assert.deepEqual(settings?.buildArgs, { STAGE: "x" });
    assert.deepEqual(
      [...(settings?.buildSecrets ?? [])].map(([name, value]) => [name, Buffer.from(value).toString()]),
      [
        ["npmrc", "token=abc"],
        ["key", "k"],
      ],
    );
    const again = await deploy({ buildSecrets: id });
    assert.equal(again.status, 400);
    assert.match(again.text, /buildSecrets: .* is not kept \(any more\): send the secrets again/);
  });

  it("are for the key that brought them", async () => {
    const other = await control.issue({ scopes: ["deploy"] });
    const { json } = await put({ a: encode("secret") });
    assert.equal((await deploy({ buildSecrets: Object(json).id }, other)).status, 400);
    assert.equal((await deploy({ buildSecrets: Object(json).id })).status, 200);
  });

  it("take a key that may deploy", async () => {
    const reader = await control.issue({ scopes: ["read"] });
    assert.equal((await put({ a: encode("secret") }, reader)).status, 403);
  });

  for (const [why, secrets, said] of [
    ["none", {}, /expected 1 to 20 of them, got 0/],
    ["an id with a blank", { "a b": encode("x") }, /expected letters, digits, _, \. and -/],
    ["what is no base64", { a: "%%%" }, /secrets\.a: expected base64/],
    ["too large a one", { a: encode("x".repeat(513_000)) }, /secrets\.a: expected at most 512000 bytes/],
  ] as const) {
    it(`are refused: ${why}`, async () => {
      const { status, text } = await put(secrets);
      assert.equal(status, 400, text);
      assert.match(text, said);
    });
  }

  it("arguments are refused by a name that no Dockerfile can have", async () => {
    const { status, text } = await deploy({ buildArgs: { "A-B": "x" } });
    assert.equal(status, 400);
    assert.match(text, /buildArgs\.A-B: expected letters, digits and _/);
  });
});
