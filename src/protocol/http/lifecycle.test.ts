import assert from "node:assert/strict";
import { once } from "node:events";
import { join } from "node:path";
import { describe, it } from "node:test";
import { newInvocationId } from "../../core/ids.ts";
import { describeChannel } from "../protocol.contract.ts";
import { InitFailed } from "../protocol.ts";
import {
  newRequest,
  type Program,
  startTestChannel,
  type TestChannel,
  TestSink,
  textOf,
} from "../test-channel.fake.ts";
import { httpAdapter } from "./adapter.ts";

const adapter = httpAdapter();
const runtime = {
  interpreter: process.execPath,
  runtimeDir: join(import.meta.dirname, "../../../runtimes/nodejs"),
  toolDirs: [],
};

function lifecycle(text: string, file = "app.mjs"): Program {
  return { entry: { kind: "lifecycle", module: file }, files: { [file]: text } };
}

function start(program: Program, slots = 1, environment: Record<string, string> = {}) {
  return startTestChannel(adapter, program, { runtime, slots, environment });
}

describeChannel("lifecycle", {
  adapter,
  options: { runtime },
  echo: lifecycle("export function run(context, request, response) { request.pipe(response); }"),
  hang: lifecycle(
    "export async function run(context, request) { request.resume(); await new Promise(() => {}); }",
  ),
  exit: lifecycle("export function run() { process.exit(1); }"),
  flood: lifecycle(
    'export function run(context, request, response) { request.resume(); response.end(Buffer.alloc(4194304, "x")); }',
  ),
});

async function get(tested: TestChannel, path = "/"): Promise<string> {
  return textOf(await tested.invoke({ input: newRequest(path) }));
}

/** Waits until a stream of the sandbox has said it. */
async function said(tested: TestChannel, stream: "telemetry" | "stderr", wanted: RegExp): Promise<string> {
  while (!wanted.test(tested.output[stream])) await once(tested.sandbox[stream], "data");
  return tested.output[stream];
}

async function initFailure(program: Program, environment?: Record<string, string>) {
  await using tested = await start(program, 1, environment);
  const failure = await tested.channel.ready.then(
    () => undefined,
    (error) => error,
  );
  assert.ok(failure instanceof InitFailed);
  const { errorType, errorMessage, trace } = JSON.parse(Buffer.from(failure.payload).toString());
  assert.equal(errorType, failure.errorType);
  return { errorType, errorMessage, trace: trace.join("\n"), codeDir: tested.codeDir };
}

/** Counts what happens; `/` shows the counts and the context's number. */
const COUNTING = `
const counts = { init: 0, start: 0, stop: 0 };
let waiting = [];
export async function init(config) { counts.init += 1; counts.slots = config.slots; }
export async function start() { counts.start += 1; return { number: counts.start }; }
export async function stop(context) { counts.stop += 1; console.log("stopped", context.number); }
export async function run(context, request, response) {
  const url = new URL(request.url, "http://x");
  if (url.pathname === "/together") {
    const wanted = Number(url.searchParams.get("n"));
    await new Promise((resolve) => { waiting.push(resolve); if (waiting.length === wanted) for (const go of waiting.splice(0)) go(); });
  }
  response.end(JSON.stringify({ ...counts, context: context.number }));
}`;

describe("lifecycle", () => {
  it("runs init once and makes one context, which it keeps for the next request", async () => {
    await using tested = await start(lifecycle(COUNTING), 4);
    await tested.channel.ready;
    const wanted = { init: 1, start: 1, stop: 0, slots: 4, context: 1 };
    assert.deepEqual(JSON.parse(await get(tested)), wanted);
    assert.deepEqual(JSON.parse(await get(tested)), wanted);
  });

  it("makes a context for each request at a time, and stops them when they are idle", async () => {
    await using tested = await start(lifecycle(COUNTING), 3, { LAMBDAD_CONTEXT_IDLE_MS: "30" });
    await tested.channel.ready;
    const answers = await Promise.all([1, 2, 3].map(() => get(tested, "/together?n=3")));
    assert.deepEqual(new Set(answers.map((text) => JSON.parse(text).context)), new Set([1, 2, 3]));
    await said(tested, "telemetry", /stopped [123][\s\S]*stopped [123][\s\S]*stopped [123]/);
    assert.deepEqual(JSON.parse(await get(tested)), { init: 1, start: 4, stop: 3, slots: 3, context: 4 });
  });

  it("stops every context on SIGTERM, busy ones when they are through, and leaves with 0", async () => {
    await using tested = await start(lifecycle(COUNTING), 2);
    await tested.channel.ready;
    const one = get(tested, "/together?n=2");
    const two = get(tested, "/together?n=2");
    await Promise.all([one, two]);
    const pid = Number(await pidOf(tested));
    process.kill(pid, "SIGTERM");
    assert.deepEqual(await tested.sandbox.exited, { exitCode: 0, signal: null, outOfMemory: false });
    assert.match(tested.output.telemetry, /stopped 1[\s\S]*stopped 2|stopped 2[\s\S]*stopped 1/);
  });

  it("takes CommonJS, TypeScript, a default export, and a path without its ending", async () => {
    const run = "(context, request, response) => response.end(String(context))";
    const programs: Program[] = [
      {
        entry: { kind: "lifecycle", module: "app.cjs" },
        files: { "app.cjs": `exports.start = () => 7; exports.run = ${run};` },
      },
      {
        entry: { kind: "lifecycle", module: "app.js" },
        files: { "app.js": `module.exports = { start: async () => 7, run: ${run} };` },
      },
      {
        entry: { kind: "lifecycle", module: "app.mjs" },
        files: { "app.mjs": `export default { start: () => 7, run: ${run} };` },
      },
      {
        entry: { kind: "lifecycle", module: "src/app" },
        files: {
          "src/app.ts": `const seven: number = 7; export const start = (): number => seven; export const run = ${run};`,
        },
      },
    ];
    for (const program of programs) {
      await using tested = await start(program);
      await tested.channel.ready;
      assert.equal(await get(tested), "7", JSON.stringify(program.entry));
    }
  });

  it("answers 500 and logs the stack when run throws or rejects, and serves on", async () => {
    await using tested = await start(
      lifecycle(`
export function run(context, request, response) {
  if (request.url === "/throw") throw new Error("thrown");
  if (request.url === "/reject") return Promise.reject(new TypeError("rejected"));
  response.setHeader("x-half", "1");
  if (request.url === "/late") { response.end("sent"); return Promise.reject(new Error("after the end")); }
  response.end("fine");
}`),
    );
    await tested.channel.ready;
    for (const path of ["/throw", "/reject"]) {
      const outcome = await tested.invoke({ input: newRequest(path) });
      assert.ok(outcome.kind === "returned" && outcome.head?.kind === "http");
      assert.deepEqual([outcome.head.status, textOf(outcome)], [500, '{"message":"Internal Server Error"}']);
      assert.doesNotMatch(outcome.head.rawHeaders.join(), /x-half/);
    }
    assert.equal(await get(tested, "/late"), "sent");
    assert.equal(await get(tested), "fine");
    const log = await said(tested, "telemetry", /after the end/);
    assert.match(log, /ERROR\tRun Error .*thrown.*app\.mjs:3/s);
    assert.match(log, /ERROR\tRun Error .*TypeError.*rejected/s);
  });

  it("breaks a response off that had begun when run failed", async () => {
    await using tested = await start(
      lifecycle(`
export async function run(context, request, response) {
  response.write("part");
  await new Promise((resolve) => setTimeout(resolve, 20));
  throw new Error("no more");
}`),
    );
    await tested.channel.ready;
    const sink = new TestSink();
    const outcome = await tested.invoke({ input: newRequest("/"), sink });
    assert.ok(outcome.kind === "threw" && outcome.isStreamed);
    assert.equal(sink.body.toString(), "part");
  });

  it("answers 500 when start fails, and tries again for the next request", async () => {
    await using tested = await start(
      lifecycle(`
let tries = 0;
export async function start() { tries += 1; if (tries < 3) throw new Error("no database " + tries); return tries; }
export function run(context, request, response) { response.end(String(context)); }`),
    );
    await tested.channel.ready;
    for (const _ of [1, 2]) {
      const outcome = await tested.invoke({ input: newRequest("/") });
      assert.ok(outcome.kind === "returned" && outcome.head?.kind === "http" && outcome.head.status === 500);
    }
    assert.equal(await get(tested), "3");
    await said(tested, "telemetry", /Start Error .*no database 1[\s\S]*Start Error .*no database 2/);
  });

  it("logs what stop throws and goes on", async () => {
    await using tested = await start(
      lifecycle(`
export async function stop() { throw new Error("will not stop"); }
export function run(context, request, response) { response.end("ok"); }`),
      1,
      { LAMBDAD_CONTEXT_IDLE_MS: "0" },
    );
    await tested.channel.ready;
    assert.equal(await get(tested), "ok");
    await said(tested, "telemetry", /Stop Error .*will not stop/);
    assert.equal(await get(tested), "ok");
  });

  it("ties log lines to the invocation that they were written in, also across awaits", async () => {
    await using tested = await start(
      lifecycle(`
console.info("loading");
export async function run(context, request, response) {
  console.log("begin", request.url);
  await new Promise((resolve) => setTimeout(resolve, 10));
  console.warn("end", request.url);
  response.end();
}`),
      2,
    );
    await tested.channel.ready;
    const [one, two] = [newInvocationId(), newInvocationId()];
    await Promise.all([
      tested.invoke({ invocationId: one, input: newRequest("/1") }),
      tested.invoke({ invocationId: two, input: newRequest("/2") }),
    ]);
    const log = await said(tested, "telemetry", /end \/1[\s\S]*end \/2|end \/2[\s\S]*end \/1/);
    for (const [id, path] of [
      [one, "/1"],
      [two, "/2"],
    ] as const) {
      assert.ok(log.includes(`Z\t${id}\tINFO\tbegin ${path}`), log);
      assert.ok(log.includes(`Z\t${id}\tWARN\tend ${path}`), log);
    }
    assert.match(log, /Z\t-\tINFO\tloading/);
  });

  it("shows the module nothing of what is between us, and lets no client forge it", async () => {
    await using tested = await start(
      lifecycle(`
export function run(context, request, response) {
  console.log("who");
  const variables = Object.keys(process.env).filter((name) => /LAMBDAD|TELEMETRY/.test(name));
  response.end(JSON.stringify([request.rawHeaders, request.headers, request.headersDistinct, variables]));
}`),
    );
    await tested.channel.ready;
    const rawHeaders = [
      "Host",
      "x",
      "Lambdad-Invocation-Id",
      "forged",
      "LAMBDAD-PROBE",
      "init",
      "X-Mine",
      "1",
    ];
    const invocationId = newInvocationId();
    const outcome = await tested.invoke({ invocationId, input: newRequest("/", "GET", rawHeaders) });
    assert.deepEqual(JSON.parse(textOf(outcome)), [
      ["host", "x", "connection", "keep-alive", "X-Mine", "1"],
      { host: "x", connection: "keep-alive", "x-mine": "1" },
      { host: ["x"], connection: ["keep-alive"], "x-mine": ["1"] },
      [],
    ]);
    await said(tested, "telemetry", new RegExp(`${invocationId}\tINFO\twho`));
  });

  it("streams a response while it is being made", async () => {
    await using tested = await start(
      lifecycle(`
export async function run(context, request, response) {
  response.write("one ");
  for await (const _ of request);
  response.end("two");
}`),
    );
    await tested.channel.ready;
    const sink = new TestSink();
    async function* body() {
      yield Buffer.from("come");
      await sink.begun.promise;
      yield Buffer.from("go on");
    }
    await tested.invoke({
      input: { kind: "request", method: "POST", path: "/", rawHeaders: [], body: body() },
      sink,
    });
    assert.equal(sink.body.toString(), "one two");
  });

  it("does not lend a context again before its response is over", async () => {
    await using tested = await start(
      lifecycle(`
let number = 0;
export const start = () => ({ number: (number += 1) });
export function run(context, request, response) {
  // Returns at once; the response is over later.
  response.write(String(context.number));
  setTimeout(() => response.end(), 30);
}`),
      2,
    );
    await tested.channel.ready;
    const answers = await Promise.all([get(tested), get(tested)]);
    assert.deepEqual(answers.sort(), ["1", "2"]);
  });
});

async function pidOf(tested: TestChannel): Promise<string> {
  const { readdir, readFile } = await import("node:fs/promises");
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const environ = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
    if (environ.includes(tested.sandbox.socketDir)) return pid;
  }
  throw new Error("not found");
}

describe("lifecycle: modules that cannot start", () => {
  const run = "export function run() {}";

  for (const [why, text, errorType, message, trace] of [
    [
      "init throws",
      `${run}\nexport function init() { throw new RangeError("no config"); }`,
      "RangeError",
      /^no config$/,
      /app\.mjs:2/,
    ],
    [
      "init rejects",
      `${run}\nexport const init = async () => { throw new Error("later"); }`,
      "Error",
      /^later$/,
      /app\.mjs:2/,
    ],
    ["loading throws", `${run}\nthrow new Error("while loading");`, "Error", /while loading/, /app\.mjs:2/],
    [
      "the syntax is wrong",
      `${run}\n\nconst = 3;`,
      "Runtime.UserCodeSyntaxError",
      /Unexpected token/,
      /app\.mjs:3/,
    ],
    [
      "an import is missing",
      `import "./nowhere.mjs";\n${run}`,
      "Error",
      /Cannot find module .*nowhere\.mjs/,
      /nowhere/,
    ],
    [
      "there is no run",
      "export const init = 1;",
      "Runtime.HandlerNotFound",
      /app\.mjs exports no run; a lifecycle module exports run\(context, request, response\)/,
      /./,
    ],
    [
      "run is no function",
      "export const run = 1;",
      "Runtime.HandlerNotFound",
      /run that is no function/,
      /./,
    ],
    [
      "stop is no function",
      `${run}\nexport const stop = {};`,
      "Runtime.HandlerNotFound",
      /stop that is no function/,
      /./,
    ],
    ["something is thrown that is no error", `${run}\nthrow undefined;`, "undefined", /undefined/, /^/],
  ] as const) {
    it(`says so when ${why}`, async () => {
      const failure = await initFailure(lifecycle(text));
      assert.equal(failure.errorType, errorType);
      assert.match(failure.errorMessage, message);
      assert.match(failure.trace, trace);
    });
  }

  it("says so when the module is not there, and when a setting cannot be read", async () => {
    const missing = await initFailure({ entry: { kind: "lifecycle", module: "other" }, files: {} });
    assert.deepEqual(
      [missing.errorType, missing.errorMessage],
      ["Runtime.ImportModuleError", "there is no module other in the code"],
    );
    const setting = await initFailure(lifecycle(run), { LAMBDAD_CONTEXT_IDLE_MS: "soon" });
    assert.match(setting.errorMessage, /expected a number of milliseconds, got "soon"/);
  });

  it("stays pending when the module ends the process", async () => {
    await using tested = await start(lifecycle("process.exit(7);"));
    assert.equal((await tested.sandbox.exited).exitCode, 7);
    const state = await Promise.race([tested.channel.ready.then(() => "ready"), Promise.resolve("pending")]);
    assert.equal(state, "pending");
  });

  it("maps stacks of compiled code back to its sources", async () => {
    const map = JSON.stringify({ version: 3, sources: ["original.ts"], names: [], mappings: "AAAA;AAEA" });
    const url = `data:application/json;base64,${Buffer.from(map).toString("base64")}`;
    const failure = await initFailure(
      lifecycle(`${run}\nthrow new Error("mapped");\n//# source${""}MappingURL=${url}\n`),
    );
    assert.match(failure.trace, /original\.ts:3/);
  });
});
