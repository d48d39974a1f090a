import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startFakeControl } from "../control-server.fake.ts";
import { openLambda } from "../lambda-process.fake.ts";

const PATH = "/2019-09-25/functions/report/event-invoke-config";
const ARN = "arn:aws:lambda:eu-1:123456789012:function:report";

describe("lambda events config", () => {
  it("changes what is said, and names functions as AWS does", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("GET /v1/status", { json: { region: "eu-1", account: "123456789012" } });
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
