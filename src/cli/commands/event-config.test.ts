import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type FakeControl, fakeFunction, startFakeControl } from "../control-server.fake.ts";
import { openLambda } from "../lambda-process.fake.ts";

const PATH = "/2019-09-25/functions/report/event-invoke-config";
const ARN = "arn:aws:lambda:eu-1:123456789012:function:report";

/** A function of that name, with whatever version or alias is asked for. */
function there(server: FakeControl, name: string): void {
  server.on(`GET /v1/functions/${name}`, { json: fakeFunction(name) });
  server.on(`GET /2015-03-31/functions/${name}/configuration`, { json: {} });
}

describe("lambda events config", () => {
  it("says so of a function, an alias and a destination that are not there", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    there(server, "report");
    server.on(`GET ${PATH}/list`, { json: { FunctionEventInvokeConfigs: [] } });
    server.on("GET /2015-03-31/functions/report/configuration", {
      status: 404,
      text: '{"Message":"Function not found: arn:aws:lambda:eu-1:123456789012:function:report:prod"}',
      headers: { "x-amzn-errortype": "ResourceNotFoundException" },
    });
    server.on("GET /v1/functions", { json: { functions: [fakeFunction("report")] } });
    for (const [args, said] of [
      [["nope"], /nope/],
      [["report:prod"], /report:prod\nhint: {2}lambda list/],
      [["report", "--on-failure", "nope"], /nope/],
    ] as const) {
      const ran = await lambda.run(["events", "config", ...args]);
      assert.equal(ran.exitCode, 3, ran.stderr);
      assert.match(ran.stderr, said);
    }
    assert.ok(server.requests.every(({ method }) => method === "GET"));
  });

  it("changes what is said, and names functions as AWS does", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("GET /v1/status", { json: { region: "eu-1", account: "123456789012" } });
    for (const name of ["report", "alarm"]) there(server, name);
    server.on(`POST ${PATH}`, {
      json: {
        MaximumRetryAttempts: 1,
        DestinationConfig: { OnSuccess: { Destination: "https://example.org/done" }, OnFailure: {} },
      },
    });
    const ran = await lambda.run([
      ...["events", "config", "report:prod", "--retries", "1", "--max-age", "1h"],
      ...["--on-success", "https://example.org/done", "--on-failure", "alarm:live"],
    ]);
    assert.equal(ran.exitCode, 0, ran.stderr);
    const sent = server.requests.find(({ method }) => method === "POST");
    assert.deepEqual(sent?.query, { Qualifier: "prod" });
    assert.deepEqual(JSON.parse(String(sent?.body)), {
      MaximumRetryAttempts: 1,
      MaximumEventAgeInSeconds: 3_600,
      DestinationConfig: {
        OnSuccess: { Destination: "https://example.org/done" },
        OnFailure: { Destination: "arn:aws:lambda:eu-1:123456789012:function:alarm:live" },
      },
    });
    assert.deepEqual(
      ran.stdout.split("\n").map((line) => line.split(/: +/)),
      [
        ["Retries", "1"],
        ["Maximum age", "360 min"],
        ["On success", "https://example.org/done"],
        ["On failure", "(nobody is told)"],
        [""],
      ],
    );
  });

  it("shows the defaults of a function without one, and takes one away", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    there(server, "report");
    server.on(`GET ${PATH}/list`, {
      json: { FunctionEventInvokeConfigs: [{ FunctionArn: `${ARN}:prod`, MaximumRetryAttempts: 0 }] },
    });
    server.on(`DELETE ${PATH}`, { status: 204, text: "" });
    assert.match((await lambda.run(["events", "config", "report"])).stdout, /^Retries: +2\n/);
    assert.match((await lambda.run(["events", "config", "report:prod"])).stdout, /^Retries: +0\n/);
    const reset = await lambda.run(["events", "config", "report", "--reset"]);
    assert.equal(reset.stderr, "report has the defaults again\n");
  });

  it("refuses what it cannot mean", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    for (const args of [["report", "--retries", "many"], ["a b"], ["report", "--max-age", "soon"]]) {
      assert.equal((await lambda.run(["events", "config", ...args])).exitCode, 2);
    }
  });
});
