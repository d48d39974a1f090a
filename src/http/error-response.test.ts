import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { describe, it } from "node:test";
import { ERROR_CODES, errorFacts, PlatformError } from "../core/errors.ts";
import { jsonLog, silentLog } from "../core/log.ts";
import { explainError, sendError } from "./error-response.ts";
import { listen } from "./listener.ts";

const SECRET = "hunter2";

function memoryLog() {
  const lines: string[] = [];
  return { log: jsonLog((line) => lines.push(line), "debug"), lines };
}

/** What a client gets from a server that answers with `answer`. */
async function answerOf(answer: (response: ServerResponse) => void) {
  await using listener = await listen({
    host: "127.0.0.1",
    port: 0,
    setting: "none",
    log: silentLog,
    requestMsMax: 10_000,
    drainMs: 0,
    handler: (_, response) => answer(response),
  });
  const response = await fetch(listener.address.url);
  return { status: response.status, headers: response.headers, body: await response.text() };
}

describe("sendError", () => {
  it("answers with code, message and request id, by the status of the error table", async () => {
    const { log } = memoryLog();
    const error = new PlatformError("FunctionNotFound", 'no function is called "x"');
    const answer = await answerOf((response) => sendError(response, error, { log, requestId: "id-1" }));
    assert.deepEqual(
      [answer.status, JSON.parse(answer.body)],
      [404, { error: { code: "FunctionNotFound", message: 'no function is called "x"', requestId: "id-1" } }],
    );
  });

  for (const [why, error] of [
    ["an unknown error", new Error(SECRET)],
    ["an error with a cause", new Error("x", { cause: new Error(SECRET) })],
    ["a thrown text", SECRET],
    ["a thrown object", { message: SECRET, code: SECRET, status: SECRET }],
    ["an internal error of ours", new PlatformError("Internal", SECRET)],
    [
      "the cause of an error of ours",
      new PlatformError("StoreUnavailable", "the store is gone", { cause: new Error(SECRET) }),
    ],
    ["a type error", new TypeError(`cannot read ${SECRET}`)],
    ["an aggregate", new AggregateError([new Error(SECRET)], SECRET)],
  ] as const) {
    it(`does not let a secret out of ${why}`, async () => {
      const { log } = memoryLog();
      const answer = await answerOf((response) => sendError(response, error, { log, requestId: "id-1" }));
      assert.doesNotMatch(JSON.stringify([answer.body, ...answer.headers]), new RegExp(SECRET));
      assert.ok(answer.status >= 500);
    });
  }

  it("logs the detail of an unknown error with the request id", () => {
    const { log, lines } = memoryLog();
    explainError(new Error(SECRET), { log, requestId: "id-1" });
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? "", /"invocationId":"id-1".*hunter2/);
  });

  it("does not log the caller's own mistakes", () => {
    const { log, lines } = memoryLog();
    explainError(new PlatformError("InvalidRequest", "no"), { log, requestId: "id-1" });
    assert.deepEqual(lines, []);
  });

  for (const [retryAfterMs, expected] of [
    [undefined, "1"],
    [1, "1"],
    [1_001, "2"],
    [30_000, "30"],
  ] as const) {
    it(`says Retry-After: ${expected} for ${retryAfterMs} ms`, async () => {
      const { log } = memoryLog();
      const options = retryAfterMs === undefined ? {} : { retryAfterMs };
      const error = new PlatformError("TooManyInvocations", "busy", options);
      const answer = await answerOf((response) => sendError(response, error, { log, requestId: "i" }));
      assert.deepEqual([answer.status, answer.headers.get("retry-after")], [429, expected]);
    });
  }

  it("cuts a response that has begun instead of adding to it", async () => {
    const { log } = memoryLog();
    const answered = answerOf((response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("part", () => sendError(response, new Error("x"), { log, requestId: "i" }));
    });
    await assert.rejects(answered);
  });

  it("has an answer for every code", () => {
    const { log } = memoryLog();
    for (const code of ERROR_CODES) {
      const answer = explainError(new PlatformError(code, "why"), { log, requestId: "i" });
      assert.equal(answer.status, errorFacts(code).status);
      assert.equal(answer.code, code);
    }
  });
});
