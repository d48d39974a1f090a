import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import type { ProtocolAdapter } from "./protocol.ts";
import {
  NO_RUNTIME,
  newCall,
  type Program,
  startTestChannel,
  type TestChannelOptions,
  TestSink,
  textOf,
} from "./test-channel.fake.ts";
import { testVersion } from "./test-sandbox.fake.ts";

export interface ChannelSubject {
  readonly adapter: ProtocolAdapter;
  readonly options?: TestChannelOptions;
  /** Answers with the payload it is given. */
  readonly echo: Program;
  /** Takes a call and does not answer. */
  readonly hang: Program;
  /** Leaves instead of answering. */
  readonly exit: Program;
  /** Answers with 4 MiB of `x`, as a stream if it can. */
  readonly flood: Program;
  /** Promises that this channel does not make, each with the reason. */
  readonly exceptions?: Partial<Record<ChannelPromise, string>>;
}

export type ChannelPromise = keyof typeof PROMISES;

const FLOOD_BYTES = 4 * 1024 * 1024;

/** The promises of protocol.ts; each adapter runs them with real programs. */
const PROMISES = {
  "hands over a payload and gives back the answer": async ({ adapter, echo, options }: ChannelSubject) => {
    await using tested = await startTestChannel(adapter, echo, options);
    await tested.channel.ready;
    const outcome = await tested.invoke('{"name":"Grace"}');
    assert.equal(outcome.kind, "returned");
    assert.equal(textOf(outcome), '{"name":"Grace"}');
  },

  "keeps every byte of a payload of 5 MiB": async ({ adapter, echo, options }: ChannelSubject) => {
    await using tested = await startTestChannel(adapter, echo, options);
    await tested.channel.ready;
    const payload = Buffer.alloc(5 * 1024 * 1024, "0123456789abcdef");
    payload.write('"', 0);
    payload.write('"', payload.length - 1);
    const outcome = await tested.invoke(payload);
    assert.equal(outcome.kind, "returned");
    assert.ok(outcome.kind === "returned" && payload.equals(outcome.payload));
  },

  "serves one call after another, each when it is idle": async ({
    adapter,
    echo,
    options,
  }: ChannelSubject) => {
    await using tested = await startTestChannel(adapter, echo, options);
    await tested.channel.ready;
    for (const text of ["1", "2", "3"]) {
      assert.equal(textOf(await tested.invoke(text)), text);
      await tested.channel.idle();
    }
  },

  "is used up by one call if it says that it is not reusable": async ({
    adapter,
    echo,
    options,
  }: ChannelSubject) => {
    await using tested = await startTestChannel(adapter, echo, options);
    await tested.channel.ready;
    await tested.invoke("1");
    if (tested.channel.isReusable) return;
    assert.equal((await tested.sandbox.exited).exitCode, 0);
  },

  "throws the signal's reason when it aborts, at once and for good": async ({
    adapter,
    hang,
    options,
  }: ChannelSubject) => {
    await using tested = await startTestChannel(adapter, hang, options);
    await tested.channel.ready;
    const controller = new AbortController();
    const invoked = tested.invoke("{}", controller);
    controller.abort(new Error("given up"));
    await assert.rejects(invoked, /given up/);
    await assert.rejects(tested.invoke("{}", { signal: controller.signal }), /given up/);
  },

  "leaves it to its owner to see that the program has gone": async ({
    adapter,
    exit,
    options,
  }: ChannelSubject) => {
    await using tested = await startTestChannel(adapter, exit, options);
    await tested.channel.ready;
    const invoked = tested.invoke("{}").then(() => "settled");
    await tested.sandbox.exited;
    assert.equal(await Promise.race([invoked, wait(250, "pending")]), "pending");
  },

  "passes a response on piece by piece, no faster than it is taken": async ({
    adapter,
    flood,
    options,
  }: ChannelSubject) => {
    await using tested = await startTestChannel(adapter, flood, options);
    await tested.channel.ready;
    const sink = new TestSink(64 * 1024);
    const invoked = tested.invoke({ sink });
    await sink.waitedFor.promise;
    const bytesBefore = sink.bytes;
    assert.ok(bytesBefore < FLOOD_BYTES, `${bytesBefore} bytes came at once`);
    sink.release();
    const outcome = await invoked;
    assert.equal(sink.bytes, FLOOD_BYTES);
    assert.ok(outcome.kind === "returned" && outcome.isStreamed && outcome.payload.length === 0);
  },

  "collects a response where nobody takes it piece by piece": async ({
    adapter,
    flood,
    options,
  }: ChannelSubject) => {
    await using tested = await startTestChannel(adapter, flood, options);
    await tested.channel.ready;
    const outcome = await tested.invoke("{}");
    assert.ok(outcome.kind === "returned" && !outcome.isStreamed && outcome.payload.length === FLOOD_BYTES);
  },

  "writes nothing to the sink of a call that was given up": async ({
    adapter,
    flood,
    options,
  }: ChannelSubject) => {
    await using tested = await startTestChannel(adapter, flood, options);
    await tested.channel.ready;
    const controller = new AbortController();
    const sink = new TestSink(64 * 1024);
    const invoked = tested.channel.invoke(newCall(flood.entry, { sink }), { signal: controller.signal });
    await sink.waitedFor.promise;
    controller.abort(new Error("given up"));
    await assert.rejects(invoked, /given up/);
    const bytesThen = sink.bytes;
    sink.release();
    await wait(50);
    assert.equal(sink.bytes, bytesThen);
  },

  "can be closed twice, and before it was ever attached": async ({
    adapter,
    echo,
    options,
  }: ChannelSubject) => {
    await using tested = await startTestChannel(adapter, echo, options);
    await tested.channel.ready;
    await tested.channel[Symbol.asyncDispose]();
    await tested.channel[Symbol.asyncDispose]();
    const unused = adapter.open(testVersion(echo.entry), options?.runtime ?? NO_RUNTIME);
    await unused[Symbol.asyncDispose]();
  },
} satisfies Record<string, (subject: ChannelSubject) => Promise<void>>;

export function describeChannel(name: string, subject: ChannelSubject): void {
  describe(`${name}: promises of a channel`, () => {
    for (const [promise, check] of Object.entries(PROMISES)) {
      // What the adapter says it cannot keep, and why, stands in its own test; it is no test that is left out.
      if (subject.exceptions?.[promise as ChannelPromise] !== undefined) continue;
      it(promise, { timeout: 20_000 }, () => check(subject));
    }
  });
}
