import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { startFakeControl } from "../control-server.fake.ts";
import { openLambda } from "../lambda-process.fake.ts";
import { formatInstant } from "../units.ts";

const URL = "http://localhost:8080/_hooks/hk_0";

function hook(change: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    id: "hk_0",
    name: "push",
    url: URL,
    provider: "github",
    function: "ci",
    state: "active",
    isPaused: false,
    secrets: [{ createdAt: 0 }],
    description: "",
    createdAt: 0,
    modifiedAt: 0,
    ...change,
  };
}

function delivery(change: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return { id: "dlv_1", at: 0, outcome: "refused", sourceIp: "::1", bodyBytes: 2, ...change };
}

describe("lambda hook", () => {
  it("makes a hook with the secret on stdin, and prints its address alone", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("POST /v1/hooks", { status: 201, json: { hook: hook() } });
    const args = ["hook", "create", "push", "--provider", "github", "--function", "ci:live"];
    const ran = await lambda.run([...args, "--secret-from-stdin"], { input: "It's a secret\n" });
    assert.deepEqual(ran, { exitCode: 0, stdout: `${URL}\n`, stderr: "" });
    assert.deepEqual(JSON.parse(String(server.requests[0]?.body)), {
      name: "push",
      provider: "github",
      function: "ci",
      qualifier: "live",
      secret: "It's a secret",
    });
  });

  it("sends every setting, credentials from files", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    await writeFile(join(lambda.dir, "token"), "t0ken\n");
    server.on("POST /v1/hooks", { status: 201, json: { hook: hook(), secret: "made" } });
    const ran = await lambda.run([
      ...[
        "hook",
        "create",
        "site",
        "--provider",
        "hmac",
        "--signature-header",
        "X-Sig",
        "--algorithm",
        "sha512",
      ],
      ...["--id-header", "X-Id", "--timestamp-header", "X-Time", "--paused", "--description", "why"],
      ...["--deploy", "--repo", "https://h/r.git", "--branch", "next", "--path", "fn"],
      ...["--token-file", "token", "--token-user", "me"],
    ]);
    assert.equal(ran.stdout, `${URL}\nSecret:   made\n`);
    assert.deepEqual(JSON.parse(String(server.requests[0]?.body)), {
      name: "site",
      provider: "hmac",
      function: "site",
      signature: { header: "X-Sig", algorithm: "sha512", idHeader: "X-Id", timestampHeader: "X-Time" },
      deploy: { repo: "https://h/r.git", branch: "next", path: "fn", token: "t0ken", user: "me" },
      isPaused: true,
      description: "why",
    });
  });

  it("says what to do where the sender makes the secret", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("POST /v1/hooks", {
      status: 201,
      json: { hook: hook({ provider: "stripe", state: "without secret", secrets: [] }) },
    });
    const ran = await lambda.run(["hook", "create", "pay", "--provider", "stripe", "--function", "ci"]);
    assert.match(ran.stderr, /lambda hook rotate pay --secret-from-stdin/);
  });

  for (const [args, complaint] of [
    [["create", "a", "--provider", "github"], /--function FUNCTION/],
    [["create", "a", "--provider", "gitub", "--function", "f"], /--provider/],
    [["create", "a", "--function", "f"], /--provider/],
    [["create", "a", "--provider", "github", "--function", "f", "--repo", "x"], /--repo: only with --deploy/],
    [["create", "a", "--provider", "github", "--deploy"], /expected --repo/],
    [["show", ".."], /hook "\.\."/],
    [["redeliver", "a", "evt_1"], /delivery "evt_1"/],
    [["rotate", "a", "--overlap", "soon"], /--overlap/],
  ] as const) {
    it(`refuses ${args.join(" ")}`, async () => {
      await using server = await startFakeControl();
      await using lambda = await openLambda(server.url);
      const ran = await lambda.run(["hook", ...args]);
      assert.equal(ran.exitCode, 2, ran.stderr);
      assert.match(ran.stderr, complaint);
      assert.equal(server.requests.length, 0);
    });
  }

  it("lists hooks, a page after the other, and shows one", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("GET /v1/hooks", {
      respond(response, { query }) {
        const site = hook({ name: "site", deploy: { repo: "/r", branch: "main", path: "fn" } });
        const isSecond = query.after === "push";
        response.end(JSON.stringify(isSecond ? { hooks: [site] } : { hooks: [hook()], next: "push" }));
      },
    });
    const listed = await lambda.run(["hook", "list"]);
    assert.match(listed.stdout, /^push .* active {2,}- .*\nsite .* main of \/r, folder fn/m);
    server.on("GET /v1/hooks/push", {
      json: hook({ secrets: [{ createdAt: 0 }, { createdAt: 0, expiresAt: 1 }] }),
    });
    const shown = await lambda.run(["hook", "show", "push"]);
    assert.match(shown.stdout, new RegExp(`Old secret: .*good until ${formatInstant(1)}`));
  });

  it("lists deliveries with what followed, and shows one with its log", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    const deployment = { commit: "a".repeat(40), branch: "main", attempts: 1, startedAt: 0, endedAt: 1_500 };
    server.on("GET /v1/hooks/push/deliveries", {
      json: {
        deliveries: [
          delivery({ outcome: "deployed", deployment: { ...deployment, version: 7 } }),
          delivery({ outcome: "failed", deployment, note: "npm ci failed\nmore" }),
          delivery({ outcome: "accepted", eventId: "evt_1", eventState: "done" }),
          delivery({ note: "no \u001b[31msignature" }),
        ],
      },
    });
    const { stdout } = await lambda.run(["hook", "deliveries", "push"]);
    const cells = stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.split(/ {2,}/).slice(3).join(" | "));
    assert.deepEqual(cells.slice(1), [
      "deployed | aaaaaaa is version 7",
      "failed | aaaaaaa: npm ci failed",
      "accepted | evt_1 done",
      "refused | no \\x1b[31msignature",
    ]);
    server.on("GET /v1/hooks/push/deliveries/dlv_1", {
      json: delivery({ outcome: "deployed", deployment, log: "one\n\u001btwo" }),
    });
    const one = await lambda.run(["hook", "deliveries", "push", "dlv_1"]);
    assert.match(one.stdout, /Took: +1\.5 s\n\none\n\\x1btwo\n$/);
  });

  it("rotates, pauses, redelivers and deletes", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("POST /v1/hooks/push/rotate", { json: { hook: hook(), secret: "new" } });
    server.on("POST /v1/hooks/push/pause", { json: hook({ state: "paused" }) });
    server.on("POST /v1/hooks/push/deliveries/dlv_1/redeliver", {
      status: 202,
      json: delivery({ id: "dlv_2", outcome: "accepted", eventId: "evt_2", eventState: "queued" }),
    });
    server.on("DELETE /v1/hooks/push", { status: 204, text: "" });
    assert.equal((await lambda.run(["hook", "rotate", "push", "--overlap", "1h"])).stdout, "Secret:   new\n");
    assert.deepEqual(JSON.parse(String(server.requests[0]?.body)), { overlapMs: 3_600_000 });
    assert.equal((await lambda.run(["hook", "pause", "push"])).stderr, "push is paused\n");
    assert.equal(
      (await lambda.run(["hook", "redeliver", "push", "dlv_1"])).stdout,
      "dlv_2 accepted as evt_2\n",
    );
    assert.equal((await lambda.run(["hook", "rm", "push", "--json"])).stdout, '{\n  "deleted": "push"\n}\n');
  });
});
