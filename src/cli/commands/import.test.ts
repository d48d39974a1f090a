import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parse } from "yaml";
import { openLambda } from "../lambda-process.fake.ts";
import { readProject } from "../project/read-project.ts";

const SAM = `
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: { Type: String, Default: dev }
Globals:
  Function: { Runtime: nodejs22.x, Timeout: 10, Environment: { Variables: { STAGE: !Ref Stage } } }
Resources:
  OrdersFunction:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub "\${Stage}-orders"
      CodeUri: orders/
      Handler: app.handler
      MemorySize: 256
      ReservedConcurrentExecutions: 5
      Environment:
        Variables: { TABLE: !GetAtt Table.Arn, BUCKET: { Ref: Bucket }, N: 3 }
      Policies:
        - LambdaInvokePolicy: { FunctionName: !Ref PricesFunction }
        - DynamoDBCrudPolicy: { TableName: !Ref Table }
      VpcConfig: { SubnetIds: [!Select [0, !Split [",", "a,b"]]] }
      Events:
        Get: { Type: Api, Properties: { Path: "/orders/{id}", Method: get } }
        Any: { Type: HttpApi, Properties: { Path: "/{proxy+}", Method: ANY } }
        Nightly: { Type: Schedule, Properties: { Schedule: "cron(0 3 * * ? *)", Enabled: false } }
        Often: { Type: ScheduleV2, Properties: { ScheduleExpression: rate(5 minutes), Name: often } }
        Queue:
          Type: SQS
          Properties:
            Queue: !GetAtt OrderQueue.Arn
            BatchSize: 5
            MaximumBatchingWindowInSeconds: 2
            FunctionResponseTypes: [ReportBatchItemFailures]
            ScalingConfig: { MaximumConcurrency: 3 }
            FilterCriteria: { Filters: [{ Pattern: '{"body":{"kind":["order"]}}' }, { Pattern: "{" }] }
        Feed: { Type: Kinesis, Properties: { Stream: !GetAtt Feed.Arn } }
  PricesFunction:
    Type: AWS::Serverless::Function
    Properties: { PackageType: Image, ImageUri: "prices:1" }
  Table: { Type: AWS::DynamoDB::Table }
`;

const SERVERLESS = `
service: shop
provider: { name: aws, runtime: nodejs22.x, stage: "\${opt:stage, 'dev'}", environment: { STAGE: "\${self:provider.stage}" } }
functions:
  orders:
    handler: src/orders.handler
    memorySize: 512
    environment: { KEY: "\${env:KEY, 'none'}", SSM: "\${ssm:/x}" }
    events:
      - httpApi: GET /orders/{id}
      - http: { method: post, path: orders }
      - schedule: rate(10 minutes)
      - schedule: { rate: cron(0 6 * * ? *), input: { a: 1 }, enabled: false }
      - sqs: arn:aws:sqs:x:000000000001:q
      - sqs: { arn: { Fn::GetAtt: [Second, Arn] }, batchSize: 2, functionResponseType: ReportBatchItemFailures, enabled: false }
      - stream: arn:aws:kinesis:x:1:s
plugins: [serverless-offline]
`;

const OPENFAAS = `
version: 1.0
provider: { name: openfaas, gateway: http://127.0.0.1:8080 }
functions:
  resize:
    lang: dockerfile
    handler: ./resize
    limits: { memory: 256Mi }
    environment: { LEVEL: "\${LEVEL:-3}" }
    secrets: [api-key]
    annotations: { topic: cron-function, schedule: "*/5 * * * *" }
  greet:
    lang: python3-http
    handler: ./greet
    image: ghcr.io/me/greet:0.1
`;

async function imported(file: string, text: string) {
  const lambda = await openLambda("http://127.0.0.1:1");
  const folder = join(lambda.dir, "shop");
  await mkdir(folder);
  await writeFile(join(folder, file), text);
  const ran = await lambda.run(["import", join("shop", file)]);
  return {
    lambda,
    ran,
    folder,
    text: ran.exitCode === 0 ? await readFile(join(folder, "lambda.yaml"), "utf8") : "",
  };
}

describe("lambda import", () => {
  it("reads a SAM template, with what CloudFormation has in it", async () => {
    const { lambda, ran, text, folder } = await imported("template.yaml", SAM);
    await using _ = lambda;
    assert.equal(ran.exitCode, 0, ran.stderr);
    assert.equal(ran.stdout, "made lambda.yaml of template.yaml: 2 functions\n");
    assert.deepEqual(parse(text), {
      project: "shop",
      functions: {
        "dev-orders": {
          path: "orders/",
          handler: "app.handler",
          runtime: "nodejs22.x",
          memory: 256,
          timeout: 10,
          concurrency: { max: 5 },
          environment: { STAGE: "dev", TABLE: "${env:TABLE}", BUCKET: "${env:BUCKET}", N: "3" },
          calls: ["PricesFunction"],
        },
        PricesFunction: { image: "prices:1", timeout: 10, environment: { STAGE: "dev" } },
      },
      routes: {
        "GET /orders/{id}": { function: "dev-orders" },
        "ANY /{proxy+}": { function: "dev-orders" },
      },
      schedules: {
        "dev-orders-Nightly": { function: "dev-orders", cron: "cron(0 3 * * ? *)", paused: true },
        often: { function: "dev-orders", rate: "5 minutes" },
      },
      sources: {
        OrderQueue: {
          function: "dev-orders",
          queue: "${env:ORDERQUEUE_ARN}",
          batch: 5,
          window: 2,
          concurrency: 3,
          partialFailures: true,
          filters: [{ body: { kind: ["order"] } }],
        },
      },
    });
    for (const note of [
      /variable TABLE was !GetAtt Table\.Arn: it is taken from the environment/,
      /variable BUCKET was !Ref Bucket/,
      /policy DynamoDBCrudPolicy: there are no roles here/,
      /VpcConfig is not taken over/,
      /source OrderQueue: the ARN of its queue is taken from ORDERQUEUE_ARN in the environment/,
      /filter \{ is not JSON/,
      /event Feed \(Kinesis\): is not taken over/,
      /resource Table \(AWS::DynamoDB::Table\): nothing here stands for it/,
    ]) {
      assert.match(ran.stderr, note);
    }
    const ORDERQUEUE_ARN = "arn:aws:sqs:eu-central-1:000000000000:q";
    const { sections } = await readProject(folder, undefined, { TABLE: "t", BUCKET: "b", ORDERQUEUE_ARN });
    assert.equal(sections.functions["dev-orders"]?.environment?.TABLE, "t");
  });

  it("reads a serverless.yml with its variables", async () => {
    const { lambda, ran, text, folder } = await imported("serverless.yml", SERVERLESS);
    await using _ = lambda;
    assert.equal(ran.exitCode, 0, ran.stderr);
    assert.deepEqual(parse(text), {
      project: "shop",
      functions: {
        orders: {
          path: ".",
          handler: "src/orders.handler",
          runtime: "nodejs22.x",
          memory: 512,
          environment: { STAGE: "dev", KEY: "${env:KEY:-none}", SSM: "" },
        },
      },
      routes: { "GET /orders/{id}": { function: "orders" }, "POST /orders": { function: "orders" } },
      schedules: {
        orders: { function: "orders", rate: "10 minutes" },
        "orders-2": { function: "orders", cron: "cron(0 6 * * ? *)", input: { a: 1 }, paused: true },
      },
      sources: {
        q: { function: "orders", queue: "arn:aws:sqs:x:000000000001:q" },
        Second: {
          function: "orders",
          queue: "${env:SECOND_ARN}",
          batch: 2,
          partialFailures: true,
          paused: true,
        },
      },
    });
    assert.match(ran.stderr, /\$\{ssm:\/x\} cannot be worked out here/);
    assert.match(ran.stderr, /event stream is not taken over/);
    assert.match(ran.stderr, /plugins: nothing here stands for it/);
    await readProject(folder, undefined, { SECOND_ARN: "arn:aws:sqs:x:000000000001:second" });
  });

  it("reads a stack.yaml of OpenFaaS", async () => {
    const { lambda, ran, text, folder } = await imported("stack.yaml", OPENFAAS);
    await using _ = lambda;
    assert.equal(ran.exitCode, 0, ran.stderr);
    assert.deepEqual(parse(text), {
      project: "shop",
      functions: {
        resize: {
          path: "./resize",
          package: "image",
          memory: "256M",
          environment: { LEVEL: "${env:LEVEL:-3}" },
          secrets: ["API_KEY"],
        },
        greet: { image: "ghcr.io/me/greet:0.1" },
      },
      schedules: { resize: { function: "resize", cron: "*/5 * * * *" } },
    });
    assert.match(ran.stderr, /secret api-key is the variable API_KEY here/);
    assert.match(ran.stderr, /greet: its image is taken/);
    await readProject(folder, undefined, { API_KEY: "x" });
  });

  it("keeps what only looks like a reference as the text that it is", async () => {
    const values = {
      PLAIN: "a ${env:HOME} b",
      OTHER: "${date:yyyy-MM}",
      DOUBLED: "$${env:HOME}",
      SHELL: "${HOME:-/root}",
      OPEN: "${",
    };
    const sam = {
      Resources: {
        F: {
          Type: "AWS::Serverless::Function",
          Properties: {
            CodeUri: "f",
            Description: "${env:HOME}",
            Environment: { Variables: { ...values, SUB: { "Fn::Sub": "${!env:HOME}" } } },
            Events: {
              At: { Type: "Schedule", Properties: { Schedule: "rate(1 day)", Input: '{"a":"${x:y}"}' } },
            },
          },
        },
      },
    };
    const { lambda, ran, folder } = await imported("template.yaml", JSON.stringify(sam));
    await using _ = lambda;
    assert.equal(ran.exitCode, 0, ran.stderr);
    const { sections } = await readProject(folder, undefined, { HOME: "read" });
    const { F } = sections.functions;
    assert.deepEqual(F?.environment, { ...values, SUB: "${env:HOME}" });
    assert.equal(F?.description, "${env:HOME}");
    assert.deepEqual(Object.values(sections.schedules ?? {})[0]?.input, '{"a":"${x:y}"}');
  });

  it("keeps text of a stack.yaml and reads its variables", async () => {
    const level = '"${LEVEL:-3} $${env:X} ${date:x} ${A}"';
    const text = OPENFAAS.replace('"${LEVEL:-3}"', () => level);
    const { lambda, ran, folder } = await imported("stack.yaml", text);
    await using _ = lambda;
    assert.equal(ran.exitCode, 0, ran.stderr);
    const { sections } = await readProject(folder, undefined, { API_KEY: "x", A: "1" });
    assert.equal(sections.functions.resize?.environment?.LEVEL, "3 ${env:X} x 1");
  });

  it("overwrites nothing, and prints instead if asked to", async () => {
    const { lambda } = await imported("stack.yaml", OPENFAAS);
    await using _ = lambda;
    const again = await lambda.run(["import", "shop/stack.yaml"]);
    assert.deepEqual([again.exitCode, /is there already: nothing was written/.test(again.stderr)], [2, true]);
    const printed = await lambda.run(["import", "shop/stack.yaml", "--print"]);
    assert.deepEqual([printed.exitCode, parse(printed.stdout).project], [0, "shop"]);
  });

  for (const [why, text, expected] of [
    ["what is none of them", "a: 1", /is none of what can be imported/],
    ["what is no YAML", "a: [", /template\.yaml: /],
    ["nothing", "", /is none of what can be imported/],
  ] as const) {
    it(`refuses ${why}`, async () => {
      const { lambda, ran } = await imported("template.yaml", text);
      await using _ = lambda;
      assert.equal(ran.exitCode, 2);
      assert.match(ran.stderr, expected);
    });
  }
});
