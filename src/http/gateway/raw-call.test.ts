import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PAYLOAD_BYTES_MAX } from "../../core/limits.ts";
import { returned } from "../../invoker/invocations.fake.ts";
import { call, startGateway } from "./gateway.fake.ts";

describe("the gateway's raw invoke", () => {
  const RAW = "/2015-03-31/functions/function/invocations";

  it("takes a raw event and gives the raw result, by host and by path", async () => {
    await using gateway = await startGateway({
      run: ({ input }) => {
        assert.equal(input.kind, "event");
        return returned(input.payload);
      },
    });
    for (const [path, host] of [
      [RAW, "greet.localhost"],
      [`/greet${RAW}`, "localhost"],
    ] as const) {
      const answer = await call(gateway.port, path, { host, method: "POST", body: '"hello"' });
      assert.deepEqual([answer.status, answer.text], [200, '"hello"']);
      assert.equal(answer.headers["x-amz-executed-version"], "$LATEST");
      assert.equal(answer.headers["x-amz-function-error"], undefined);
    }
    assert.equal((await call(gateway.port, RAW, { method: "POST" })).text, "{}");
  });

  it("tells a failed function by its header, with Lambda's payload", async () => {
    await using gateway = await startGateway({
      run: () => ({ kind: "timed-out", afterMs: 1_000, isStreamed: false }),
    });
    const answer = await call(gateway.port, RAW, { method: "POST", body: "{}" });
    const id = answer.headers["x-amzn-requestid"];
    assert.deepEqual([answer.status, answer.headers["x-amz-function-error"]], [200, "Unhandled"]);
    assert.equal(
      answer.text,
      `{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: ${id} Error: Task timed out after 1.00 seconds"}`,
    );
  });

  it("hands on the client context and gives the log's tail", async () => {
    await using gateway = await startGateway();
    const answer = await call(gateway.port, RAW, {
      method: "POST",
      headers: {
        "X-Amz-Client-Context": Buffer.from('{"a":1}').toString("base64"),
        "X-Amz-Log-Type": "Tail",
      },
      body: "{}",
    });
    assert.equal(gateway.invocations.calls[0]?.request.clientContext, '{"a":1}');
    assert.equal(
      Buffer.from(String(answer.headers["x-amz-log-result"]), "base64").toString(),
      "START\nEND\nREPORT\n",
    );
  });

  for (const [why, method, headers, body, status, code] of [
    ["a payload that is not JSON", "POST", {}, "{", 400, "InvalidPayload"],
    ["another method", "GET", {}, undefined, 405, "MethodNotAllowed"],
    ["an asynchronous call", "POST", { "X-Amz-Invocation-Type": "Event" }, "{}", 400, "UnsupportedMember"],
    [
      "a client context that is not JSON",
      "POST",
      { "X-Amz-Client-Context": "e30x" },
      "{}",
      400,
      "InvalidRequest",
    ],
    ["a payload over the limit", "POST", {}, Buffer.alloc(PAYLOAD_BYTES_MAX + 1), 413, "PayloadTooLarge"],
  ] as const) {
    it(`refuses ${why}`, async () => {
      await using gateway = await startGateway();
      const answer = await call(gateway.port, RAW, { method, headers, ...(body !== undefined && { body }) });
      assert.deepEqual([answer.status, JSON.parse(answer.text).error.code], [status, code]);
      assert.equal(gateway.invocations.calls.length, 0);
    });
  }
});
