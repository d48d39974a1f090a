import type { Clock } from "../../core/clock.ts";
import { isPlatformError, PlatformError } from "../../core/errors.ts";
import { type OriginFacts, parseQueueArn } from "../../core/source.ts";
import type { QueueMessage, SourceQueue } from "../source-queue.ts";
import { newSqsClient, type SqsClient, type SqsPlace, SqsRefusal } from "./sqs-client.ts";

export interface SqsQueueParts {
  readonly queueArn: string;
  readonly place: SqsPlace;
  readonly clock: Clock;
}

/** Of one call, AWS's figures. */
const CALL_MESSAGES_MAX = 10;
const WAIT_SECONDS_MAX = 20;
const VISIBILITY_SECONDS_MAX = 43_200;
/** A queue that hides messages for less would hand them out again before we could say that we have them. */
const HIDDEN_MS_MIN = 10_000;
/** A message that failed does not come again at once, whatever its queue says. */
const RETRY_SECONDS_MIN = 1;
/** Settling goes on while the daemon stops, but not for ever. */
const SETTLE_MS_MAX = 10_000;

/** What is known of a message besides what the function gets. */
interface Receipt {
  handle: string;
  receivedAt: number;
  /** When it comes again if nothing is done. */
  hiddenUntil: number;
}

/**
 * A queue of SQS. How long a message that failed stays away is what the queue's visibility timeout says, counted from
 * when it was received; how often it is tried, and where it goes then, is the queue's redrive policy.
 */
export function openSqsQueue(parts: SqsQueueParts): SourceQueue {
  const { clock } = parts;
  const client = newSqsClient(parts.place, clock);
  const receipts = new WeakMap<QueueMessage, Receipt>();
  let queue: { readonly url: string; readonly visibilityMs: number } | undefined;
  let isKnown = false;
  let hiddenMs = HIDDEN_MS_MIN;

  /** Gives the messages whose entry failed. */
  async function inTens(
    operation: string,
    messages: readonly QueueMessage[],
    entryOf: (receipt: Receipt) => Readonly<Record<string, unknown>>,
  ): Promise<readonly QueueMessage[]> {
    const failed: QueueMessage[] = [];
    const QueueUrl = queue?.url;
    for (let from = 0; from < messages.length; from += CALL_MESSAGES_MAX) {
      const some = messages.slice(from, from + CALL_MESSAGES_MAX);
      const Entries = some.map((message, index) => {
        const receipt = receipts.get(message);
        if (!receipt) throw new TypeError("a message of another queue");
        return { Id: String(index), ReceiptHandle: receipt.handle, ...entryOf(receipt) };
      });
      const signal = AbortSignal.timeout(SETTLE_MS_MAX);
      const answer = await callInTime(client, operation, { QueueUrl, Entries }, signal);
      for (const entry of listIn(answer, "Failed")) {
        const message = some[Number(entry.Id)];
        if (message) failed.push(message);
      }
    }
    return failed;
  }

  const hideFor = (messages: readonly QueueMessage[], seconds: (receipt: Receipt) => number) =>
    inTens("ChangeMessageVisibilityBatch", messages, (receipt) => {
      const VisibilityTimeout = Math.min(VISIBILITY_SECONDS_MAX, Math.max(0, Math.ceil(seconds(receipt))));
      receipt.hiddenUntil = clock.now() + VisibilityTimeout * 1_000;
      return { VisibilityTimeout };
    });

  return {
    payloadField: "body",
    get hiddenMs() {
      return hiddenMs;
    },
    attemptsMax: undefined,
    async receive({ max, waitMs }, { signal }) {
      if (!queue || !isKnown) {
        queue = await inspectSqsQueue(parts, client, { signal });
        hiddenMs = Math.max(HIDDEN_MS_MIN, queue.visibilityMs);
        isKnown = true;
      }
      const asked = {
        QueueUrl: queue.url,
        MaxNumberOfMessages: Math.min(CALL_MESSAGES_MAX, max),
        WaitTimeSeconds: Math.min(WAIT_SECONDS_MAX, Math.floor(waitMs / 1_000)),
        VisibilityTimeout: Math.ceil(hiddenMs / 1_000),
        AttributeNames: ["All"],
        MessageSystemAttributeNames: ["All"],
        MessageAttributeNames: ["All"],
      };
      let answer: Readonly<Record<string, unknown>>;
      try {
        answer = await client.call("ReceiveMessage", asked, { signal });
      } catch (error) {
        // It may have been made anew, under another URL and with other settings.
        isKnown = false;
        throw error;
      }
      const receivedAt = clock.now();
      return listIn(answer, "Messages").map((received) => {
        const message = messageOf(received, parts.queueArn);
        receipts.set(message, {
          handle: String(received.ReceiptHandle),
          receivedAt,
          hiddenUntil: receivedAt + hiddenMs,
        });
        return message;
      });
    },
    async extend(messages) {
      await hideFor(messages, () => hiddenMs / 1_000);
    },
    remove: (messages) => inTens("DeleteMessageBatch", messages, () => ({})),
    async retry(messages) {
      const visibilityMs = queue?.visibilityMs ?? hiddenMs;
      const seconds = ({ receivedAt }: Receipt) =>
        Math.max(RETRY_SECONDS_MIN, (receivedAt + visibilityMs - clock.now()) / 1_000);
      // Most come again in time by themselves.
      const early = messages.filter((message) => {
        const receipt = receipts.get(message);
        return receipt && Math.abs(receipt.hiddenUntil - clock.now() - seconds(receipt) * 1_000) > 1_000;
      });
      await hideFor(early, seconds);
    },
    async release(messages) {
      await hideFor(messages, () => 0);
    },
    async giveUp() {
      throw new TypeError("messages of SQS are given up by the redrive policy of their queue");
    },
    adopt(held, again) {
      const receipt = receipts.get(again);
      if (receipt) receipts.set(held, receipt);
    },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

/** Finds the queue. @throws PlatformError `SourceUnavailable`; `InvalidRequest` if there is no such queue. */
export async function inspectSqs(
  parts: SqsQueueParts,
  { signal }: { readonly signal: AbortSignal },
): Promise<OriginFacts> {
  await using client = newSqsClient(parts.place, parts.clock);
  try {
    const { visibilityMs } = await inspectSqsQueue(parts, client, { signal });
    return { kind: "sqs", visibilityMs, isFifo: parts.queueArn.endsWith(".fifo") };
  } catch (error) {
    if (!isPlatformError(error, "SourceUnavailable") || !(error.cause instanceof SqsRefusal)) throw error;
    // AWS finds out by receiving, and says so.
    const { code, message } = error.cause;
    throw new PlatformError(
      "InvalidRequest",
      `Error occurred while ReceiveMessage. SQS Error Code: ${code}. SQS Error Message: ${message}`,
      { cause: error },
    );
  }
}

async function inspectSqsQueue(
  { queueArn }: SqsQueueParts,
  client: SqsClient,
  { signal }: { readonly signal: AbortSignal },
): Promise<{ readonly url: string; readonly visibilityMs: number }> {
  const arn = parseQueueArn(queueArn);
  if (!arn) throw new TypeError(`${queueArn} is not the ARN of a queue`);
  const named = { QueueName: arn.name, QueueOwnerAWSAccountId: arn.account };
  const { QueueUrl } = await callInTime(client, "GetQueueUrl", named, signal);
  const asked = { QueueUrl, AttributeNames: ["VisibilityTimeout"] };
  const { Attributes } = await callInTime(client, "GetQueueAttributes", asked, signal);
  const seconds = Number(recordIn(Attributes).VisibilityTimeout ?? Number.NaN);
  if (typeof QueueUrl !== "string" || !Number.isFinite(seconds)) {
    throw new PlatformError("SourceUnavailable", `what answers for ${queueArn} does not answer as SQS does`);
  }
  return { url: QueueUrl, visibilityMs: seconds * 1_000 };
}

/** For calls that do not wait for messages. */
async function callInTime(
  client: SqsClient,
  operation: string,
  body: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): Promise<Readonly<Record<string, unknown>>> {
  const deadline = AbortSignal.timeout(SETTLE_MS_MAX);
  try {
    return await client.call(operation, body, { signal: AbortSignal.any([signal, deadline]) });
  } catch (error) {
    if (isPlatformError(error)) throw error;
    if (signal.aborted && !isTimeout(signal.reason)) throw signal.reason;
    const message = `SQS did not answer ${operation} within ${SETTLE_MS_MAX / 1_000} s`;
    throw new PlatformError("SourceUnavailable", message, { cause: error });
  }
}

function isTimeout(reason: unknown): boolean {
  return reason instanceof Error && reason.name === "TimeoutError";
}

/** A record as AWS hands it to functions: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html */
function messageOf(received: Readonly<Record<string, unknown>>, queueArn: string): QueueMessage {
  const attributes = recordIn(received.Attributes);
  const messageAttributes = Object.entries(recordIn(received.MessageAttributes)).map(([name, given]) => {
    const { StringValue, BinaryValue, DataType } = recordIn(given);
    const value = {
      ...(StringValue !== undefined && { stringValue: StringValue }),
      ...(BinaryValue !== undefined && { binaryValue: BinaryValue }),
      stringListValues: [],
      binaryListValues: [],
      dataType: DataType,
    };
    return [name, value] as const;
  });
  const payload = typeof received.Body === "string" ? received.Body : "";
  const id = String(received.MessageId);
  return {
    id,
    key: id,
    payload,
    deliveries: Number(attributes.ApproximateReceiveCount ?? 1),
    record: {
      messageId: id,
      receiptHandle: received.ReceiptHandle,
      body: payload,
      attributes,
      messageAttributes: Object.fromEntries(messageAttributes),
      ...(received.MD5OfMessageAttributes !== undefined && {
        md5OfMessageAttributes: received.MD5OfMessageAttributes,
      }),
      md5OfBody: received.MD5OfBody,
      eventSource: "aws:sqs",
      eventSourceARN: queueArn,
      awsRegion: parseQueueArn(queueArn)?.region,
    },
  };
}

function recordIn(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function listIn(
  answer: Readonly<Record<string, unknown>>,
  name: string,
): readonly Readonly<Record<string, unknown>>[] {
  const list = answer[name];
  return Array.isArray(list) ? list.map(recordIn) : [];
}
