import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { systemClock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import { newInvocationId } from "../core/ids.ts";
import type { CallInput, InvocationOutcome, ResponseSink } from "../core/invocation.ts";
import { RECORDING_INPUT_BYTES_MAX, RECORDING_OUTPUT_BYTES_MAX } from "../core/limits.ts";
import type { DropReason, RecordingSettings } from "../core/recording.ts";
import type { TakenInvocation } from "../records/recordings/recordings.ts";
import type { Target } from "../registry/target.ts";
import { sampleFunction, sampleVersion } from "../store/samples.fake.ts";
import { type FakeFunction, fakeInvocations, returned, streamed } from "./invocations.fake.ts";
import { recordedInvocations } from "./recorded-invocations.ts";

const ON: RecordingSettings = { isOn: true, share: 1, keepMs: 1, redact: ["ssn"] };
const NEVER = new AbortController().signal;

function event(payload: string): CallInput {
  return { kind: "event", payload: Buffer.from(payload), contentType: "application/json" };
}

function request(body: Uint8Array | AsyncIterable<Uint8Array> | undefined): CallInput {
  return { kind: "request", method: "POST", path: "/a", rawHeaders: ["x", "1"], body };
}

/** Calls a function that is recorded by those settings, and gives what was taken of it. */
function recorded(run: FakeFunction, settings: RecordingSettings | null = ON, draw?: () => number) {
  const added: TakenInvocation[] = [];
  const dropped: DropReason[] = [];
  const inner = fakeInvocations(run);
  const invocations = recordedInvocations({
    invocations: inner,
    recordings: { add: (taken) => added.push(taken), drop: (_, reason) => dropped.push(reason) },
    clock: systemClock,
    ...(draw && { draw }),
  });
  const record = sampleFunction("f", { latest: sampleVersion("f", "$LATEST") });
  const target: Target = {
    record: { ...record, liveVersion: 4, settings: { ...record.settings, recording: settings ?? undefined } },
    version: record.latest,
    qualifier: undefined,
  };
  return {
    added,
    dropped,
    inner,
    call: (input: CallInput, sink?: ResponseSink) =>
      invocations.invoke(
        target,
        {
          invocationId: newInvocationId(),
          input,
          traceId: undefined,
          clientContext: "{}",
          wantsTail: false,
          sink,
        },
        { signal: NEVER },
      ),
  };
}

async function* chunks(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

function collector() {
  const texts: string[] = [];
  const sink: ResponseSink = {
    start: ({ kind }) => texts.push(kind),
    write: (chunk) => texts.push(Buffer.from(chunk).toString()) > 0,
    drained: async () => undefined,
  };
  return { sink, texts };
}

describe("recordedInvocations", () => {
  it("takes nothing of a function that is not recorded, and passes the very request on", async () => {
    for (const settings of [null, { ...ON, isOn: false }]) {
      const { call, added, inner } = recorded(() => returned("ok"), settings);
      const input = event("{}");

      await call(input);

      assert.deepEqual(added, []);
      assert.equal(inner.calls[0]?.request.input, input);
    }
  });

  it("takes input, outcome and what ran", async () => {
    const { call, added } = recorded(() => returned("ok"));

    await call(event('{"n":1}'));

    const [taken] = added;
    assert.partialDeepStrictEqual(taken, {
      functionName: "f",
      version: "$LATEST",
      liveVersion: 4,
      durationMs: 1,
    });
    assert.deepEqual(taken?.input, event('{"n":1}'));
    assert.deepEqual(taken?.outcome, {
      kind: "returned",
      errorType: undefined,
      status: undefined,
      rawHeaders: [],
      body: Buffer.from("ok"),
    });
    assert.deepEqual(taken?.settings.redact, ["ssn"]);
  });

  it("takes the share that is asked for", async () => {
    const draws = [0, 0.24, 0.25, 0.9];
    const { call, added } = recorded(
      () => returned("ok"),
      { ...ON, share: 0.25 },
      () => draws.shift() ?? 1,
    );
    for (let count = 0; count < 4; count++) await call(event("{}"));

    assert.equal(added.length, 2);
  });

  it("keeps streams on their way, both ways, and passes every piece on", async () => {
    let read = "";
    const { call, added } = recorded(async ({ input, sink }) => {
      assert.ok(input.kind === "request" && input.body && !(input.body instanceof Uint8Array));
      for await (const chunk of input.body) read += Buffer.from(chunk).toString();
      sink?.start({ kind: "http", status: 201, rawHeaders: ["y", "2"] });
      sink?.write(Buffer.from("one,"));
      sink?.write(Buffer.from("two"));
      return streamed;
    });
    const { sink, texts } = collector();

    await call(request(chunks("a", "bc")), sink);

    assert.equal(read, "abc");
    assert.deepEqual(texts, ["http", "one,", "two"]);
    assert.deepEqual(added[0]?.input, request(Buffer.from("abc")));
    assert.partialDeepStrictEqual(added[0]?.outcome, {
      status: 201,
      rawHeaders: ["y", "2"],
      body: Buffer.from("one,two"),
    });
  });

  it("takes a copy: what the call was made with may be used again", async () => {
    const { call, added } = recorded(() => returned("ok"));
    const input = event("before");
    await call(input);
    if (input.kind === "event")
      Buffer.from(input.payload.buffer, input.payload.byteOffset, 6).write("AFTER!");

    assert.deepEqual(added[0]?.input, event("before"));
  });

  it("drops what is too large, and what the function has not read, with the reason", async () => {
    const large = "x".repeat(RECORDING_INPUT_BYTES_MAX + 1);
    const reading: FakeFunction = async ({ input }) => {
      if (input.kind === "request" && input.body) for await (const _ of input.body);
      return returned("ok");
    };
    const { call, added, dropped } = recorded(reading);
    await call(event(large));
    await call(request(Buffer.from(large)));
    await call(request(chunks(large)));
    assert.deepEqual(dropped, ["tooLarge", "tooLarge", "tooLarge"]);
    const deaf = recorded(() => returned("ok"));
    await deaf.call(request(chunks("a")));

    assert.deepEqual(deaf.dropped, ["unread"]);
    assert.deepEqual([...added, ...deaf.added], []);
  });

  it("keeps size and hash of an answer that is too large", async () => {
    const large = Buffer.alloc(RECORDING_OUTPUT_BYTES_MAX + 1, "y");
    const digest = { bytes: large.length, sha256: createHash("sha256").update(large).digest("hex") };
    const whole = recorded(() => returned(large));
    await whole.call(event("{}"));
    const pieces = recorded(({ sink }) => {
      sink?.start({ kind: "raw", contentType: "text/plain" });
      for (let at = 0; at < large.length; at += 1_000) sink?.write(large.subarray(at, at + 1_000));
      return streamed;
    });
    await pieces.call(event("{}"), collector().sink);

    assert.deepEqual(whole.added[0]?.outcome.body, digest);
    assert.deepEqual(pieces.added[0]?.outcome.body, digest);
  });

  it("takes failed calls as well, and none that did not run", async () => {
    const outcomes: InvocationOutcome[] = [
      { kind: "threw", payload: Buffer.from("{}"), errorType: "E", isStreamed: false },
      { kind: "timed-out", afterMs: 3, isStreamed: false },
      { kind: "crashed", errorType: "Runtime.ExitError", message: "exit status 1", isStreamed: false },
    ];
    const { call, added } = recorded(() => {
      const next = outcomes.shift();
      if (next) return next;
      throw new PlatformError("TooManyInvocations", "later");
    });
    for (let count = 0; count < 3; count++) await call(event("{}"));
    await assert.rejects(call(event("{}")), /later/);

    assert.deepEqual(
      added.map(({ outcome }) => [
        outcome.kind,
        outcome.errorType,
        Buffer.from(outcome.body as Uint8Array).toString(),
      ]),
      [
        ["threw", "E", "{}"],
        ["timed-out", undefined, ""],
        ["crashed", "Runtime.ExitError", "exit status 1"],
      ],
    );
  });
});
