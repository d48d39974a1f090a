import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isPlatformError } from "../core/errors.ts";
import { newInvocationId } from "../core/ids.ts";
import type { InvocationOutcome, ResponseHead } from "../core/invocation.ts";
import { rawOutcome } from "../invoker/raw-outcome.ts";
import { rawInput } from "./raw-invoke.ts";

const ID = newInvocationId();

function outcome(result: InvocationOutcome): readonly [payload: string, functionError: string | undefined] {
  const { payload, functionError } = rawOutcome(result, ID);
  return [Buffer.from(payload).toString(), functionError];
}

describe("rawInput", () => {
  for (const text of ["{}", "null", "3", '"a"', "[1]", "true", ' {"a":1}\n']) {
    it(`gives a handler ${JSON.stringify(text)} as it is`, () => {
      const payload = Buffer.from(text);
      assert.deepEqual(rawInput("handler", payload, undefined), {
        kind: "event",
        payload,
        contentType: "application/json",
      });
    });
  }

  it("gives a handler {} for nothing", () => {
    assert.deepEqual(rawInput("handler", new Uint8Array(0), undefined), {
      kind: "event",
      payload: Buffer.from("{}"),
      contentType: "application/json",
    });
  });

  for (const text of ["{", "'a'", "undefined", "{}x", "\0", " "]) {
    it(`refuses ${JSON.stringify(text)} for a handler, in Lambda's words`, () => {
      assert.throws(
        () => rawInput("handler", Buffer.from(text), undefined),
        (error) =>
          isPlatformError(error, "InvalidPayload") &&
          error.message.startsWith(
            "Could not parse request body into json: Could not parse payload into json: ",
          ),
      );
    });
  }

  it("gives a filter any bytes", () => {
    const payload = Buffer.from([0, 255]);
    assert.deepEqual(rawInput("filter", payload, "image/x"), {
      kind: "event",
      payload,
      contentType: "image/x",
    });
  });

  for (const [why, text, contentType, expected] of [
    ["JSON that an SDK labels as bytes", "{}", "application/octet-stream", "application/json"],
    ["JSON without a label", "{}", undefined, "application/json"],
    ["bytes without a label", "\0", undefined, "application/octet-stream"],
    ["what is labelled", "a=b", "application/x-www-form-urlencoded", "application/x-www-form-urlencoded"],
  ] as const) {
    it(`posts ${why} to a server as ${expected}`, () => {
      const body = Buffer.from(text);
      assert.deepEqual(rawInput("server", body, contentType), {
        kind: "request",
        method: "POST",
        path: "/",
        rawHeaders: [
          "host",
          "localhost",
          "content-type",
          expected,
          "content-length",
          String(body.byteLength),
        ],
        body,
      });
    });
  }
});

describe("rawOutcome", () => {
  const returned = (payload: string, head?: ResponseHead): InvocationOutcome => ({
    kind: "returned",
    payload: Buffer.from(payload),
    head,
    isStreamed: false,
  });
  const http = (status: number): ResponseHead => ({ kind: "http", status, rawHeaders: [] });

  it("gives what was returned", () => assert.deepEqual(outcome(returned("1")), ["1", undefined]));
  it("gives the body of a server", () =>
    assert.deepEqual(outcome(returned("no", http(404))), ["no", undefined]));
  it("calls a server's 500 a failure", () =>
    assert.deepEqual(outcome(returned("x", http(500))), ["x", "Unhandled"]));

  it("gives the function's own error", () => {
    const payload = Buffer.from('{"errorType":"E"}');
    assert.deepEqual(outcome({ kind: "threw", payload, errorType: "E", isStreamed: false }), [
      '{"errorType":"E"}',
      "Unhandled",
    ]);
  });

  it("says a timeout in Lambda's words", () => {
    assert.deepEqual(outcome({ kind: "timed-out", afterMs: 2_500, isStreamed: false }), [
      `{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: ${ID} Error: Task timed out after 2.50 seconds"}`,
      "Unhandled",
    ]);
  });

  it("says a crash in Lambda's words", () => {
    const message = "Runtime exited with error: exit status 1";
    assert.deepEqual(
      outcome({ kind: "crashed", errorType: "Runtime.ExitError", message, isStreamed: false }),
      [`{"errorType":"Runtime.ExitError","errorMessage":"RequestId: ${ID} Error: ${message}"}`, "Unhandled"],
    );
  });
});
