import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { makeFunction, named, startControl, type TestControl } from "../control.fake.ts";

let control: TestControl;
before(async () => {
  control = await startControl();
  for (const name of ["greet", "other"]) await makeFunction(control, name);
});
after(() => control[Symbol.asyncDispose]());

async function call(method: string, path: string, body?: unknown, token?: string) {
  const answer = await control.send({
    method,
    path: `/v1/schedules${path}`,
    ...(body !== undefined && {
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
    }),
    ...(token !== undefined && { token }),
  });
  return { status: answer.status, value: Object(answer.text === "" ? {} : answer.json) };
}

const hourly = { function: "greet", expression: "0 * * * *" };

describe("schedules of our own API", () => {
  it("are made, shown, replaced, listed and removed", async () => {
    const made = await call("PUT", "/report", { ...hourly, input: '{"k":1}', overlap: "skip", catchUp: 3 });
    assert.equal(made.status, 201);
    const { schedule } = made.value;
    assert.deepEqual(
      [schedule.state, schedule.timezone, schedule.overlap, schedule.catchUp, schedule.input, schedule.owner],
      ["active", "UTC", "skip", 3, '{"k":1}', "own"],
    );
    assert.ok(schedule.nextAt > Date.now() && schedule.nextAt % 3_600_000 === 0);
    assert.deepEqual((await call("GET", "/report")).value, schedule);
    const again = await call("PUT", "/report", { function: "greet", expression: "rate(5 minutes)" });
    assert.deepEqual([again.status, again.value.replaced], [200, schedule]);
    const { value } = await call("GET", "?function=greet");
    assert.deepEqual(value.schedules, [again.value.schedule]);
    assert.deepEqual((await call("GET", "?function=other")).value.schedules, []);
    assert.equal((await call("GET", "?function=never")).value.error.code, "FunctionNotFound");
    assert.equal((await call("DELETE", "/report")).status, 204);
    assert.equal((await call("GET", "/report")).status, 404);
  });

  it("are refused with an input that their function cannot take", async () => {
    const { status, value } = await call("PUT", "/wrong", { ...hourly, input: "no json" });
    assert.deepEqual([status, value.error.code], [400, "InvalidRequest"]);
    assert.match(value.error.message, /greet is a handler, which takes JSON.*no json/);
    assert.equal((await call("GET", "/wrong")).status, 404);
    assert.equal((await call("PUT", "/wrong", { ...hourly, input: '"text"' })).status, 201);
    assert.equal((await call("DELETE", "/wrong")).status, 204);
  });

  it("pause and resume, and tell their next instants", async () => {
    await call("PUT", "/p", hourly);
    const paused = (await call("POST", "/p/pause", {})).value;
    assert.deepEqual([paused.state, paused.nextAt], ["paused", undefined]);
    const resumed = (await call("POST", "/p/resume", {})).value;
    assert.equal(resumed.state, "active");
    const { instants } = (await call("GET", "/p/next?count=3")).value;
    assert.deepEqual(
      instants,
      [0, 1, 2].map((hours) => resumed.nextAt + hours * 3_600_000),
    );
  });

  it("run by hand, and tell what became of it", async () => {
    await call("PUT", "/r", { ...hourly, input: '"now"' });
    const { status, value } = await call("POST", "/r/run", {});
    assert.equal(status, 202);
    const work = await control.store.events.findWork(value.eventId);
    assert.ok(work?.kind === "call" && work.input.kind === "event");
    assert.equal(new TextDecoder().decode(work.input.payload), '"now"');
    const { history } = (await call("GET", "/r/history")).value;
    assert.equal(history.length, 1);
    assert.deepEqual(
      [history[0].kind, history[0].eventId, history[0].outcome],
      ["by-hand", value.eventId, "queued"],
    );
  });

  it("keep their place when they are saved again at the same times", async () => {
    const first = (await call("PUT", "/rate", { function: "greet", expression: "rate(7 minutes)" })).value;
    const second = (
      await call("PUT", "/rate", { function: "greet", expression: "rate(7 minutes)", input: "1" })
    ).value;
    assert.equal(second.schedule.nextAt, first.schedule.nextAt);
  });

  it("go with their function", async () => {
    await makeFunction(control, "gone");
    await call("PUT", "/of-gone", { ...hourly, function: "gone" });
    await control.functions.remove(named("gone"));
    assert.equal((await call("GET", "/of-gone")).status, 404);
  });

  it("are refused to keys that are for other functions", async () => {
    const { token } = await control.keys.create({
      imported: undefined,
      description: "",
      scopes: ["deploy"],
      functions: "other",
      expiresAt: undefined,
    });
    await call("PUT", "/mine", hourly);
    for (const [method, path, body] of [
      ["GET", "/mine", undefined],
      ["PUT", "/mine", { ...hourly, function: "other" }],
      ["PUT", "/new", hourly],
      ["POST", "/mine/run", {}],
      ["DELETE", "/mine", undefined],
    ] as const) {
      assert.equal((await call(method, path, body, token)).status, 403, `${method} ${path}`);
    }
    const { schedules } = (await call("GET", "", undefined, token)).value;
    assert.deepEqual(schedules, []);
  });

  for (const [why, name, body, status, message] of [
    ["an unknown function", "x", { ...hourly, function: "nobody" }, 404, /nobody/],
    ["an unknown alias", "x", { ...hourly, qualifier: "prod" }, 404, /prod/],
    ["an expression that is none", "x", { ...hourly, expression: "61 * * * *" }, 400, /minute "61"/],
    [
      "an expression that is past",
      "x",
      { ...hourly, expression: "at(2020-01-01T00:00:00)" },
      400,
      /does not come any more/,
    ],
    ["a zone that is none", "x", { ...hourly, timezone: "Mars" }, 400, /time zone "Mars"/],
    ["an unknown overlap", "x", { ...hourly, overlap: "maybe" }, 400, /overlap/],
    ["too much to catch up", "x", { ...hourly, catchUp: 101 }, 400, /catchUp/],
    [
      "an end before its start",
      "x",
      { ...hourly, startAt: 2, endAt: 1 },
      400,
      /endAt: expected a time after startAt/,
    ],
    ["a name with a slash", "a%2Fb", hourly, 400, /name of a schedule/],
    ["an unknown member", "x", { ...hourly, cron: "x" }, 400, /cron/],
    ["a huge input", "x", { ...hourly, input: "x".repeat(300_000) }, 400, /input: expected at most/],
  ] as const) {
    it(`are refused with ${why}`, async () => {
      const answer = await call("PUT", `/${name}`, body);
      assert.equal(answer.status, status);
      assert.match(answer.value.error.message, message);
    });
  }

  for (const [path, method] of [
    ["/none", "GET"],
    ["/none/next", "GET"],
    ["/none/history", "GET"],
    ["/none/run", "POST"],
    ["/none/pause", "POST"],
    ["/none", "DELETE"],
  ] as const) {
    it(`are not found by ${method} ${path}`, async () => {
      assert.equal((await call(method, path)).status, 404);
    });
  }
});
