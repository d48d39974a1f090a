/** Random histories of invocations that overlap, against a plain list of what happened. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import fc from "fast-check";
import { systemClock } from "../core/clock.ts";
import { type InvocationId, parseFunctionName, type SandboxId } from "../core/ids.ts";
import { silentLog } from "../core/log.ts";
import { openRecords } from "./file-records.ts";
import type { InvocationRecorder, LogLine, Records } from "./records.ts";

type Step =
  | { readonly kind: "begin"; readonly sandbox: number; readonly live: number | undefined }
  | { readonly kind: "line" | "end"; readonly which: number }
  | { readonly kind: "flush" | "restart" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("begin" as const),
      sandbox: fc.nat(120),
      live: fc.option(fc.nat(2), { nil: undefined }),
    }),
  },
  {
    weight: 7,
    arbitrary: fc.record({ kind: fc.constantFrom("line" as const, "end" as const), which: fc.nat(1_000) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom("flush" as const, "flush" as const, "restart" as const) }),
  },
);

interface Running {
  readonly recorder: InvocationRecorder;
  readonly id: string;
  readonly where: string;
}

const functionName = parseFunctionName("f");

it("reads back all that happened, in order, each with where it came from", async () => {
  assert.ok(functionName);
  const query = {
    functionName,
    sinceAt: undefined,
    untilAt: undefined,
    invocationId: undefined,
    version: undefined,
    contains: undefined,
    last: undefined,
    follow: false,
  };
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 200, size: "max" }), async (steps) => {
      const dir = await mkdtemp(join(tmpdir(), "lambdad-log-history-"));
      let now = 1_000_000;
      // Segments of 4 KiB, so that a history has several.
      const open = (): Records =>
        openRecords({
          dir,
          clock: { ...systemClock, now: () => ++now },
          log: silentLog,
          bytesPerFunctionMax: 16_384 * 4,
        });
      let records = open();
      const running: Running[] = [];
      const expected: string[] = [];
      let ids = 0;
      try {
        for (const step of steps) {
          switch (step.kind) {
            case "begin": {
              const id = `00000000-0000-4000-8000-${String(++ids).padStart(12, "0")}`;
              const origin = {
                functionName,
                version: "$LATEST",
                liveVersion: step.live,
                sandboxId: `sb-${step.sandbox}` as SandboxId,
              };
              const recorder = records.begin({
                ...origin,
                invocationId: id as InvocationId,
                memoryMib: 128,
                initMs: undefined,
                wantsTail: false,
              });
              const where = `${origin.sandboxId} ${step.live}`;
              running.push({ recorder, id, where });
              expected.push(`${where} START RequestId: ${id}`);
              break;
            }
            case "line":
            case "end": {
              const index = running.length === 0 ? -1 : step.which % running.length;
              const chosen = running[index];
              if (!chosen) break;
              if (step.kind === "line") {
                chosen.recorder.line("stdout", `line of ${chosen.id}`);
                expected.push(`${chosen.where} line of ${chosen.id}`);
              } else {
                running.splice(index, 1);
                chosen.recorder.end({
                  outcome: "returned",
                  errorType: undefined,
                  durationMs: 1,
                  memoryPeakMib: 1,
                });
                expected.push(
                  `${chosen.where} END RequestId: ${chosen.id}`,
                  `${chosen.where} REPORT RequestId: ${chosen.id}`,
                );
              }
              break;
            }
            case "flush":
              await records.flush();
              break;
            case "restart":
              await records[Symbol.asyncDispose]();
              running.length = 0;
              records = open();
              break;
          }
        }
        // Those that still run have printed nothing, perhaps, and would not show.
        for (const { recorder, id, where } of running) {
          recorder.line("stdout", `last of ${id}`);
          expected.push(`${where} last of ${id}`);
        }
        const lines: LogLine[] = [];
        for await (const line of records.read(query, { signal: new AbortController().signal }))
          lines.push(line);
        const said = lines.map(({ sandboxId, liveVersion, text }) => {
          const short = text.replace(/ Version: .*$|\t.*$/, "");
          return `${sandboxId} ${liveVersion} ${short}`;
        });
        assert.deepEqual(said, expected);
      } finally {
        await records[Symbol.asyncDispose]();
        await rm(dir, { recursive: true });
      }
    }),
    { numRuns: 60 },
  );
});
