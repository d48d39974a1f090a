/**
 * A server that speaks as much of SQS as pollers use, in memory, for tests: what AWS documents of hiding, receiving and
 * deleting. Signatures are checked. It can go away and come back with all its messages.
 */
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { signedHeaders } from "./signing.ts";

export interface FakeSqs extends AsyncDisposable {
  readonly url: string;
  readonly login: { readonly accessKeyId: string; readonly secret: string };
  /** Makes a queue; its ARN is of region us-east-1 and account 000000000000. */
  create(
    name: string,
    options?: { readonly visibilitySeconds?: number; readonly receivesMax?: number },
  ): string;
  send(queue: string, body: string, attributes?: Readonly<Record<string, string>>): string;
  /** Bodies of what is in the queue, hidden or not. */
  bodies(queue: string): string[];
  /** Of what was received too often; only of queues that have such a limit. */
  dead(queue: string): string[];
  /** Every operation so far, in order. */
  readonly operations: readonly string[];
  /** Cuts all connections and listens no more. */
  goAway(): Promise<void>;
  comeBack(): Promise<void>;
}

interface Message {
  readonly id: string;
  readonly body: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly sentAt: number;
  handle: string;
  receives: number;
  firstAt: number | undefined;
  hiddenUntil: number;
}

interface Queue {
  readonly visibilitySeconds: number;
  readonly receivesMax: number | undefined;
  messages: Message[];
  dead: string[];
}

class Refused extends Error {
  readonly type: string;
  readonly code: string;

  constructor(type: string, code: string, message: string) {
    super(message);
    this.type = type;
    this.code = code;
  }
}

type Input = Readonly<Record<string, unknown>>;

const LOGIN = { accessKeyId: "AKIATEST", secret: "geheim" };

export async function startFakeSqs(): Promise<FakeSqs> {
  const queues = new Map<string, Queue>();
  const operations: string[] = [];
  let woken = Promise.withResolvers<void>();
  const gone = { signal: new AbortController() };

  const queueOf = (input: Input): Queue => {
    const name = String(input.QueueName ?? String(input.QueueUrl).split("/").at(-1));
    const queue = queues.get(name);
    if (queue) return queue;
    throw new Refused(
      "com.amazonaws.sqs#QueueDoesNotExist",
      "AWS.SimpleQueueService.NonExistentQueue",
      "The specified queue does not exist.",
    );
  };
  const wake = () => {
    woken.resolve();
    woken = Promise.withResolvers();
  };

  const perform: Readonly<Record<string, (input: Input) => unknown>> = {
    GetQueueUrl(input) {
      queueOf(input);
      return { QueueUrl: `http://elsewhere.invalid/000000000000/${String(input.QueueName)}` };
    },
    GetQueueAttributes: (input) => ({
      Attributes: { VisibilityTimeout: String(queueOf(input).visibilitySeconds) },
    }),
    async ReceiveMessage(input) {
      const queue = queueOf(input);
      const endsAt = Date.now() + Number(input.WaitTimeSeconds) * 1_000;
      for (;;) {
        const found = visible(queue).slice(0, Number(input.MaxNumberOfMessages));
        if (found.length > 0)
          return { Messages: found.map((one) => handOut(one, Number(input.VisibilityTimeout))) };
        if (Date.now() >= endsAt || gone.signal.signal.aborted) return {};
        const next = Math.min(endsAt, ...queue.messages.map(({ hiddenUntil }) => hiddenUntil));
        const timer = Promise.withResolvers<void>();
        const timeout = setTimeout(timer.resolve, Math.max(1, next - Date.now()));
        await Promise.race([timer.promise, woken.promise]);
        clearTimeout(timeout);
      }
    },
    DeleteMessageBatch: (input) =>
      eachEntry(input, (queue, entry) => {
        const before = queue.messages.length;
        queue.messages = queue.messages.filter(({ handle }) => handle !== entry.ReceiptHandle);
        return queue.messages.length < before;
      }),
    ChangeMessageVisibilityBatch: (input) =>
      eachEntry(input, (queue, entry) => {
        const message = queue.messages.find(({ handle }) => handle === entry.ReceiptHandle);
        if (!message) return false;
        message.hiddenUntil = Date.now() + Number(entry.VisibilityTimeout) * 1_000;
        wake();
        return true;
      }),
  };

  function eachEntry(input: Input, act: (queue: Queue, entry: Input) => boolean) {
    const queue = queueOf(input);
    const Successful: unknown[] = [];
    const Failed: unknown[] = [];
    for (const entry of Array.isArray(input.Entries) ? input.Entries : []) {
      if (act(queue, entry)) Successful.push({ Id: entry.Id });
      else Failed.push({ Id: entry.Id, SenderFault: true, Code: "ReceiptHandleIsInvalid" });
    }
    return { Successful, ...(Failed.length > 0 && { Failed }) };
  }

  async function answer(request: IncomingMessage): Promise<unknown> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    checkSignature(request, text);
    const operation = String(request.headers["x-amz-target"]).replace("AmazonSQS.", "");
    operations.push(operation);
    const act = perform[operation];
    if (!act) throw new Refused("com.amazonaws.sqs#InvalidAction", "InvalidAction", operation);
    return await act(JSON.parse(text));
  }

  let server: Server | undefined;
  let port = 0;
  async function listen(): Promise<void> {
    gone.signal = new AbortController();
    const made = createServer((request, response) => {
      const send = (status: number, value: unknown, headers: Readonly<Record<string, string>> = {}) => {
        response.writeHead(status, { "content-type": "application/x-amz-json-1.0", ...headers });
        response.end(JSON.stringify(value));
      };
      answer(request).then(
        (value) => send(200, value),
        (error: unknown) => {
          if (error instanceof Refused) {
            send(
              400,
              { __type: error.type, message: error.message },
              { "x-amzn-query-error": `${error.code};Sender` },
            );
          } else response.destroy();
        },
      );
    });
    made.listen(port, "127.0.0.1");
    await once(made, "listening");
    const address = made.address();
    port = typeof address === "object" && address ? address.port : 0;
    server = made;
  }
  await listen();

  const fake: FakeSqs = {
    url: `http://127.0.0.1:${port}`,
    login: LOGIN,
    create(name, { visibilitySeconds = 30, receivesMax } = {}) {
      queues.set(name, { visibilitySeconds, receivesMax, messages: [], dead: [] });
      return `arn:aws:sqs:us-east-1:000000000000:${name}`;
    },
    send(queue, body, attributes = {}) {
      const id = randomUUID();
      const fresh = { handle: "", receives: 0, firstAt: undefined, hiddenUntil: 0 };
      queues.get(queue)?.messages.push({ id, body, attributes, sentAt: Date.now(), ...fresh });
      wake();
      return id;
    },
    bodies: (queue) => queues.get(queue)?.messages.map(({ body }) => body) ?? [],
    dead: (queue) => queues.get(queue)?.dead ?? [],
    operations,
    async goAway() {
      gone.signal.abort();
      wake();
      server?.closeAllConnections();
      const closed = server && once(server, "close");
      server?.close();
      server?.closeAllConnections();
      await closed;
    },
    comeBack: listen,
    [Symbol.asyncDispose]: () => (server?.listening ? fake.goAway() : Promise.resolve()),
  };
  return fake;
}

function visible(queue: Queue): Message[] {
  const found = queue.messages.filter(({ hiddenUntil }) => hiddenUntil <= Date.now());
  const { receivesMax } = queue;
  if (receivesMax === undefined) return found;
  const over = found.filter(({ receives }) => receives >= receivesMax);
  queue.dead.push(...over.map(({ body }) => body));
  queue.messages = queue.messages.filter((message) => !over.includes(message));
  return found.filter((message) => !over.includes(message));
}

function handOut(message: Message, visibilitySeconds: number): unknown {
  message.receives += 1;
  message.firstAt ??= Date.now();
  message.handle = randomUUID();
  message.hiddenUntil = Date.now() + visibilitySeconds * 1_000;
  const given = Object.entries(message.attributes);
  return {
    MessageId: message.id,
    ReceiptHandle: message.handle,
    Body: message.body,
    MD5OfBody: createHash("md5").update(message.body).digest("hex"),
    Attributes: {
      SenderId: "AIDATEST",
      SentTimestamp: String(message.sentAt),
      ApproximateReceiveCount: String(message.receives),
      ApproximateFirstReceiveTimestamp: String(message.firstAt),
    },
    ...(given.length > 0 && {
      MD5OfMessageAttributes: "0".repeat(32),
      MessageAttributes: Object.fromEntries(
        given.map(([name, StringValue]) => [name, { DataType: "String", StringValue }]),
      ),
    }),
  };
}

/** Signs it again; that the result is AWS's own is another test's business. */
function checkSignature({ headers }: IncomingMessage, body: string): void {
  const given = String(headers.authorization);
  const [, id, region] = /Credential=([^/]+)\/\d{8}\/([^/]+)\/sqs/.exec(given) ?? [];
  const at = String(headers["x-amz-date"]).replace(/^(....)(..)(..)T(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z");
  const signed = signedHeaders(
    {
      "content-type": String(headers["content-type"]),
      host: String(headers.host),
      "x-amz-target": String(headers["x-amz-target"]),
    },
    body,
    { region: region ?? "", service: "sqs" },
    LOGIN,
    Date.parse(at),
  );
  if (id === LOGIN.accessKeyId && signed.authorization === given) return;
  throw new Refused(
    "com.amazon.coral.service#InvalidSignatureException",
    "InvalidClientTokenId",
    "The security token included in the request is invalid.",
  );
}
