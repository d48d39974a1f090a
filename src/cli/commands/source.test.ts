import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { startFakeControl } from "../control-server.fake.ts";
import { openLambda } from "../lambda-process.fake.ts";

const ID = "11111111-2222-4333-8444-555555555555";
const OTHER = "11111111-9999-4333-8444-555555555555";
const ARN = "arn:aws:sqs:us-east-1:000000000000:orders";

function source(change: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    id: ID,
    function: "report",
    kind: "sqs",
    from: ARN,
    arn: ARN,
    batchSize: 10,
    windowMs: 0,
    partialFailures: false,
    filters: [],
    isPaused: false,
    state: "polling",
    running: 0,
    createdAt: 0,
    modifiedAt: 0,
    ...change,
  };
}

describe("lambda source", () => {
  it("makes a source of a queue with all its settings, and prints the id alone", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("POST /v1/sources", { status: 201, json: source() });
    const ran = await lambda.run(
      [
        ...["source", "create", "report:live", "--queue", ARN, "--endpoint", "http://127.0.0.1:9324"],
        ...["--access-key-id", "AKIA", "--secret-from-stdin", "--batch", "100", "--window", "5s"],
        ...["--concurrency", "4", "--partial-failures", "--paused"],
        ...["--filter", '{"body":{"a":[1]}}', "--filter", '{"body":["x"]}'],
      ],
      { input: "geheim\n" },
    );
    assert.deepEqual(ran, {
      exitCode: 0,
      stdout: `${ID}\n`,
      stderr: `calls report for ${ARN}\n`,
    });
    assert.deepEqual(JSON.parse(String(server.requests[0]?.body)), {
      function: "report",
      qualifier: "live",
      from: ARN,
      endpoint: "http://127.0.0.1:9324",
      accessKeyId: "AKIA",
      secret: "geheim",
      isPaused: true,
      batchSize: 100,
      windowMs: 5_000,
      concurrencyMax: 4,
      partialFailures: true,
      filters: [{ body: { a: [1] } }, { body: ["x"] }],
    });
  });

  it("makes a source of a stream, with credentials of a file", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    await writeFile(join(lambda.dir, "nats.creds"), "-----BEGIN NATS USER JWT-----\n…\n");
    server.on("POST /v1/sources", { status: 201, json: source({ kind: "nats" }) });
    const ran = await lambda.run([
      ...["source", "create", "report", "--nats", "nats://127.0.0.1:4222", "--stream", "ORDERS"],
      ...["--consumer", "c", "--subject", "orders.>", "--from", "new", "--attempts", "5"],
      ...["--credentials-file", "nats.creds", "--on-failure", "dead"],
    ]);
    assert.equal(ran.exitCode, 0, ran.stderr);
    assert.deepEqual(JSON.parse(String(server.requests[0]?.body)), {
      function: "report",
      from: "nats://127.0.0.1:4222",
      stream: "ORDERS",
      consumer: "c",
      subject: "orders.>",
      startsAt: "new",
      attemptsMax: 5,
      secret: "-----BEGIN NATS USER JWT-----\n…\n",
      onFailure: "dead",
    });
  });

  it("lists and shows sources, and how they are doing", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    const lastResult = { text: "PROBLEM: cannot reach SQS", isProblem: true, at: 0 };
    const counts = { batches: 3, done: 2, failed: 0, filtered: 0, givenUp: 1, repeated: 0 };
    const shown = source({ state: "waiting", lastResult, counts, filters: [{ body: ["x"] }] });
    server.on("GET /v1/sources", { json: { sources: [shown] } });
    server.on(`GET /v1/sources/${ID}`, { json: shown });
    const listed = await lambda.run(["source", "list"]);
    assert.match(listed.stdout, /report +arn:aws:sqs:\S+ {3}waiting {3}PROBLEM: cannot reach SQS\n/);
    const { stdout } = await lambda.run(["source", "show", "1111"]);
    assert.match(stdout, /So far: +3 batches, 2 done, 1 given up\n/);
    assert.match(stdout, /Filter: +\{"body":\["x"\]\}\n/);
    const json = await lambda.run(["source", "list", "--json"]);
    assert.deepEqual(JSON.parse(json.stdout), { sources: [shown] });
  });

  it("changes, pauses, resumes and deletes a source", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on(`PATCH /v1/sources/${ID}`, { json: source() });
    server.on(`POST /v1/sources/${ID}/pause`, { json: source({ state: "stopping" }) });
    server.on(`POST /v1/sources/${ID}/resume`, { json: source() });
    server.on(`DELETE /v1/sources/${ID}`, { status: 204, text: "" });
    const changes = [
      "--no-filters",
      "--no-partial-failures",
      "--concurrency",
      "none",
      "--on-failure",
      "none",
    ];
    const changed = await lambda.run(["source", "update", ID, "--function", "other:live", ...changes]);
    assert.equal(changed.exitCode, 0, changed.stderr);
    assert.deepEqual(JSON.parse(String(server.requests[0]?.body)), {
      function: "other",
      qualifier: "live",
      concurrencyMax: null,
      partialFailures: false,
      onFailure: null,
      filters: [],
    });
    assert.equal((await lambda.run(["source", "pause", ID])).stderr, `source ${ID} is stopping\n`);
    assert.equal((await lambda.run(["source", "resume", ID])).stderr, `source ${ID} is polling\n`);
    const deleted = await lambda.run(["source", "delete", ID, "--json"]);
    assert.deepEqual(JSON.parse(deleted.stdout), { deleted: ID });
  });

  it("refuses what it cannot mean, before anything is sent", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("GET /v1/sources", { json: { sources: [source(), source({ id: OTHER })] } });
    const create = ["source", "create", "report"];
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [create, /expected one of --queue ARN and --nats/],
      [[...create, "--queue", ARN, "--nats", "nats://h:1"], /expected one of --queue ARN and --nats/],
      [[...create, "--queue", ARN, "--access-key-id", "A"], /its secret comes with --secret-from-stdin/],
      [[...create, "--queue", ARN, "--filter", "x"], /--filter: expected JSON/],
      [[...create, "--queue", ARN, "--batch", "0"], /--batch: expected a whole number from 1 up/],
      [[...create, "--queue", ARN, "--window", "x"], /--window: expected a span/],
      [[...create, "--queue", ARN, "--credentials-file", "none"], /cannot read .*none/],
      [["source", "update", ID], /expected what is to change/],
      [["source", "show", "../keys"], /expected an id or its beginning/],
      [["source", "show", "1111"], /2 sources begin with "1111"/],
      [["source", "delete", "2222"], /there is no source that begins with "2222"/],
    ];
    for (const [args, message] of cases) {
      const ran = await lambda.run(args);
      assert.match(ran.stderr, message);
      assert.notEqual(ran.exitCode, 0);
    }
    assert.ok(server.requests.every(({ method }) => method === "GET"));
  });
});
