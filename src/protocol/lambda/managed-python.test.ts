import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { PAYLOAD_BYTES_MAX } from "../../core/limits.ts";
import { InitFailed } from "../protocol.ts";
import {
  callWith,
  eventually,
  type FunctionSpec,
  launchFunction,
  PYTHON,
  skipWithout,
  startFunction,
  type TestFunction,
} from "./managed-function.fake.ts";

const TIME = "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z";
const skip = skipWithout(PYTHON, "python3");

type PythonSpec = Omit<FunctionSpec, "files"> & { readonly files?: FunctionSpec["files"] };

/** A Python function whose module `app` is `code`. */
function python(code: string, spec: PythonSpec = {}): FunctionSpec {
  return { runtime: "python3.13", handler: "app.handler", ...spec, files: { "app.py": code, ...spec.files } };
}

/** A handler whose body is these lines. */
function handlerOf(...lines: string[]): string {
  return `def handler(event, context):\n  ${lines.join("\n  ")}\n`;
}

async function resultOf(spec: FunctionSpec, event: unknown = { n: 1 }): Promise<unknown> {
  await using fn = await startFunction(spec);
  return await fn.result(event);
}

describe("a Python handler", { skip }, () => {
  let fn: TestFunction;
  before(async () => {
    fn = await startFunction(python(handlerOf("return event")));
  });
  after(() => fn[Symbol.asyncDispose]());

  for (const event of [
    null,
    0,
    -1.5,
    12345678901234567890n,
    true,
    "text",
    [1, [2]],
    {},
    { ключ: "значение 🌍" },
  ]) {
    const text = typeof event === "bigint" ? String(event) : JSON.stringify(event);
    it(`gets and returns ${text}`, async () => {
      const payload = Buffer.from(` ${text}\n`);
      const outcome = await fn.invoke(0, {
        input: { kind: "event", payload, contentType: "application/json" },
      });
      assert.ok(outcome.kind === "returned");
      // Python puts a space behind `:` and `,`, as simplejson does on Lambda.
      assert.equal(
        Buffer.from(outcome.payload)
          .toString()
          .replaceAll(/([,:]) /g, "$1"),
        text,
      );
    });
  }

  it("gets and returns six MiB", async () => {
    const event = "x".repeat(PAYLOAD_BYTES_MAX - 2);
    assert.equal(await fn.result(event), event);
  });

  for (const [what, body, wanted] of [
    [
      "a Decimal as a number",
      "from decimal import Decimal; return [Decimal('1.10'), {'d': Decimal('7')}, 'x']",
      '[1.10, {"d": 7}, "x"]',
    ],
    [
      "NaN and Infinity",
      "from decimal import Decimal; return [float('nan'), Decimal('NaN'), float('-inf')]",
      "[NaN, NaN, -Infinity]",
    ],
    ["bytes inside as text", "return {'b': 'ä'.encode()}", '{"b": "ä"}'],
    ["a tuple as a list", "return (1, 2)", "[1, 2]"],
    ["keys of other types as text", "return {1: 2, None: True}", '{"1": 2, "null": true}'],
  ] as const) {
    it(`writes ${what}`, async () => {
      await using own = await startFunction(python(handlerOf(body)));
      const outcome = await own.invoke({});
      assert.ok(outcome.kind === "returned");
      assert.equal(Buffer.from(outcome.payload).toString(), wanted);
    });
  }

  it("escapes what is beyond ASCII up to Python 3.11 only", async () => {
    for (const [runtime, wanted] of [
      ["python3.11", '"\\u00e4"'],
      ["python3.12", '"ä"'],
    ] as const) {
      await using own = await startFunction(python(handlerOf("return 'ä'"), { runtime }));
      const outcome = await own.invoke({});
      assert.ok(outcome.kind === "returned");
      assert.equal(Buffer.from(outcome.payload).toString(), wanted);
    }
  });

  it("may answer with bytes, which go out as they are", async () => {
    await using own = await startFunction(python(handlerOf("return bytes(range(256))")));
    assert.deepEqual(await own.invoke({}), {
      kind: "returned",
      payload: Buffer.from(Array.from({ length: 256 }, (_, n) => n)),
      head: { kind: "raw", contentType: "application/unknown" },
      isStreamed: false,
    });
  });

  it("gets bytes where the content is no JSON", async () => {
    await using own = await startFunction(python(handlerOf("return [type(event).__name__, len(event)]")));
    const payload = Buffer.from([0, 255, 1]);
    const input = { kind: "event", payload, contentType: "image/png" } as const;
    assert.deepEqual(await own.result(0, { input }), ["bytes", 3]);
  });

  it("has the trace of each call in its environment, whose values are not kept", async () => {
    const code = `import os, subprocess, sys
NAME = "_X_AMZN_TRACE_ID"
def pages():
  return int(open("/proc/self/statm").read().split()[1])
def seen():
  child = subprocess.run(["printenv", NAME], capture_output=True, text=True).stdout.strip()
  return [os.environ.get(NAME), os.getenv(NAME), child]
def handler(event, context):
  if "calls" in event:
    set_trace = sys._getframe(1).f_globals["set_trace"]
    for _ in range(100):
      set_trace("first")
    before = pages()
    for n in range(event["calls"]):
      set_trace("Root=1-00000000-%024d" % n)
    return (pages() - before) * os.sysconf("SC_PAGE_SIZE") < 4_000_000
  called = seen()
  os.environ[NAME] = "mine"
  os.environ["OTHER"] = "1"
  mine = seen()
  del os.environ[NAME]
  return [called, mine, seen(), os.environ["OTHER"]]`;
    await using own = await startFunction(python(code));
    const all = (value: string | null) => [value, value, value ?? ""];
    const wanted = (trace: string | null) => [all(trace), all("mine"), all(null), "1"];
    const traceId = `Root=1-2-3;Lineage=${"x".repeat(5_000)}`;
    assert.deepEqual(await own.result({}, callWith({}, { traceId })), wanted(traceId));
    assert.equal(await own.result({ calls: 200_000 }), true);
    assert.deepEqual(await own.result({}, callWith({}, { traceId })), wanted(traceId));
    assert.deepEqual(await own.result({}, callWith({}, { traceId: undefined })), wanted(null));
  });

  it("has a complete context and environment", async () => {
    const code = `import os, sys
def handler(event, c):
  left = c.get_remaining_time_in_millis()
  names = "aws_request_id log_group_name log_stream_name function_name memory_limit_in_mb function_version invoked_function_arn tenant_id".split()
  return {**{name: getattr(c, name) for name in names}, "isInTime": 50_000 < left <= 60_000,
    "custom": c.client_context.custom, "title": c.client_context.client.app_title, "identity": c.identity.cognito_identity_id,
    "trace": os.environ["_X_AMZN_TRACE_ID"], "greeting": os.environ["GREETING"], "handler": os.environ["_HANDLER"],
    "ours": [name for name in os.environ if "LAMBDAD" in name or "TELEMETRY" in name],
    "isAtHome": os.getcwd() == os.environ["LAMBDA_TASK_ROOT"] == sys.path[0],
    "findsOurs": any("runtimes" in folder for folder in sys.path)}`;
    await using own = await startFunction(python(code, { environment: { GREETING: "grüß 🌍" } }));
    const clientContext = '{"custom":{"a":1},"client":{"app_title":"t"}}';
    const call = callWith({}, { traceId: "Root=1-2-3", clientContext });
    assert.deepEqual(await own.result({}, call), {
      aws_request_id: call.invocationId,
      log_group_name: "/aws/lambda/greet",
      log_stream_name: "2026/01/01/[$LATEST]0123",
      function_name: "greet",
      memory_limit_in_mb: "128",
      function_version: "$LATEST",
      invoked_function_arn: call.functionArn,
      tenant_id: null,
      isInTime: true,
      custom: { a: 1 },
      title: "t",
      identity: null,
      trace: "Root=1-2-3",
      greeting: "grüß 🌍",
      handler: "app.handler",
      ours: [],
      isAtHome: true,
      findsOurs: false,
    });
  });

  it("may be in a folder, import its neighbours, and packages by PYTHONPATH", async () => {
    const files = {
      "src/main.py":
        "from src.other import one\nimport extra\ndef run(event, context): return one + extra.two",
      "src/other.py": "one = 1",
      "packages/extra.py": "two = 2",
    };
    const spec = { handler: "src/main.run", files, environment: { PYTHONPATH: "packages" } };
    assert.equal(await resultOf(python("", spec)), 3);
  });

  it("finds the interpreter's installed packages, and exit", async () => {
    const code = handlerOf(
      "import sys",
      "return [any(p.endswith('-packages') for p in sys.path), callable(exit)]",
    );
    assert.deepEqual(await resultOf(python(code)), [true, true]);
  });
});

describe("a Python handler that fails", { skip }, () => {
  for (const [what, lines, wanted] of [
    [
      "raises",
      ["raise ValueError('bad')"],
      {
        errorType: "ValueError",
        errorMessage: "bad",
        stackTrace: ["  File \"HERE/app.py\", line 3, in handler\n    raise ValueError('bad')\n"],
      },
    ],
    ["raises an error without text", ["raise KeyError()"], { errorType: "KeyError", errorMessage: "" }],
    [
      "raises an error that has no text",
      ["class E(Exception):", "  def __str__(self): raise ValueError()", "raise E()"],
      { errorType: "E" },
    ],
    [
      "returns what is no JSON",
      ["return object()"],
      {
        errorType: "Runtime.MarshalError",
        errorMessage: "Unable to marshal response: Object of type object is not JSON serializable",
        stackTrace: [],
      },
    ],
    ["returns a circle", ["a = []; a.append(a); return a"], { errorType: "Runtime.MarshalError" }],
    [
      "returns too much",
      ["return 'x' * 6291555"],
      {
        errorType: "Function.ResponseSizeTooLarge",
        errorMessage: "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
      },
    ],
  ] as const) {
    it(`is answered with its error and lives on when it ${what}`, async () => {
      const code = handlerOf("if event.get('ok'): return 'alive'", ...lines);
      await using fn = await startFunction(python(code));
      const error = JSON.parse(
        JSON.stringify(await fn.error({})).replaceAll(/\/[^ "]*lambdad-code-\w+/g, "HERE"),
      );
      assert.partialDeepStrictEqual(error, wanted);
      await fn.channel.idle();
      assert.equal(await fn.result({ ok: 1 }), "alive");
    });
  }

  it("has the request id in its error and its traceback in the log", async () => {
    await using fn = await startFunction(python(handlerOf("raise ValueError('bad')")));
    const call = callWith({});
    assert.equal((await fn.error({}, call)).requestId, call.invocationId);
    await eventually(() => fn.logs.length === 1);
    const shown = fn.logs[0]?.replaceAll(/\/[^ "]*lambdad-code-\w+/g, "HERE");
    const traceback = `\u00a0\u00a0File "HERE/app.py", line 2, in handler\n\u00a0\u00a0\u00a0\u00a0raise ValueError('bad')`;
    assert.equal(shown, `[ERROR] ValueError: bad\nTraceback (most recent call last):\n${traceback}`);
  });

  it("gets an error for an event that is no JSON, and for a client context that is none", async () => {
    await using fn = await startFunction(python(handlerOf("return 1")));
    const payload = Buffer.from("{not json");
    const broken = await fn.error(0, { input: { kind: "event", payload, contentType: "application/json" } });
    assert.equal(broken.errorType, "Runtime.UnmarshalError");
    assert.match(String(broken.errorMessage), /^Unable to unmarshal input: Expecting property name/);
    assert.equal(
      (await fn.error(0, { clientContext: "{" })).errorType,
      "Runtime.LambdaContextUnmarshalError",
    );
  });

  for (const [what, line, exitCode] of [
    ["sys.exit", "import sys; sys.exit(7)", 7],
    ["exit", "exit()", 0],
    ["os._exit", "import os; os._exit(3)", 3],
  ] as const) {
    it(`leaves the call to the exit when it calls ${what}`, async () => {
      await using fn = await startFunction(python(handlerOf(line)));
      const first = await Promise.race([fn.invoke({}), fn.sandbox.exited]);
      assert.deepEqual(first, { exitCode, signal: null, outOfMemory: false });
    });
  }
});

describe("a Python function that cannot start", { skip }, () => {
  for (const [why, code, spec, wanted] of [
    [
      "its module is missing",
      "",
      { handler: "gone.handler" },
      {
        errorType: "Runtime.ImportModuleError",
        errorMessage: "Unable to import module 'gone': No module named 'gone'",
      },
    ],
    [
      "a dependency is missing",
      "import left_pad",
      {},
      {
        errorType: "Runtime.ImportModuleError",
        errorMessage: "Unable to import module 'app': No module named 'left_pad'",
      },
    ],
    [
      "its function is missing",
      "other = 1",
      {},
      { errorType: "Runtime.HandlerNotFound", errorMessage: "Handler 'handler' missing on module 'app'" },
    ],
    ["its name has no dot", "", { handler: "handler" }, { errorType: "Runtime.MalformedHandlerName" }],
    [
      "its module is one of Python's own",
      "",
      { handler: "sys.handler" },
      {
        errorType: "Runtime.BuiltInModuleConflict",
        errorMessage: "Cannot use built-in module sys as a handler module",
      },
    ],
    [
      "it has a syntax error",
      "a = 1\nfoo bar\n",
      {},
      {
        errorType: "Runtime.UserCodeSyntaxError",
        errorMessage: "Syntax error in module 'app': invalid syntax (app.py, line 2)",
        stackTrace: ['  File "HERE/app.py" Line 2\n    foo bar\n'],
      },
    ],
    [
      "it raises",
      "raise ValueError('at load')",
      {},
      {
        errorType: "ValueError",
        errorMessage: "at load",
        requestId: "",
        stackTrace: ["  File \"HERE/app.py\", line 1, in <module>\n    raise ValueError('at load')\n"],
      },
    ],
  ] as const) {
    it(`says that ${why}, and exits`, async () => {
      await using fn = await launchFunction(python(code, spec));
      const failure = await fn.channel.ready.catch((error: unknown) => error);
      assert.ok(failure instanceof InitFailed);
      const text = Buffer.from(failure.payload)
        .toString()
        .replaceAll(/\/[^ "]*lambdad-code-\w+/g, "HERE");
      assert.partialDeepStrictEqual(JSON.parse(text), wanted);
      assert.equal((await fn.sandbox.exited).exitCode, 1);
      await eventually(() => fn.logs.length === 2);
      assert.match(fn.logs[0] ?? "", /^\[WARNING\]\t.*LAMBDA_WARNING/);
    });
  }

  it("leaves it to the exit when its module exits", async () => {
    await using fn = await launchFunction(python("import sys; sys.exit(4)"));
    assert.equal((await fn.sandbox.exited).exitCode, 4);
  });
});

describe("the log of a Python function", { skip }, () => {
  it("has prints as they are, and records tied to the request with their lines kept whole", async () => {
    const code = `import logging, warnings
log = logging.getLogger("mine")
log.warning("at load")
def handler(event, context):
  print("printed"); print("no end", end="")
  log.info("not shown"); log.error("one\\ntwo %s", 3); context.log("direct")
  logging.getLogger().setLevel("DEBUG"); log.debug("now shown")
  warnings.warn("careful")`;
    await using fn = await startFunction(python(code));
    const call = callWith({});
    await fn.result({}, call);
    await eventually(() => fn.logs.length === 4 && fn.output().stderr.includes("careful"));

    const id = call.invocationId;
    assert.deepEqual(
      fn.logs.map((line) => line.replace(new RegExp(TIME), "TIME")),
      [
        "[WARNING]\tTIME\t\tat load\n",
        `[ERROR]\tTIME\t${id}\tone\ntwo 3\n`,
        "direct",
        `[DEBUG]\tTIME\t${id}\tnow shown\n`,
      ],
    );
    await eventually(() => fn.output().stdout === "printed\nno end");
  });

  it("is JSON where that is asked for, from the level that is asked for", async () => {
    const environment = { AWS_LAMBDA_LOG_FORMAT: "JSON", AWS_LAMBDA_LOG_LEVEL: "INFO" };
    const code = `import logging
def handler(event, context):
  logging.debug("no"); logging.info("yes", extra={"order": 7, "odd": object})
  try: 1 / 0
  except ZeroDivisionError: logging.exception("failed")
  raise ValueError("bad")`;
    await using fn = await startFunction(python(code, { environment }));
    const call = callWith({});
    await fn.error({}, call);
    await eventually(() => fn.logs.length === 3);

    const [told, failed, raised] = fn.logs.map((line) => JSON.parse(line));
    const requestId = call.invocationId;
    assert.partialDeepStrictEqual(told, {
      level: "INFO",
      message: "yes",
      logger: "root",
      requestId,
      order: 7,
    });
    assert.partialDeepStrictEqual(failed, { level: "ERROR", errorType: "ZeroDivisionError", requestId });
    assert.match(failed.location, /app\.py:handler:5$/);
    assert.partialDeepStrictEqual(raised, {
      level: "ERROR",
      errorType: "ValueError",
      errorMessage: "bad",
      requestId,
    });
  });
});

describe("a Python instance", { skip }, () => {
  it("goes on after it was stopped and continued", async () => {
    await using fn = await startFunction(python(handlerOf("import os", "return os.getpid()")));
    const pid = Number(await fn.result({}));
    process.kill(pid, "SIGSTOP");
    const outcome = fn.invoke({});
    process.kill(pid, "SIGCONT");
    assert.equal((await outcome).kind, "returned");
  });

  it("gives its children neither its socket nor its log", async () => {
    const code = `import os, subprocess
def links(): return [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
def handler(event, context):
  child = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, close_fds=False).stdout
  secret = [link for link in links() if link.startswith("socket")] + [os.readlink("/proc/self/fd/3")]
  return [len(secret), [link for link in secret if link in child and link != os.readlink("/proc/self/fd/2")]]`;
    const [count, leaked] = JSON.parse(JSON.stringify(await resultOf(python(code))));
    assert.ok(count >= 2);
    assert.deepEqual(leaked, []);
  });

  it("leaves nothing behind in its code folder", async () => {
    const files = { "other.py": "one = 1" };
    const code = `import os, other\n${handlerOf("return sorted(os.listdir())")}`;
    assert.deepEqual(await resultOf(python(code, { files })), ["app.py", "other.py"]);
  });

  it("ends when the daemon's end of the socket is gone", async () => {
    await using fn = await startFunction(python(handlerOf("return 1")));
    await fn.channel[Symbol.asyncDispose]();
    assert.equal((await fn.sandbox.exited).exitCode, 1);
  });
});
