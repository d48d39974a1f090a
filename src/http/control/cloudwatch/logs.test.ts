import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import type { LogLine } from "../../../records/records.ts";
import { makeFunction, named, startControl, type TestControl } from "../control.fake.ts";
import { parseFilterPattern } from "./filter-pattern.ts";

const START = Date.UTC(2026, 10, 20, 12);
const STREAM = "2026/11/20/[$LATEST]00000000000000aa";

let control: TestControl;
let lines: LogLine[] = [];
/** Logs that are being read. */
let opened = 0;
before(async () => {
  control = await startControl();
  for (const name of ["greet", "other", "shares"]) await makeFunction(control, name);
  const { latest } = await control.functions.get(named("shares"));
  const logging = { ...latest.config.logging, group: "/aws/lambda/other" };
  await control.functions.update(named("shares"), { config: { ...latest.config, logging } });
  control.logs = async function* ({ functionName, sinceAt = 0, untilAt = Number.MAX_SAFE_INTEGER }) {
    opened += 1;
    try {
      yield* lines.filter(
        (line) => line.functionName === functionName && line.at >= sinceAt && line.at <= untilAt,
      );
    } finally {
      opened -= 1;
    }
  };
});
beforeEach(() => {
  lines = [0, 0, 1, 2].map((ms, index) => lineAt(START + ms, `line ${index}`));
});
after(() => control[Symbol.asyncDispose]());

function lineAt(
  at: number,
  text: string,
  functionName = "greet",
  sandboxId = "sb-00000000000000aa",
): LogLine {
  return {
    at,
    text,
    functionName,
    sandboxId,
    version: "$LATEST",
    liveVersion: 1,
    invocationId: undefined,
    stream: "stdout",
  };
}

async function call(operation: string, body: unknown, token?: string) {
  const answer = await control.send({
    method: "POST",
    path: "/",
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers: { "x-amz-target": `Logs_20140328.${operation}`, "content-type": "application/x-amz-json-1.1" },
    ...(token && { token }),
  });
  return { status: answer.status, value: Object(answer.text === "" ? {} : JSON.parse(answer.text)) };
}

const group = { logGroupName: "/aws/lambda/greet" };
const messages = (value: { events: { message: string }[] }) => value.events.map(({ message }) => message);

describe("FilterLogEvents", () => {
  it("closes what it has read a page of", async () => {
    const { value } = await call("FilterLogEvents", { ...group, limit: 1 });
    assert.deepEqual([messages(value), opened], [["line 0"], 0]);
  });

  it("gives every line once over pages of any size, each with an id of its own", async () => {
    for (const limit of [1, 2, 3, 100]) {
      const found: { message: string; eventId: string; timestamp: number; logStreamName: string }[] = [];
      let nextToken: string | undefined;
      do {
        const { value } = await call("FilterLogEvents", { ...group, limit, nextToken });
        found.push(...value.events);
        nextToken = value.nextToken;
      } while (nextToken !== undefined);
      assert.deepEqual(
        found.map(({ message }) => message),
        ["line 0", "line 1", "line 2", "line 3"],
      );
      assert.equal(new Set(found.map(({ eventId }) => eventId)).size, 4);
      assert.deepEqual([found[0]?.timestamp, found[0]?.logStreamName], [START, STREAM]);
      assert.ok(found.every(({ eventId }) => /^\d{56}$/.test(eventId)));
    }
  });

  it("keeps to the span, the streams and the pattern", async () => {
    const filter = async (more: object) =>
      messages((await call("FilterLogEvents", { ...group, ...more })).value);
    assert.deepEqual(await filter({ startTime: START + 1 }), ["line 2", "line 3"]);
    assert.deepEqual(await filter({ endTime: START + 1 }), ["line 0", "line 1"]);
    assert.deepEqual(await filter({ filterPattern: '"line 1"' }), ["line 1"]);
    assert.deepEqual(await filter({ logStreamNames: ["x"] }), []);
    assert.equal((await filter({ logStreamNamePrefix: "2026/" })).length, 4);
  });

  it("merges functions that share a group, by time", async () => {
    lines = [lineAt(START, "a", "other"), lineAt(START + 2, "c", "other"), lineAt(START + 1, "b", "shares")];
    const { value } = await call("FilterLogEvents", { logGroupName: "/aws/lambda/other" });
    assert.deepEqual(messages(value), ["a", "b", "c"]);
  });
});

describe("GetLogEvents", () => {
  it("pages forward and backward by its tokens, and repeats a token at the end", async () => {
    const get = async (more: object) =>
      (await call("GetLogEvents", { ...group, logStreamName: STREAM, limit: 3, ...more })).value;
    const last = await get({});
    assert.deepEqual(messages(last), ["line 1", "line 2", "line 3"]);
    assert.deepEqual(messages(await get({ nextToken: last.nextBackwardToken })), ["line 0"]);
    const first = await get({ startFromHead: true });
    assert.deepEqual(messages(first), ["line 0", "line 1", "line 2"]);
    const rest = await get({ nextToken: first.nextForwardToken });
    assert.deepEqual(messages(rest), ["line 3"]);
    const none = await get({ nextToken: rest.nextForwardToken });
    assert.deepEqual([none.events, none.nextForwardToken], [[], rest.nextForwardToken]);
  });
});

describe("DescribeLogGroups and DescribeLogStreams", () => {
  it("show groups by name, and only those that the key may read", async () => {
    const { value } = await call("DescribeLogGroups", {});
    assert.deepEqual(
      value.logGroups.map((shown: { logGroupName: string }) => shown.logGroupName),
      ["/aws/lambda/greet", "/aws/lambda/other"],
    );
    const token = await control.issue({ scopes: ["read"], functions: "greet" });
    assert.equal((await call("DescribeLogGroups", {}, token)).value.logGroups.length, 1);
    const hidden = await call("FilterLogEvents", { logGroupName: "/aws/lambda/other" }, token);
    assert.deepEqual([hidden.status, hidden.value.__type], [400, "ResourceNotFoundException"]);
    const invoker = await control.issue({ scopes: ["invoke"] });
    assert.equal((await call("DescribeLogGroups", {}, invoker)).value.__type, "AccessDeniedException");
  });

  it("show streams, an instance on a day each, by name or by their last event", async () => {
    lines.push(lineAt(START + 5, "x", "greet", "sb-0000000000000000"), lineAt(START + 24 * 3_600_000, "y"));
    const streams = async (more: object) => {
      const { value } = await call("DescribeLogStreams", { ...group, ...more });
      return value.logStreams.map((shown: { logStreamName: string }) => shown.logStreamName);
    };
    const other = "2026/11/20/[$LATEST]0000000000000000";
    const next = "2026/11/21/[$LATEST]00000000000000aa";
    assert.deepEqual(await streams({}), [other, STREAM, next]);
    assert.deepEqual(await streams({ orderBy: "LastEventTime", descending: true }), [next, other, STREAM]);
    assert.deepEqual(await streams({ logStreamNamePrefix: "2026/11/21" }), [next]);
  });
});

describe("PutRetentionPolicy", () => {
  it("is kept, shown, and hides what is older at once", async () => {
    lines = [lineAt(Date.now() - 4 * 24 * 3_600_000, "old"), lineAt(Date.now(), "new")];
    assert.equal((await call("PutRetentionPolicy", { ...group, retentionInDays: 3 })).status, 200);
    const { value } = await call("DescribeLogGroups", { logGroupNamePrefix: group.logGroupName });
    assert.equal(value.logGroups[0].retentionInDays, 3);
    assert.deepEqual(messages((await call("FilterLogEvents", group)).value), ["new"]);
    assert.equal((await call("DeleteRetentionPolicy", group)).status, 200);
    assert.equal((await call("FilterLogEvents", group)).value.events.length, 2);
  });

  it("asks for the scope deploy, and for a span that CloudWatch knows", async () => {
    const token = await control.issue({ scopes: ["read"] });
    const refused = await call("PutRetentionPolicy", { ...group, retentionInDays: 3 }, token);
    assert.equal(refused.value.__type, "AccessDeniedException");
    const wrong = await call("PutRetentionPolicy", { ...group, retentionInDays: 2 });
    assert.equal(wrong.value.__type, "InvalidParameterException");
  });
});

describe("CloudWatch", () => {
  it("refuses what it does not know by name, in its own shape of an error", async () => {
    for (const [operation, body, type] of [
      ["CreateExportTask", {}, "UnknownOperationException"],
      ["__proto__", {}, "UnknownOperationException"],
      ["FilterLogEvents", {}, "InvalidParameterException"],
      ["FilterLogEvents", { ...group, logGroupIdentifier: "x" }, "InvalidParameterException"],
      ["FilterLogEvents", { ...group, nextToken: "?" }, "InvalidParameterException"],
      ["FilterLogEvents", { ...group, filterPattern: "{ $.a = 1 }" }, "InvalidParameterException"],
      ["FilterLogEvents", { ...group, limit: 0 }, "InvalidParameterException"],
      ["FilterLogEvents", { ...group, startTime: "now" }, "SerializationException"],
      ["FilterLogEvents", "{", "SerializationException"],
      ["FilterLogEvents", "[]", "SerializationException"],
      ["FilterLogEvents", { logGroupName: "/aws/lambda/missing" }, "ResourceNotFoundException"],
      ["GetLogEvents", { ...group, logStreamName: "missing" }, "ResourceNotFoundException"],
      ["GetLogEvents", { ...group, logStreamName: STREAM, nextToken: "f/x" }, "InvalidParameterException"],
    ] as const) {
      const { status, value } = await call(operation, body);
      assert.deepEqual([status, value.__type], [400, type], `${operation} ${JSON.stringify(body)}`);
      assert.equal(typeof value.message, "string");
    }
    const anonymous = await control.send({ method: "POST", path: "/", token: null, body: "{}" });
    assert.equal(Object(JSON.parse(anonymous.text)).__type, "UnrecognizedClientException");
  });
});

describe("filter patterns", () => {
  for (const [pattern, fits, fails] of [
    ["", "anything", undefined],
    ["ERROR", "an ERROR here", "an error here"],
    ["a b", "b and a", "only b"],
    ['"a b"', "x a b y", "b a"],
    ["?x ?y", "has y", "has z"],
    ["a -b", "a alone", "a and b"],
    ['"say \\"hi\\""', 'say "hi"', "say hi"],
  ] as const) {
    it(`understand ${pattern || "nothing"}`, () => {
      const test = parseFilterPattern(pattern);
      assert.equal(test(fits), true);
      if (fails !== undefined) assert.equal(test(fails), false);
    });
  }
});
