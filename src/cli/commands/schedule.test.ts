import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { startFakeControl } from "../control-server.fake.ts";
import { openLambda } from "../lambda-process.fake.ts";

const NEXT_AT = Date.UTC(2027, 0, 1, 12);

function schedule(change: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    name: "greet",
    function: "greet",
    expression: "0 * * * *",
    timezone: "UTC",
    state: "active",
    nextAt: NEXT_AT,
    overlap: "allow",
    catchUp: 1,
    jitterMs: 0,
    isPaused: false,
    endsDeleted: false,
    description: "",
    owner: "own",
    ...change,
  };
}

describe("lambda schedule", () => {
  it("makes a schedule named like its function, and says so", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("PUT /v1/schedules/greet", { status: 201, json: { schedule: schedule() } });
    assert.deepEqual(await lambda.run(["schedule", "greet", "--cron", "0 * * * *"]), {
      exitCode: 0,
      stdout: 'Scheduled function "greet" with cron: 0 * * * *\n',
      stderr: "",
    });
    assert.deepEqual(JSON.parse(String(server.requests[0]?.body)), {
      function: "greet",
      expression: "0 * * * *",
    });
  });

  it("sends every setting", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    await writeFile(join(lambda.dir, "in.json"), '{"k":1}');
    const expression = "cron(16 * ? * MON-FRI *)";
    server.on("PUT /v1/schedules/often", {
      json: { schedule: schedule({ expression }), replaced: schedule() },
    });
    const ran = await lambda.run([
      ...["schedule", "greet:prod", "--cron", expression, "--timezone", "Europe/Berlin", "--overlap", "skip"],
      ...["--catch-up", "3", "--data", "@in.json", "--jitter", "1m", "--start", "2027-01-01T00:00Z"],
      ...["--end", "2028-01-01T00:00Z", "--name", "often", "--description", "why", "--delete-when-over"],
    ]);
    assert.equal(ran.stdout, `Scheduled function "greet" with cron: ${expression}\n`);
    assert.match(ran.stderr, /it replaces schedule greet with cron: 0 \* \* \* \*/);
    assert.deepEqual(JSON.parse(String(server.requests[0]?.body)), {
      function: "greet",
      qualifier: "prod",
      expression,
      timezone: "Europe/Berlin",
      input: '{"k":1}',
      overlap: "skip",
      catchUp: 3,
      jitterMs: 60_000,
      startAt: Date.UTC(2027, 0, 1),
      endAt: Date.UTC(2028, 0, 1),
      description: "why",
      endsDeleted: true,
    });
  });

  for (const [option, value, expression, words] of [
    ["--rate", "5 minutes", "rate(5 minutes)", "rate: 5 minutes"],
    ["--at", "2027-01-01T00:00:00", "at(2027-01-01T00:00:00)", "at: 2027-01-01T00:00:00"],
    ["--cron", "@hourly", "@hourly", "cron: @hourly"],
  ] as const) {
    it(`takes ${option}`, async () => {
      await using server = await startFakeControl();
      await using lambda = await openLambda(server.url);
      server.on("PUT /v1/schedules/greet-prod", { json: { schedule: schedule({ expression }) } });
      const ran = await lambda.run(["schedule", "greet:prod", option, value]);
      assert.equal(ran.stdout, `Scheduled function "greet" with ${words}\n`);
      assert.equal(JSON.parse(String(server.requests[0]?.body)).expression, expression);
    });
  }

  for (const [args, message] of [
    [["greet"], /expected one of --cron, --rate and --at/],
    [["greet", "--cron", "* * * * *", "--rate", "1 minute"], /expected one of/],
    [["greet", "--cron", "rate(1 minute)"], /rate\(…\) is given by --rate/],
    [["greet", "--rate", "1 minute", "--start", "soon"], /--start: expected a date/],
    [["greet", "--rate", "1 minute", "--catch-up", "-1"], /--catch-up/],
    [["greet", "--rate", "1 minute", "--jitter", "x"], /--jitter/],
    [["greet", "--rate", "1 minute", "--data", "@none"], /--data: cannot read/],
    [["greet", "--rate", "1 minute", "--name", "a/b"], /schedule "a\/b"/],
    [["list", "--cron", "* * * * *"], /--cron: only for making a schedule/],
    [["pause", "greet", "--catch-up", "1"], /--catch-up: only for making a schedule/],
    [["show", ".."], /schedule "\.\."/],
  ] as const) {
    it(`refuses ${args.join(" ")}`, async () => {
      await using lambda = await openLambda("http://127.0.0.1:1");
      const ran = await lambda.run(["schedule", ...args]);
      assert.equal(ran.exitCode, 2);
      assert.match(ran.stderr, message);
    });
  }

  it("lists and shows schedules, a page after the other", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("GET /v1/schedules", {
      respond(response, { query }) {
        const second = schedule({ name: "rule/r/1", state: "paused", nextAt: undefined, owner: "rule r" });
        const json =
          query.after === "greet" ? { schedules: [second] } : { schedules: [schedule()], next: "greet" };
        response.end(JSON.stringify(json));
      },
    });
    server.on("GET /v1/schedules/rule%2Fr%2F1", { json: schedule({ name: "rule/r/1", owner: "rule r" }) });
    const { stdout } = await lambda.run(["schedule", "list"]);
    assert.deepEqual(
      stdout.split("\n").map((line) => line.split(/ {3,}/)),
      [
        ["NAME", "FUNCTION", "SCHEDULE", "ZONE", "STATE", "NEXT"],
        ["greet", "greet", "0 * * * *", "UTC", "active", "2027-01-01 12:00:00"],
        ["rule/r/1", "greet", "0 * * * *", "UTC", "paused", "-"],
        [""],
      ],
    );
    assert.match((await lambda.run(["schedule", "show", "rule/r/1"])).stdout, /Made by: +rule r/);
  });

  it("says by the clock of which zone its times are, whatever the terminal's is", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    const july = Date.UTC(2027, 6, 1, 12);
    server.on("GET /v1/schedules/greet/next", { json: { instants: [NEXT_AT, july] } });
    const zoned = schedule({ timezone: "Europe/Berlin", startAt: july });
    server.on("GET /v1/schedules/greet", { json: zoned });
    server.on("GET /v1/schedules", { json: { schedules: [zoned] } });
    const run = (...args: string[]) => lambda.run(args, { env: { TZ: "America/New_York" } });
    assert.equal(
      (await run("schedule", "next", "greet")).stdout,
      "2027-01-01 13:00:00 (Europe/Berlin, UTC+01:00)\n2027-07-01 14:00:00 (Europe/Berlin, UTC+02:00)\n",
    );
    assert.match((await run("schedule", "list")).stdout, /Europe\/Berlin +active +2027-01-01 13:00:00/);
    const shown = (await run("schedule", "show", "greet")).stdout;
    assert.match(shown, /Next: +2027-01-01 13:00:00 \(Europe\/Berlin, UTC\+01:00\)/);
    assert.match(shown, /Starts: +2027-07-01 14:00:00 \(Europe\/Berlin, UTC\+02:00\)/);
  });

  it("prints the next times and the history", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("GET /v1/schedules/greet/next", { json: { instants: [NEXT_AT, NEXT_AT + 1_000] } });
    server.on("GET /v1/schedules/greet", { json: schedule({ state: "paused" }) });
    const next = await lambda.run(["schedule", "next", "greet", "-n", "2"]);
    assert.match(next.stderr, /greet is paused/);
    assert.equal(next.stdout, "2027-01-01 12:00:00 (UTC)\n2027-01-01 12:00:01 (UTC)\n");
    assert.deepEqual(server.requests[0]?.query, { count: "2" });
    server.on("GET /v1/schedules/greet/history", {
      json: {
        history: [
          {
            instantAt: NEXT_AT,
            firedAt: NEXT_AT,
            kind: "on-time",
            eventId: "evt_00000000001",
            outcome: "done",
          },
          { instantAt: NEXT_AT, firedAt: NEXT_AT, kind: "skipped" },
        ],
      },
    });
    const { stdout } = await lambda.run(["schedule", "history", "greet"]);
    assert.match(stdout, /on-time +done +evt_00000000001\n.*skipped +- +-\n$/);
  });

  it("pauses, resumes, runs and deletes", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("POST /v1/schedules/greet/pause", { json: schedule({ state: "paused", nextAt: undefined }) });
    server.on("POST /v1/schedules/greet/resume", { json: schedule() });
    server.on("POST /v1/schedules/greet/run", { status: 202, json: { eventId: "evt_00000000001" } });
    server.on("DELETE /v1/schedules/greet", { status: 204, text: "" });
    assert.equal((await lambda.run(["schedule", "pause", "greet"])).stderr, "greet is paused\n");
    assert.match((await lambda.run(["schedule", "resume", "greet"])).stderr, /greet is active, next at /);
    assert.equal((await lambda.run(["schedule", "run", "greet"])).stdout, "evt_00000000001 accepted\n");
    assert.equal((await lambda.run(["schedule", "delete", "greet"])).stderr, "deleted schedule greet\n");
  });
});
