import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, beforeEach, describe, it } from "node:test";
import {
  CreateAliasCommand,
  InvalidParameterValueException,
  InvokeCommand,
  InvokeWithResponseStreamCommand,
  type InvokeWithResponseStreamCommandInput,
  type LambdaClient,
  PublishVersionCommand,
  ResourceNotFoundException,
  TooManyRequestsException,
} from "@aws-sdk/client-lambda";
import { PlatformError } from "../../../core/errors.ts";
import { parseEventId, parseInvocationId } from "../../../core/ids.ts";
import type { InvocationRequest } from "../../../invoker/invocations.ts";
import type { Target } from "../../../registry/target.ts";
import { makeFunction, payloadOf, returned, startControl, type TestControl } from "../control.fake.ts";

const ARN = "arn:aws:lambda:eu-central-1:123456789012:function";

const ACCEPTED = {
  eventId: parseEventId("evt_00000000001") ?? assert.fail(),
  invocationId: parseInvocationId("00000000-0000-4000-8000-000000000000") ?? assert.fail(),
};

let control: TestControl;
let sdk: LambdaClient;
before(async () => {
  control = await startControl();
  sdk = control.sdk();
  await makeFunction(control, "greet");
  await sdk.send(new PublishVersionCommand({ FunctionName: "greet" }));
  await sdk.send(new CreateAliasCommand({ FunctionName: "greet", Name: "prod", FunctionVersion: "1" }));
});
after(() => control[Symbol.asyncDispose]());

const calls: { readonly target: Target; readonly request: InvocationRequest }[] = [];
beforeEach(() => {
  calls.length = 0;
  control.answer = async (target, request) => {
    calls.push({ target, request });
    return returned(payloadOf(request));
  };
});

function text(payload: Uint8Array | undefined): string {
  return Buffer.from(payload ?? []).toString();
}

describe("Invoke", () => {
  it("refuses tenants and durable executions, which are not here", async () => {
    for (const asked of [
      new InvokeCommand({ FunctionName: "greet", TenantId: "blue" }),
      new InvokeCommand({ FunctionName: "greet", DurableExecutionName: "first" }),
      new InvokeCommand({ FunctionName: "greet", TenantId: "blue", InvocationType: "Event" }),
    ]) {
      await assert.rejects(sdk.send(asked), (error) => {
        assert.ok(error instanceof InvalidParameterValueException);
        assert.match(
          error.message,
          /^X-Amz-[-A-Za-z]+ is not supported by lambdad: there are no .* leave it out$/,
        );
        return true;
      });
    }
    const streamed = new InvokeWithResponseStreamCommand({ FunctionName: "greet", TenantId: "blue" });
    await assert.rejects(sdk.send(streamed), InvalidParameterValueException);
    assert.deepEqual(calls, []);
  });

  it("hands the payload over and answers with what comes back", async () => {
    const answer = await sdk.send(
      new InvokeCommand({
        FunctionName: "greet",
        Payload: Buffer.from('{"name":"World"}'),
        ClientContext: Buffer.from('{"custom":{"a":1}}').toString("base64"),
      }),
    );
    assert.deepEqual(
      [
        text(answer.Payload),
        answer.StatusCode,
        answer.ExecutedVersion,
        answer.FunctionError,
        answer.LogResult,
      ],
      ['{"name":"World"}', 200, "$LATEST", undefined, undefined],
    );
    const [call] = calls;
    assert.equal(call?.request.clientContext, '{"custom":{"a":1}}');
    assert.equal(call?.request.invocationId, answer.$metadata.requestId);
  });

  it("runs what name and qualifier lead to", async () => {
    for (const [FunctionName, Qualifier, executed, qualifier] of [
      ["greet:prod", undefined, "1", "prod"],
      ["greet", "1", "1", "1"],
      [`${ARN}:greet:$LATEST`, undefined, "$LATEST", "$LATEST"],
    ] as const) {
      const answer = await sdk.send(new InvokeCommand({ FunctionName, Qualifier }));
      assert.deepEqual([answer.ExecutedVersion, calls.at(-1)?.target.qualifier], [executed, qualifier]);
    }
  });

  it("gives a handler {} for nothing, and any JSON as it is", async () => {
    for (const [sent, seen] of [
      ["", "{}"],
      ["null", "null"],
      ["[1,2]", "[1,2]"],
      ['"x"', '"x"'],
      ["3", "3"],
    ] as const) {
      const answer = await sdk.send(new InvokeCommand({ FunctionName: "greet", Payload: Buffer.from(sent) }));
      assert.equal(text(answer.Payload), seen);
    }
  });

  it("returns the tail of the log if asked", async () => {
    const answer = await sdk.send(new InvokeCommand({ FunctionName: "greet", LogType: "Tail" }));
    assert.equal(Buffer.from(answer.LogResult ?? "", "base64").toString(), "START\nEND\n");
    assert.equal(calls[0]?.request.wantsTail, true);
  });

  it("marks a failed function as Unhandled, with 200", async () => {
    for (const [outcome, payload] of [
      [
        {
          kind: "threw",
          payload: Buffer.from('{"errorMessage":"x"}'),
          errorType: "Error",
          isStreamed: false,
        },
        /^\{"errorMessage":"x"\}$/,
      ],
      [
        { kind: "timed-out", afterMs: 3000, isStreamed: false },
        /Sandbox\.Timedout.*Task timed out after 3\.00 seconds/,
      ],
      [
        { kind: "crashed", errorType: "Runtime.ExitError", message: "exit status 1", isStreamed: false },
        /Runtime\.ExitError.*RequestId: [0-9a-f-]{36} Error: exit status 1/,
      ],
    ] as const) {
      control.answer = async () => ({ outcome, durationMs: 1, initMs: undefined, logTail: "" });
      const answer = await sdk.send(new InvokeCommand({ FunctionName: "greet" }));
      assert.deepEqual([answer.StatusCode, answer.FunctionError], [200, "Unhandled"]);
      assert.match(text(answer.Payload), payload);
    }
  });

  it("answers 204 to a dry run, without a call", async () => {
    const answer = await sdk.send(new InvokeCommand({ FunctionName: "greet", InvocationType: "DryRun" }));
    assert.deepEqual([answer.StatusCode, calls.length], [204, 0]);
    const missing = new InvokeCommand({ FunctionName: "missing", InvocationType: "DryRun" });
    await assert.rejects(sdk.send(missing), ResourceNotFoundException);
  });

  it("refuses an event while there is no queue, and enqueues it once there is one", async () => {
    const event = new InvokeCommand({
      FunctionName: "greet",
      InvocationType: "Event",
      Payload: Buffer.from("{}"),
    });
    await assert.rejects(sdk.send(event), /InvocationType Event is not supported yet by lambdad/);

    const enqueued: string[] = [];
    await using own = await startControl({
      events: {
        turn: () => undefined,
        enqueue: async (target, { input }) => {
          enqueued.push(`${target.record.name} ${input.kind === "event" ? text(input.payload) : ""}`);
          return ACCEPTED;
        },
      },
    });
    await makeFunction(own, "later");
    const invoke = (Payload: Buffer) =>
      own.sdk().send(new InvokeCommand({ FunctionName: "later", InvocationType: "Event", Payload }));
    assert.equal((await invoke(Buffer.from('{"n":1}'))).StatusCode, 202);
    await assert.rejects(
      invoke(Buffer.from(`"${"x".repeat(1_048_576)}"`)),
      /1048578 byte payload is too large for the Event invocation type \(limit 1048576 bytes\)/,
    );
    await assert.rejects(invoke(Buffer.from("no json")), /Could not parse payload into json/);
    assert.deepEqual(enqueued, ['later {"n":1}']);
  });

  it("passes a throttle on as AWS does", async () => {
    control.answer = async () => {
      throw new PlatformError("TooManyInvocations", "greet runs 2 calls already and may run 2; try again", {
        reason: "ReservedFunctionConcurrentInvocationLimitExceeded",
      });
    };
    await assert.rejects(sdk.send(new InvokeCommand({ FunctionName: "greet" })), (error) => {
      assert.ok(error instanceof TooManyRequestsException);
      assert.deepEqual(
        [error.Reason, error.Type, error.message, error.retryAfterSeconds],
        ["ReservedFunctionConcurrentInvocationLimitExceeded", "User", "Rate Exceeded.", "1"],
      );
      return true;
    });
  });

  it("keeps what broke inside to itself", async () => {
    control.answer = async () => {
      throw new Error("secret detail");
    };
    const answer = await control.send({
      method: "POST",
      path: "/2015-03-31/functions/greet/invocations",
      body: "{}",
    });
    assert.deepEqual(
      [answer.status, answer.headers["x-amzn-errortype"], answer.json],
      [500, "ServiceException", { Type: "Service", Message: "internal error" }],
    );
  });

  for (const [why, headers, body, status, name] of [
    ["a payload that is no JSON", {}, "{", 400, "InvalidRequestContentException"],
    ["a payload over 6 MB", {}, `"${"x".repeat(6_291_456)}"`, 413, "RequestEntityTooLargeException"],
    ["an unknown invocation type", { "x-amz-invocation-type": "Maybe" }, "{}", 400, "ValidationException"],
    ["an unknown log type", { "x-amz-log-type": "All" }, "{}", 400, "ValidationException"],
    [
      "a client context that is no JSON",
      { "x-amz-client-context": "%%%" },
      "{}",
      400,
      "InvalidRequestContentException",
    ],
    [
      "a client context that is too long",
      { "x-amz-client-context": "x".repeat(3584) },
      "{}",
      400,
      "InvalidRequestContentException",
    ],
  ] as const) {
    it(`refuses ${why}, without a call`, async () => {
      const answer = await control.send({
        method: "POST",
        path: "/2015-03-31/functions/greet/invocations",
        headers,
        body,
      });
      assert.deepEqual([answer.status, answer.headers["x-amzn-errortype"], calls.length], [status, name, 0]);
    });
  }

  it("tells the limit in AWS's words", async () => {
    const body = `"${"x".repeat(6_291_456)}"`;
    const answer = await control.send({
      method: "POST",
      path: "/2015-03-31/functions/greet/invocations",
      body,
    });
    assert.deepEqual(answer.json, {
      message: "Request must be smaller than 6291456 bytes for the InvokeFunction operation",
    });
  });

  it("lets go of a call whose caller has gone", async () => {
    const seen = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<unknown>();
    control.answer = async (_target, _request, signal) => {
      seen.resolve();
      signal.addEventListener("abort", () => gone.resolve(signal.reason));
      await gone.promise;
      throw signal.reason;
    };
    const abort = new AbortController();
    const call = sdk.send(new InvokeCommand({ FunctionName: "greet" }), { abortSignal: abort.signal });
    await seen.promise;
    abort.abort();
    await assert.rejects(call);
    assert.match(String(await gone.promise), /the caller went away/);
  });
});

interface Streamed {
  readonly chunks: readonly string[];
  readonly complete: Readonly<Record<string, unknown>> | undefined;
  readonly version: string | undefined;
}

async function stream(input: Partial<InvokeWithResponseStreamCommandInput> = {}): Promise<Streamed> {
  const answer = await sdk.send(new InvokeWithResponseStreamCommand({ FunctionName: "greet", ...input }));
  const chunks: string[] = [];
  let complete: Streamed["complete"];
  for await (const event of answer.EventStream ?? []) {
    if (event.PayloadChunk) chunks.push(text(event.PayloadChunk.Payload));
    if (event.InvokeComplete) complete = { ...event.InvokeComplete };
  }
  return { chunks, complete, version: answer.ExecutedVersion };
}

const STREAMED = { kind: "returned", payload: new Uint8Array(0), head: undefined, isStreamed: true } as const;

describe("InvokeWithResponseStream", () => {
  it("passes pieces on while the function makes them", async () => {
    const read = Promise.withResolvers<void>();
    control.answer = async (_target, { sink }) => {
      sink?.start({ kind: "raw", contentType: "text/plain" });
      sink?.write(Buffer.from("hello "));
      // The rest comes only after the client has seen the first piece: nothing is held back.
      await read.promise;
      sink?.write(Buffer.from("world"));
      return { outcome: STREAMED, durationMs: 1, initMs: undefined, logTail: "tail" };
    };
    const answer = await sdk.send(
      new InvokeWithResponseStreamCommand({ FunctionName: "greet", LogType: "Tail" }),
    );
    const seen: string[] = [];
    for await (const event of answer.EventStream ?? []) {
      if (event.PayloadChunk) seen.push(text(event.PayloadChunk.Payload));
      if (event.InvokeComplete) seen.push(text(Buffer.from(event.InvokeComplete.LogResult ?? "", "base64")));
      read.resolve();
    }
    assert.deepEqual(seen, ["hello ", "world", "tail"]);
  });

  it("carries a whole answer in pieces, and large ones undamaged", async () => {
    const { chunks, complete, version } = await stream({ Payload: Buffer.from('{"a":1}') });
    assert.deepEqual([chunks, complete, version], [['{"a":1}'], {}, "$LATEST"]);

    const large = randomBytes(2_500_000).toString("base64");
    control.answer = async () => returned(Buffer.from(JSON.stringify(large)));
    assert.equal((await stream()).chunks.join(""), JSON.stringify(large));
  });

  it("waits for a slow reader instead of piling up", async () => {
    const piece = Buffer.alloc(64 * 1024, "x");
    let waits = 0;
    control.answer = async (_target, { sink }) => {
      sink?.start({ kind: "raw", contentType: "text/plain" });
      for (let sent = 0; sent < 100; sent++) {
        if (sink?.write(piece) === false) {
          waits++;
          await sink.drained();
        }
      }
      return { outcome: STREAMED, durationMs: 1, initMs: undefined, logTail: "" };
    };
    assert.equal((await stream()).chunks.join("").length, 100 * piece.length);
    assert.ok(waits > 0);
  });

  it("tells a failure at the end, whether or not something was sent", async () => {
    for (const isStreamed of [true, false]) {
      control.answer = async (_target, { sink }) => {
        if (isStreamed) {
          sink?.start({ kind: "raw", contentType: "text/plain" });
          sink?.write(Buffer.from("half"));
        }
        const payload = Buffer.from('{"errorType":"Oops"}');
        return {
          outcome: { kind: "threw", payload, errorType: "Oops", isStreamed },
          durationMs: 1,
          initMs: undefined,
          logTail: "",
        };
      };
      const { chunks, complete } = await stream();
      assert.deepEqual(chunks, isStreamed ? ["half"] : []);
      assert.deepEqual(complete, { ErrorCode: "Unhandled", ErrorDetails: '{"errorType":"Oops"}' });
    }
  });

  it("shows a server's response as Lambda's prelude and body", async () => {
    control.answer = async (_target, { sink }) => {
      sink?.start({
        kind: "http",
        status: 201,
        rawHeaders: ["Content-Type", "text/html", "Set-Cookie", "a=b"],
      });
      sink?.write(Buffer.from("<p>"));
      return { outcome: STREAMED, durationMs: 1, initMs: undefined, logTail: "" };
    };
    const [head = "", body = ""] = (await stream()).chunks.join("").split("\0".repeat(8));
    assert.deepEqual(JSON.parse(head), {
      statusCode: 201,
      headers: { "content-type": "text/html" },
      cookies: ["a=b"],
    });
    assert.equal(body, "<p>");
  });

  it("refuses with a status what never ran, and events", async () => {
    control.answer = async () => {
      throw new PlatformError("TooManyInvocations", "Rate Exceeded.");
    };
    await assert.rejects(stream(), TooManyRequestsException);
    await assert.rejects(stream({ FunctionName: "missing" }), ResourceNotFoundException);
    const path = "/2021-11-15/functions/greet/response-streaming-invocations";
    const headers = { "x-amz-invocation-type": "Event" };
    assert.equal((await control.send({ method: "POST", path, headers, body: "{}" })).status, 400);
  });

  it("ends a stream whose call broke off with an error of its own", async () => {
    const read = Promise.withResolvers<void>();
    control.answer = async (_target, { sink }) => {
      sink?.start({ kind: "raw", contentType: "text/plain" });
      sink?.write(Buffer.from("half"));
      await read.promise;
      throw new Error("secret detail");
    };
    const answer = await sdk.send(new InvokeWithResponseStreamCommand({ FunctionName: "greet" }));
    const seen: unknown[] = [];
    for await (const event of answer.EventStream ?? []) {
      seen.push(event.PayloadChunk ? text(event.PayloadChunk.Payload) : event.InvokeComplete);
      read.resolve();
    }
    assert.deepEqual(seen, [
      "half",
      { ErrorCode: "ServiceException", ErrorDetails: "the invocation broke off" },
    ]);
  });
});
