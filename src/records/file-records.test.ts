import assert from "node:assert/strict";
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { systemClock } from "../core/clock.ts";
import { type FunctionName, newInvocationId, newSandboxId, parseFunctionName } from "../core/ids.ts";
import { LOG_BYTES_PER_INVOCATION_MAX, LOG_LINE_BYTES_MAX, LOG_TAIL_BYTES } from "../core/limits.ts";
import { jsonLog, silentLog } from "../core/log.ts";
import { openRecords } from "./file-records.ts";
import type { InvocationFacts, LineOrigin, LogLine, LogQuery, Records } from "./records.ts";

const root = await mkdtemp(join(tmpdir(), "lambdad-records-"));
after(() => rm(root, { recursive: true }));
let count = 0;
const newDir = () => join(root, `${++count}`);

const never = { signal: new AbortController().signal };
const returned = { outcome: "returned", errorType: undefined, durationMs: 1.5, memoryPeakMib: 40 } as const;

function named(text: string): FunctionName {
  const name = parseFunctionName(text);
  assert.ok(name);
  return name;
}

function open(dir = newDir(), more: Partial<Parameters<typeof openRecords>[0]> = {}): Records {
  return openRecords({ dir, clock: systemClock, log: silentLog, ...more });
}

function originOf(functionName = "f", more: Partial<LineOrigin> = {}): LineOrigin {
  return {
    functionName: named(functionName),
    version: "$LATEST",
    liveVersion: 3,
    sandboxId: newSandboxId(),
    ...more,
  };
}

function factsOf(more: Partial<InvocationFacts> = {}): InvocationFacts {
  return {
    ...originOf(),
    invocationId: newInvocationId(),
    memoryMib: 128,
    initMs: undefined,
    wantsTail: false,
    ...more,
  };
}

function queryOf(more: Partial<LogQuery> = {}): LogQuery {
  const nothing = { sinceAt: undefined, untilAt: undefined, invocationId: undefined, version: undefined };
  return {
    functionName: named("f"),
    ...nothing,
    contains: undefined,
    last: undefined,
    follow: false,
    ...more,
  };
}

async function read(records: Records, more: Partial<LogQuery> = {}): Promise<LogLine[]> {
  return await collect(records.read(queryOf(more), never));
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

async function texts(records: Records, more: Partial<LogQuery> = {}): Promise<string[]> {
  return (await read(records, more)).map(({ text }) => text);
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, "it did not come true in 5 s");
    await systemClock.sleep(10, never);
  }
}

describe("an invocation", () => {
  it("is START, END and REPORT when it prints nothing", async () => {
    await using records = open();
    const facts = factsOf();
    records.begin(facts).end(returned);
    const [start, end, report] = await read(records);
    assert.deepEqual(start, {
      at: start?.at,
      functionName: "f",
      version: "$LATEST",
      liveVersion: 3,
      sandboxId: facts.sandboxId,
      invocationId: facts.invocationId,
      stream: "platform",
      text: `START RequestId: ${facts.invocationId} Version: $LATEST`,
    });
    assert.equal(end?.text, `END RequestId: ${facts.invocationId}`);
    assert.match(
      report?.text ?? "",
      /^REPORT RequestId: .*\tDuration: 1\.50 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 40 MB\t$/,
    );
  });

  it("has its lines between START and END, as they were printed", async () => {
    await using records = open();
    const recorder = records.begin(factsOf());
    const printed = ["plain", "", '\u0000\u001b[31m \t"quoted\\"', "two\nlines", "naïve 😀 \ud800"];
    for (const text of printed) recorder.line("stdout", text);
    recorder.line("stderr", "last");
    recorder.end(returned);
    const lines = await read(records);
    assert.deepEqual(
      lines.slice(1, -2).map(({ text }) => text),
      [...printed, "last"],
    );
    assert.deepEqual(
      lines.map(({ stream }) => stream),
      ["platform", ...printed.map(() => "stdout"), "stderr", "platform", "platform"],
    );
  });

  it("tells how it failed, with the time its instance took to start", async () => {
    await using records = open();
    records
      .begin(factsOf({ initMs: 20.5 }))
      .end({ ...returned, outcome: "crashed", errorType: 'Bad\t"Töne"' });
    const report = (await texts(records)).at(-1) ?? "";
    assert.ok(report.endsWith('\tInit Duration: 20.50 ms\tStatus: error\tError Type: Bad\t"Töne"'), report);
  });

  it("is ended once, however often that is said", async () => {
    await using records = open();
    const recorder = records.begin(factsOf());
    recorder.end(returned);
    recorder.end({ ...returned, outcome: "timed-out" });
    assert.equal((await texts(records)).length, 3);
  });

  it("shows its START while it runs, though it prints nothing", async () => {
    await using records = open();
    const recorder = records.begin(factsOf());
    await until(async () => (await texts(records)).length === 1);
    recorder.end(returned);
    const all = await texts(records);
    assert.deepEqual(
      all.map((text) => text.split(" ")[0]),
      ["START", "END", "REPORT"],
    );
  });

  it("keeps what it printed when the daemon stops before it ends", async () => {
    const dir = newDir();
    const first = open(dir);
    first.begin(factsOf()).line("stdout", "printed");
    first.begin(factsOf());
    await first[Symbol.asyncDispose]();
    await using second = open(dir);
    const all = await texts(second);
    assert.equal(all.filter((text) => text.startsWith("START")).length, 2);
    assert.ok(all.includes("printed"));
  });
});

describe("the tail", () => {
  it("goes from START to REPORT", async () => {
    await using records = open();
    const facts = factsOf({ wantsTail: true });
    const recorder = records.begin(facts);
    recorder.line("stdout", "hello");
    recorder.end(returned);
    recorder.line("stdout", "too late");
    const lines = recorder.tail().split("\n");
    assert.deepEqual(lines.slice(0, 3), [
      `START RequestId: ${facts.invocationId} Version: $LATEST`,
      "hello",
      `END RequestId: ${facts.invocationId}`,
    ]);
    assert.match(lines[3] ?? "", /^REPORT/);
    assert.deepEqual(lines.slice(4), [""]);
  });

  it("is the last 4 KiB of more than that", async () => {
    await using records = open();
    const recorder = records.begin(factsOf({ wantsTail: true }));
    for (let number = 0; number < 1_000; number++) recorder.line("stdout", `line ${number} 😀😀😀`);
    recorder.end(returned);
    const tail = recorder.tail();
    assert.ok(Buffer.byteLength(tail) <= LOG_TAIL_BYTES && Buffer.byteLength(tail) > LOG_TAIL_BYTES - 4);
    assert.match(tail, /line 999 😀😀😀\nEND .*\nREPORT .*\n$/);
  });

  it("is empty if nobody wants it", async () => {
    await using records = open();
    const recorder = records.begin(factsOf());
    recorder.line("stdout", "hello");
    recorder.end(returned);
    assert.equal(recorder.tail(), "");
  });
});

describe("limits", () => {
  it("cuts a line that is too long, and says so", async () => {
    await using records = open();
    const recorder = records.begin(factsOf());
    recorder.line("stdout", "x".repeat(LOG_LINE_BYTES_MAX + 5));
    recorder.line("stdout", "next");
    recorder.end(returned);
    records.line(originOf(), "stderr", "y".repeat(LOG_LINE_BYTES_MAX + 7));
    const all = await texts(records);
    assert.equal(all[1]?.length, LOG_LINE_BYTES_MAX);
    assert.deepEqual(all.slice(2, 4), [
      `truncated 5 bytes: a line can have ${LOG_LINE_BYTES_MAX} bytes`,
      "next",
    ]);
    assert.equal(all[6]?.length, LOG_LINE_BYTES_MAX);
    assert.match(all[7] ?? "", /^truncated 7 bytes/);
  });

  it("stops an invocation that prints without end, and says how much was cut", async () => {
    await using records = open();
    const recorder = records.begin(factsOf());
    const line = "x".repeat(1_000);
    for (let number = 0; number < 2_000; number++) recorder.line("stdout", line);
    recorder.end(returned);
    const all = await texts(records);
    const kept = all.filter((text) => text === line).length;
    assert.equal(kept, Math.floor(LOG_BYTES_PER_INVOCATION_MAX / 1_000));
    assert.equal(
      all.at(-3),
      `truncated ${(2_000 - kept) * 1_000} bytes: an invocation can log ${LOG_BYTES_PER_INVOCATION_MAX} bytes`,
    );
  });

  it("keeps the newest of a log that is full, and says what it removed", async () => {
    const dir = newDir();
    await using records = open(dir, { bytesPerFunctionMax: 64 * 1024 });
    for (let number = 0; number < 3_000; number++) {
      records.line(originOf(), "stdout", `line ${number} ${"x".repeat(50)}`);
      if (number % 100 === 0) await records.flush();
    }
    await records.flush();
    const files = await readdir(join(dir, "f"));
    const sizes = await Promise.all(files.map(async (file) => (await stat(join(dir, "f", file))).size));
    const total = sizes.reduce((sum, size) => sum + size, 0);
    assert.ok(total <= 80 * 1024, `${total} bytes`);
    const all = await texts(records);
    assert.match(all.at(-1) ?? "", /^(line 2999 x|removed)/);
    assert.ok(all.some((text) => /^removed the oldest \d+ bytes of this log/.test(text)));
    assert.ok(!all.some((text) => text.startsWith("line 0 ")));
  });

  it("drops and counts what comes faster than it can be written, of the one who floods", async () => {
    await using records = open();
    const flood = originOf("f");
    const line = "x".repeat(10_000);
    for (let number = 0; number < 2_000; number++) records.line(flood, "stdout", line);
    records.line(originOf("g"), "stdout", "quiet");
    await records.flush();
    records.line(flood, "stdout", "after");
    const all = await texts(records);
    const kept = all.filter((text) => text === line).length;
    assert.ok(kept > 100 && kept < 1_000, `${kept} kept`);
    assert.deepEqual(all.slice(kept), [`dropped ${2_000 - kept} lines that could not be written`, "after"]);
    assert.deepEqual(await texts(records, { functionName: named("g") }), ["quiet"]);
  });

  it("keeps few files of a function that restarts all the time", async () => {
    const dir = newDir();
    await mkdir(join(dir, "f"), { recursive: true });
    for (let number = 0; number < 300; number++) {
      await writeFile(join(dir, "f", `${1_000_000_000_000 + number}-abcdef-000000.log`), "");
    }
    await using records = open(dir);
    records.line(originOf(), "stdout", "one");
    await records.flush();
    assert.equal((await readdir(join(dir, "f"))).length, 256);
    assert.deepEqual(await texts(records), ["one"]);
  });
});

describe("a disk that fails", () => {
  it("costs the lines meanwhile, is told once, and is over when it is over", async () => {
    const dir = newDir();
    const said: string[] = [];
    await using records = open(dir, { log: jsonLog((line) => said.push(line), "info") });
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, "f"), "not a folder");
    for (let number = 0; number < 3; number++) {
      records.begin(factsOf()).end(returned);
      await records.flush();
    }
    assert.equal(said.filter((line) => line.includes("cannot write function logs")).length, 1);
    await rm(join(dir, "f"));
    records.line(originOf(), "stdout", "back");
    assert.deepEqual(await texts(records), ["dropped 9 lines that could not be written", "back"]);
  });
});

describe("read", () => {
  it("gives nothing for a function that never logged", async () => {
    await using records = open();
    assert.deepEqual(await texts(records), []);
  });

  it("filters by invocation, text, version, time", async () => {
    let now = 1_000;
    await using records = open(newDir(), { clock: { ...systemClock, now: () => ++now } });
    const [a, b] = [factsOf(), factsOf({ version: "7", liveVersion: undefined })];
    for (const facts of [a, b]) {
      const recorder = records.begin(facts);
      recorder.line("stdout", `hello from ${facts.version}`);
      recorder.end(returned);
    }
    records.line(originOf("f", { liveVersion: undefined }), "stderr", "nobody's");
    const all = await read(records);
    assert.equal(all.length, 9);
    assert.deepEqual(await read(records, { invocationId: b.invocationId }), all.slice(4, 8));
    assert.deepEqual(await read(records, { contains: "hello" }), [all[1], all[5]]);
    assert.deepEqual(await read(records, { contains: "REPORT" }), [all[3], all[7]]);
    assert.deepEqual(await read(records, { version: "7" }), all.slice(4, 8));
    assert.deepEqual(await read(records, { version: "3" }), all.slice(0, 4));
    assert.deepEqual(await read(records, { version: "$LATEST" }), [...all.slice(0, 4), all[8]]);
    const [from, to] = [all[2]?.at, all[5]?.at];
    assert.deepEqual(await read(records, { sinceAt: from, untilAt: to }), all.slice(2, 6));
  });

  it("tells instances and what was live apart, however many there are", async () => {
    await using records = open();
    const changing = newSandboxId();
    const origins = Array.from({ length: 600 }, (_, index) =>
      index % 3 === 0
        ? originOf("f", { sandboxId: changing, liveVersion: index })
        : originOf("f", { liveVersion: index }),
    );
    for (const origin of [...origins, ...origins])
      records.line(origin, "stdout", `${origin.liveVersion} ${origin.sandboxId}`);
    const lines = await read(records);
    assert.equal(lines.length, 1_200);
    for (const line of lines) assert.equal(`${line.liveVersion} ${line.sandboxId}`, line.text);
  });

  it("gives the last lines, also over many segments, and with a filter", async () => {
    await using records = open(newDir(), { bytesPerFunctionMax: 1024 * 1024 });
    const origin = originOf();
    for (let number = 0; number < 8_000; number++)
      records.line(origin, "stdout", `${number % 2 ? "odd" : "even"} ${number}`);
    assert.deepEqual(await texts(records, { last: 2 }), ["even 7998", "odd 7999"]);
    assert.deepEqual(await texts(records, { last: 2, contains: "even" }), ["even 7996", "even 7998"]);
    assert.equal((await texts(records, { last: 7_000 })).length, 7_000);
    assert.equal((await texts(records, { last: 100_000 })).length, 8_000);
    assert.deepEqual(await texts(records, { last: 0 }), []);
  });

  it("is in order of time, whoever ended first", async () => {
    let now = 1_000;
    await using records = open(newDir(), { clock: { ...systemClock, now: () => ++now } });
    const open_ = Array.from({ length: 40 }, () => records.begin(factsOf()));
    for (const recorder of open_.toReversed()) recorder.end(returned);
    const times = (await read(records)).map(({ at }) => at);
    assert.equal(times.length, 120);
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    );
  });

  it("reads what earlier runs wrote, around what is torn or damaged", async () => {
    const dir = newDir();
    // Runs of the same millisecond have no order.
    const openAt = (now: number) => open(dir, { clock: { ...systemClock, now: () => now } });
    for (const [now, text] of [
      [1_000_000, "first"],
      [1_000_001, "second"],
    ] as const) {
      await using records = openAt(now);
      records.line(originOf(), "stdout", text);
    }
    const [older, newer] = (await readdir(join(dir, "f"))).sort();
    await appendFile(join(dir, "f", older ?? ""), '["l",0,0,5,0,"torn');
    await appendFile(
      join(dir, "f", newer ?? ""),
      '\n{}\nnull\n["l"]\n["l",99,0,0,0,"x"]\n["i",0]\n["?"]\n["o","a"]\n["r",0,"x"]\n\xff\xfe\n',
    );
    await writeFile(join(dir, "f", "notes.txt"), "not ours");
    await using records = openAt(1_000_002);
    records.line(originOf(), "stdout", "third");
    assert.deepEqual(await texts(records), ["first", "second", "third"]);
  });

  it("does not lose old lines when the clock is set back between runs", async () => {
    const dir = newDir();
    for (const [text, now] of [
      ["before", 2_000_000],
      ["after", 1_000_000],
    ] as const) {
      await using records = open(dir, { clock: { ...systemClock, now: () => now } });
      records.line(originOf(), "stdout", text);
      await records.flush();
      if (text === "after") assert.deepEqual(await texts(records), ["after", "before"]);
    }
  });

  it("throws the reason when it is aborted before its end", async () => {
    await using records = open();
    records.line(originOf(), "stdout", "x");
    const reading = collect(records.read(queryOf(), { signal: AbortSignal.abort(new Error("gone")) }));
    await assert.rejects(reading, /gone/);
  });
});

describe("follow", () => {
  it("goes from what is stored to what comes without a gap and with nothing twice", async () => {
    await using records = open(newDir(), { bytesPerFunctionMax: 16 * 1024 * 1024 });
    const origin = originOf();
    const stop = new AbortController();
    let printed = 0;
    const print = () => records.line(origin, "stdout", `${printed++}`);
    for (let number = 0; number < 2_000; number++) print();

    const seen: string[] = [];
    const following = (async () => {
      for await (const { text } of records.read(queryOf({ follow: true }), stop)) {
        seen.push(text);
        // Recording goes on while the stored part is being read.
        if (seen.length < 3_000 && seen.length % 2 === 0) print();
        if (seen.length === 4_000) return;
        if (seen.length === printed) for (let number = 0; number < 100; number++) print();
      }
    })();
    await following;
    assert.deepEqual(
      seen,
      Array.from({ length: 4_000 }, (_, number) => `${number}`),
    );
  });

  it("shows invocations as they end, from then on, filtered", async () => {
    await using records = open();
    records.line(originOf(), "stdout", "before 1");
    records.line(originOf(), "stdout", "before 2");
    const stop = new AbortController();
    const lines = records.read(queryOf({ follow: true, last: 1 }), stop)[Symbol.asyncIterator]();
    assert.equal((await lines.next()).value?.text, "before 2");
    const facts = factsOf();
    records.begin(facts).end(returned);
    const next = async () => (await lines.next()).value?.text.split(" ")[0];
    assert.deepEqual([await next(), await next(), await next()], ["START", "END", "REPORT"]);
    const waiting = lines.next();
    stop.abort();
    assert.equal((await waiting).done, true);
  });

  it("says how much a slow reader has missed", async () => {
    await using records = open();
    const stop = new AbortController();
    const lines = records.read(queryOf({ follow: true }), stop)[Symbol.asyncIterator]();
    records.line(originOf(), "stdout", "first");
    assert.equal((await lines.next()).value?.text, "first");
    const second = lines.next();
    const origin = originOf();
    for (let number = 0; number < 10_500; number++) records.line(origin, "stdout", `${number}`);
    const seen = [(await second).value?.text];
    while (!seen.at(-1)?.startsWith("dropped")) seen.push((await lines.next()).value?.text);
    assert.equal(seen.length, 10_001);
    assert.equal(seen.at(-1), "dropped 500 lines: they came faster than they were read");
    stop.abort();
  });

  it("ends at once when it was aborted before, and while catching up", async () => {
    await using records = open();
    records.line(originOf(), "stdout", "x");
    const aborted = { signal: AbortSignal.abort() };
    assert.deepEqual(await collect(records.read(queryOf({ follow: true }), aborted)), []);
  });
});

describe("forget", () => {
  it("removes what is kept of one function, and only that", async () => {
    const dir = newDir();
    await using records = open(dir);
    const running = records.begin(factsOf());
    records.line(originOf("f"), "stdout", "old");
    records.line(originOf("g"), "stdout", "other");
    await records.flush();
    records.line(originOf("f"), "stdout", "not written yet");
    await records.forget(named("f"));
    running.line("stdout", "from before");
    running.end(returned);
    await records.flush();
    assert.deepEqual(await readdir(dir), ["g"]);
    records.line(originOf("f"), "stdout", "new");
    assert.deepEqual(await texts(records), ["new"]);
    await records.forget(named("never-there"));
  });
});

describe("closing", () => {
  it("writes what is in memory, can be done twice, and takes nothing after it", async () => {
    const dir = newDir();
    const records = open(dir);
    records.line(originOf(), "stdout", "kept");
    await records[Symbol.asyncDispose]();
    records.line(originOf(), "stdout", "late");
    records.begin(factsOf()).end(returned);
    await records[Symbol.asyncDispose]();
    const [file] = await readdir(join(dir, "f"));
    const stored = await readFile(join(dir, "f", file ?? ""), "utf8");
    assert.ok(stored.includes("kept") && !stored.includes("late"));
  });

  it("keeps others out of the logs", async () => {
    const dir = newDir();
    await using records = open(dir);
    records.line(originOf(), "stdout", "x");
    await records.flush();
    const [file] = await readdir(join(dir, "f"));
    assert.equal((await stat(join(dir, "f"))).mode & 0o777, 0o700);
    assert.equal((await stat(join(dir, "f", file ?? ""))).mode & 0o777, 0o600);
  });

  it("opens no more files at once than it may, for hundreds of functions", async () => {
    await using records = open();
    const names = Array.from({ length: 300 }, (_, index) => `f${index}`);
    for (let round = 0; round < 3; round++) {
      for (const name of names) records.line(originOf(name), "stdout", `${round}`);
      await records.flush();
      assert.ok((await readdir("/proc/self/fd")).length < 150);
    }
    for (const name of names)
      assert.deepEqual(await texts(records, { functionName: named(name) }), ["0", "1", "2"]);
  });
});
