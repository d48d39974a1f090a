import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import { newInvocationId } from "../core/ids.ts";
import type { InvocationOutcome } from "../core/invocation.ts";
import { SHADOW_AT_ONCE_MAX, SHADOW_BODY_BYTES_MAX, SHADOW_IN_HAND_MAX } from "../core/shadow.ts";
import type { Compared, ReportRef } from "../records/shadow-reports.ts";
import type { Target } from "../registry/target.ts";
import { fakeInvocations, returned, streamed } from "./invocations.fake.ts";
import type { InvocationRequest } from "./invocations.ts";
import { newShadowing } from "./shadowing.ts";
import { targetOf } from "./test-host.fake.ts";

const tried: Target = { ...targetOf(), isCopy: true };
const { signal } = new AbortController();

function withShadow(share = 1, methods: readonly string[] = ["GET"]): Target {
  return {
    ...targetOf(),
    shadow: { tried, share, plan: { methods }, report: { key: "f", startedAt: 1 } },
  };
}

function requestOf(change: Partial<InvocationRequest> = {}): InvocationRequest {
  return {
    invocationId: newInvocationId(),
    input: { kind: "event", payload: Buffer.from("{}"), contentType: "application/json" },
    traceId: undefined,
    clientContext: undefined,
    wantsTail: false,
    sink: undefined,
    method: "GET",
    ...change,
  };
}

type Answers = (
  request: InvocationRequest,
  isCopy: boolean,
) => InvocationOutcome | Promise<InvocationOutcome>;

function open(answers: Answers, random = () => 0) {
  const invocations = fakeInvocations((request, { target }) => answers(request, target.isCopy === true));
  const told: (string | Compared)[] = [];
  const waiting: (() => void)[] = [];
  const tell = (what: string | Compared) => {
    told.push(what);
    for (const wake of waiting.splice(0)) wake();
  };
  const reports = {
    skipped: (_: ReportRef, why: string) => tell(why),
    compared: (_: ReportRef, compared: Compared) => tell(compared),
  };
  const shadowing = newShadowing({ invocations, copies: invocations, reports, clock: systemClock, random });
  const until = async (count: number) => {
    while (told.length < count) await new Promise<void>((resolve) => waiting.push(resolve));
  };
  return { shadowing, told, until, calls: invocations.calls };
}

describe("calls with a shadow", () => {
  it("are copied once they have been answered, with an id of its own and a mark", async () => {
    const { shadowing, calls, told, until } = open((_, isCopy) => returned(isCopy ? "b" : "a"));
    const request = requestOf();
    const { outcome } = await shadowing.invoke(withShadow(), request, { signal });
    assert.equal(outcome.kind === "returned" && Buffer.from(outcome.payload).toString(), "a");
    assert.equal(calls.length, 1, "the copy comes later");
    await until(1);
    const [live, copy] = calls;
    assert.equal(live?.request.invocationId, request.invocationId);
    assert.notEqual(copy?.request.invocationId, request.invocationId);
    assert.deepEqual(copy?.request.input, request.input);
    assert.match(copy?.request.clientContext ?? "", /lambda-shadow/);
    assert.equal(copy?.target, tried);
    const [compared] = told;
    assert.ok(typeof compared === "object");
    assert.equal(compared.kind, "different");
    assert.deepEqual(
      [compared.difference?.live.invocationId, compared.difference?.live.excerpt],
      [request.invocationId, "a"],
    );
    assert.equal(compared.difference?.shadow.invocationId, copy?.request.invocationId);
  });

  it("go untouched where they are not drawn, or have none", async () => {
    const { shadowing, calls, told } = open(
      () => returned("a"),
      () => 0.5,
    );
    const request = requestOf();
    for (const target of [withShadow(0.5), targetOf()]) await shadowing.invoke(target, request, { signal });
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(
      calls.map((call) => call.request === request),
      [true, true],
    );
    assert.deepEqual(told, []);
  });

  it("are not copied by another method, too large, as a stream, or if they did not run", async () => {
    const { shadowing, told, calls } = open((request) => {
      if (request.clientContext === "refused") throw new PlatformError("TooManyInvocations", "no");
      return returned("a");
    });
    const large = Buffer.alloc(SHADOW_BODY_BYTES_MAX + 1);
    const stream = (async function* () {
      yield large;
    })();
    const http = { kind: "request", method: "GET", path: "/", rawHeaders: [] } as const;
    for (const change of [
      { method: "POST" },
      { method: undefined },
      { input: { kind: "event", payload: large, contentType: "x" } },
      { input: { ...http, body: stream } },
    ] as const) {
      await shadowing.invoke(withShadow(), requestOf(change), { signal });
    }
    await assert.rejects(shadowing.invoke(withShadow(), requestOf({ clientContext: "refused" }), { signal }));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(told, ["method", "method", "size", "size", "failed"]);
    assert.equal(calls.length, 5);
  });

  it("see what is streamed as it comes, and it is compared as a whole", async () => {
    const { shadowing, told, until } = open((request, isCopy) => {
      request.sink?.start({ kind: "http", status: isCopy ? 500 : 200, rawHeaders: [] });
      const chunk = Buffer.from("hel");
      request.sink?.write(chunk);
      chunk.fill("x");
      request.sink?.write(Buffer.from("lo"));
      return streamed;
    });
    const seen: string[] = [];
    const sink = {
      start: () => void seen.push("head"),
      write: (chunk: Uint8Array) => seen.push(Buffer.from(chunk).toString()) < 0,
      drained: async () => undefined,
    };
    await shadowing.invoke(withShadow(), requestOf({ sink }), { signal });
    await until(1);
    assert.deepEqual(seen, ["head", "hel", "lo"]);
    const [compared] = told;
    assert.deepEqual(typeof compared === "object" && compared.difference?.what, ["status"]);
  });

  it("are marked for servers by a header", async () => {
    const { shadowing, calls, until } = open(() => returned("a"));
    const input = {
      kind: "request",
      method: "GET",
      path: "/",
      rawHeaders: ["a", "b"],
      body: undefined,
    } as const;
    await shadowing.invoke(withShadow(), requestOf({ input }), { signal });
    await until(1);
    const copied = calls[1]?.request.input;
    assert.deepEqual(copied?.kind === "request" && copied.rawHeaders, ["a", "b", "Lambda-Shadow", "1"]);
    assert.deepEqual(input.rawHeaders, ["a", "b"]);
  });

  it("never fail nor wait for a copy that does, of which few run at once", async () => {
    const held = Promise.withResolvers<InvocationOutcome>();
    const { shadowing, told, until } = open((_, isCopy) => (isCopy ? held.promise : returned("a")));
    const answers = Array.from({ length: SHADOW_AT_ONCE_MAX + 2 }, () =>
      shadowing.invoke(withShadow(), requestOf(), { signal }),
    );
    await Promise.all(answers);
    await until(2);
    assert.equal(told.join(), "busy,busy");
    held.reject(new Error("down"));
    await until(2 + SHADOW_AT_ONCE_MAX);
    const last = told.at(-1);
    assert.ok(typeof last === "object");
    assert.equal(last.kind, "failed");
    assert.match(last.difference?.shadow.error ?? "", /could not run: down/);
    // Their places are free again.
    await shadowing.invoke(withShadow(), requestOf(), { signal });
    await until(3 + SHADOW_AT_ONCE_MAX);
    assert.equal(typeof told.at(-1), "object");
  });

  it("are kept in memory in a number that is bounded", async () => {
    const held = Promise.withResolvers<InvocationOutcome>();
    const { shadowing, told } = open((_, isCopy) => (isCopy ? returned("a") : held.promise));
    const answers = Array.from({ length: SHADOW_IN_HAND_MAX + 3 }, () =>
      shadowing.invoke(withShadow(), requestOf(), { signal }),
    );
    assert.deepEqual(told, ["busy", "busy", "busy"]);
    held.resolve(returned("a"));
    await Promise.all(answers);
  });
});
