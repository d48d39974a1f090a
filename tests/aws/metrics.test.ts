/** Metrics as clients read them that nobody here has written: in each of CloudWatch's three protocols. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import {
  CloudWatchClient,
  GetMetricDataCommand,
  GetMetricStatisticsCommand,
  ListMetricsCommand,
} from "@aws-sdk/client-cloudwatch";
import { AwsQueryProtocol } from "@aws-sdk/core/protocols";
import { SmithyRpcV2CborProtocol } from "@smithy/core/cbor";
import { makeFolder, run, skipWithout, startDaemon, type TestDaemon } from "../e2e/daemon.fake.ts";

const AWS = "/usr/bin/aws";
const PYTHONS = ["python3", "/usr/bin/python3"].filter(
  (path) => spawnSync(path, ["-c", "import boto3"]).status === 0,
);

let daemon: TestDaemon;
const folder = makeFolder({
  "index.mjs":
    "export const handler = async (event) => { if (event.fails) throw new Error('no'); return 1; };",
});

before(async () => {
  daemon = await startDaemon();
  await daemon.deploy(folder.path, "f");
  await daemon.lambda("alias", "set", "f", "prod", "1");
  for (const target of ["f", "f", "f:prod"]) await daemon.lambda("invoke", target, "-d", "{}");
  await daemon.lambda("invoke", "f:prod", "-d", '{"fails":true}');
});
after(async () => {
  await daemon[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const span = () => ({ StartTime: new Date(Date.now() - 3_600_000), EndTime: new Date(Date.now() + 60_000) });

for (const [name, protocol] of [
  ["its own choice of protocol", undefined],
  ["CBOR", SmithyRpcV2CborProtocol],
  ["the query protocol", AwsQueryProtocol],
] as const) {
  describe(`the official SDK with ${name}`, () => {
    let client: CloudWatchClient;
    before(() => {
      const [accessKeyId = "", secretAccessKey = ""] = daemon.key.split(".");
      client = new CloudWatchClient({
        endpoint: `http://127.0.0.1:${daemon.controlPort}`,
        region: "us-east-1",
        credentials: { accessKeyId, secretAccessKey },
        maxAttempts: 1,
        ...(protocol && { protocol }),
      });
    });
    after(() => client.destroy());

    it("reads statistics", async () => {
      const { Datapoints = [], Label } = await client.send(
        new GetMetricStatisticsCommand({
          Namespace: "AWS/Lambda",
          MetricName: "Duration",
          Dimensions: [{ Name: "FunctionName", Value: "f" }],
          ...span(),
          Period: 60,
          Statistics: ["SampleCount", "Maximum"],
        }),
      );
      assert.equal(Label, "Duration");
      assert.equal(
        Datapoints.reduce((sum, { SampleCount = 0 }) => sum + SampleCount, 0),
        4,
      );
      assert.ok(
        Datapoints.every(({ Timestamp }) => Timestamp instanceof Date && Timestamp.getTime() % 60_000 === 0),
      );
    });

    it("reads data of several metrics", async () => {
      const question = (Id: string, MetricName: string, Value: string) => ({
        Id,
        MetricStat: {
          Metric: {
            Namespace: "AWS/Lambda",
            MetricName,
            Dimensions: [
              { Name: "FunctionName", Value: "f" },
              { Name: "Resource", Value },
            ],
          },
          Period: 300,
          Stat: "Sum",
        },
      });
      const { MetricDataResults = [] } = await client.send(
        new GetMetricDataCommand({
          ...span(),
          MetricDataQueries: [question("plain", "Invocations", "f"), question("failed", "Errors", "f:prod")],
        }),
      );
      const sums = MetricDataResults.map(({ Id, Values = [] }) => [Id, Values.reduce((a, b) => a + b, 0)]);
      assert.deepEqual(sums, [
        ["plain", 2],
        ["failed", 1],
      ]);
    });

    it("lists metrics, and is told errors by their names", async () => {
      const { Metrics = [] } = await client.send(
        new ListMetricsCommand({ MetricName: "Errors", Dimensions: [{ Name: "Resource", Value: "f:prod" }] }),
      );
      assert.equal(Metrics.length, 2);
      await assert.rejects(
        client.send(
          new GetMetricStatisticsCommand({
            Namespace: "AWS/Lambda",
            MetricName: "Errors",
            ...span(),
            Period: 60,
          }),
        ),
        ({ name, $metadata }) => /^InvalidParameterValue/.test(name) && $metadata.httpStatusCode === 400,
      );
    });
  });
}

it("the AWS CLI reads metrics", { skip: skipWithout("awscli", existsSync(AWS)) }, async () => {
  const [id = "", secret = ""] = daemon.key.split(".");
  const aws = async (...argv: string[]) => {
    const endpoint = ["--endpoint-url", `http://127.0.0.1:${daemon.controlPort}`];
    return await run(AWS, [...endpoint, "--no-cli-pager", "--output", "json", "cloudwatch", ...argv], {
      env: {
        HOME: folder.path,
        AWS_ACCESS_KEY_ID: id,
        AWS_SECRET_ACCESS_KEY: secret,
        AWS_REGION: "us-east-1",
        AWS_EC2_METADATA_DISABLED: "true",
      },
    });
  };
  const { StartTime, EndTime } = span();
  const times = ["--start-time", StartTime.toISOString(), "--end-time", EndTime.toISOString()];
  const of = ["--namespace", "AWS/Lambda", "--metric-name", "Invocations"];
  const dimensions = ["--dimensions", "Name=FunctionName,Value=f"];
  const stats = await aws(
    "get-metric-statistics",
    ...of,
    ...dimensions,
    ...times,
    "--period",
    "86400",
    "--statistics",
    "Sum",
  );
  assert.equal(stats.code, 0, stats.stderr);
  const { Datapoints } = JSON.parse(stats.stdout);
  assert.equal(
    Datapoints.reduce((sum: number, { Sum }: { Sum: number }) => sum + Sum, 0),
    4,
  );
  const queries = JSON.stringify([
    {
      Id: "a",
      MetricStat: {
        Metric: { Namespace: "AWS/Lambda", MetricName: "Errors", Dimensions: [] },
        Period: 86_400,
        Stat: "Sum",
      },
    },
  ]);
  const data = await aws("get-metric-data", "--metric-data-queries", queries, ...times);
  assert.equal(data.code, 0, data.stderr);
  assert.equal(
    JSON.parse(data.stdout).MetricDataResults[0].Values.reduce((a: number, b: number) => a + b, 0),
    1,
  );
  const listed = await aws("list-metrics", ...of);
  assert.equal(JSON.parse(listed.stdout).Metrics.length, 5, listed.stdout + listed.stderr);
  const wrong = await aws(
    "get-metric-statistics",
    ...of,
    ...times,
    "--period",
    "60",
    "--extended-statistics",
    "tmean",
  );
  assert.equal(wrong.code, 254);
  assert.match(
    wrong.stderr,
    /\(ValidationError\) when calling the GetMetricStatistics operation: The value tmean/,
  );
  const math = (expression: string) =>
    aws(
      "get-metric-data",
      "--metric-data-queries",
      JSON.stringify([
        { ...JSON.parse(queries)[0], Id: "errors", ReturnData: false },
        { Id: "e", Expression: expression, Label: "sum: ${SUM}" },
      ]),
      ...times,
    );
  const computed = await math("FILL(errors, 0) * 100");
  assert.equal(computed.code, 0, computed.stderr);
  const [result, ...others] = JSON.parse(computed.stdout).MetricDataResults;
  assert.deepEqual([result.Id, result.Label, others], ["e", "sum: 100", []]);
  const refused = await math("errors +");
  assert.equal(refused.code, 254);
  assert.match(
    refused.stderr,
    /\(ValidationError\) when calling the GetMetricData operation: Error in expression 'e': it ends too early/,
  );
});

for (const python of PYTHONS.length > 0 ? PYTHONS : ["python3"]) {
  it(`boto3 of ${python} reads metrics`, { skip: skipWithout("boto3", PYTHONS.length > 0) }, async () => {
    const [id = "", secret = ""] = daemon.key.split(".");
    const ran = await run(python, ["-"], {
      env: {
        ENDPOINT: `http://127.0.0.1:${daemon.controlPort}`,
        AWS_ACCESS_KEY_ID: id,
        AWS_SECRET_ACCESS_KEY: secret,
        AWS_REGION: "us-east-1",
        AWS_DEFAULT_REGION: "us-east-1",
        AWS_EC2_METADATA_DISABLED: "true",
        AWS_CONFIG_FILE: "/dev/null",
        AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
      },
      input: BOTO3,
    });
    assert.equal(ran.code, 0, ran.stderr);
  });
}

const BOTO3 = `
import os, datetime, boto3
from botocore.exceptions import ClientError
cw = boto3.client("cloudwatch", endpoint_url=os.environ["ENDPOINT"])
now = datetime.datetime.now(datetime.timezone.utc)
span = dict(StartTime=now - datetime.timedelta(hours=1), EndTime=now + datetime.timedelta(minutes=1))
f = [{"Name": "FunctionName", "Value": "f"}]
stats = cw.get_metric_statistics(Namespace="AWS/Lambda", MetricName="Errors", Dimensions=f, Period=60,
                                 Statistics=["Sum", "SampleCount"], **span)
assert sum(p["Sum"] for p in stats["Datapoints"]) == 1 and sum(p["SampleCount"] for p in stats["Datapoints"]) == 4, stats
assert all(isinstance(p["Timestamp"], datetime.datetime) for p in stats["Datapoints"])
slow = cw.get_metric_statistics(Namespace="AWS/Lambda", MetricName="Duration", Dimensions=f, Period=3600,
                                ExtendedStatistics=["p50", "p99"], **span)
assert all(p["ExtendedStatistics"]["p50"] <= p["ExtendedStatistics"]["p99"] for p in slow["Datapoints"]), slow
queries = [{"Id": "a", "MetricStat": {"Metric": {"Namespace": "AWS/Lambda", "MetricName": "Invocations", "Dimensions": f},
                                      "Period": 60, "Stat": "Sum"}}]
pages = cw.get_paginator("get_metric_data").paginate(MetricDataQueries=queries, PaginationConfig={"PageSize": 1}, **span)
assert sum(sum(r["Values"]) for page in pages for r in page["MetricDataResults"]) == 4
math = cw.get_metric_data(MetricDataQueries=[
    {**queries[0], "Id": "calls", "ReturnData": False},
    {"Id": "errors", "MetricStat": {**queries[0]["MetricStat"], "Metric": {"Namespace": "AWS/Lambda", "MetricName": "Errors", "Dimensions": f}}},
    {"Id": "rate", "Expression": "IF(calls > 0, 100 * errors / calls, 0)", "Label": "\${DATAPOINT_COUNT} points"},
    {"Id": "run", "Expression": "RUNNING_SUM(calls)"},
    {"Id": "trimmed", "MetricStat": {"Metric": {"Namespace": "AWS/Lambda", "MetricName": "Duration", "Dimensions": f}, "Period": 3600, "Stat": "TM(10%:90%)"}},
], ScanBy="TimestampAscending", **span)
by_id = {r["Id"]: r for r in math["MetricDataResults"]}
assert set(by_id) == {"errors", "rate", "run", "trimmed"} and by_id["run"]["Values"][-1] == 4, math
assert sum(by_id["errors"]["Values"]) == 1 and max(by_id["rate"]["Values"]) >= 25, math
assert by_id["rate"]["Label"] == f"{len(by_id['rate']['Values'])} points" and by_id["trimmed"]["Values"][0] > 0, math
try:
    cw.get_metric_data(MetricDataQueries=[{"Id": "e", "Expression": "SEARCH('{AWS/Lambda} Errors', 'Sum', 60)"}], **span)
    raise AssertionError("expected a refusal")
except ClientError as error:
    assert error.response["Error"]["Code"] == "ValidationError" and "SEARCH is not supported" in str(error), error.response
names = {m["MetricName"] for page in cw.get_paginator("list_metrics").paginate(Namespace="AWS/Lambda") for m in page["Metrics"]}
assert {"Invocations", "Errors", "Duration", "Throttles", "ConcurrentExecutions"} <= names, names
try:
    cw.put_metric_data(Namespace="x", MetricData=[{"MetricName": "m", "Value": 1}])
    raise AssertionError("expected a refusal")
except ClientError as error:
    assert error.response["Error"]["Code"] in ("InvalidAction", "UnknownOperationException"), error.response
`;
