import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { newSandboxId } from "../../../core/ids.ts";
import type { InvocationOutcome } from "../../../core/invocation.ts";
import { StartFailed } from "../../../invoker/starter.ts";
import { startProblem } from "./start-problem.ts";

function threw(error: unknown): InvocationOutcome {
  const payload = Buffer.from(typeof error === "string" ? error : JSON.stringify(error));
  return { kind: "threw", payload, errorType: "Runtime.UserCodeSyntaxError", isStreamed: false };
}

describe("startProblem", () => {
  for (const [why, outcome, expected] of [
    [
      "Node's error with the first place of its trace",
      threw({
        errorMessage: "SyntaxError: Unexpected token",
        trace: ["SyntaxError", "    at index.js:3:7", "at x.js:1"],
      }),
      "Runtime.UserCodeSyntaxError: SyntaxError: Unexpected token (at index.js:3:7)",
    ],
    [
      "Python's error with its file and line",
      threw({ errorMessage: "invalid syntax", stackTrace: ['  File "/var/task/app.py", line 4\n'] }),
      'Runtime.UserCodeSyntaxError: invalid syntax (File "/var/task/app.py", line 4)',
    ],
    ["an error without a trace", threw({ errorMessage: "no" }), "Runtime.UserCodeSyntaxError: no"],
    ["an error that is no JSON", threw("what?"), "Runtime.UserCodeSyntaxError"],
    ["an error that is no object", threw([1]), "Runtime.UserCodeSyntaxError"],
    [
      "a start that took too long",
      { kind: "timed-out", afterMs: 10_000, isStreamed: false },
      "Task timed out after 10.00 seconds",
    ],
    [
      "an exit",
      { kind: "crashed", errorType: "Runtime.ExitError", message: "exit status 1", isStreamed: false },
      "Runtime.ExitError: exit status 1",
    ],
  ] as const satisfies readonly (readonly [string, InvocationOutcome, string])[]) {
    it(`tells ${why}`, () => {
      assert.equal(startProblem(new StartFailed(outcome, newSandboxId(), 5)), expected);
    });
  }

  it("tells any other error by its message", () => {
    assert.deepEqual([startProblem(new Error("no room")), startProblem("odd")], ["no room", "odd"]);
  });
});
