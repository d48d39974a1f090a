import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { newInvocationId } from "../../core/ids.ts";
import { RESPONSE_BYTES_MAX } from "../../core/limits.ts";
import { describeChannel } from "../protocol.contract.ts";
import {
  newRequest,
  type Program,
  startTestChannel,
  type TestChannelOptions,
  TestSink,
  textOf,
} from "../test-channel.fake.ts";
import { stdioAdapter } from "./adapter.ts";

const adapter = stdioAdapter();

function filter(...command: [string, ...string[]]): Program {
  return { entry: { kind: "filter", command }, files: {} };
}

function shell(script: string): Program {
  return filter("sh", "-c", script);
}

describeChannel("stdio", {
  adapter,
  echo: filter("cat"),
  hang: shell("exec sleep 30"),
  exit: shell("exit 1"),
  flood: shell("head -c 4194304 /dev/zero | tr '\\0' x"),
  exceptions: {
    "serves one call after another, each when it is idle": "a filter is used up by one call",
    "leaves it to its owner to see that the program has gone": "a filter's exit is part of its answer",
  },
});

async function run(program: Program, input: string | Uint8Array, options?: TestChannelOptions) {
  await using tested = await startTestChannel(adapter, program, options);
  await tested.channel.ready;
  return await tested.invoke(input);
}

describe("stdio", () => {
  it("gives the input on stdin and takes the result from stdout, as bytes", async () => {
    const outcome = await run(filter("tr", "a-z", "A-Z"), "grace hopper");
    assert.deepEqual(outcome, {
      kind: "returned",
      payload: Buffer.from("GRACE HOPPER"),
      head: undefined,
      isStreamed: false,
    });
    const bytes = randomBytes(200_000);
    const same = await run(filter("cat"), bytes);
    assert.ok(same.kind === "returned" && bytes.equals(same.payload));
  });

  it("runs a program of the code's folder in that folder, without a shell", async () => {
    const program = {
      entry: { kind: "filter", command: ["./bin/show", "$HOME", "a b"] },
      files: { "bin/show": '#!/bin/sh\nprintf "%s|" "$PWD" "$@" "$GREETING"\n' },
    } as const;
    await using tested = await startTestChannel(adapter, program, { environment: { GREETING: "hi" } });
    assert.equal(textOf(await tested.invoke("")), `${tested.codeDir}|$HOME|a b|hi|`);
  });

  it("makes an error of a status that is not 0, with the last that was said on stderr", async () => {
    const outcome = await run(shell("cat >/dev/null; echo half; echo 'no such user' >&2; exit 3"), "{}");
    assert.ok(outcome.kind === "threw" && outcome.errorType === "Function.ExitError" && !outcome.isStreamed);
    assert.equal(
      textOf(outcome),
      '{"errorType":"Function.ExitError","errorMessage":"exit status 3","stderr":"no such user"}',
    );
  });

  it("keeps only the end of a long stderr", async () => {
    const outcome = await run(
      shell("cat >/dev/null; head -c 100000 /dev/zero | tr '\\0' y >&2; echo the end >&2; exit 1"),
      "",
    );
    const { stderr } = JSON.parse(textOf(outcome));
    assert.ok(stderr.length <= 2_000 && stderr.endsWith("ythe end"));
  });

  it("calls it a crash when a signal ends the program", async () => {
    const outcome = await run(shell("kill -KILL $$"), "{}");
    assert.deepEqual(outcome, {
      kind: "crashed",
      errorType: "Runtime.ExitError",
      message: "Runtime exited with error: signal: killed",
      isStreamed: false,
    });
  });

  it("does not mind a program that never reads its input", async () => {
    const outcome = await run(shell("echo done"), randomBytes(3_000_000));
    assert.equal(textOf(outcome), "done\n");
  });

  it("answers for a program that had ended before the call came", async () => {
    await using tested = await startTestChannel(adapter, shell("echo early"));
    await tested.sandbox.exited;
    assert.equal(textOf(await tested.invoke("{}")), "early\n");
  });

  it("refuses a result over the limit, and takes one of just that size", async () => {
    const outcome = await run(shell(`head -c ${RESPONSE_BYTES_MAX + 1} /dev/zero`), "");
    assert.ok(outcome.kind === "threw" && outcome.errorType === "Function.ResponseSizeTooLarge");
    assert.match(textOf(outcome), /6291556 bytes/);
    const whole = await run(shell(`head -c ${RESPONSE_BYTES_MAX} /dev/zero`), "");
    assert.ok(whole.kind === "returned" && whole.payload.length === RESPONSE_BYTES_MAX);
  });

  it("stops a program that never stops writing, by its limit", async () => {
    const outcome = await run(filter("yes"), "");
    assert.ok(outcome.kind === "threw" && outcome.errorType === "Function.ResponseSizeTooLarge");
  });

  it("says that a part was sent when the program fails after it", async () => {
    await using tested = await startTestChannel(adapter, shell("echo part; exit 4"));
    const sink = new TestSink();
    const outcome = await tested.invoke({ sink });
    assert.ok(outcome.kind === "threw" && outcome.isStreamed);
    assert.equal(sink.body.toString(), "part\n");
    assert.deepEqual(sink.head, { kind: "raw", contentType: "application/octet-stream" });
  });

  it("starts no response where the program gives none", async () => {
    await using tested = await startTestChannel(adapter, shell("exit 5"));
    const sink = new TestSink();
    const outcome = await tested.invoke({ sink });
    assert.ok(outcome.kind === "threw" && !outcome.isStreamed);
    assert.equal(sink.head, undefined);
  });

  it("puts the runtime's interpreter first on PATH", async () => {
    const outcome = await run(filter("node", "-p", "process.execPath"), "", {
      runtime: { interpreter: process.execPath, runtimeDir: undefined, toolDirs: [] },
    });
    assert.equal(textOf(outcome), `${process.execPath}\n`);
  });

  it("refuses what is no call for it: a second one, a request, another kind of entry", async () => {
    await using tested = await startTestChannel(adapter, filter("cat"));
    await assert.rejects(tested.invoke({ input: newRequest("/") }), /invoked with bytes/);
    await tested.invoke("1");
    await assert.rejects(tested.invoke({ invocationId: newInvocationId() }), /serves one call/);
    const handler = { entry: { kind: "handler", handler: "a.b" }, files: {} } as const;
    await assert.rejects(startTestChannel(adapter, handler), /not for a handler/);
  });
});
