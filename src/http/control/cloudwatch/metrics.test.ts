import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { decode, encode, Tagged } from "cborg";
import { makeFunction, named, startControl, type TestControl } from "../control.fake.ts";
import { parseQueryForm } from "./query-form.ts";

let control: TestControl;
/** The minute in which everything was counted, or the one after it. */
let minutes: readonly string[];
before(async () => {
  control = await startControl();
  for (const name of ["greet", "other"]) await makeFunction(control, name);
  const startedAt = Date.now();
  const call = (
    name: string,
    qualifier: string | undefined,
    version: string,
    ms: number,
    isError = false,
  ) => {
    const meter = control.metrics.calls.of(named(name), qualifier, version, undefined);
    meter.entered();
    meter.ended(isError ? "threw" : "returned", ms, undefined);
    meter.left();
    return meter;
  };
  for (const ms of [10, 20, 30]) call("greet", undefined, "$LATEST", ms);
  call("greet", "prod", "3", 400, true);
  call("greet", "prod", "4", 500).throttled();
  call("other", undefined, "$LATEST", 1);
  control.metrics.events.attempted(named("greet"), 250, true);
  minutes = [startedAt, Date.now()].map((at) => new Date(Math.floor(at / 60_000) * 60_000).toISOString());
});
after(() => control[Symbol.asyncDispose]());

const seconds = (offsetS: number) => Math.floor(Date.now() / 1_000) + offsetS;
const span = () => ({ StartTime: seconds(-600), EndTime: seconds(60) });
const F = { Name: "FunctionName", Value: "greet" };

async function json(operation: string, body: unknown, token?: string) {
  const answer = await control.send({
    method: "POST",
    path: "/",
    body: JSON.stringify(body),
    headers: {
      "x-amz-target": `GraniteServiceVersion20100801.${operation}`,
      "content-type": "application/x-amz-json-1.0",
    },
    ...(token && { token }),
  });
  return { ...answer, value: Object(JSON.parse(answer.text)) };
}

async function statistics(metric: string, dimensions: readonly { Name: string; Value: string }[], more = {}) {
  const { value } = await json("GetMetricStatistics", {
    Namespace: "AWS/Lambda",
    MetricName: metric,
    Dimensions: dimensions,
    ...span(),
    Period: 3_600,
    Statistics: ["Sum", "SampleCount", "Average", "Minimum", "Maximum"],
    ...more,
  });
  // All was counted within the same moment, which may have been on the edge of an hour.
  return value.Datapoints.at(-1);
}

describe("GetMetricStatistics", () => {
  for (const [what, metric, dimensions, expected] of [
    [
      "calls of a function",
      "Invocations",
      [F],
      { Sum: 5, SampleCount: 5, Average: 1, Minimum: 1, Maximum: 1 },
    ],
    ["errors as a share", "Errors", [F], { Sum: 1, SampleCount: 5, Average: 0.2, Minimum: 0, Maximum: 1 }],
    ["refused calls", "Throttles", [F], { Sum: 1, SampleCount: 6, Minimum: 0, Maximum: 1 }],
    ["durations", "Duration", [F], { Sum: 960, SampleCount: 5, Minimum: 10, Maximum: 500 }],
    ["all functions", "Invocations", [], { Sum: 6, SampleCount: 6 }],
    [
      "calls by no qualifier",
      "Duration",
      [F, { Name: "Resource", Value: "greet" }],
      { Sum: 60, SampleCount: 3 },
    ],
    [
      "calls by an alias",
      "Duration",
      [F, { Name: "Resource", Value: "greet:prod" }],
      { Sum: 900, SampleCount: 2 },
    ],
    [
      "of those, one version's",
      "Duration",
      [F, { Name: "Resource", Value: "greet:prod" }, { Name: "ExecutedVersion", Value: "4" }],
      { Sum: 500, SampleCount: 1 },
    ],
    ["most calls at once", "ConcurrentExecutions", [F], { Maximum: 1 }],
    ["events", "AsyncEventsReceived", [F], { Sum: 1 }],
    ["how old events were", "AsyncEventAge", [F], { Maximum: 250 }],
  ] as const) {
    it(`tells ${what}`, async () => {
      const found = await statistics(metric, dimensions);
      const told = Object.fromEntries(Object.keys(expected).map((name) => [name, found[name]]));
      assert.deepEqual(told, expected);
    });
  }

  it("tells percentiles, in the metric's unit, at the start of the minute", async () => {
    const point = await statistics("Duration", [F], {
      Statistics: undefined,
      ExtendedStatistics: ["p50", "p99.9"],
      Period: 60,
    });
    assert.equal(point.Unit, "Milliseconds");
    assert.ok(Math.abs(point.ExtendedStatistics.p50 - 30) < 1);
    assert.equal(point.ExtendedStatistics["p99.9"], 500);
    assert.ok(minutes.includes(new Date(point.Timestamp * 1_000).toISOString()));
  });

  it("has nothing of other namespaces, metrics, units and dimensions", async () => {
    assert.equal(await statistics("Invocations", [F], { Namespace: "AWS/EC2" }), undefined);
    assert.equal(await statistics("OffsetLag", [F]), undefined);
    assert.equal(await statistics("Invocations", [F], { Unit: "Bytes" }), undefined);
    assert.equal(await statistics("Invocations", [{ Name: "Resource", Value: "greet" }]), undefined);
    assert.equal(await statistics("Invocations", [F, { Name: "Resource", Value: "other" }]), undefined);
    assert.equal(await statistics("Invocations", [F, F]), undefined);
    assert.equal(await statistics("Invocations", [{ Name: "FunctionName", Value: "../x" }]), undefined);
  });

  for (const [why, more, message] of [
    ["no statistic", { Statistics: undefined }, /Must specify either/],
    ["one that is unknown", { Statistics: ["Median"] }, /enum value set/],
    [
      "a trimmed median",
      { ExtendedStatistics: ["tmedian"] },
      /value tmedian for parameter Stat is not supported/,
    ],
    ["an end before the start", { EndTime: 1 }, /StartTime must be less/],
    ["too many points", { StartTime: 1, Period: 60 }, /exceeds the limit of 1,440/],
    ["no period", { Period: undefined }, /period/],
    ["a time that is none", { StartTime: "soon" }, /timestamp/],
  ] as const) {
    it(`refuses ${why}`, async () => {
      const { status, value, headers } = await json("GetMetricStatistics", {
        Namespace: "AWS/Lambda",
        MetricName: "Errors",
        ...span(),
        Period: 300,
        Statistics: ["Sum"],
        ...more,
      });
      const isValue = /Must specify|1,440/.test(value.message);
      const name = isValue ? "InvalidParameterValueException" : "ValidationError";
      assert.deepEqual([status, value.__type], [400, name]);
      assert.match(value.message, message);
      assert.equal(headers["x-amzn-query-error"], `${name.replace("Exception", "")};Sender`);
    });
  }
});

describe("GetMetricData", () => {
  const query = (Id: string, MetricName: string, Stat: string, Dimensions: readonly unknown[] = [F]) => ({
    Id,
    MetricStat: { Metric: { Namespace: "AWS/Lambda", MetricName, Dimensions }, Period: 3_600, Stat },
  });

  it("answers many questions at once, and leaves out what is not to be returned", async () => {
    const { value } = await json("GetMetricData", {
      ...span(),
      MetricDataQueries: [
        query("calls", "Invocations", "Sum"),
        { ...query("slow", "Duration", "p99"), Label: "slowest" },
        { ...query("hidden", "Errors", "Sum"), ReturnData: false },
        query("none", "Nothing", "Sum"),
      ],
    });
    assert.deepEqual(
      value.MetricDataResults.map((one: Record<string, unknown>) => [
        one.Id,
        one.Label,
        one.Values,
        one.StatusCode,
      ]),
      [
        ["calls", "Invocations", [5], "Complete"],
        ["slow", "slowest", [500], "Complete"],
        ["none", "Nothing", [], "Complete"],
      ],
    );
  });

  it("computes expressions, of what is returned and of what is not", async () => {
    const { value } = await json("GetMetricData", {
      ...span(),
      MetricDataQueries: [
        { Id: "rate", Expression: "100 * errors / calls", Label: "error rate (${MAX} %)" },
        { ...query("errors", "Errors", "Sum"), ReturnData: false },
        {
          ...query("calls", "Invocations", "Sum"),
          Label: "${PROP('MetricName')} of ${PROP('Dim.FunctionName')}: ${SUM}",
        },
        { Id: "twice", Expression: "METRICS() * 2", Label: "twice" },
        { Id: "all", Expression: "SUM([rate, calls])" },
        query("trimmed", "Duration", "TM(:250)"),
        query("rank", "Duration", "PR(:250)"),
      ],
    });
    assert.deepEqual(
      value.MetricDataResults.map((one: Record<string, unknown>) => [one.Id, one.Label, one.Values]),
      [
        ["rate", "error rate (20 %)", [20]],
        ["calls", "Invocations of greet: 5", [5]],
        ["twice", "twice Errors", [2]],
        ["twice", "twice Invocations", [10]],
        ["twice", "twice Duration", [2 * value.MetricDataResults.at(-2).Values[0]]],
        ["twice", "twice Duration", [120]],
        ["all", "all", [25]],
        ["trimmed", "Duration", value.MetricDataResults.at(-2).Values],
        ["rank", "Duration", [60]],
      ],
    );
    assert.ok(Math.abs(value.MetricDataResults.at(-2).Values[0] - 20) < 1);
  });

  it("says of an expression over what the key is not for that it is forbidden", async () => {
    const token = await control.issue({ scopes: ["read"], functions: "other" });
    const MetricDataQueries = [query("a", "Errors", "Sum"), { Id: "e", Expression: "TIME_SERIES(SUM(a))" }];
    const { value } = await json("GetMetricData", { ...span(), MetricDataQueries }, token);
    assert.deepEqual(
      value.MetricDataResults.map(({ StatusCode, Values }: Record<string, unknown>) => [StatusCode, Values]),
      [
        ["Forbidden", []],
        ["Forbidden", []],
      ],
    );
  });

  it("gives as many points as are wanted, and the rest by its token", async () => {
    const MetricDataQueries = [query("a", "Invocations", "Sum"), query("b", "Errors", "Sum")];
    const found: unknown[] = [];
    let NextToken: string | undefined;
    do {
      const { value } = await json("GetMetricData", {
        ...span(),
        MetricDataQueries,
        MaxDatapoints: 1,
        NextToken,
      });
      for (const { Id, Values } of value.MetricDataResults) for (const one of Values) found.push([Id, one]);
      NextToken = value.NextToken;
    } while (NextToken !== undefined);
    assert.deepEqual(found, [
      ["a", 5],
      ["b", 1],
    ]);
  });

  it("says of a function that the key is not for that it is forbidden", async () => {
    const token = await control.issue({ scopes: ["read"], functions: "other" });
    const { value } = await json(
      "GetMetricData",
      { ...span(), MetricDataQueries: [query("a", "Errors", "Sum")] },
      token,
    );
    assert.deepEqual(value.MetricDataResults[0].StatusCode, "Forbidden");
    const refused = await json(
      "GetMetricStatistics",
      { Namespace: "AWS/Lambda", MetricName: "Errors", ...span(), Period: 60, Statistics: ["Sum"] },
      token,
    );
    assert.equal(refused.value.__type, "AccessDeniedException");
  });

  for (const [why, queries, message] of [
    [
      "an expression of what there is not",
      [{ Id: "a", Expression: "m1 + m2" }],
      /Error in expression 'a': there is no metric .* m1$/,
    ],
    [
      "an expression that is none",
      [query("m1", "Errors", "Sum"), { Id: "a", Expression: "m1 +" }],
      /Error in expression 'a': it ends too early/,
    ],
    [
      "an expression that is not returned, all the same",
      [query("m1", "Errors", "Sum"), { Id: "a", Expression: "NO(m1)", ReturnData: false }],
      /Error in expression 'a': there is no function NO/,
    ],
    ["an expression of nothing", [{ Id: "a", Expression: "" }], /expression/],
    ["neither of the two", [{ Id: "a" }], /either a MetricStat or an Expression/],
    ["both", [{ ...query("a", "Errors", "Sum"), Expression: "1" }], /either a MetricStat or an Expression/],
    ["a statistic that is none", [query("a", "Errors", "Median")], /value Median for parameter Stat/],
    ["an id with a capital", [query("A", "Errors", "Sum")], /expected pattern/],
    ["an id twice", [query("a", "Errors", "Sum"), query("a", "Errors", "Sum")], /twice/],
    ["no query", [], /metricDataQueries/],
    ["a token that is none", undefined, /NextToken/],
  ] as const) {
    it(`refuses ${why}`, async () => {
      const { status, value } = await json("GetMetricData", {
        ...span(),
        MetricDataQueries: queries ?? [query("a", "Errors", "Sum")],
        ...(queries === undefined && { NextToken: "%" }),
      });
      assert.equal(status, 400);
      assert.match(value.message, message);
    });
  }
});

describe("ListMetrics", () => {
  it("lists what was called, by function, resource and version, as far as the key may see it", async () => {
    const list = async (filter: object, token?: string) => {
      const { value } = await json(
        "ListMetrics",
        { Namespace: "AWS/Lambda", MetricName: "Errors", ...filter },
        token,
      );
      return value.Metrics.map(({ Dimensions }: { Dimensions: { Name: string; Value: string }[] }) =>
        Dimensions.map(({ Value }) => Value).join(" "),
      );
    };
    assert.deepEqual(await list({}), [
      "",
      "greet",
      "greet greet",
      "greet greet:prod",
      "greet greet:prod 3",
      "greet greet:prod 4",
      "other",
      "other other",
    ]);
    assert.deepEqual(await list({ Dimensions: [{ Name: "ExecutedVersion" }] }), [
      "greet greet:prod 3",
      "greet greet:prod 4",
    ]);
    assert.deepEqual(
      await list({ Dimensions: [{ Name: "FunctionName", Value: "other" }], RecentlyActive: "PT3H" }),
      ["other", "other other"],
    );
    assert.deepEqual(await list({ Namespace: "AWS/S3" }), []);
    const token = await control.issue({ scopes: ["read"], functions: "other" });
    assert.deepEqual(await list({}, token), ["other", "other other"]);
  });
});

describe("CloudWatch's protocols", () => {
  const form = (fields: Record<string, string>, token?: string | null) =>
    control.send({
      method: "POST",
      path: "/",
      body: new URLSearchParams({ Version: "2010-08-01", ...fields }).toString(),
      headers: { "content-type": "application/x-www-form-urlencoded; charset=utf-8" },
      ...(token !== undefined && { token }),
    });

  it("answer a form in XML", async () => {
    const { status, text, headers } = await form({
      Action: "GetMetricStatistics",
      Namespace: "AWS/Lambda",
      MetricName: "Duration",
      "Dimensions.member.1.Name": "FunctionName",
      "Dimensions.member.1.Value": "greet",
      StartTime: new Date(Date.now() - 600_000).toISOString(),
      EndTime: new Date(Date.now() + 60_000).toISOString(),
      Period: "86400",
      "Statistics.member.1": "Sum",
      "Statistics.member.2": "SampleCount",
    });
    assert.deepEqual([status, headers["content-type"]], [200, "text/xml"]);
    assert.match(
      text,
      /^<GetMetricStatisticsResponse xmlns="http:\/\/monitoring\.amazonaws\.com\/doc\/2010-08-01\/"><GetMetricStatisticsResult><Label>Duration<\/Label><Datapoints><member><Timestamp>\d{4}-\d\d-\d\dT00:00:00\.000Z<\/Timestamp><Sum>960<\/Sum><SampleCount>5<\/SampleCount><Unit>Milliseconds<\/Unit><\/member><\/Datapoints><\/GetMetricStatisticsResult><ResponseMetadata><RequestId>[0-9a-f-]{36}<\/RequestId>/,
    );
  });

  it("shape errors of forms in XML, before and behind the key", async () => {
    const unknown = await form({ Action: "PutMetricAlarm<>" });
    assert.equal(unknown.status, 400);
    assert.match(
      unknown.text,
      /<Type>Sender<\/Type><Code>InvalidAction<\/Code><Message>PutMetricAlarm&lt;&gt; is not supported/,
    );
    assert.match((await form({ Action: "ListMetrics" }, null)).text, /<Code>InvalidClientTokenId<\/Code>/);
    assert.match(
      (await form({ Action: "ListMetrics", a: "1", "a.b": "2" })).text,
      /<Code>MalformedInput<\/Code>/,
    );
    assert.match(
      (await form({ Action: "ListMetrics", [`${"a.".repeat(50)}b`]: "1" })).text,
      /MalformedInput/,
    );
  });

  it("speak CBOR, with instants as its tag 1", async () => {
    const send = (operation: string, body: Uint8Array, service = "GraniteServiceVersion20100801") =>
      control.send({
        method: "POST",
        path: `/service/${service}/operation/${operation}`,
        body: Buffer.from(body),
        headers: { "content-type": "application/cbor", "smithy-protocol": "rpc-v2-cbor" },
      });
    const listed = await send("ListMetrics", encode({ Namespace: "AWS/Lambda", MetricName: "Errors" }));
    assert.deepEqual([listed.status, listed.headers["smithy-protocol"]], [200, "rpc-v2-cbor"]);
    const { StartTime, EndTime } = span();
    const asked = {
      Namespace: "AWS/Lambda",
      MetricName: "Errors",
      StartTime: new Tagged(1, StartTime),
      EndTime: new Tagged(1, EndTime + 0.25),
      Period: 60,
      Statistics: ["Sum"],
    };
    assert.equal((await send("GetMetricStatistics", encode(asked))).status, 200);
    for (const [operation, body] of [
      ["ListMetrics", Buffer.from([0xff])],
      ["ListMetrics", encode("text")],
      ["Nothing", encode({})],
    ] as const) {
      assert.equal((await send(operation, body)).status, 400);
    }
    assert.equal((await send("ListMetrics", encode({}), "Other")).status, 400);
  });

  it("read forms as trees, whatever they have", () => {
    const parse = (text: string) => parseQueryForm(Buffer.from(text)).body;
    assert.deepEqual(parse("a.member.2=y&a.member.1=x&b.c=1"), { a: ["x", "y"], b: { c: "1" } });
    assert.deepEqual(parse("a.member.1.Name=n&a.member.1.Value=v"), { a: [{ Name: "n", Value: "v" }] });
    assert.equal(Object(parse("__proto__.x=1")).x, undefined);
    assert.throws(() => parse("a=1&a.b=2"));
    assert.throws(() => parse("a=1&a=2"));
  });
});

describe("instants in CBOR", () => {
  it("come back as they were", () => {
    const bytes = encode({ at: new Tagged(1, 1_700_000_000.5) });
    assert.deepEqual(decode(bytes, { tags: { 1: (content) => content() } }), { at: 1_700_000_000.5 });
  });
});
