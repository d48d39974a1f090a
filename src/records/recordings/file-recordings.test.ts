import assert from "node:assert/strict";
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { mkdtemp, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type Clock, systemClock } from "../../core/clock.ts";
import { type FunctionName, newInvocationId, parseFunctionName } from "../../core/ids.ts";
import { silentLog } from "../../core/log.ts";
import type { ComparedOutcome } from "../../core/outcome-diff.ts";
import { REDACTED } from "../../core/redaction.ts";
import { openRecordings, WAITING_BYTES_MAX } from "./file-recordings.ts";
import type { RecordingQuery, TakenInvocation } from "./recordings.ts";

const ALL: RecordingQuery = {
  limit: 1_000,
  before: undefined,
  sinceAt: undefined,
  version: undefined,
  outcome: undefined,
};
const NONE = { tooLarge: 0, unread: 0, busy: 0, disk: 0, failed: 0 };

function named(text: string): FunctionName {
  const name = parseFunctionName(text);
  assert.ok(name);
  return name;
}

const F = named("f");

function returned(text: string): ComparedOutcome {
  return {
    kind: "returned",
    errorType: undefined,
    status: undefined,
    rawHeaders: [],
    body: Buffer.from(text),
  };
}

function taken(payload: string, more: Partial<TakenInvocation> = {}): TakenInvocation {
  return {
    invocationId: newInvocationId(),
    functionName: F,
    at: 1_000,
    version: "$LATEST",
    liveVersion: 3,
    input: { kind: "event", payload: Buffer.from(payload), contentType: "application/json" },
    clientContext: undefined,
    outcome: returned('"ok"'),
    durationMs: 12.345,
    settings: { redact: [] },
    environment: {},
    ...more,
  };
}

async function folder() {
  const path = await mkdtemp(join(tmpdir(), "recordings-test-"));
  return {
    path,
    files: () => readdirSync(join(path, "f")).map((name) => join(path, "f", name)),
    open: (more: { bytesPerFunctionMax?: number; clock?: Clock } = {}) =>
      openRecordings({ dir: path, clock: systemClock, log: silentLog, ...more }),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

describe("recordings", () => {
  it("gives back what was added, latest first, also after a restart", async () => {
    await using dir = await folder();
    const event = taken('{"n":1}', { clientContext: '{"custom":{"a":1}}' });
    const request = taken("", {
      at: 2_000,
      version: "7",
      liveVersion: undefined,
      input: {
        kind: "request",
        method: "PUT",
        path: "/a?b=1",
        rawHeaders: ["x", "1"],
        body: Uint8Array.of(255, 0),
      },
      outcome: { ...returned("no"), kind: "threw", errorType: "E", status: 500, rawHeaders: ["y", "2"] },
    });
    {
      await using first = dir.open();
      first.add(event);
      first.add(request);
    }
    await using recordings = dir.open();

    const { recordings: listed, next } = await recordings.list(F, ALL);

    assert.deepEqual(
      listed.map(({ invocationId }) => invocationId),
      [request.invocationId, event.invocationId],
    );
    assert.equal(next, undefined);
    assert.partialDeepStrictEqual(listed[1], {
      at: 1_000,
      version: "$LATEST",
      liveVersion: 3,
      durationMs: 12.35,
      inputBytes: 7,
      outputBytes: 4,
      redacted: 0,
    });
    const found = await recordings.find(F, request.invocationId);
    assert.deepEqual(found?.outcome, request.outcome);
    assert.deepEqual(found?.input, { ...request.input, body: Buffer.from([255, 0]) });
    assert.equal((await recordings.find(F, event.invocationId))?.clientContext, '{"custom":{"a":1}}');
    assert.equal(await recordings.find(F, newInvocationId()), undefined);
    const isAny = () => true;
    assert.equal((await recordings.search(event.invocationId, isAny))?.functionName, "f");
    assert.equal(await recordings.search(event.invocationId, () => false), undefined);
  });

  it("has a function's secrets on no disk", async () => {
    await using dir = await folder();
    await using recordings = dir.open();
    const secret = "tr0ub4dor&3";
    recordings.add(
      taken(JSON.stringify({ token: "T0KEN", card: { no: "4111" }, note: `see ${secret}` }), {
        settings: { redact: ["body.card.no"] },
        environment: { DB: secret },
        clientContext: JSON.stringify({ env: { password: "PWD" } }),
        outcome: { ...returned(`{"apiKey":"K3Y","echo":"${secret}"}`), rawHeaders: ["Set-Cookie", "S1D"] },
      }),
    );
    await recordings.flush();

    const text = dir
      .files()
      .map((file) => readFileSync(file, "utf8"))
      .join("");

    for (const hidden of ["T0KEN", "4111", secret, "PWD", "K3Y", "S1D"])
      assert.equal(text.includes(hidden), false, hidden);
    const [facts] = (await recordings.list(F, ALL)).recordings;
    assert.deepEqual([facts?.redacted, facts?.variables], [3, ["DB"]]);
    assert.equal(text.split(REDACTED).length - 1, 5);
  });

  it("lists by pages, version, outcome and time", async () => {
    await using dir = await folder();
    await using recordings = dir.open();
    for (let at = 0; at < 25; at++) {
      recordings.add(
        taken("{}", {
          at,
          version: at % 2 ? "2" : "$LATEST",
          liveVersion: at % 2 ? undefined : 3,
          outcome: { ...returned(""), kind: at < 5 ? "threw" : "returned" },
        }),
      );
    }
    const seen: number[] = [];
    for (let before: string | undefined, more = true; more; more = before !== undefined) {
      const page = await recordings.list(F, { ...ALL, limit: 10, before });
      seen.push(...page.recordings.map(({ at }) => at));
      before = page.next;
    }

    assert.deepEqual(
      seen,
      Array.from({ length: 25 }, (_, at) => 24 - at),
    );
    const countOf = async (query: Partial<RecordingQuery>) =>
      (await recordings.list(F, { ...ALL, ...query })).recordings.length;
    assert.equal(await countOf({ version: "2" }), 12);
    assert.equal(await countOf({ version: "3" }), 13, "what $LATEST equalled");
    assert.equal(await countOf({ outcome: "threw" }), 5);
    assert.equal(await countOf({ sinceAt: 20 }), 5);
  });

  it("passes over an entry that a crash has cut, and says so", async () => {
    await using dir = await folder();
    const whole = taken('{"n":1}');
    {
      await using first = dir.open();
      first.add(whole);
      first.add(taken('{"n":2}'));
    }
    const [file = ""] = dir.files();
    const text = readFileSync(file, "utf8");
    const entry = text.indexOf("\n") + 1;
    // A cut at any place of the second entry, down to its line end.
    for (const length of [
      entry + 1,
      entry + 20,
      text.indexOf("\t", entry) + 1,
      text.length - 2,
      text.length - 1,
    ]) {
      writeFileSync(file, text);
      truncateSync(file, length);
      await using recordings = dir.open();
      const { recordings: listed } = await recordings.list(F, ALL);
      assert.deepEqual(
        listed.map(({ invocationId }) => invocationId),
        [whole.invocationId],
        `cut at ${length}`,
      );
      assert.partialDeepStrictEqual(await recordings.holdings(F), { recordings: 1, damaged: 1 });
    }
    await using recordings = dir.open();
    const third = taken('{"n":3}');
    recordings.add(third);
    assert.ok(await recordings.find(F, third.invocationId), "goes into a file of its own");
    writeFileSync(file, `${text}garbage\tgarbage\n\n{}\n`);
    assert.partialDeepStrictEqual(await recordings.holdings(F), { recordings: 3, damaged: 3 });
  });

  it("keeps so many bytes of a function, the latest", async () => {
    await using dir = await folder();
    await using recordings = dir.open({ bytesPerFunctionMax: 64 * 1024 });
    const last = taken("{}");
    for (let count = 0; count < 200; count++) {
      recordings.add(taken(JSON.stringify("x".repeat(1_000))));
      if (count % 10 === 0) await recordings.flush();
    }
    recordings.add(last);

    const { bytes, recordings: kept } = await recordings.holdings(F);

    assert.ok(bytes <= 80 * 1024, `${bytes} bytes`);
    assert.ok(kept > 20 && kept < 80, `${kept} recordings`);
    assert.ok(await recordings.find(F, last.invocationId));
  });

  it("drops what there is no memory for, and remembers how much and why", async () => {
    await using dir = await folder();
    const payload = JSON.stringify("x".repeat(200_000));
    const fits = Math.floor(WAITING_BYTES_MAX / 200_000);
    {
      await using recordings = dir.open();
      for (let count = 0; count < fits + 50; count++) recordings.add(taken(payload));
      recordings.drop(F, "tooLarge");
      const { dropped, recordings: kept } = await recordings.holdings(F);
      assert.ok(dropped.busy >= 50, `${dropped.busy} dropped`);
      assert.equal(kept + dropped.busy, fits + 50);
      assert.equal(dropped.tooLarge, 1);
      recordings.drop(F, "unread");
    }
    await using recordings = dir.open();
    const { dropped } = await recordings.holdings(F);
    assert.ok(dropped.busy >= 50, "still known after a restart");
    assert.deepEqual([dropped.tooLarge, dropped.unread], [1, 1]);
  });

  it("counts what the disk does not take, and goes on when it does again", async () => {
    await using dir = await folder();
    await using recordings = dir.open();
    // A file where the folder should be: the way in which writing fails for root, too.
    writeFileSync(join(dir.path, "f"), "");
    recordings.add(taken("{}"));
    recordings.add(taken("{}"));
    await recordings.flush();
    await rm(join(dir.path, "f"));
    const after = taken("{}");
    recordings.add(after);

    assert.ok(await recordings.find(F, after.invocationId));
    assert.deepEqual((await recordings.holdings(F)).dropped, { ...NONE, disk: 2 });
  });

  it("removes one invocation, all of a function, and what is too old", async () => {
    await using dir = await folder();
    await using recordings = dir.open();
    const [one, two] = [taken("{}"), taken("{}")];
    recordings.add(one);
    recordings.add(two);

    assert.equal(await recordings.remove(F, one.invocationId), 1);
    assert.equal(await recordings.remove(F, one.invocationId), 0);
    assert.equal(await recordings.find(F, one.invocationId), undefined);
    assert.ok(await recordings.find(F, two.invocationId));
    const [file = ""] = dir.files();
    const baseAt = Number(/(\d{13})-/.exec(file)?.[1]);
    await recordings.expire(F, baseAt);
    assert.ok(await recordings.find(F, two.invocationId), "is not older than that");
    await utimes(file, baseAt / 1_000, baseAt / 1_000);
    await recordings.expire(F, baseAt + 1_000);
    assert.equal((await recordings.holdings(F)).recordings, 0);

    const three = taken("{}");
    recordings.add(three);
    await recordings.flush();
    assert.deepEqual(await recordings.functionNames(), ["f"]);
    recordings.add(taken("{}"));
    await recordings.forget(F);
    assert.deepEqual(await recordings.functionNames(), []);
    assert.equal(await recordings.find(F, three.invocationId), undefined);
  });

  it("has files and folders for its owner alone", async () => {
    await using dir = await folder();
    await using recordings = dir.open();
    recordings.add(taken("{}"));
    await recordings.flush();

    const { statSync } = process.getBuiltinModule("node:fs");
    for (const path of [join(dir.path, "f"), ...dir.files()])
      assert.equal(statSync(path).mode & 0o077, 0, path);
  });

  it("writes nothing that it cannot make safe", async () => {
    await using dir = await folder();
    await using recordings = dir.open();
    const broken = { ...taken('{"secret":"S3CRET"}') };
    Object.defineProperty(broken, "environment", {
      get() {
        throw new RangeError("S3CRET");
      },
    });
    recordings.add(broken);

    assert.deepEqual((await recordings.holdings(F)).dropped, { ...NONE, failed: 1 });
    assert.equal((await recordings.list(F, ALL)).recordings.length, 0);
  });
});
