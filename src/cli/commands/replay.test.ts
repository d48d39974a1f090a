import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type FakeControl, startFakeControl } from "../control-server.fake.ts";
import { openLambda } from "../lambda-process.fake.ts";

const ids = [1, 2, 3].map((n) => `6a0e0f7e-1111-4000-8000-00000000000${n}`);
const [ONE = "", TWO = "", THREE = ""] = ids;

function recording(id: string, more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    id,
    function: "orders",
    at: 1_000,
    version: "$LATEST",
    liveVersion: 7,
    input: "event",
    outcome: "returned",
    durationMs: 3,
    inputBytes: 10,
    outputBytes: 20,
    redacted: 0,
    variables: [],
    ...more,
  };
}

function replayed(id: string, differences: readonly unknown[], more: Readonly<Record<string, unknown>> = {}) {
  const replay = {
    invocationId: THREE,
    version: "8",
    durationMs: 2,
    outcome: { kind: "returned", text: "{}" },
  };
  return { ...recording(id), replay, differences, more: 0, missing: [], ...more };
}

function serves(server: FakeControl, id: string, answer: unknown, status = 200): void {
  server.on(`POST /v1/functions/orders/recordings/${id}/replay`, { json: answer, status });
}

const DIFFERENCE = { path: "body.total", was: "7", is: "8\u001b[2J" };

describe("lambda replay", () => {
  it("runs one recording and shows what differs, harmlessly", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on(`GET /v1/recordings/${ONE}`, { json: recording(ONE, { outcome: { kind: "returned" } }) });
    serves(
      server,
      ONE,
      replayed(ONE, [DIFFERENCE, { path: "headers.x", is: '"1"' }], { more: 5, redacted: 2 }),
    );

    const ran = await lambda.run(["replay", ONE.toUpperCase(), "--version", "8", "--ignore", "body.at"]);

    assert.equal(ran.exitCode, 1);
    assert.equal(
      ran.stdout,
      [
        `differs   ${ONE}   7 differences`,
        "    body.total: 7 → 8\\x1b[2J",
        '    headers.x: (nothing) → "1"',
        "    and 5 more",
        "1 replayed on version 8: 0 the same, 1 differ",
        "",
      ].join("\n"),
    );
    assert.match(ran.stderr, /1 input had 2 values redacted, and so was not exactly what came/);
    assert.deepEqual(JSON.parse(String(server.requests[1]?.body)), { ignore: ["body.at"], version: "8" });
  });

  it("runs the last ones of a function in their order, and counts those that could not be run", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("GET /v1/functions/orders/recordings", {
      respond: (response, { query }) => {
        const page =
          query.before === undefined
            ? { recordings: [recording(THREE), recording(TWO)], next: "x" }
            : { recordings: [recording(ONE)] };
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(page));
      },
    });
    serves(server, ONE, replayed(ONE, []));
    serves(server, TWO, { error: { code: "RecordingNotFound", message: "it is gone" } }, 404);
    serves(server, THREE, replayed(THREE, [], { missing: ["DB"] }));

    const ran = await lambda.run(["replay", "--function", "orders", "--last", "3", "--concurrency", "1"]);

    assert.equal(ran.exitCode, 8);
    assert.equal(
      ran.stdout,
      `not run   ${TWO}   it is gone\n2 replayed on version 8: 2 the same, 0 differ, 1 not run\n`,
    );
    assert.match(ran.stderr, /the version has no DB, whose value the input had/);
    const posts = server.requests
      .filter(({ method }) => method === "POST")
      .map(({ path }) => path.split("/")[5]);
    assert.deepEqual(posts, ids);
    const limits = server.requests.filter(({ method }) => method === "GET").map(({ query }) => query.limit);
    assert.deepEqual(limits, ["3", "1"]);
  });

  it("waits where the function is at its limit, and tries again", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    let asked = 0;
    server.on(`POST /v1/functions/orders/recordings/${ONE}/replay`, {
      respond: (response) => {
        const isBusy = ++asked === 1;
        const answer = isBusy
          ? { error: { code: "TooManyInvocations", message: "busy" } }
          : replayed(ONE, []);
        response
          .writeHead(isBusy ? 429 : 200, { "content-type": "application/json" })
          .end(JSON.stringify(answer));
      },
    });

    const ran = await lambda.run(["replay", ONE, "--function", "orders"]);

    assert.deepEqual([ran.exitCode, asked], [0, 2], ran.stderr);
    assert.equal(ran.stdout, `same      ${ONE}\n1 replayed on version 8: 1 the same, 0 differ\n`);
  });

  it("stops at what holds for all of them", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    for (const id of [ONE, TWO])
      serves(server, id, { error: { code: "VersionNotFound", message: "no version 8" } }, 404);

    const ran = await lambda.run([
      "replay",
      ONE,
      TWO,
      "--function",
      "orders",
      "--version",
      "8",
      "--concurrency",
      "1",
    ]);

    assert.equal(ran.exitCode, 3);
    assert.match(ran.stderr, /no version 8/);
    assert.equal(server.requests.length, 1);
  });
});

describe("lambda record and recordings", () => {
  const status = {
    function: "orders",
    isOn: true,
    share: 0.1,
    keepMs: 172_800_000,
    redact: ["ssn"],
    recordings: 12,
    bytes: 2_048,
    oldestAt: 1_000,
    newestAt: 2_000,
    dropped: { tooLarge: 2, unread: 0, busy: 0, disk: 1, failed: 0 },
    damaged: 1,
  };

  it("send what is asked for, and show what is kept", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    for (const method of ["PUT", "DELETE", "GET"]) {
      server.on(`${method} /v1/functions/orders/recording`, {
        json: { ...status, isOn: method !== "DELETE" },
      });
    }
    const on = await lambda.run([
      "record",
      "on",
      "orders",
      "--sample",
      "10%",
      "--keep",
      "2d",
      "--redact",
      "ssn",
    ]);
    assert.equal(on.stdout, "orders: 10% of its calls are recorded from now on\n");
    assert.deepEqual(JSON.parse(String(server.requests[0]?.body)), {
      share: 0.1,
      keepMs: 172_800_000,
      redact: ["ssn"],
    });
    const off = await lambda.run(["record", "off", "orders"]);
    assert.equal(off.stdout, "orders: not recorded any more; 12 recordings kept\n");
    const { stdout } = await lambda.run(["record", "status", "orders"]);
    for (const part of [
      "10% of its calls",
      "2 days",
      "ssn",
      "12 (2 KiB)",
      "2 (input too large), 1 (disk did not take it)",
      "1 (cut by a crash",
    ]) {
      assert.ok(stdout.includes(part), `${part} is missing in ${stdout}`);
    }
  });

  it("list, show and delete", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("GET /v1/functions/orders/recordings", {
      json: { recordings: [recording(ONE, { redacted: 3 })] },
    });
    server.on(`GET /v1/recordings/${ONE}`, {
      json: recording(ONE, {
        input: { kind: "request", method: "PUT", path: "/a", rawHeaders: ["x", "1"], text: "in\u001b" },
        outcome: { kind: "threw", errorType: "E", rawHeaders: [], bytes: 300_000, sha256: "ab" },
      }),
    });
    server.on("DELETE /v1/functions/orders/recordings", { status: 204, text: "" });
    const listed = await lambda.run(["recordings", "list", "orders", "--outcome", "returned"]);
    assert.match(listed.stdout, new RegExp(`${ONE}.* 7 +returned +3 ms +10 B +20 B +3\\n`));
    assert.equal(server.requests[0]?.query.outcome, "returned");
    const { stdout } = await lambda.run(["recordings", "show", ONE]);
    for (const part of ["PUT /a", "x: 1", "in\\x1b", "293 KiB, too large to be kept; SHA-256 ab", "E"]) {
      assert.ok(stdout.includes(part), `${part} is missing in ${stdout}`);
    }
    assert.equal((await lambda.run(["recordings", "delete", "orders", "--all"])).exitCode, 0);
    assert.equal(server.requests.at(-1)?.method, "DELETE");
  });
});
