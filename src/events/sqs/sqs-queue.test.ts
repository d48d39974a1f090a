import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "../../core/clock.ts";
import { isPlatformError } from "../../core/errors.ts";
import type { SourceQueue } from "../source-queue.ts";
import { signedHeaders } from "./signing.ts";
import { inspectSqs, openSqsQueue } from "./sqs-queue.ts";
import { type FakeSqs, startFakeSqs } from "./sqs-server.fake.ts";

const never = { signal: new AbortController().signal };

function partsOf(sqs: FakeSqs, queueArn: string, secret = sqs.login.secret) {
  const login = { ...sqs.login, secret };
  return { queueArn, place: { endpoint: sqs.url, region: "us-east-1", login }, clock: systemClock };
}

/** Until there is one; a queue hides what failed for a second at least. */
async function receiveOne(queue: SourceQueue) {
  const [message] = await queue.receive({ max: 1, waitMs: 10_000 }, never);
  assert.ok(message);
  return message;
}

describe("a queue of SQS", () => {
  it("gives records as AWS hands them to functions", async () => {
    await using sqs = await startFakeSqs();
    const arn = sqs.create("orders");
    const id = sqs.send("orders", '{"a":1}', { kind: "order" });
    await using queue = openSqsQueue(partsOf(sqs, arn));
    const message = await receiveOne(queue);
    const { receiptHandle, attributes, ...rest } = message.record;
    assert.equal(typeof receiptHandle, "string");
    assert.deepEqual(Object.keys(Object(attributes)), [
      "SenderId",
      "SentTimestamp",
      "ApproximateReceiveCount",
      "ApproximateFirstReceiveTimestamp",
    ]);
    assert.deepEqual(rest, {
      messageId: id,
      body: '{"a":1}',
      messageAttributes: {
        kind: { stringValue: "order", stringListValues: [], binaryListValues: [], dataType: "String" },
      },
      md5OfMessageAttributes: "0".repeat(32),
      md5OfBody: "bb6cb5c68df4652941caf652a366f2d8",
      eventSource: "aws:sqs",
      eventSourceARN: arn,
      awsRegion: "us-east-1",
    });
    assert.deepEqual([message.id, message.payload, message.deliveries], [id, '{"a":1}', 1]);
  });

  it("removes more than ten messages at once, and says which it could not", async () => {
    await using sqs = await startFakeSqs();
    const arn = sqs.create("orders");
    for (let count = 0; count < 12; count += 1) sqs.send("orders", String(count));
    await using queue = openSqsQueue(partsOf(sqs, arn));
    const messages = [
      ...(await queue.receive({ max: 100, waitMs: 0 }, never)),
      ...(await queue.receive({ max: 100, waitMs: 0 }, never)),
    ];
    assert.equal(messages.length, 12);
    assert.deepEqual(await queue.remove(messages), []);
    assert.deepEqual(sqs.bodies("orders"), []);
    assert.deepEqual(await queue.remove(messages.slice(0, 2)), messages.slice(0, 2));
  });

  it("lets a message that failed come again when its visibility timeout is over, never at once", async () => {
    await using sqs = await startFakeSqs();
    const arn = sqs.create("orders", { visibilitySeconds: 0 });
    sqs.send("orders", "a");
    await using queue = openSqsQueue(partsOf(sqs, arn));
    const message = await receiveOne(queue);
    const failedAt = Date.now();
    await queue.retry([message]);
    const again = await receiveOne(queue);
    assert.ok(Date.now() - failedAt >= 900, "it came at once");
    assert.deepEqual([again.key, again.deliveries], [message.key, 2]);
  });

  it("gives a message back at once that was not tried", async () => {
    await using sqs = await startFakeSqs();
    const arn = sqs.create("orders");
    sqs.send("orders", "a");
    await using queue = openSqsQueue(partsOf(sqs, arn));
    await queue.release([await receiveOne(queue)]);
    await receiveOne(queue);
  });

  it("removes a message that it has again by its newer receipt", async () => {
    await using sqs = await startFakeSqs();
    const arn = sqs.create("orders");
    sqs.send("orders", "a");
    await using queue = openSqsQueue(partsOf(sqs, arn));
    const message = await receiveOne(queue);
    await queue.release([message]);
    queue.adopt(message, await receiveOne(queue));
    assert.deepEqual(await queue.remove([message]), []);
    assert.deepEqual(sqs.bodies("orders"), []);
  });

  it("stops waiting when it is told to", async () => {
    await using sqs = await startFakeSqs();
    await using queue = openSqsQueue(partsOf(sqs, sqs.create("orders")));
    const stop = new AbortController();
    const received = queue.receive({ max: 1, waitMs: 20_000 }, { signal: stop.signal });
    const reason = new Error("enough");
    setTimeout(() => stop.abort(reason), 50);
    await assert.rejects(received, reason);
  });

  it("says when its server is not there, and goes on when it is", async () => {
    await using sqs = await startFakeSqs();
    const arn = sqs.create("orders");
    await using queue = openSqsQueue(partsOf(sqs, arn));
    sqs.send("orders", "a");
    const message = await receiveOne(queue);
    await sqs.goAway();
    const isAway = (error: unknown) =>
      isPlatformError(error, "SourceUnavailable") &&
      error.message.startsWith(`cannot reach SQS at ${sqs.url}`);
    await assert.rejects(queue.receive({ max: 1, waitMs: 0 }, never), isAway);
    await assert.rejects(queue.remove([message]), isAway);
    await sqs.comeBack();
    assert.deepEqual(await queue.receive({ max: 1, waitMs: 0 }, never), []);
    assert.deepEqual(await queue.remove([message]), []);
  });

  it("is looked at before it is used, and refused in AWS's words", async () => {
    await using sqs = await startFakeSqs();
    const arn = sqs.create("orders", { visibilitySeconds: 45 });
    assert.deepEqual(await inspectSqs(partsOf(sqs, arn), never), {
      kind: "sqs",
      visibilityMs: 45_000,
      isFifo: false,
    });
    await assert.rejects(
      inspectSqs(partsOf(sqs, arn.replace("orders", "none")), never),
      (error) =>
        isPlatformError(error, "InvalidRequest") &&
        error.message ===
          "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The specified queue does not exist.",
    );
    await assert.rejects(
      inspectSqs(partsOf(sqs, arn, "wrong"), never),
      (error) => isPlatformError(error, "InvalidRequest") && error.message.includes("InvalidClientTokenId"),
    );
  });
});

describe("signedHeaders", () => {
  /** Made with botocore 1.44 (`SigV4Auth`), which is AWS's own. */
  it("signs as AWS's own client does", () => {
    const headers = signedHeaders(
      {
        "content-type": "application/x-amz-json-1.0",
        host: "sqs.eu-central-1.amazonaws.com",
        "x-amz-target": "AmazonSQS.ReceiveMessage",
      },
      '{"QueueUrl":"https://sqs.eu-central-1.amazonaws.com/1/q"}',
      { region: "eu-central-1", service: "sqs" },
      { accessKeyId: "AKIDEXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" },
      Date.UTC(2027, 0, 2, 3, 4, 5),
    );
    assert.equal(headers["x-amz-date"], "20270102T030405Z");
    assert.equal(headers.authorization, SIGNED_BY_BOTOCORE);
  });
});

const SIGNED_BY_BOTOCORE =
  "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20270102/eu-central-1/sqs/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=e81cafd56ecf1e6da14dd07c85171f80faedce2475bd4dc21de2145c8ddc332b";
