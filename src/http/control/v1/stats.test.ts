import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { makeFunction, named, startControl, type TestControl } from "../control.fake.ts";

let control: TestControl;
before(async () => {
  control = await startControl();
  for (const name of ["greet", "other"]) {
    await makeFunction(control, name);
    for (const [version, ms] of [
      ["1", 10],
      ["2", 200],
    ] as const) {
      const meter = control.metrics.calls.of(named(name), "prod", version, undefined);
      meter.entered();
      meter.ended("returned", ms, ms);
      meter.ended("timed-out", ms, undefined);
      meter.left();
      meter.throttled();
    }
  }
  control.metrics.events.attempted(named("greet"), 5, true);
});
after(() => control[Symbol.asyncDispose]());

async function get(path: string, token?: string) {
  const answer = await control.send({ path, ...(token && { token }) });
  return { status: answer.status, value: Object(answer.json) };
}

describe("stats", () => {
  it("tell of one function the sum, each version and steps of time", async () => {
    const { value } = await get("/v1/functions/greet/stats?last=600000");
    assert.equal(value.stepMs, 60_000);
    const { invocations, errors, timeouts, throttles, coldStarts, concurrencyMax, events } = value.total;
    assert.deepEqual(
      { invocations, errors, timeouts, throttles, coldStarts, concurrencyMax, received: events.received },
      { invocations: 4, errors: 2, timeouts: 2, throttles: 2, coldStarts: 2, concurrencyMax: 1, received: 1 },
    );
    assert.equal(value.total.durationMs.max, 200);
    assert.deepEqual(
      value.versions.map((one: { version: string; invocations: number }) => [one.version, one.invocations]),
      [
        ["2", 2],
        ["1", 2],
      ],
    );
    assert.ok(value.points.length >= 1 && value.points[0].at % 60_000 === 0);
    const first = await get("/v1/functions/greet/stats?version=1&qualifier=prod");
    assert.deepEqual([first.value.total.invocations, first.value.total.durationMs.p99], [2, 10]);
    assert.equal((await get("/v1/functions/greet/stats?qualifier=test")).value.total.invocations, 0);
  });

  it("tell of all functions that the key is for, and of the host only those for all", async () => {
    const all = (await get("/v1/stats")).value;
    assert.deepEqual(
      all.functions.map((one: { function: string; invocations: number }) => [one.function, one.invocations]),
      [
        ["greet", 4],
        ["other", 4],
      ],
    );
    assert.equal(typeof all.host.residentBytes, "number");
    const token = await control.issue({ scopes: ["read"], functions: "gr*" });
    const some = (await get("/v1/stats", token)).value;
    assert.deepEqual([some.functions.length, some.host], [1, undefined]);
    assert.equal((await get("/v1/functions/other/stats", token)).status, 403);
  });

  for (const query of [
    "last=0",
    "last=x",
    "last=9999999999999",
    "step=1",
    "step=61000",
    "version=x",
    "last=1296000000&step=60000",
  ]) {
    it(`are refused for ${query}`, async () => {
      const { status, value } = await get(`/v1/functions/greet/stats?${query}`);
      assert.deepEqual([status, value.error.code], [400, "InvalidRequest"]);
    });
  }

  it("are refused for a function that is not there", async () => {
    assert.equal((await get("/v1/functions/missing/stats")).status, 404);
  });

  it("go with their function", async () => {
    await makeFunction(control, "short");
    control.metrics.calls.of(named("short"), undefined, "$LATEST", 1).ended("returned", 1, undefined);
    await control.send({ method: "DELETE", path: "/v1/functions/short" });
    await makeFunction(control, "short");
    assert.equal((await get("/v1/functions/short/stats")).value.total.invocations, 0);
  });
});

describe("/metrics", () => {
  it("are text that Prometheus reads, with cumulative buckets", async () => {
    const { text, headers } = await control.send({ path: "/metrics" });
    assert.match(String(headers["content-type"]), /^text\/plain; version=0.0.4/);
    const values = new Map(
      text
        .split("\n")
        .filter((line) => line !== "" && !line.startsWith("#"))
        .map((line) => {
          const [, name = "", value] = /^(\w+(?:\{[^}]*\})?) (\S+)$/.exec(line) ?? assert.fail(line);
          return [name, Number(value)];
        }),
    );
    assert.equal(values.get('lambdad_invocations_total{function="greet",outcome="timed_out"}'), 2);
    assert.equal(values.get('lambdad_throttles_total{function="greet"}'), 2);
    const bucket = (le: string) =>
      values.get(`lambdad_invocation_duration_seconds_bucket{function="greet",le="${le}"}`);
    assert.deepEqual([bucket("0.005"), bucket("0.05"), bucket("1"), bucket("+Inf")], [0, 2, 4, 4]);
    assert.ok(
      Math.abs((values.get('lambdad_invocation_duration_seconds_sum{function="greet"}') ?? 0) - 0.42) < 1e-9,
    );
    assert.ok((values.get("process_resident_memory_bytes") ?? 0) > 1e6);
    assert.ok(values.has('lambdad_events{state="queued"}'));
  });

  it("tell how late the event loop is from the second reading on", async () => {
    await control.send({ path: "/metrics" });
    const deadline = Date.now() + 30_000;
    for (;;) {
      const { text } = await control.send({ path: "/metrics" });
      if (/lambdad_event_loop_delay_seconds\{quantile="0.99"\}/.test(text)) return;
      assert.ok(Date.now() < deadline, text);
    }
  });

  it("are OpenMetrics where asked for, ask for a key, and show no functions that it is not for", async () => {
    const headers = { accept: "application/openmetrics-text;version=1.0.0,text/plain;q=0.5" };
    const { text } = await control.send({ path: "/metrics", headers });
    assert.match(text, /# TYPE lambdad_invocations counter\n/);
    assert.ok(text.endsWith("# EOF\n"));
    assert.equal((await control.send({ path: "/metrics", token: null })).status, 401);
    const invoker = await control.issue({ scopes: ["invoke"] });
    assert.equal((await control.send({ path: "/metrics", token: invoker })).status, 403);
    const token = await control.issue({ scopes: ["read"], functions: "gr*" });
    const some = await control.send({ path: "/metrics", token });
    assert.doesNotMatch(some.text, /other|process_/);
    assert.match(some.text, /function="greet"/);
  });
});
