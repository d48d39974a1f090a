import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { startFakeControl } from "../control-server.fake.ts";
import { openLambda } from "../lambda-process.fake.ts";

const withoutPython = spawnSync("python3", ["--version"]).status === 0 ? false : "python3 is missing";
const ID = "evt_00000000001";

function event(more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    id: ID,
    function: "greet",
    state: "failed",
    qualifier: "prod",
    invocationId: "6a0e0f7e-1111-4000-8000-000000000000",
    origin: "api",
    enqueuedAt: 1_000,
    dueAt: 1_000,
    endedAt: 2_000,
    attempts: [
      {
        number: 1,
        startedAt: 1_000,
        endedAt: 1_020,
        outcome: "threw",
        error: { type: "Error", message: "no\u001bluck" },
        version: "7",
        sandboxId: "sb-1",
      },
    ],
    reason: { condition: "RetriesExhausted", message: "3 errors of the function" },
    ...more,
  };
}

describe("lambda invoke --async", () => {
  it("prints the id of the event, and sends the key that tells it apart", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    const headers = { "x-lambdad-event-id": ID, "x-lambdad-invocation-id": "i" };
    server.on("POST /2015-03-31/functions/greet/invocations", { status: 202, text: "", headers });
    const ran = await lambda.run(["invoke", "greet", "--async", "--idempotency-key", "k", "-d", "{}"]);
    assert.deepEqual([ran.exitCode, ran.stdout], [0, `${ID} accepted\n`]);
    const [request] = server.requests;
    assert.deepEqual(
      [request?.headers["x-amz-invocation-type"], request?.headers["idempotency-key"]],
      ["Event", "k"],
    );
  });

  it("refuses what makes no sense together", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    for (const options of [
      ["--idempotency-key", "k"],
      ["--async", "--log"],
      ["--async", "--client-context", "{}"],
    ]) {
      assert.equal((await lambda.run(["invoke", "greet", "-d", "{}", ...options])).exitCode, 2);
    }
    assert.equal(server.requests.length, 0);
  });
});

describe("lambda events", () => {
  it("lists them page by page, and shows one with its attempts", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("GET /v1/events", {
      respond: (response, { query }) => {
        const page = query.after === undefined ? { events: [event()], next: ID } : { events: [event()] };
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(page));
      },
    });
    server.on(`GET /v1/events/${ID}`, { json: event({ input: { kind: "event", text: '{"n":1}' } }) });
    const listed = await lambda.run(["events", "list", "--function", "greet", "--state", "failed,expired"]);
    assert.equal(listed.stdout.split("\n").filter((line) => line.startsWith(ID)).length, 2);
    assert.deepEqual(server.requests[0]?.query, { function: "greet", state: "failed,expired", limit: "50" });
    const { stdout } = await lambda.run(["events", "show", ID]);
    for (const part of ["greet:prod", "RetriesExhausted", '{"n":1}', "threw", "sb-1", "no\\x1bluck"]) {
      assert.ok(stdout.includes(part), `${part} is missing in ${stdout}`);
    }
  });

  it("waits for an event, and exits with 1 if it is not done", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on(`GET /v1/events/${ID}`, { json: event() });
    const ran = await lambda.run(["events", "wait", ID]);
    assert.deepEqual([ran.exitCode, ran.stdout], [1, `${ID} is failed\n`]);
    server.on(`GET /v1/events/${ID}`, { json: event({ state: "running", endedAt: undefined }) });
    assert.equal((await lambda.run(["events", "wait", ID, "--timeout", "0s"])).exitCode, 124);
  });

  it("prints a result byte by byte, and exits with 1 for that of a failed call", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on(`GET /v1/events/${ID}/result`, { text: "abc" });
    assert.deepEqual(await lambda.run(["events", "result", ID]), { exitCode: 0, stdout: "abc", stderr: "" });
    const headers = { "x-amz-function-error": "Unhandled" };
    server.on(`GET /v1/events/${ID}/result`, { text: "{}", headers });
    assert.equal((await lambda.run(["events", "result", ID])).exitCode, 1);
  });

  it("cancels and retries by id", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    for (const verb of ["cancel", "retry"]) {
      server.on(`POST /v1/events/${ID}/${verb}`, { json: event() });
      assert.equal((await lambda.run(["events", verb, ID])).exitCode, 0);
    }
  });
});

describe("lambda dlq", () => {
  it("lists, redrives and purges", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("GET /v1/functions/greet/dlq", { json: { events: [event()] } });
    server.on("POST /v1/functions/greet/dlq/redrive", { json: { redriven: 1 } });
    server.on("DELETE /v1/functions/greet/dlq", { json: { removed: 2 } });
    assert.match((await lambda.run(["dlq", "list", "greet"])).stdout, new RegExp(ID));
    const redriven = await lambda.run(["dlq", "redrive", "greet", "--id", ID, "--version", "7"]);
    assert.match(redriven.stderr, /1 event queued again/);
    assert.deepEqual(JSON.parse(server.requests.at(-1)?.body.toString() ?? ""), { ids: [ID], version: "7" });
    assert.match((await lambda.run(["dlq", "purge", "greet"])).stderr, /2 events removed/);
    assert.match((await lambda.run(["dlq", "purge", "greet", "--yes"])).stderr, /2 events removed/);
  });

  it("asks at a terminal before it purges, and keeps all unless the answer is yes", {
    skip: withoutPython,
  }, async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("GET /v1/functions/greet/dlq", { json: { events: [event(), event()] } });
    server.on("DELETE /v1/functions/greet/dlq", { json: { removed: 2 } });
    const removals = () => server.requests.filter(({ method }) => method === "DELETE").length;
    for (const no of ["\n", "n\n", "maybe\n"]) {
      const refused = await lambda.runAtTerminal(["dlq", "purge", "greet"], no);
      assert.match(refused.stdout, /Remove 2 dead letters of greet for good\? \[y\/N\]/);
      assert.match(refused.stdout, /no dead letter of greet was removed/);
      assert.deepEqual([refused.exitCode, removals()], [2, 0]);
    }
    const agreed = await lambda.runAtTerminal(["dlq", "purge", "greet"], "y\n");
    assert.match(agreed.stdout, /2 events removed/);
    assert.deepEqual([agreed.exitCode, removals()], [0, 1]);
    const unasked = await lambda.runAtTerminal(["dlq", "purge", "greet", "--yes"], "");
    assert.doesNotMatch(unasked.stdout, /\[y\/N\]/);
    assert.deepEqual([unasked.exitCode, removals()], [0, 2]);
  });
});
