import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { ACCOUNT, makeFunction, named, ROLE, startControl, type TestControl } from "../control.fake.ts";

let control: TestControl;
before(async () => {
  control = await startControl();
  await makeFunction(control, "greet");
});
after(() => control[Symbol.asyncDispose]());

const GREET = `arn:aws:lambda:${ACCOUNT.region}:${ACCOUNT.account}:function:greet`;
const EVENTS = `arn:aws:events:${ACCOUNT.region}:${ACCOUNT.account}`;

async function keyFor(scope: "read" | "deploy", functions: string): Promise<string> {
  const { token } = await control.keys.create({
    imported: undefined,
    description: "",
    scopes: [scope],
    functions,
    expiresAt: undefined,
  });
  return token;
}

describe("EventBridge rules", () => {
  async function call(operation: string, body: unknown, token?: string) {
    const answer = await control.send({
      method: "POST",
      path: "/",
      body: JSON.stringify(body),
      headers: { "x-amz-target": `AWSEvents.${operation}`, "content-type": "application/x-amz-json-1.1" },
      ...(token !== undefined && { token }),
    });
    return { status: answer.status, value: Object(answer.text === "" ? {} : JSON.parse(answer.text)) };
  }

  beforeEach(async () => {
    for (const { Name } of (await call("ListRules", {})).value.Rules) {
      const { Targets } = (await call("ListTargetsByRule", { Rule: Name })).value;
      const Ids = Targets.map(({ Id }: { Id: string }) => Id);
      if (Ids.length > 0) await call("RemoveTargets", { Rule: Name, Ids });
      await call("DeleteRule", { Name });
    }
  });

  const rule = { Name: "nightly", ScheduleExpression: "cron(16 * ? * MON-FRI *)" };
  const target = { Rule: "nightly", Targets: [{ Id: "1", Arn: GREET, Input: '{"k":1}' }] };

  it("are put, described, switched off and on, listed and deleted", async () => {
    const put = await call("PutRule", { ...rule, Description: "often", Tags: [{ Key: "a", Value: "b" }] });
    assert.deepEqual([put.status, put.value], [200, { RuleArn: `${EVENTS}:rule/nightly` }]);
    assert.deepEqual((await call("DescribeRule", { Name: "nightly" })).value, {
      Name: "nightly",
      Arn: `${EVENTS}:rule/nightly`,
      ScheduleExpression: rule.ScheduleExpression,
      State: "ENABLED",
      Description: "often",
      EventBusName: "default",
      CreatedBy: ACCOUNT.account,
    });
    assert.equal((await call("DisableRule", { Name: "nightly" })).status, 200);
    assert.equal((await call("ListRules", { NamePrefix: "night" })).value.Rules[0].State, "DISABLED");
    await call("EnableRule", { Name: "nightly" });
    assert.equal((await call("DescribeRule", { Name: "nightly" })).value.State, "ENABLED");
    const tags = await call("ListTagsForResource", { ResourceARN: `${EVENTS}:rule/nightly` });
    assert.deepEqual(tags.value, { Tags: [{ Key: "a", Value: "b" }] });
    await call("UntagResource", { ResourceARN: `${EVENTS}:rule/nightly`, TagKeys: ["a"] });
    await call("TagResource", { ResourceARN: `${EVENTS}:rule/nightly`, Tags: [{ Key: "c", Value: "d" }] });
    const retagged = await call("ListTagsForResource", { ResourceARN: `${EVENTS}:rule/nightly` });
    assert.deepEqual(retagged.value, { Tags: [{ Key: "c", Value: "d" }] });
    assert.equal((await call("DeleteRule", { Name: "nightly" })).status, 200);
    assert.equal((await call("DeleteRule", { Name: "nightly" })).status, 200);
    assert.deepEqual((await call("DescribeRule", { Name: "nightly" })).value, {
      __type: "ResourceNotFoundException",
      message: "Rule nightly does not exist on EventBus default.",
    });
  });

  it("call functions, as schedules that follow the rule", async () => {
    await call("PutRule", rule);
    assert.deepEqual((await call("PutTargets", target)).value, { FailedEntryCount: 0, FailedEntries: [] });
    const scheduled = async () => control.store.schedules.find("rule/nightly/1");
    assert.equal(new Date((await scheduled())?.next?.instantAt ?? 0).getUTCMinutes(), 16);
    assert.deepEqual((await call("ListTargetsByRule", { Rule: "nightly" })).value, {
      Targets: [{ Id: "1", Arn: GREET, Input: '{"k":1}' }],
    });
    assert.deepEqual((await call("ListRuleNamesByTarget", { TargetArn: GREET })).value, {
      RuleNames: ["nightly"],
    });
    await call("DisableRule", { Name: "nightly" });
    assert.equal((await scheduled())?.next, undefined);
    await call("PutRule", { ...rule, ScheduleExpression: "cron(17 * ? * MON-FRI *)" });
    assert.equal(new Date((await scheduled())?.next?.instantAt ?? 0).getUTCMinutes(), 17);
    const refused = await call("DeleteRule", { Name: "nightly" });
    assert.deepEqual(
      [refused.status, refused.value],
      [400, { __type: "ValidationException", message: "Rule can't be deleted since it has targets." }],
    );
    assert.equal(
      (await call("RemoveTargets", { Rule: "nightly", Ids: ["1", "2"] })).value.FailedEntryCount,
      1,
    );
    assert.equal(await scheduled(), undefined);
  });

  it("lose a target whose function is deleted", async () => {
    await makeFunction(control, "short");
    await call("PutRule", rule);
    await call("PutTargets", {
      Rule: "nightly",
      Targets: [{ Id: "1", Arn: GREET.replace("greet", "short") }],
    });
    await control.functions.remove(named("short"));
    assert.deepEqual((await call("ListTargetsByRule", { Rule: "nightly" })).value.Targets, []);
  });

  it("have at most five targets, and say of each why it could not be put", async () => {
    await call("PutRule", rule);
    const ids = ["1", "2", "3", "4", "5", "6"];
    const many = await call("PutTargets", {
      Rule: "nightly",
      Targets: ids.map((Id) => ({ Id, Arn: GREET })),
    });
    assert.deepEqual(
      many.value.FailedEntries.map((entry: Record<string, string>) => [entry.TargetId, entry.ErrorCode]),
      [["6", "LimitExceededException"]],
    );
    const wrong = await call("PutTargets", {
      Rule: "nightly",
      Targets: [
        { Id: "1", Arn: `${GREET}-not` },
        { Id: "2", Arn: `${GREET}:prod` },
        { Id: "3", Arn: "arn:aws:sqs:eu-central-1:123456789012:q" },
      ],
    });
    assert.deepEqual(
      wrong.value.FailedEntries.map((entry: Record<string, string>) => entry.ErrorCode),
      ["ResourceNotFoundException", "ResourceNotFoundException", "ValidationException"],
    );
  });

  for (const [why, operation, body, type, message] of [
    [
      "no expression",
      "PutRule",
      { Name: "r" },
      "ValidationException",
      "Parameter ScheduleExpression is not valid.",
    ],
    [
      "a wrong rate",
      "PutRule",
      { Name: "r", ScheduleExpression: "rate(1 minutes)" },
      "ValidationException",
      "Parameter ScheduleExpression is not valid.",
    ],
    [
      "five-field cron",
      "PutRule",
      { Name: "r", ScheduleExpression: "0 * * * *" },
      "ValidationException",
      "Parameter ScheduleExpression is not valid.",
    ],
    [
      "at()",
      "PutRule",
      { Name: "r", ScheduleExpression: "at(2027-01-01T00:00:00)" },
      "ValidationException",
      "Parameter ScheduleExpression is not valid.",
    ],
    [
      "another bus",
      "PutRule",
      { Name: "r", ScheduleExpression: "rate(1 minute)", EventBusName: "mine" },
      "ValidationException",
      "ScheduleExpression is supported only on the default event bus.",
    ],
    [
      "a pattern",
      "PutRule",
      { Name: "r", EventPattern: "{}" },
      "ValidationException",
      "EventPattern is not supported by lambdad: there is no event bus; give a ScheduleExpression",
    ],
    [
      "a rule that is not there",
      "EnableRule",
      { Name: "none" },
      "ResourceNotFoundException",
      "Rule none does not exist on EventBus default.",
    ],
    [
      "an operation that is not there",
      "PutEvents",
      {},
      "UnknownOperationException",
      "PutEvents is not supported by lambdad",
    ],
    [
      "an inherited name",
      "toString",
      {},
      "UnknownOperationException",
      "toString is not supported by lambdad",
    ],
  ] as const) {
    it(`are refused: ${why}`, async () => {
      const answer = await call(operation, body);
      assert.deepEqual([answer.status, answer.value], [400, { __type: type, message }]);
    });
  }

  it("refuse members of a target that nothing would honour", async () => {
    await call("PutRule", rule);
    const answer = await call("PutTargets", {
      Rule: "nightly",
      Targets: [{ Id: "1", Arn: GREET, InputTransformer: { InputTemplate: "x" } }],
    });
    assert.match(answer.value.message, /Targets\.InputTransformer is not supported/);
  });

  it("ask for the scope and the pattern of the key", async () => {
    await call("PutRule", rule);
    await call("PutTargets", target);
    const reader = await keyFor("read", "*");
    assert.equal((await call("DescribeRule", { Name: "nightly" }, reader)).status, 200);
    assert.equal((await call("PutRule", rule, reader)).value.__type, "AccessDeniedException");
    const other = await keyFor("deploy", "other");
    assert.equal(
      (await call("DisableRule", { Name: "nightly" }, other)).value.__type,
      "AccessDeniedException",
    );
    assert.deepEqual((await call("ListTargetsByRule", { Rule: "nightly" }, other)).value.Targets, []);
  });
});

describe("EventBridge Scheduler", () => {
  async function call(method: string, path: string, body?: unknown, token?: string) {
    const answer = await control.send({
      method,
      path,
      ...(body !== undefined && {
        body: JSON.stringify(body),
        headers: { "content-type": "application/json" },
      }),
      ...(token !== undefined && { token }),
    });
    return { status: answer.status, headers: answer.headers, value: Object(answer.json) };
  }

  const ARN = `arn:aws:scheduler:${ACCOUNT.region}:${ACCOUNT.account}:schedule/default/tick`;
  const wanted = {
    ScheduleExpression: "cron(0 8 * * ? *)",
    ScheduleExpressionTimezone: "Europe/Berlin",
    FlexibleTimeWindow: { Mode: "FLEXIBLE", MaximumWindowInMinutes: 15 },
    Target: { Arn: GREET, RoleArn: ROLE, Input: '{"at":"<aws.scheduler.scheduled-time>"}' },
    EndDate: 4_000_000_000,
  };

  it("creates, gives, updates, lists and deletes schedules", async () => {
    assert.deepEqual((await call("POST", "/schedules/tick", wanted)).value, { ScheduleArn: ARN });
    const given = (await call("GET", "/schedules/tick?groupName=default")).value;
    const { CreationDate, LastModificationDate, ...rest } = given;
    assert.ok(Math.abs(CreationDate - Date.now() / 1000) < 60 && LastModificationDate === CreationDate);
    assert.deepEqual(rest, {
      Arn: ARN,
      GroupName: "default",
      Name: "tick",
      State: "ENABLED",
      ActionAfterCompletion: "NONE",
      ...wanted,
      Target: {
        ...wanted.Target,
        RetryPolicy: { MaximumEventAgeInSeconds: 86_400, MaximumRetryAttempts: 185 },
      },
    });
    const changed = { ...wanted, State: "DISABLED", FlexibleTimeWindow: { Mode: "OFF" } };
    assert.deepEqual((await call("PUT", "/schedules/tick", changed)).value, { ScheduleArn: ARN });
    assert.equal((await control.store.schedules.find("tick"))?.next, undefined);
    const { Schedules } = (await call("GET", "/schedules?NamePrefix=ti&State=DISABLED&MaxResults=1")).value;
    assert.deepEqual(
      Schedules.map(({ Name }: { Name: string }) => Name),
      ["tick"],
    );
    assert.deepEqual((await call("GET", "/schedules?State=ENABLED&NamePrefix=ti")).value.Schedules, []);
    assert.equal((await call("DELETE", "/schedules/tick")).status, 200);
    const gone = await call("GET", "/schedules/tick");
    assert.deepEqual(
      [gone.status, gone.headers["x-amzn-errortype"], gone.value.Message],
      [404, "ResourceNotFoundException", "Schedule tick does not exist."],
    );
  });

  it("begins a rate at once", async () => {
    await call("POST", "/schedules/rate", { ...wanted, ScheduleExpression: "rate(5 minutes)" });
    const record = await control.store.schedules.find("rate");
    assert.ok(record?.next && record.next.instantAt <= Date.now());
  });

  it("fills in what the input asks for", async () => {
    await call("POST", "/schedules/filled", wanted);
    const run = await call("POST", "/v1/schedules/filled/run", {});
    const work = await control.store.events.findWork(run.value.eventId);
    assert.ok(work?.kind === "call" && work.input.kind === "event");
    assert.match(
      new TextDecoder().decode(work.input.payload),
      /^\{"at":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"\}$/,
    );
  });

  it("has one group", async () => {
    assert.equal((await call("GET", "/schedule-groups/default")).value.State, "ACTIVE");
    assert.equal((await call("GET", "/schedule-groups")).value.ScheduleGroups.length, 1);
    assert.equal((await call("GET", "/schedule-groups/mine")).status, 404);
  });

  it("refuses to create one twice, and to update none", async () => {
    await call("POST", "/schedules/twice", wanted);
    const again = await call("POST", "/schedules/twice", wanted);
    assert.deepEqual([again.status, again.headers["x-amzn-errortype"]], [409, "ConflictException"]);
    assert.equal((await call("PUT", "/schedules/never", wanted)).status, 404);
  });

  for (const [why, change, status, message] of [
    [
      "a wrong expression",
      { ScheduleExpression: "rate(1 minutes)" },
      400,
      "Invalid Schedule Expression rate(1 minutes).",
    ],
    ["five-field cron", { ScheduleExpression: "0 * * * *" }, 400, "Invalid Schedule Expression 0 * * * *."],
    [
      "a zone that is none",
      { ScheduleExpressionTimezone: "Mars" },
      400,
      "Invalid Schedule Expression Timezone Mars.",
    ],
    [
      "an end before its start",
      { StartDate: 4_000_000_001 },
      400,
      "The EndDate you specify must come after the StartDate.",
    ],
    ["another group", { GroupName: "mine" }, 404, "Schedule group mine does not exist."],
    ["a key", { KmsKeyArn: "arn:aws:kms:x" }, 400, /KmsKeyArn is not supported/],
    ["an unknown function", { Target: { ...wanted.Target, Arn: `${GREET}-not` } }, 404, /greet-not/],
    [
      "what is no function",
      { Target: { ...wanted.Target, Arn: "arn:aws:sqs:a:1:q" } },
      400,
      /Lambda functions only/,
    ],
    ["no target", { Target: undefined }, 400, /target.*must not be null/],
    ["a window without width", { FlexibleTimeWindow: { Mode: "FLEXIBLE" } }, 400, /maximumWindowInMinutes/],
  ] as const) {
    it(`refuses ${why}`, async () => {
      const answer = await call("POST", "/schedules/wrong", { ...wanted, ...change });
      assert.equal(answer.status, status);
      if (typeof message === "string") assert.equal(answer.value.Message, message);
      else assert.match(answer.value.Message, message);
    });
  }

  it("answers a missing key in its own shape", async () => {
    const answer = await control.send({ method: "GET", path: "/schedules", token: null });
    assert.deepEqual(
      [answer.status, answer.headers["x-amzn-errortype"]],
      [403, "UnrecognizedClientException"],
    );
    const other = await keyFor("deploy", "other");
    assert.equal((await call("POST", "/schedules/mine", wanted, other)).status, 403);
  });
});
