import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { PlatformError } from "../../../core/errors.ts";
import type { OriginFacts } from "../../../core/source.ts";
import { makeFunction, startControl, type TestControl } from "../control.fake.ts";

const ARN = "arn:aws:sqs:eu-central-1:123456789012:orders";
const NATS = { from: "nats://127.0.0.1:4222", stream: "ORDERS" };

let control: TestControl;
let inspect: () => OriginFacts = () => ({ kind: "sqs", visibilityMs: 1_000, isFifo: false });
const changed: string[] = [];
before(async () => {
  control = await startControl({
    sourceWork: {
      inspect: async () => inspect(),
      seal: async (_, secret) => Buffer.from(`sealed ${secret}`).toString("base64"),
      unseal: async (_, sealed) => Buffer.from(sealed, "base64").toString().replace("sealed ", ""),
      status: () => undefined,
      changed: (id) => void changed.push(id),
    },
  });
  for (const name of ["greet", "shop-a", "shop-b"]) await makeFunction(control, name);
});
after(() => control[Symbol.asyncDispose]());

async function call(method: string, path: string, body?: unknown, token?: string) {
  const answer = await control.send({
    method,
    path,
    headers: { "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    ...(token !== undefined && { token }),
  });
  return { status: answer.status, value: Object(answer.json), text: answer.text };
}

/** Made, and gone when the test is over. */
async function made(body: Readonly<Record<string, unknown>>) {
  const { status, value, text } = await call("POST", "/v1/sources", {
    function: "greet",
    from: ARN,
    ...body,
  });
  assert.equal(status, 201, text);
  return { value, [Symbol.asyncDispose]: async () => void (await call("DELETE", `/v1/sources/${value.id}`)) };
}

describe("POST /v1/sources", () => {
  it("makes a source with defaults, and tells whoever polls", async () => {
    await using source = await made({});
    const { id, createdAt, modifiedAt, ...rest } = source.value;
    assert.equal(createdAt, modifiedAt);
    assert.deepEqual(rest, {
      function: "greet",
      kind: "sqs",
      from: ARN,
      arn: ARN,
      batchSize: 10,
      windowMs: 0,
      partialFailures: false,
      filters: [],
      isPaused: false,
      state: "starting",
      running: 0,
    });
    assert.equal(changed.at(-1), id);
  });

  it("never shows a secret, and keeps it sealed", async () => {
    const login = { endpoint: "http://127.0.0.1:9324", accessKeyId: "AKIA", secret: "geheim" };
    await using source = await made(login);
    assert.deepEqual([source.value.endpoint, source.value.accessKeyId], [login.endpoint, "AKIA"]);
    const { text } = await call("GET", `/v1/sources/${source.value.id}`);
    assert.ok(!text.includes("geheim") && !text.includes("sealed"));
    const stored = await control.store.sources.find(source.value.id);
    assert.ok(stored?.origin.kind === "sqs");
    assert.equal(Buffer.from(stored.origin.login?.sealedSecret ?? "", "base64").toString(), "sealed geheim");
  });

  it("makes a source of a stream, whose consumer is called like the function and its alias", async () => {
    await using source = await made({ ...NATS, qualifier: "$LATEST", secret: "t0ken", attemptsMax: 3 });
    const { stream, consumer, startsAt, attemptsMax, hasSecret, arn } = source.value;
    assert.deepEqual([stream, consumer, startsAt, attemptsMax], ["ORDERS", "greet-LATEST", "first", 3]);
    assert.deepEqual([hasSecret, arn], [true, "arn:aws:nats:eu-central-1:123456789012:ORDERS/greet-LATEST"]);
  });

  it("takes an address of its own from administrators only", async () => {
    const token = await control.issue({ scopes: ["deploy"] });
    for (const body of [NATS, { from: ARN, endpoint: "http://127.0.0.1:1" }]) {
      const { status, text } = await call("POST", "/v1/sources", { function: "greet", ...body }, token);
      assert.equal(status, 403);
      assert.match(text, /needs the scope admin/);
    }
    const { status, value } = await call("POST", "/v1/sources", { function: "greet", from: ARN }, token);
    assert.equal(status, 201);
    await call("DELETE", `/v1/sources/${value.id}`);
  });

  it("calls a function once for a queue", async () => {
    await using source = await made({});
    const again = await call("POST", "/v1/sources", { function: "greet", from: ARN });
    assert.equal(again.status, 409);
    assert.ok(again.text.includes(source.value.id));
    await using _ofAnother = await made({ function: "shop-a" });
    await using _elsewhere = await made({ endpoint: "http://127.0.0.1:9324" });
    await using _otherVersion = await made({ qualifier: "$LATEST" });
  });

  it("does not ask that a queue hides its messages as long as the function runs", async () => {
    inspect = () => ({ kind: "sqs", visibilityMs: 1, isFifo: false });
    await using _source = await made({});
  });

  const refusals: readonly (readonly [why: string, body: Record<string, unknown>, message: RegExp])[] = [
    ["no function", { function: "none" }, /does not exist/],
    ["a name that is none", { function: "a b" }, /function: expected/],
    ["no alias", { qualifier: "live" }, /no alias/],
    ["nothing to read from", { from: "" }, /from/],
    ["what is no queue", { from: "arn:aws:sns:eu-central-1:123456789012:t" }, /from: expected arn:aws:sqs/],
    ["another protocol", { from: "amqp://127.0.0.1" }, /from: expected arn:aws:sqs/],
    ["a password in an address", { ...NATS, from: "nats://u:p@h:1" }, /leave name and password out/],
    ["a stream without a name", { from: NATS.from }, /stream: which stream/],
    ["a name of a stream with a star", { ...NATS, stream: "A*" }, /stream: expected a name/],
    ["a user without a password", { ...NATS, user: "u" }, /user: send the user's password/],
    ["a queue with a stream", { stream: "S" }, /stream: only for streams of NATS/],
    ["a stream with an endpoint", { ...NATS, endpoint: "http://h" }, /endpoint: only for queues of SQS/],
    ["half a login", { accessKeyId: "A" }, /send both, or neither/],
    ["an endpoint with a path", { endpoint: "http://h/path" }, /endpoint: expected http:\/\/HOST:PORT/],
    ["no messages at all", { batchSize: 0 }, /batchSize/],
    ["too many messages", { batchSize: 10_001, windowMs: 1 }, /batchSize/],
    ["a large batch without a window", { batchSize: 11 }, /Maximum batch window/],
    ["a large batch of a FIFO queue", { from: `${ARN}.fifo`, batchSize: 11, windowMs: 1 }, /at most 10/],
    ["a window of a FIFO queue", { from: `${ARN}.fifo`, windowMs: 1 }, /cannot wait for more/],
    ["a long window", { windowMs: 300_001 }, /windowMs/],
    ["a pattern that is text", { filters: ["x"] }, /filters.0/],
    ["a pattern that means nothing", { filters: [{ body: 1 }] }, /Invalid filter pattern definition/],
    ["too many patterns", { filters: Array(11).fill({ body: ["x"] }) }, /filters/],
    ["a destination of a queue", { onFailure: "dead" }, /redrive policy/],
    ["a destination with a password", { ...NATS, onFailure: "https://u:p@h/" }, /onFailure: expected/],
    ["what there is not", { colour: "red" }, /colour/i],
  ];
  for (const [why, body, message] of refusals) {
    it(`refuses ${why}`, async () => {
      const { status, text } = await call("POST", "/v1/sources", { function: "greet", from: ARN, ...body });
      assert.ok(status >= 400 && status < 500, `${status}`);
      assert.match(JSON.parse(text).error.message, message);
    });
  }

  it("stores nothing when the queue cannot be reached", async () => {
    inspect = () => {
      throw new PlatformError("SourceUnavailable", "cannot reach SQS at http://h");
    };
    const { status, value } = await call("POST", "/v1/sources", { function: "greet", from: ARN });
    inspect = () => ({ kind: "sqs", visibilityMs: 1_000, isFifo: false });
    assert.deepEqual([status, value.error.code], [502, "SourceUnavailable"]);
    assert.deepEqual((await call("GET", "/v1/sources")).value.sources, []);
  });
});

describe("a source that there is", () => {
  it("changes what is said and nothing else", async () => {
    await using source = await made({ concurrencyMax: 3, filters: [{ body: ["x"] }] });
    const path = `/v1/sources/${source.value.id}`;
    const { status, value } = await call("PATCH", path, {
      batchSize: 5,
      concurrencyMax: null,
      qualifier: "$LATEST",
    });
    assert.equal(status, 200);
    const { batchSize, concurrencyMax, qualifier, filters } = value;
    assert.deepEqual(
      [batchSize, concurrencyMax, qualifier, filters],
      [5, undefined, "$LATEST", [{ body: ["x"] }]],
    );
    const moved = await call("PATCH", path, { function: "shop-a" });
    assert.deepEqual([moved.value.function, moved.value.qualifier], ["shop-a", undefined]);
    const bad = await call("PATCH", path, { batchSize: 11 });
    assert.equal(bad.status, 400);
    assert.equal((await call("PATCH", path, { from: ARN })).status, 400);
  });

  it("is paused and resumed, and can be paused while its queue is away", async () => {
    await using source = await made({});
    const path = `/v1/sources/${source.value.id}`;
    inspect = () => {
      throw new PlatformError("SourceUnavailable", "cannot reach SQS at http://h");
    };
    assert.equal((await call("POST", `${path}/pause`, {})).value.state, "paused");
    assert.equal((await call("POST", `${path}/pause`, {})).status, 200);
    assert.equal((await call("POST", `${path}/resume`, {})).status, 502);
    inspect = () => ({ kind: "sqs", visibilityMs: 1_000, isFifo: false });
    assert.equal((await call("POST", `${path}/resume`, {})).value.isPaused, false);
  });

  it("is seen and changed by keys for its function alone", async () => {
    await using own = await made({ function: "shop-a" });
    await using other = await made({ function: "greet" });
    const token = await control.issue({ scopes: ["deploy"], functions: "shop-*" });
    const listed = await call("GET", "/v1/sources", undefined, token);
    assert.deepEqual(
      listed.value.sources.map(({ id }: { id: string }) => id),
      [own.value.id],
    );
    const refused = [
      await call("GET", `/v1/sources/${other.value.id}`, undefined, token),
      await call("PATCH", `/v1/sources/${other.value.id}`, { batchSize: 1 }, token),
      await call("PATCH", `/v1/sources/${own.value.id}`, { function: "greet" }, token),
      await call("DELETE", `/v1/sources/${other.value.id}`, undefined, token),
      await call("POST", "/v1/sources", { function: "greet", from: ARN }, token),
    ];
    assert.deepEqual(
      refused.map(({ status }) => status),
      [403, 403, 403, 403, 403],
    );
  });

  it("is found page by page, and by its function", async () => {
    await using _a = await made({ function: "shop-a" });
    await using _b = await made({ function: "shop-b" });
    await using _c = await made({});
    const first = await call("GET", "/v1/sources?limit=2");
    const rest = await call("GET", `/v1/sources?limit=2&after=${first.value.next}`);
    assert.deepEqual(
      [first.value.sources.length, rest.value.sources.length, rest.value.next],
      [2, 1, undefined],
    );
    const ofOne = await call("GET", "/v1/sources?function=shop-b");
    assert.deepEqual(
      ofOne.value.sources.map((source: { function: string }) => source.function),
      ["shop-b"],
    );
  });

  it("is gone when it is deleted, or its function", async () => {
    await using first = await made({});
    assert.equal((await call("DELETE", `/v1/sources/${first.value.id}`)).status, 204);
    assert.equal(changed.at(-1), first.value.id);
    assert.equal((await call("GET", `/v1/sources/${first.value.id}`)).status, 404);
    assert.equal((await call("DELETE", `/v1/sources/${first.value.id}`)).status, 404);
    assert.equal((await call("GET", "/v1/sources/none")).status, 404);
    await makeFunction(control, "brief");
    await using second = await made({ function: "brief" });
    await call("DELETE", "/v1/functions/brief");
    assert.equal((await call("GET", `/v1/sources/${second.value.id}`)).status, 404);
  });
});
