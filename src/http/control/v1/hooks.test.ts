import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startControl, type TestControl, zipOf } from "../control.fake.ts";

interface HookJson {
  readonly id: string;
  readonly name: string;
  readonly url: string;
  readonly state: string;
  readonly secrets: readonly unknown[];
}

async function open(): Promise<TestControl> {
  const control = await startControl();
  await control.send({
    method: "POST",
    path: "/v1/functions/greet/deploy",
    headers: { "content-type": "application/zip" },
    body: zipOf(),
  });
  return control;
}

function post(control: TestControl, path: string, body: unknown = {}, token?: string) {
  const headers = { "content-type": "application/json" };
  const more = token === undefined ? {} : { token };
  return control.send({ method: "POST", path, headers, body: JSON.stringify(body), ...more });
}

const GITHUB = { name: "push", function: "greet", provider: "github" };

describe("hooks", () => {
  it("are made, found by name and id, and say their secret once", async () => {
    await using control = await open();
    const made = await post(control, "/v1/hooks", GITHUB);
    assert.equal(made.status, 201, made.text);
    const { hook, secret } = made.json as { hook: HookJson; secret: string };
    assert.match(secret, /^[\w-]{43}$/);
    assert.match(hook.url, /^http:\/\/localhost:8080\/_hooks\/hk_[0-9a-z]{26}$/);
    for (const name of ["push", hook.id]) {
      const found = await control.send({ path: `/v1/hooks/${name}` });
      assert.deepEqual(found.json, hook);
    }
    const listed = await control.send({ path: "/v1/hooks" });
    assert.deepEqual(listed.json, { hooks: [hook] });
    const stored = await control.store.hooks.findByName("push");
    assert.ok(!JSON.stringify([listed.json, stored]).includes(secret));
  });

  it("wait for the secret of those who make it themselves, and take it with rotate", async () => {
    await using control = await open();
    const made = await post(control, "/v1/hooks", { ...GITHUB, provider: "stripe" });
    const { hook, secret } = made.json as { hook: HookJson; secret?: string };
    assert.deepEqual([hook.state, secret], ["without secret", undefined]);
    assert.equal((await post(control, "/v1/hooks/push/rotate")).status, 400);
    const rotated = await post(control, "/v1/hooks/push/rotate", { secret: "whsec_x" });
    assert.equal((rotated.json as { hook: HookJson }).hook.state, "active");
  });

  it("keep two secrets at most", async () => {
    await using control = await open();
    await post(control, "/v1/hooks", GITHUB);
    for (const count of [2, 2]) {
      const { json } = await post(control, "/v1/hooks/push/rotate");
      assert.equal((json as { hook: HookJson }).hook.secrets.length, count);
    }
    const { json } = await post(control, "/v1/hooks/push/rotate", { overlapMs: 0 });
    assert.equal((json as { hook: HookJson }).hook.secrets.length, 1);
  });

  const deploy = { repo: "https://example.org/r.git" };
  for (const [why, change, code] of [
    ["a name with a slash", { name: "a/b" }, "InvalidRequest"],
    ["a name that looks like an id", { name: "hk_a" }, "InvalidRequest"],
    ["a function that is not there", { function: "other" }, "FunctionNotFound"],
    ["an alias that is not there", { qualifier: "live" }, "AliasNotFound"],
    ["an unknown provider", { provider: "gitea" }, "InvalidRequest"],
    ["an unknown member", { secrets: [] }, "InvalidRequest"],
    ["an empty secret", { secret: "" }, "InvalidRequest"],
    ["a secret with a line break", { secret: "a\nb" }, "InvalidRequest"],
    [
      "a Standard Webhooks secret without its prefix",
      { provider: "standard", secret: "abc" },
      "InvalidRequest",
    ],
    ["rules of hmac for another provider", { signature: { header: "X-A" } }, "InvalidRequest"],
    ["a header that is none", { provider: "hmac", signature: { header: "a b" } }, "InvalidRequest"],
    ["a repository that is an option", { deploy: { repo: "--upload-pack=x" } }, "InvalidRequest"],
    ["a transport that runs a program", { deploy: { repo: "ext::sh -c x" } }, "InvalidRequest"],
    ["a host that is an option", { deploy: { repo: "ssh://-oProxyCommand=x/r" } }, "InvalidRequest"],
    ["a credential in the address", { deploy: { repo: "https://u:p@h/r" } }, "InvalidRequest"],
    ["a branch that is an option", { deploy: { ...deploy, branch: "--x" } }, "InvalidRequest"],
    ["a branch with a refspec", { deploy: { ...deploy, branch: "a:b" } }, "InvalidRequest"],
    ["a folder outside", { deploy: { ...deploy, path: "../x" } }, "InvalidRequest"],
    ["a token over a plain line", { deploy: { repo: "http://h/r", token: "t" } }, "InvalidRequest"],
    ["a repository over SSH without a key", { deploy: { repo: "git@h:r" } }, "InvalidRequest"],
    ["a hook of Stripe that deploys", { provider: "stripe", deploy }, "InvalidRequest"],
    ["a hook that deploys to an alias", { qualifier: "live", deploy }, "InvalidRequest"],
    ["a key that is none", { deploy: { repo: "git@h:r", sshKey: "x" } }, "InvalidRequest"],
  ] as const) {
    it(`refuse ${why}`, async () => {
      await using control = await open();
      const answer = await post(control, "/v1/hooks", { ...GITHUB, ...change });
      const { error } = answer.json as { error?: { code: string } };
      assert.equal(error?.code, code, answer.text);
    });
  }

  it("are only for keys that may use their function", async () => {
    await using control = await open();
    await post(control, "/v1/hooks", GITHUB);
    const other = await control.issue({ scopes: ["deploy"], functions: "other" });
    const reader = await control.issue({ scopes: ["read"], functions: "*" });
    assert.equal((await post(control, "/v1/hooks", { ...GITHUB, name: "b" }, other)).status, 403);
    assert.equal((await post(control, "/v1/hooks/push/rotate", {}, reader)).status, 403);
    for (const path of ["/v1/hooks/push", "/v1/hooks/push/deliveries"]) {
      assert.equal((await control.send({ path, token: other })).status, 403);
      assert.equal((await control.send({ path, token: reader })).status, 200);
    }
    assert.deepEqual((await control.send({ path: "/v1/hooks", token: other })).json, { hooks: [] });
  });

  it("keep what a repository is read with to themselves", async () => {
    await using control = await open();
    const given = { repo: "https://h/r.git", token: "t0ken", user: "me", path: "/fn/" };
    const made = await post(control, "/v1/hooks", {
      ...GITHUB,
      name: "site",
      function: "site",
      deploy: given,
    });
    assert.equal(made.status, 201, made.text);
    const { hook } = made.json as { hook: { deploy: unknown } };
    assert.deepEqual(hook.deploy, { repo: given.repo, branch: "main", path: "fn", credential: "token" });
    const stored = JSON.stringify(await control.store.hooks.findByName("site"));
    assert.ok(!`${made.text}${stored}`.includes("t0ken"));
  });

  it("read a folder of the daemon's host for an administrator only", async () => {
    await using control = await open();
    const wanted = { ...GITHUB, name: "site", deploy: { repo: "/srv/repo" } };
    const deployer = await control.issue({ scopes: ["deploy"] });
    assert.equal((await post(control, "/v1/hooks", wanted, deployer)).status, 403);
    const other = { ...wanted, deploy: { repo: "file:///srv/repo" } };
    assert.equal((await post(control, "/v1/hooks", other, deployer)).status, 403);
    assert.equal((await post(control, "/v1/hooks", wanted)).status, 201);
  });

  it("are paused, resumed and deleted, and go with their function", async () => {
    await using control = await open();
    await post(control, "/v1/hooks", GITHUB);
    const state = async (path: string) => ((await post(control, path)).json as HookJson).state;
    assert.deepEqual(
      [await state("/v1/hooks/push/pause"), await state("/v1/hooks/push/resume")],
      ["paused", "active"],
    );
    assert.equal((await post(control, "/v1/hooks", GITHUB)).status, 409);
    assert.equal((await control.send({ method: "DELETE", path: "/v1/hooks/push" })).status, 204);
    assert.equal((await control.send({ path: "/v1/hooks/push" })).status, 404);
    await post(control, "/v1/hooks", GITHUB);
    await control.send({ method: "DELETE", path: "/v1/functions/greet" });
    assert.equal((await control.send({ path: "/v1/hooks/push" })).status, 404);
  });
});
