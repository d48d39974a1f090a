import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Entry } from "../core/function.ts";
import { newInvocationId, newSandboxId, parseFunctionName } from "../core/ids.ts";
import type { InvocationOutcome } from "../core/invocation.ts";
import type { Recording } from "../core/recording.ts";
import { parsePattern } from "../core/value-path.ts";
import { parseRecording, recordingLine } from "../records/recordings/recording-line.ts";
import type { TakenInvocation } from "../records/recordings/recordings.ts";
import type { Target } from "../registry/target.ts";
import { sampleFunction, sampleVersion } from "../store/samples.fake.ts";
import { returned } from "./invocations.fake.ts";
import type { InvocationRequest, Invocations } from "./invocations.ts";
import { replay } from "./replay.ts";

const NEVER = new AbortController().signal;
const SECRET = "s3cr3t-value";

/** As it comes from the disk. */
function recording(more: Partial<TakenInvocation>): Recording {
  const functionName = parseFunctionName("f");
  assert.ok(functionName);
  const taken: TakenInvocation = {
    invocationId: newInvocationId(),
    functionName,
    at: 1,
    version: "1",
    liveVersion: undefined,
    input: { kind: "event", payload: Buffer.from("{}"), contentType: "application/json" },
    clientContext: undefined,
    outcome: {
      kind: "returned",
      errorType: undefined,
      status: undefined,
      rawHeaders: [],
      body: Buffer.from('{"n":1}'),
    },
    durationMs: 1,
    settings: { redact: [] },
    environment: { KEY: SECRET },
    ...more,
  };
  const parsed = parseRecording(Buffer.from(recordingLine(taken, "abc123").trimEnd()), functionName);
  assert.ok(parsed);
  return parsed;
}

async function replayed(
  recorded: Recording,
  outcome: InvocationOutcome | ((request: InvocationRequest) => InvocationOutcome),
  more: { entry?: Entry; environment?: Readonly<Record<string, string>>; ignored?: readonly string[] } = {},
) {
  const requests: InvocationRequest[] = [];
  const lines: { text: string; of: string | undefined }[] = [];
  const invocations: Pick<Invocations, "invoke"> = {
    async invoke(_target, request) {
      requests.push(request);
      const ended = typeof outcome === "function" ? outcome(request) : outcome;
      return { outcome: ended, durationMs: 2, sandboxId: newSandboxId(), initMs: undefined, logTail: "" };
    },
  };
  const version = sampleVersion("f", "2");
  const { entry = version.config.entry, environment = { KEY: SECRET } } = more;
  const target: Target = {
    record: sampleFunction("f"),
    version: { ...version, config: { ...version.config, entry, environment } },
    qualifier: "2",
  };
  const ignored = (more.ignored ?? []).flatMap((text) => parsePattern(text) ?? []);
  const result = await replay(
    { invocations, records: { line: (_origin, _stream, text, of) => lines.push({ text, of }) } },
    recorded,
    target,
    { ignored, signal: NEVER },
  );
  return { result, request: requests[0], lines };
}

const SERVER: Entry = { kind: "server", command: ["./app"] };

describe("replay", () => {
  it("runs the input again and tells how the outcomes differ", async () => {
    const recorded = recording({});

    const { result, request } = await replayed(recorded, returned('{"n":2,"at":5}'), {
      ignored: ["body.at"],
    });

    assert.deepEqual(result.diff.differences, [{ path: "body.n", was: "1", is: "2" }]);
    assert.deepEqual(request?.input, recorded.input);
    assert.notEqual(request?.invocationId, recorded.invocationId);
    assert.equal(result.invocationId, request?.invocationId);
  });

  it("marks it: in the context of a handler, in a header of a request, and in the log", async () => {
    const event = recording({ clientContext: '{"custom":{"a":1},"env":{}}' });
    const { request, lines, result } = await replayed(event, returned("1"));
    assert.deepEqual(JSON.parse(request?.clientContext ?? ""), {
      custom: { a: 1, "lambdad-replay": event.invocationId },
      env: {},
    });
    assert.deepEqual(lines, [
      { text: `REPLAY RequestId: ${result.invocationId} Of: ${event.invocationId}`, of: result.invocationId },
    ]);
    const http = recording({
      input: {
        kind: "request",
        method: "POST",
        path: `/x?k=${SECRET}`,
        rawHeaders: ["Content-Length", "12", "authorization", "Bearer abc"],
        body: Buffer.from(SECRET),
      },
    });

    const asked = await replayed(http, returned("1"), {
      entry: SERVER,
      environment: { KEY: "another value" },
    });

    assert.deepEqual(asked.request?.input, {
      kind: "request",
      method: "POST",
      path: "/x?k=another%20value",
      rawHeaders: [
        "Content-Length",
        "13",
        "authorization",
        "__redacted__",
        "x-lambdad-replay",
        http.invocationId,
      ],
      body: Buffer.from("another value"),
    });
    assert.equal(http.redacted, 1);
  });

  it("puts values of the environment in, and redacts what comes back before it is compared", async () => {
    const recorded = recording({
      input: { kind: "event", payload: Buffer.from(`{"k":"${SECRET}"}`), contentType: "application/json" },
      outcome: {
        kind: "returned",
        errorType: undefined,
        status: undefined,
        rawHeaders: [],
        body: Buffer.from(`{"echo":"${SECRET}","token":"one"}`),
      },
    });
    const echo = ({ input }: InvocationRequest) => {
      const { k } = JSON.parse(Buffer.from(input.kind === "event" ? input.payload : "").toString());
      return returned(JSON.stringify({ echo: k, token: "two" }));
    };

    const { result } = await replayed(recorded, echo, { environment: { KEY: "other-secret" } });

    assert.deepEqual(result.diff.differences, []);
    assert.deepEqual(result.missing, []);
    const without = await replayed(recorded, returned("{}"), { environment: {} });
    assert.deepEqual(without.result.missing, ["KEY"]);
  });

  it("refuses a version that takes another kind of input", async () => {
    await assert.rejects(replayed(recording({}), returned("1"), { entry: SERVER }), {
      code: "RecordingUnsuitable",
      message: /is an event, and version 2 of "f" is a server, which takes an HTTP request/,
    });
  });
});
