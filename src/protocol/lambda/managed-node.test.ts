import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { InvocationOutcome } from "../../core/invocation.ts";
import { PAYLOAD_BYTES_MAX } from "../../core/limits.ts";
import { InitFailed } from "../protocol.ts";
import {
  callWith,
  eventually,
  type FunctionSpec,
  launchFunction,
  OLD_NODE,
  skipWithout,
  startFunction,
  type TestFunction,
} from "./managed-function.fake.ts";

const UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
const TIME = "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z";

/** Starts, makes one call, and gives the result. */
async function resultOf(spec: FunctionSpec, event: unknown = { n: 1 }): Promise<unknown> {
  await using fn = await startFunction(spec);
  return await fn.result(event);
}

async function initErrorOf(spec: FunctionSpec) {
  const failure = await startFunction(spec).then(
    () => assert.fail("it started"),
    (error: unknown) => error,
  );
  assert.ok(failure instanceof InitFailed, String(failure));
  const payload = JSON.parse(Buffer.from(failure.payload).toString());
  assert.equal(payload.errorType, failure.errorType);
  return payload;
}

describe("a Node handler", () => {
  for (const [style, spec] of [
    [
      "an async function in an ES module",
      { files: { "index.mjs": "export const handler = async (e) => e.n + 1" } },
    ],
    [
      "an ES module by package.json",
      {
        files: {
          "index.js": "export const handler = async (e) => e.n + 1",
          "package.json": '{"type":"module"}',
        },
      },
    ],
    ["CommonJS", { files: { "index.js": "exports.handler = async (e) => e.n + 1" } }],
    ["a .cjs file", { files: { "index.cjs": "exports.handler = async (e) => e.n + 1" } }],
    [
      "a default export that has the handler",
      { files: { "index.mjs": "export default { handler: async (e) => e.n + 1 }" } },
    ],
    [
      "a function that returns a plain value",
      { files: { "index.mjs": "export const handler = (e) => e.n + 1" } },
    ],
    [
      "a nested export in a folder",
      {
        handler: "src/app.api.v1.run",
        files: { "src/app.mjs": "export const api = { v1: { run: async (e) => e.n + 1 } }" },
      },
    ],
    [
      "a module that awaits at its top level",
      {
        files: {
          "index.mjs":
            "const one = await new Promise((r) => setTimeout(r, 5, 1)); export const handler = async (e) => e.n + one",
        },
      },
    ],
    [
      "TypeScript that nobody has built",
      {
        files: { "index.ts": "export const handler = async (e: { n: number }): Promise<number> => e.n + 1" },
      },
    ],
    [
      "a package",
      {
        handler: "greeter.handler",
        files: {
          "node_modules/greeter/package.json": '{"main":"main.js"}',
          "node_modules/greeter/main.js": "exports.handler = async (e) => e.n + 1",
        },
      },
    ],
    ["a file without an extension", { files: { index: "exports.handler = async (e) => e.n + 1" } }],
  ] as const) {
    it(`may be ${style}`, async () => {
      assert.equal(await resultOf(spec), 2);
      // Before Node 24 a plain value and a default export were not looked at, nor were types stripped.
      if (!/TypeScript|default|plain/.test(style))
        assert.equal(await resultOf({ ...spec, runtime: "nodejs22.x" }), 2);
    });
  }

  for (const [what, runtime, body, wanted] of [
    ["the callback", "nodejs22.x", "(e, c, done) => setTimeout(() => done(null, 'late'), 5)", "late"],
    ["context.succeed", "nodejs20.x", "(e, c) => { c.succeed('ok') }", "ok"],
    ["context.done", "nodejs18.x", "(e, c) => { c.done(null, 'ok') }", "ok"],
    ["the first of two answers", "nodejs22.x", "(e, c, done) => { c.succeed(1); done(null, 2) }", 1],
    [
      "null for a callback that never comes",
      "nodejs22.x",
      "(e, c, done) => { setTimeout(() => {}, 5) }",
      null,
    ],
    ["null for undefined", "nodejs24.x", "async () => undefined", null],
    ["null for a function", "nodejs24.x", "async () => () => 1", null],
    ["a thenable's value", "nodejs24.x", "() => ({ then: (ok) => ok(7) })", 7],
  ] as const) {
    it(`answers with ${what} (${runtime})`, async () => {
      assert.deepEqual(
        await resultOf({ runtime, files: { "index.js": `exports.handler = ${body}` } }),
        wanted,
      );
    });
  }

  it("holds a callback's answer until the event loop is empty, unless told otherwise", async () => {
    const code = (waits: boolean) =>
      `let rest = 0; exports.handler = (e, c, done) => { c.callbackWaitsForEmptyEventLoop = ${waits};
       setTimeout(() => { rest++ }, 100); done(null, rest) }; exports.rest = () => rest`;
    const took = async (waits: boolean) => {
      await using fn = await startFunction({ runtime: "nodejs22.x", files: { "index.js": code(waits) } });
      const begunAt = performance.now();
      await fn.result({});
      return performance.now() - begunAt;
    };
    assert.ok((await took(true)) >= 99);
    assert.ok((await took(false)) < 99);
  });

  it("refuses callback handlers from Node 24 on, by the runtime's name", async () => {
    const files = { "index.js": "exports.handler = (e, c, done) => done(null, 1)" };
    assert.equal((await initErrorOf({ files })).errorType, "Runtime.CallbackHandlerDeprecated");
  });

  it("runs on the system's older Node", { skip: skipWithout(OLD_NODE, "an older Node") }, async () => {
    assert.ok(OLD_NODE);
    const files = { "index.js": "exports.handler = async (e) => e.n + 1" };
    assert.equal(await resultOf({ interpreter: OLD_NODE, runtime: "nodejs20.x", files }), 2);
    assert.equal(await resultOf({ interpreter: OLD_NODE, files }), 2);
  });
});

describe("what a Node handler sees", () => {
  let fn: TestFunction;
  const code = `
    export const handler = async (event, context) => {
      if (event === null || typeof event !== "object" || !event.show) return event;
      const members = { ...context, remaining: context.getRemainingTimeInMillis() };
      const { GREETING, _HANDLER, LAMBDA_TASK_ROOT, AWS_EXECUTION_ENV, _X_AMZN_TRACE_ID } = process.env;
      const ours = Object.keys(process.env).filter((name) => /LAMBDAD|TELEMETRY/.test(name));
      return { context: members, env: { GREETING, _HANDLER, AWS_EXECUTION_ENV, _X_AMZN_TRACE_ID, ours },
        isAtHome: process.cwd() === LAMBDA_TASK_ROOT };
    };`;
  before(async () => {
    fn = await startFunction({ files: { "index.mjs": code }, environment: { GREETING: "grüß 🌍" } });
  });
  after(() => fn[Symbol.asyncDispose]());

  for (const event of [null, 0, -1.5, true, "text", [1, [2]], {}, { ключ: "значение 🌍\u2028" }]) {
    it(`gets ${JSON.stringify(event)} as it was sent`, async () => {
      assert.deepEqual(await fn.result(event), event);
    });
  }

  it("gets and returns six MiB", async () => {
    const event = "x".repeat(PAYLOAD_BYTES_MAX - 2);
    assert.equal(await fn.result(event), event);
  });

  it("has a complete context and environment", async () => {
    const call = callWith({ show: 1 }, { traceId: "Root=1-2-3", clientContext: '{"custom":{"a":1}}' });
    const seen = JSON.parse(JSON.stringify(await fn.result({ show: 1 }, call)));
    assert.ok(seen.context.remaining > 50_000 && seen.context.remaining <= 60_000);
    delete seen.context.remaining;
    assert.deepEqual(seen, {
      context: {
        functionName: "greet",
        functionVersion: "$LATEST",
        memoryLimitInMB: "128",
        logGroupName: "/aws/lambda/greet",
        logStreamName: "2026/01/01/[$LATEST]0123",
        invokedFunctionArn: call.functionArn,
        awsRequestId: call.invocationId,
        clientContext: { custom: { a: 1 } },
        xRayTraceId: "Root=1-2-3",
      },
      env: {
        GREETING: "grüß 🌍",
        _HANDLER: "index.handler",
        AWS_EXECUTION_ENV: "AWS_Lambda_nodejs24.x",
        _X_AMZN_TRACE_ID: "Root=1-2-3",
        ours: [],
      },
      isAtHome: true,
    });
  });

  it("has no trace of the call before", async () => {
    await fn.result({ show: 1 }, { traceId: "Root=1-2-3" });
    const { env } = JSON.parse(JSON.stringify(await fn.result({ show: 1 })));
    assert.equal(env._X_AMZN_TRACE_ID, undefined);
  });

  it("has an environment like any other, with the trace of the call in it", async () => {
    await using other = await startFunction({
      files: {
        "index.mjs": `
          import { execFileSync } from "node:child_process";
          const { env } = process;
          const NAME = "_X_AMZN_TRACE_ID";
          const child = () => execFileSync(process.execPath, ["-p", "process.env." + NAME], { encoding: "utf8" }).trim();
          export const handler = async () => {
            const seen = [env[NAME], NAME in env, Object.keys(env).filter((name) => name === NAME), { ...env }[NAME], child()];
            env.MINE = 1;
            env[NAME] = "mine";
            const set = [env.MINE, env[NAME], child(), Object.hasOwn(env, NAME)];
            delete env[NAME];
            delete env.MINE;
            return { seen, set, gone: [NAME in env, "MINE" in env, Object.keys(env).includes(NAME), child()] };
          };`,
      },
    });
    const traced = await other.result({}, { traceId: "Root=1-2-3" });
    assert.deepEqual(traced, {
      seen: ["Root=1-2-3", true, ["_X_AMZN_TRACE_ID"], "Root=1-2-3", "Root=1-2-3"],
      set: ["1", "mine", "mine", true],
      gone: [false, false, false, "undefined"],
    });
    const untraced = await other.result({});
    assert.deepEqual(untraced, { ...traced, seen: [null, false, [], null, "undefined"] });
  });

  it("gets an error for an event that is no JSON", async () => {
    const payload = Buffer.from("{not json");
    const error = await fn.error(0, { input: { kind: "event", payload, contentType: "application/json" } });
    assert.equal(error.errorType, "SyntaxError");
  });
});

describe("a Node handler that fails", () => {
  for (const [what, body, wanted] of [
    ["throws", "() => { throw new TypeError('bad') }", { errorType: "TypeError", errorMessage: "bad" }],
    ["rejects", "async () => { throw new Error('bad') }", { errorType: "Error", errorMessage: "bad" }],
    ["throws text", "async () => { throw 'bad' }", { errorType: "string", errorMessage: "bad", trace: [] }],
    [
      "throws nothing",
      "async () => { throw undefined }",
      { errorType: "undefined", errorMessage: "undefined", trace: [] },
    ],
    [
      "throws an error of its own",
      "async () => { throw Object.assign(new Error('m'), { name: 'Mine' }) }",
      { errorType: "Mine", errorMessage: "m" },
    ],
    [
      "throws an error that cannot be read",
      "async () => { const e = new Error(); Object.defineProperty(e, 'stack', { get() { throw 1 } }); throw e }",
      { errorType: "handled" },
    ],
    [
      "returns what is no JSON",
      "async () => 1n",
      { errorType: "Runtime.JSONStringifyError", errorMessage: "Unable to stringify response body" },
    ],
    ["waits for what never comes", "() => new Promise(() => {})", { errorType: "Runtime.NodeJsExit" }],
    [
      "returns too much",
      "async () => 'x'.repeat(6291555)",
      {
        errorType: "Function.ResponseSizeTooLarge",
        errorMessage: "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
      },
    ],
  ] as const) {
    it(`is answered with its error and lives on when it ${what}`, async () => {
      await using fn = await startFunction({
        files: { "index.js": `let n = 0; exports.handler = (e) => n++ ? 'alive' : (${body})(e)` },
      });
      const { trace, ...error } = await fn.error({});
      assert.partialDeepStrictEqual({ ...error, trace }, wanted);
      await fn.channel.idle();
      assert.equal(await fn.result({}), "alive");
    });
  }

  it("has the stack in its error and in its log", async () => {
    const files = { "index.js": "exports.handler = async () => {\n  throw new Error('deep\\nbad')\n}" };
    await using fn = await startFunction({ files });
    const error = await fn.error({});
    assert.match(String(error.trace), /index\.js:2:9/);
    await eventually(() => fn.logs.length === 1);
    const line = new RegExp(`^${TIME}\t${UUID}\tERROR\tInvoke Error \t(\\{.*\\})$`).exec(fn.logs[0] ?? "");
    assert.partialDeepStrictEqual(JSON.parse(line?.[1] ?? "{}"), {
      errorType: "Error",
      errorMessage: "deep\nbad",
    });
  });

  it("names the TypeScript line where there is a source map", async () => {
    // Maps line 1 of the output to line 5, column 2 of app.ts.
    const map = {
      version: 3,
      sources: ["app.ts"],
      names: [],
      mappings: "AAIE",
      sourcesContent: ["\n".repeat(9)],
    };
    const files = {
      "index.js":
        "exports.handler = async () => { throw new Error('mapped') }\n//# sourceMappingURL=index.js.map",
      "index.js.map": JSON.stringify(map),
    };
    await using fn = await startFunction({ files });
    assert.match(String((await fn.error({})).trace), /app\.ts:5/);
  });

  for (const [what, body, wanted, exitCode] of [
    [
      "an uncaught exception",
      "() => { setTimeout(() => { throw new RangeError('late') }); return new Promise((r) => setTimeout(r, 5000)) }",
      { errorType: "RangeError", errorMessage: "late" },
      129,
    ],
    [
      "an unhandled rejection",
      "async () => { Promise.reject(new Error('lost')); return 1 }",
      { errorType: "Runtime.UnhandledPromiseRejection", errorMessage: "Error: lost" },
      128,
    ],
  ] as const) {
    for (const runtime of ["nodejs22.x", "nodejs24.x"]) {
      it(`is answered with ${what}, and the process ends (${runtime})`, async () => {
        await using fn = await startFunction({ runtime, files: { "index.js": `exports.handler = ${body}` } });
        assert.partialDeepStrictEqual(await fn.error({}), wanted);
        assert.equal((await fn.sandbox.exited).exitCode, exitCode);
      });
    }
  }

  for (const [what, body, exitCode] of [
    ["exits by itself", "async () => process.exit(0)", 0],
    ["exits with a status", "async () => process.exit(7)", 7],
  ] as const) {
    it(`leaves the call to the exit when it ${what}`, async () => {
      await using fn = await startFunction({ files: { "index.js": `exports.handler = ${body}` } });
      const outcome = fn.invoke({});
      const first = await Promise.race([outcome, fn.sandbox.exited]);
      assert.deepEqual(first, { exitCode, signal: null, outOfMemory: false });
    });
  }

  it("is answered even when it ends the process behind its answer", async () => {
    const files = { "index.js": "exports.handler = (e, c) => { c.succeed('done'); process.exit(3) }" };
    await using fn = await startFunction({ runtime: "nodejs22.x", files });
    assert.equal(await fn.result({}), "done");
  });
});

describe("a Node function that cannot start", () => {
  for (const [why, spec, wanted] of [
    [
      "its module is missing",
      { files: { "other.js": "" } },
      { errorType: "Runtime.ImportModuleError", errorMessage: /Cannot find module 'index'/ },
    ],
    [
      "a dependency is missing",
      { files: { "index.js": "require('left-pad')" } },
      { errorType: "Runtime.ImportModuleError", errorMessage: /left-pad/ },
    ],
    [
      "an imported file is missing",
      { files: { "index.mjs": "import './gone.mjs'" } },
      { errorType: "Runtime.ImportModuleError", errorMessage: /gone\.mjs/ },
    ],
    [
      "its export is missing",
      { files: { "index.js": "exports.other = 1" } },
      { errorType: "Runtime.HandlerNotFound", errorMessage: /^index\.handler is undefined or not exported$/ },
    ],
    [
      "its export is no function",
      { files: { "index.js": "exports.handler = 1" } },
      { errorType: "Runtime.HandlerNotFound", errorMessage: /^index\.handler is not a function$/ },
    ],
    [
      "its name goes upwards",
      { handler: "../index.handler", files: {} },
      { errorType: "Runtime.MalformedHandlerName", errorMessage: /not a valid handler name/ },
    ],
    [
      "its name has no dot",
      { handler: "index", files: {} },
      { errorType: "Runtime.MalformedHandlerName", errorMessage: /^Bad handler$/ },
    ],
    [
      "its module throws",
      { files: { "index.js": "throw new RangeError('at load')" } },
      { errorType: "RangeError", errorMessage: /^at load$/ },
    ],
    [
      "its module rejects",
      { files: { "index.mjs": "await Promise.reject(new RangeError('at load'))" } },
      { errorType: "RangeError", errorMessage: /^at load$/ },
    ],
    [
      "its module waits for what never comes",
      { files: { "index.mjs": "await new Promise(() => {})" } },
      { errorType: "Runtime.NodeJsExit", errorMessage: /event loop/ },
    ],
    [
      "it streams in a way unknown",
      {
        files: {
          "index.js":
            "exports.handler = async () => 1; exports.handler[Symbol.for('aws.lambda.runtime.handler.streaming')] = 'request'",
        },
      },
      { errorType: "Runtime.MalformedStreamingHandler", errorMessage: /Only response/ },
    ],
  ] as const) {
    it(`says that ${why}`, async () => {
      const { errorType, errorMessage } = await initErrorOf(spec);
      assert.equal(errorType, wanted.errorType);
      assert.match(errorMessage, wanted.errorMessage);
    });
  }

  for (const [where, files] of [
    ["CommonJS", { "index.js": "const a = 1;\nfoo bar\n" }],
    ["an ES module", { "index.mjs": "const a = 1;\nfoo bar\n" }],
    [
      "a module that is imported",
      { "index.mjs": "import './index-2.mjs'", "index-2.mjs": "const a = 1;\nfoo bar\n" },
    ],
  ] as const) {
    it(`shows file and line of a syntax error in ${where}`, async () => {
      const { errorType, trace } = await initErrorOf({ files });
      assert.equal(errorType, "Runtime.UserCodeSyntaxError");
      assert.match(trace.join("\n"), /index(-2)?\.m?js:2\n/);
    });
  }

  it("logs why, and exits", async () => {
    await using fn = await launchFunction({ files: { "index.js": "throw new Error('at load')" } });
    await assert.rejects(fn.channel.ready, InitFailed);
    assert.equal((await fn.sandbox.exited).exitCode, 1);
    await eventually(() => fn.logs.length === 1);
    assert.match(fn.logs[0] ?? "", new RegExp(`^${TIME}\t-\tERROR\tInit Error \t\\{"errorType":"Error"`));
  });
});

describe("the log of a Node function", () => {
  const code = `exports.handler = async () => {
    console.log("one\\ntwo", { a: 1 }); console.debug("d"); console.warn("w %s", 1); console.error("e");
    process.stdout.write("raw\\n"); console.log("x".repeat(300000));
  }`;

  it("is one record a call, tied to the request, with its lines kept whole", async () => {
    await using fn = await startFunction({ files: { "index.js": code } });
    const call = callWith({});
    await fn.result({}, call);
    await eventually(() => fn.logs.length === 6 && fn.output().stdout === "raw\n");

    const id = call.invocationId;
    const plain = fn.logs.map((line) => line.replace(new RegExp(`^${TIME}`), "TIME"));
    assert.deepEqual(plain.slice(0, 4), [
      `TIME\t${id}\tINFO\tone\ntwo { a: 1 }`,
      `TIME\t${id}\tDEBUG\td`,
      `TIME\t${id}\tWARN\tw 1`,
      `TIME\t${id}\tERROR\te`,
    ]);
    assert.equal(plain.slice(4).join("").length, `TIME\t${id}\tINFO\t`.length + 300_000);
  });

  it("is JSON where that is asked for, from the level that is asked for", async () => {
    const environment = { AWS_LAMBDA_LOG_FORMAT: "JSON", AWS_LAMBDA_LOG_LEVEL: "WARN" };
    const files = {
      "index.js":
        "exports.handler = async () => { console.log('no'); console.warn({ a: 1 }); console.error('at', new RangeError('r')) }",
    };
    await using fn = await startFunction({ files, environment });
    const call = callWith({});
    await fn.result({}, call);
    await eventually(() => fn.logs.length === 2);

    const [warned, failed] = fn.logs.map((line) => JSON.parse(line));
    assert.partialDeepStrictEqual(warned, { level: "WARN", requestId: call.invocationId, message: { a: 1 } });
    assert.partialDeepStrictEqual(failed, { level: "ERROR", errorType: "RangeError", errorMessage: "r" });
  });
});

describe("a Node instance", () => {
  it("begins a call that was sent ahead when the one before has ended, and gives back one that is asked for", async () => {
    await using started = await startFunction({
      runtime: "nodejs24.x",
      files: {
        "index.mjs": `let running = 0;
          export const handler = async (event) => {
            running += 1;
            await new Promise((resolve) => setTimeout(resolve, event.ms));
            return [event.name, running--];
          };`,
      },
    });
    const { channel } = started;
    const { signal } = new AbortController();
    const names = ["first", "second", "recalled"];
    const calls = names.map((name) => callWith({ name, ms: 40 }));
    const outcomes = calls.map((call) => channel.invoke(call, { signal }));
    const [, , recalled] = calls;
    if (recalled) channel.recall?.(recalled.invocationId);
    const settled = await Promise.allSettled(outcomes);
    assert.deepEqual(
      settled.map((one) =>
        one.status === "fulfilled" && one.value.kind === "returned" ? String(one.value.payload) : "not begun",
      ),
      ['["first",1]', '["second",1]', "not begun"],
    );
  });

  it("goes on after it was stopped and continued", async () => {
    await using fn = await startFunction({
      files: { "index.js": "exports.handler = async () => process.pid" },
    });
    const pid = Number(await fn.result({}));
    process.kill(pid, "SIGSTOP");
    const outcome: Promise<InvocationOutcome> = fn.invoke({});
    process.kill(pid, "SIGCONT");
    assert.equal((await outcome).kind, "returned");
  });

  it("gives its children neither its socket nor its log", async () => {
    const files = {
      "index.js": `const { execFileSync } = require('node:child_process'); const { readdirSync, readlinkSync } = require('node:fs');
        const own = () => readdirSync('/proc/self/fd').flatMap((fd) => {
          try { return [readlinkSync('/proc/self/fd/' + fd)] } catch { return [] } });
        exports.handler = async () => ({ log: readlinkSync('/proc/self/fd/3'), sockets: own().filter((to) => to.startsWith('socket')),
          child: execFileSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' }) })`,
    };
    const { log, sockets, child } = JSON.parse(JSON.stringify(await resultOf({ files })));
    assert.ok(sockets.length > 0);
    // The pipes to the child are sockets too, of its own.
    assert.deepEqual(
      [log, ...sockets].filter((to) => child.includes(to)),
      [],
    );
  });

  it("ends when the daemon's end of the socket is gone", async () => {
    await using fn = await startFunction({ files: { "index.js": "exports.handler = async () => 1" } });
    await fn.channel[Symbol.asyncDispose]();
    assert.equal((await fn.sandbox.exited).exitCode, 1);
  });
});
