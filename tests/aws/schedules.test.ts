import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { makeFolder, run, skipWithout, startDaemon, type TestDaemon, until } from "../e2e/daemon.fake.ts";

/** Debian's, which is version 2: another `aws` may be first on PATH. */
const AWS = "/usr/bin/aws";
const ROLE = "arn:aws:iam::123456789012:role/any";

describe("schedules", () => {
  let daemon: TestDaemon;
  const folder = makeFolder({
    "index.mjs": "export const handler = async (event) => { console.log('seen', JSON.stringify(event)); };",
  });
  let arn = "";
  before(async () => {
    daemon = await startDaemon();
    await daemon.deploy(folder.path, "greet");
    const { text } = await daemon.control("GET", "/2015-03-31/functions/greet");
    arn = JSON.parse(text).Configuration.FunctionArn;
  });
  after(async () => {
    await daemon[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const soon = (ms: number) => new Date(Date.now() + ms).toISOString().slice(0, 19);
  const history = async (name: string) =>
    JSON.parse((await daemon.control("GET", `/v1/schedules/${encodeURIComponent(name)}/history`)).text)
      .history;

  it("call the function when their time has come, and tell its outcome", async () => {
    const made = await daemon.lambda("schedule", "greet", "--cron", "0 * * * *");
    assert.deepEqual([made.code, made.stdout], [0, 'Scheduled function "greet" with cron: 0 * * * *\n']);
    const once = await daemon.lambda(
      "schedule",
      "greet",
      "--at",
      soon(8_000),
      "--name",
      "once",
      "--data",
      '{"k":1}',
    );
    assert.equal(once.code, 0, once.stderr);
    await until(async () => (await history("once"))[0]?.outcome === "done");
    const { stdout } = await daemon.lambda("logs", "greet");
    assert.match(stdout, /seen \{"k":1\}/);
    const [firing] = await history("once");
    assert.equal(firing.kind, "on-time");
    assert.ok(firing.firedAt >= firing.instantAt, `${firing.firedAt - firing.instantAt} ms`);
  });

  it("outlive a kill of the daemon", async () => {
    const folderOfData = makeFolder();
    const dataDir = `${folderOfData.path}/data`;
    const first = await startDaemon({ dataDir });
    await first.deploy(folder.path, "greet");
    const at = soon(8_000);
    const made = await first.lambda("schedule", "greet", "--at", at, "--data", '"after"');
    assert.equal(made.code, 0, made.stderr);
    await first.stop("SIGKILL");
    await until(() => Date.now() > Date.parse(`${at}Z`));
    await using second = await startDaemon({ dataDir });
    await until(async () => {
      const answer = await second.control("GET", "/v1/schedules/greet/history");
      return JSON.parse(answer.text).history[0]?.outcome === "done";
    });
    const deleted = await second.lambda("delete", "greet", "--yes");
    assert.equal(deleted.code, 0);
    assert.equal((await second.control("GET", "/v1/schedules/greet")).status, 404);
    folderOfData[Symbol.dispose]();
  });

  describe("by the AWS CLI", { skip: skipWithout("awscli", existsSync(AWS)) }, () => {
    async function aws(
      service: string,
      operation: string,
      ...argv: string[]
    ): Promise<Record<string, unknown>> {
      const [id = "", secret = ""] = daemon.key.split(".");
      const endpoint = `http://127.0.0.1:${daemon.controlPort}`;
      const ran = await run(
        AWS,
        ["--endpoint-url", endpoint, "--no-cli-pager", "--output", "json", service, operation, ...argv],
        {
          env: {
            HOME: folder.path,
            AWS_ACCESS_KEY_ID: id,
            AWS_SECRET_ACCESS_KEY: secret,
            AWS_REGION: "us-east-1",
            AWS_EC2_METADATA_DISABLED: "true",
          },
        },
      );
      if (ran.code !== 0) throw new Error(`${operation}: ${ran.stderr.trim()}`);
      return ran.stdout.trim() === "" ? {} : JSON.parse(ran.stdout);
    }

    it("are rules with targets, switched off and on", async () => {
      const put = await aws(
        "events",
        "put-rule",
        "--name",
        "jobs",
        "--schedule-expression",
        "cron(16 * ? * MON-FRI *)",
      );
      assert.match(String(put.RuleArn), /:rule\/jobs$/);
      const targets = await aws("events", "put-targets", "--rule", "jobs", "--targets", `Id=1,Arn=${arn}`);
      assert.equal(targets.FailedEntryCount, 0);
      await aws("events", "disable-rule", "--name", "jobs");
      assert.equal((await aws("events", "describe-rule", "--name", "jobs")).State, "DISABLED");
      await aws("events", "enable-rule", "--name", "jobs");
      const { Rules } = await aws("events", "list-rules");
      assert.deepEqual(
        Object(Rules).map(({ State }: { State: string }) => State),
        ["ENABLED"],
      );
      const { RuleNames } = await aws("events", "list-rule-names-by-target", "--target-arn", arn);
      assert.deepEqual(RuleNames, ["jobs"]);
      const listed = await aws("events", "list-targets-by-rule", "--rule", "jobs");
      assert.deepEqual(listed, { Targets: [{ Id: "1", Arn: arn }] });
      await aws("events", "list-tags-for-resource", "--resource-arn", String(put.RuleArn));
      const ran = await daemon.lambda("schedule", "run", "rule/jobs/1");
      assert.equal(ran.code, 0, ran.stderr);
      await until(async () => (await history("rule/jobs/1"))[0]?.outcome === "done");
      assert.match(
        (await daemon.lambda("logs", "greet")).stdout,
        /"detail-type":"Scheduled Event","source":"aws.events"/,
      );
      await aws("events", "remove-targets", "--rule", "jobs", "--ids", "1");
      await aws("events", "delete-rule", "--name", "jobs");
      await assert.rejects(aws("events", "describe-rule", "--name", "jobs"), /ResourceNotFoundException/);
      await assert.rejects(
        aws("events", "put-rule", "--name", "x", "--schedule-expression", "rate(1 minutes)"),
        /ValidationException.*Parameter ScheduleExpression is not valid\./,
      );
    });

    it("are schedules of Scheduler", async () => {
      const target = JSON.stringify({
        Arn: arn,
        RoleArn: ROLE,
        Input: '{"at":"<aws.scheduler.scheduled-time>"}',
      });
      const given = ["--flexible-time-window", "Mode=OFF", "--target", target, "--name", "tick"];
      const at = soon(15_000);
      const made = await aws("scheduler", "create-schedule", "--schedule-expression", `at(${at})`, ...given);
      assert.match(String(made.ScheduleArn), /:schedule\/default\/tick$/);
      await until(async () => (await history("tick"))[0]?.outcome === "done", 60_000);
      assert.ok((await daemon.lambda("logs", "greet")).stdout.includes(`seen {"at":"${at}Z"}`));
      const zone = ["--schedule-expression-timezone", "Europe/Berlin", "--state", "DISABLED"];
      await aws(
        "scheduler",
        "update-schedule",
        "--schedule-expression",
        "cron(0 8 * * ? *)",
        ...given,
        ...zone,
      );
      const shown = await aws("scheduler", "get-schedule", "--name", "tick");
      assert.deepEqual([shown.ScheduleExpressionTimezone, shown.State], ["Europe/Berlin", "DISABLED"]);
      const { Schedules } = await aws("scheduler", "list-schedules", "--name-prefix", "ti");
      assert.equal(Object(Schedules).length, 1);
      await aws("scheduler", "delete-schedule", "--name", "tick");
      await assert.rejects(aws("scheduler", "get-schedule", "--name", "tick"), /ResourceNotFoundException/);
      await assert.rejects(
        aws("scheduler", "create-schedule", "--schedule-expression", "rate(1 minutes)", ...given),
        /ValidationException.*Invalid Schedule Expression rate\(1 minutes\)\./,
      );
    });
  });
});
