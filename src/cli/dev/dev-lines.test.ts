import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { codeFrame } from "./code-frame.ts";
import { callOf } from "./follow-logs.ts";
import { readableLog, withoutInitErrors } from "./readable-log.ts";

const ERROR = JSON.stringify({
  errorType: "TypeError",
  errorMessage: "no",
  stack: [
    "TypeError: no",
    "    at handler (/var/task/a.mjs:2:5)",
    "    at run (/var/runtime/serve.cjs:1:1)",
    "    at node:net:1:1",
  ],
});

describe("readableLog", () => {
  for (const [what, line, expected] of [
    [
      "a line of a program's own",
      "hello\tthere",
      { level: undefined, text: "hello\tthere", isInitError: false },
    ],
    [
      "what console.warn wrote",
      "2026-01-01T00:00:00.000Z\tabc-1\tWARN\tcareful\rnow",
      { level: "WARN", text: "careful\nnow", isInitError: false },
    ],
    [
      "an error, without the frames of the platform",
      `2026-01-01T00:00:00.000Z\tabc-1\tERROR\tInvoke Error \t${ERROR}`,
      { level: "ERROR", text: "TypeError: no\n    at handler (/var/task/a.mjs:2:5)", isInitError: false },
    ],
    [
      "JSON that is no error",
      '2026-01-01T00:00:00.000Z\tabc-1\tINFO\tSaw\t{"a":1}',
      { level: "INFO", text: 'Saw\t{"a":1}', isInitError: false },
    ],
    [
      "what only looks like an error",
      "2026-01-01T00:00:00.000Z\tabc-1\tERROR\tInvoke Error \t{errorType}",
      { level: "ERROR", text: "Invoke Error \t{errorType}", isInitError: false },
    ],
  ] as const) {
    it(`reads ${what}`, () => {
      assert.deepEqual(readableLog(line), expected);
    });
  }

  it("leaves failed starts out of a message that has told them", () => {
    const line = `  2026-01-01T00:00:00.000Z\t-\tERROR\tInit Error \t${ERROR}`;
    assert.equal(
      withoutInitErrors(`"a" does not start\n${line}\n  printed`),
      '"a" does not start\n  printed',
    );
  });
});

describe("callOf", () => {
  const report =
    "REPORT RequestId: abc-1\tDuration: 12.74 ms\tBilled Duration: 223 ms\tMemory Size: 128 MB\tMax Memory Used: 19 MB";
  const call = { type: "call", function: "a", id: "abc-1", durationMs: 12.74, memoryMib: 19 };

  it("reads how a call ended", () => {
    assert.deepEqual(callOf("a", undefined, `${report}\t`), { ...call, initMs: undefined, status: "ok" });
    assert.deepEqual(callOf("a", "abc-1", `${report}\tInit Duration: 209.30 ms\tStatus: timeout`), {
      ...call,
      initMs: 209.3,
      status: "timeout",
    });
  });

  it("takes no other line for one", () => {
    for (const text of ["START RequestId: a Version: 1", "END RequestId: a", "my REPORT "])
      assert.equal(callOf("a", undefined, text), undefined);
  });
});

describe("codeFrame", () => {
  async function frame(message: string): Promise<string | undefined> {
    const dir = await mkdtemp(join(tmpdir(), "lambda-frame-"));
    try {
      await writeFile(join(dir, "a.mjs"), "one\n\ttwo\nthree\nfour\nfive");
      return await codeFrame(message, dir);
    } finally {
      await rm(dir, { recursive: true });
    }
  }

  it("shows the lines around a place, and where in the line", async () => {
    assert.equal(
      await frame("TypeError\n    at f (file:///var/task/a.mjs:2:3)"),
      "a.mjs:2:3\n  1 | one\n> 2 |   two\n    |    ^\n  3 | three\n  4 | four",
    );
    assert.equal(
      await frame('File "/var/task/a.mjs", line 5, in f'),
      "a.mjs:5\n  3 | three\n  4 | four\n> 5 | five",
    );
  });

  it("takes the first place that is in the code", async () => {
    const message =
      "at /var/task/node_modules/x/a.mjs:1:1\nat /var/task/gone.mjs:1\nat /var/task/a.mjs:99\nat (/var/task/a.mjs:1)";
    assert.match((await frame(message)) ?? "", /^a\.mjs:1\n> 1 \| one\n/);
    for (const none of ["", "at /var/task/../../etc/passwd:1", "at /elsewhere/a.mjs:1"])
      assert.equal(await frame(none), undefined);
  });
});
