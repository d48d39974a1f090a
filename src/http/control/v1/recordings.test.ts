import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { newInvocationId } from "../../../core/ids.ts";
import type { TakenInvocation } from "../../../records/recordings/recordings.ts";
import { makeFunction, named, returned, startControl, type TestControl } from "../control.fake.ts";

const PATH = "/v1/functions/orders";

async function withFunction(): Promise<TestControl> {
  const control = await startControl();
  await makeFunction(control, "orders");
  return control;
}

function record(control: TestControl, payload: string, more: Partial<TakenInvocation> = {}): string {
  const invocationId = newInvocationId();
  control.recordings.add({
    invocationId,
    functionName: named("orders"),
    at: 5,
    version: "$LATEST",
    liveVersion: undefined,
    input: { kind: "event", payload: Buffer.from(payload), contentType: "application/json" },
    clientContext: undefined,
    outcome: {
      kind: "returned",
      errorType: undefined,
      status: undefined,
      rawHeaders: [],
      body: Buffer.from('{"total":1}'),
    },
    durationMs: 3,
    settings: { redact: [] },
    environment: {},
    ...more,
  });
  return invocationId;
}

function codeOf(json: unknown): string | undefined {
  return (json as { error?: { code: string } }).error?.code;
}

async function ask(control: TestControl, method: string, path: string, body?: unknown, token?: string) {
  return await control.send({
    method,
    path,
    ...(body !== undefined && { body: JSON.stringify(body) }),
    ...(token !== undefined && { token }),
  });
}

describe("recordings of our own API", () => {
  it("are off until they are switched on, and remember how they were", async () => {
    await using control = await withFunction();
    const none = { tooLarge: 0, unread: 0, busy: 0, disk: 0, failed: 0 };
    const nothing = { function: "orders", recordings: 0, bytes: 0, dropped: none, damaged: 0 };

    assert.deepEqual((await ask(control, "GET", `${PATH}/recording`)).json, { ...nothing, isOn: false });
    const on = await ask(control, "PUT", `${PATH}/recording`, {
      share: 0.1,
      redact: ["ssn", "body.card.no"],
    });
    const settings = { isOn: true, share: 0.1, keepMs: 604_800_000, redact: ["ssn", "body.card.no"] };
    assert.deepEqual(on.json, { ...nothing, ...settings });
    assert.deepEqual((await control.functions.get(named("orders"))).settings.recording, settings);
    assert.partialDeepStrictEqual((await ask(control, "DELETE", `${PATH}/recording`)).json, {
      ...settings,
      isOn: false,
    });
    assert.partialDeepStrictEqual((await ask(control, "PUT", `${PATH}/recording`, {})).json, settings);
    assert.partialDeepStrictEqual((await ask(control, "GET", PATH)).json, { recording: settings });
  });

  for (const [why, body, text] of [
    ["a share of nothing", { share: 0 }, /share/],
    ["more than all", { share: 1.5 }, /share/],
    ["too short a time", { keepMs: 1 }, /keepMs/],
    ["too long a time", { keepMs: 1e12 }, /keepMs/],
    ["a place that is none", { redact: ["body.a..b"] }, /redact.*body\.a\.\.b/],
    ["headers without a name", { redact: ["headers"] }, /redact/],
    ["a name with a space", { redact: ["a b"] }, /redact/],
    ["a member that nobody knows", { sample: 1 }, /sample/],
  ] as const) {
    it(`refuse ${why}, and change nothing`, async () => {
      await using control = await withFunction();

      const answer = await ask(control, "PUT", `${PATH}/recording`, body);

      assert.deepEqual([answer.status, codeOf(answer.json)], [400, "InvalidRequest"]);
      assert.match(answer.text, text);
      assert.equal((await control.functions.get(named("orders"))).settings.recording, undefined);
    });
  }

  it("are listed without payloads, shown with them, and removed", async () => {
    await using control = await withFunction();
    const first = record(control, '{"n":1}');
    const second = record(control, '{"n":2,"token":"x"}', { at: 9 });

    const list = await ask(control, "GET", `${PATH}/recordings?limit=1`);
    const { recordings, next } = list.json as { recordings: { id: string }[]; next: string };
    assert.partialDeepStrictEqual(recordings, [{ id: second, at: 9, redacted: 1, outcome: "returned" }]);
    assert.equal(list.text.includes('"n"'), false);
    const rest = await ask(control, "GET", `${PATH}/recordings?before=${encodeURIComponent(next)}`);
    assert.partialDeepStrictEqual(rest.json, { recordings: [{ id: first }] });

    for (const path of [`${PATH}/recordings/${first}`, `/v1/recordings/${first.toUpperCase()}`]) {
      assert.partialDeepStrictEqual((await ask(control, "GET", path)).json, {
        id: first,
        function: "orders",
        input: { kind: "event", contentType: "application/json", text: '{"n":1}' },
        outcome: { kind: "returned", text: '{"total":1}' },
      });
    }
    assert.equal((await ask(control, "DELETE", `${PATH}/recordings/${first}`)).status, 204);
    for (const method of ["GET", "DELETE"]) {
      const gone = await ask(control, method, `${PATH}/recordings/${first}`);
      assert.deepEqual([gone.status, codeOf(gone.json)], [404, "RecordingNotFound"]);
    }
    assert.equal((await ask(control, "DELETE", `${PATH}/recordings`)).status, 204);
    assert.equal(codeOf((await ask(control, "GET", `/v1/recordings/${second}`)).json), "RecordingNotFound");
  });

  it("run again on what is asked for, and tell how the outcomes differ", async () => {
    await using control = await withFunction();
    const id = record(control, '{"n":1}');
    const called: string[] = [];
    control.answer = async ({ version, qualifier }) => {
      called.push(`${version.label} ${qualifier}`);
      return returned(Buffer.from('{"total":2,"at":7}'));
    };
    const path = `${PATH}/recordings/${id}/replay`;

    const live = await ask(control, "POST", path, {});
    await ask(control, "POST", `/2015-03-31/functions/orders/versions`, {});
    const numbered = await ask(control, "POST", path, { version: "1", ignore: ["body.at"] });

    assert.deepEqual(called, ["$LATEST undefined", "1 1"]);
    assert.partialDeepStrictEqual(live.json, {
      id,
      replay: { version: "$LATEST", outcome: { kind: "returned", text: '{"total":2,"at":7}' } },
      differences: [
        { path: "body.total", was: "1", is: "2" },
        { path: "body.at", is: "7" },
      ],
      more: 0,
      missing: [],
    });
    assert.partialDeepStrictEqual(numbered.json, {
      replay: { version: "1" },
      differences: [{ path: "body.total", was: "1", is: "2" }],
    });
    for (const [body, status, code] of [
      [{ version: "99" }, 404, "VersionNotFound"],
      [{ version: "prod" }, 404, "AliasNotFound"],
      [{ ignore: ["a b"] }, 400, "InvalidRequest"],
      [{ versoin: "1" }, 400, "InvalidRequest"],
    ] as const) {
      const answer = await ask(control, "POST", path, body);
      assert.deepEqual([answer.status, codeOf(answer.json)], [status, code], JSON.stringify(body));
    }
    const unknown = await ask(control, "POST", `${PATH}/recordings/${newInvocationId()}/replay`, {});
    assert.equal(codeOf(unknown.json), "RecordingNotFound");
    assert.equal(codeOf((await ask(control, "GET", `${PATH}/recordings/inv_1`)).json), "InvalidRequest");
  });

  it("need a scope of their own to be read and run, and the function in the key's pattern", async () => {
    await using control = await withFunction();
    const id = record(control, "{}");
    const paths = [
      ["GET", `${PATH}/recordings/${id}`],
      ["GET", `/v1/recordings/${id}`],
      ["POST", `${PATH}/recordings/${id}/replay`],
    ] as const;
    for (const [scopes, functions, expected] of [
      [["read", "invoke", "deploy"], "*", [403, 403, 403]],
      [["replay"], "*", [200, 200, 200]],
      [["replay"], "other-*", [403, 404, 403]],
    ] as const) {
      const token = await control.issue({ scopes: [...scopes], functions });
      const seen: number[] = [];
      for (const [method, path] of paths) {
        seen.push((await ask(control, method, path, method === "POST" ? {} : undefined, token)).status);
      }
      assert.deepEqual(seen, expected, `${scopes} ${functions}`);
    }
    const reader = await control.issue({ scopes: ["read"] });
    assert.equal((await ask(control, "GET", `${PATH}/recordings`, undefined, reader)).status, 200);
    assert.equal((await ask(control, "DELETE", `${PATH}/recordings/${id}`, undefined, reader)).status, 403);
    assert.equal((await ask(control, "PUT", `${PATH}/recording`, {}, reader)).status, 403);
  });

  it("refuse a query that they do not understand", async () => {
    await using control = await withFunction();
    for (const query of ["limit=0", "before=x", "outcome=fine", "version=prod", "since=x"]) {
      const answer = await ask(control, "GET", `${PATH}/recordings?${query}`);
      assert.deepEqual([answer.status, codeOf(answer.json)], [400, "InvalidRequest"], query);
    }
    assert.equal(
      codeOf((await ask(control, "GET", "/v1/functions/none/recordings")).json),
      "FunctionNotFound",
    );
  });
});
