import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isPlatformError } from "./errors.ts";
import type { InvocationOutcome } from "./invocation.ts";
import {
  answerOf,
  compareAnswers,
  excerptsOf,
  isShadowed,
  parseShadowMethods,
  SHADOW_BODY_BYTES_MAX,
  SHADOW_EXCERPT_CHARS_MAX,
} from "./shadow.ts";

function returned(payload: string, status?: number): InvocationOutcome {
  const head = status === undefined ? undefined : ({ kind: "http", status, rawHeaders: ["a", "b"] } as const);
  return { kind: "returned", payload: Buffer.from(payload), head, isStreamed: false };
}

function threw(message: string, errorType = "Error"): InvocationOutcome {
  const payload = Buffer.from(
    JSON.stringify({ errorType, errorMessage: message, trace: [`at ${Math.random()}`] }),
  );
  return { kind: "threw", payload, errorType, isStreamed: false };
}

function compared(live: InvocationOutcome, shadow: InvocationOutcome): string {
  const comparison = compareAnswers(answerOf(live, undefined), answerOf(shadow, undefined));
  return "what" in comparison ? `${comparison.kind}: ${comparison.what.join()}` : comparison.kind;
}

describe("two answers", () => {
  const large = "x".repeat(SHADOW_BODY_BYTES_MAX + 1);
  const proxied = (members: object) => returned(JSON.stringify({ statusCode: 200, body: "a", ...members }));
  for (const [what, live, shadow, expected] of [
    ["the same bytes", returned("a"), returned("a"), "same"],
    ["other bytes", returned("a"), returned("b"), "different: body"],
    ["the same JSON in another order", returned('{"a":1,"b":2}'), returned('{ "b": 2, "a": 1 }'), "same"],
    ["other JSON", returned('{"a":1}'), returned('{"a":2}'), "different: body"],
    ["the same status and body", returned("a", 200), returned("a", 200), "same"],
    ["another status", returned("a", 200), returned("a", 404), "different: status"],
    ["another status of a handler", proxied({}), proxied({ statusCode: 201 }), "different: status"],
    ["other headers of a handler", proxied({}), proxied({ headers: { date: "x" } }), "same"],
    ["Base64 of the same", proxied({}), proxied({ body: "YQ==", isBase64Encoded: true }), "same"],
    ["JSON in the body of a handler", proxied({ body: '{"a":1}' }), proxied({ body: '{ "a": 1 }' }), "same"],
    ["no status of a handler", returned('{"statusCode":"x"}'), returned('{"statusCode":"x"}'), "same"],
    ["both too large", returned(large), returned(large), "not-compared"],
    ["one too large", returned("a"), returned(large), "different: body"],
    ["too large with another status", returned(large, 200), returned(large, 500), "different: status"],
    ["a failure where there was none", returned("a"), threw("x"), "failed: error"],
    ["no failure where there was one", threw("x"), returned("a"), "different: error"],
    ["the same error from elsewhere", threw("x"), threw("x"), "same"],
    ["another error", threw("x"), threw("y"), "different: error"],
    ["too late", returned("a"), { kind: "timed-out", afterMs: 3, isStreamed: false }, "failed: error"],
  ] as const) {
    it(`${what}: ${expected}`, () => assert.equal(compared(live, shadow), expected));
  }

  it("are what was streamed, where they were", () => {
    const outcome = {
      kind: "returned",
      payload: Buffer.alloc(0),
      head: undefined,
      isStreamed: true,
    } as const;
    const head = { kind: "http", status: 201, rawHeaders: [] } as const;
    const answer = answerOf(outcome, { head, body: Buffer.from("a") });
    assert.deepEqual([answer.status, answer.body?.toString(), answer.isTooLarge], [201, "a", false]);
    assert.equal(answerOf(outcome, { head, body: undefined }).isTooLarge, true);
  });
});

it("shows where two bodies part, and little of them", () => {
  const [a = "", b = ""] = excerptsOf(
    Buffer.from(`${"=".repeat(1_000)}live${"-".repeat(9_000)}`),
    Buffer.from(`${"=".repeat(1_000)}copy`),
  );
  assert.ok(a.startsWith(`${"=".repeat(20)}live`));
  assert.equal(a.length, SHADOW_EXCERPT_CHARS_MAX);
  assert.equal(b, `${"=".repeat(20)}copy`);
});

it("reads methods", () => {
  const post = { methods: parseShadowMethods(["get", "Invoke"]) };
  assert.deepEqual(post.methods, ["GET", "INVOKE"]);
  assert.deepEqual([isShadowed(post, "GET"), isShadowed(post, "POST")], [true, false]);
  assert.equal(isShadowed({ methods: parseShadowMethods(["ALL"]) }, "POST"), true);
  for (const bad of [[], ["all", "GET"], ["a b"], [""], Array.from({ length: 21 }, () => "GET")]) {
    assert.throws(
      () => parseShadowMethods(bad),
      (error) => isPlatformError(error, "InvalidRequest"),
    );
  }
});
