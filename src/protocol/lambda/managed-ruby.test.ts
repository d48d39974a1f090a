import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { PAYLOAD_BYTES_MAX } from "../../core/limits.ts";
import { InitFailed } from "../protocol.ts";
import {
  callWith,
  eventually,
  type FunctionSpec,
  launchFunction,
  RUBY,
  skipWithout,
  startFunction,
  type TestFunction,
} from "./managed-function.fake.ts";

const skip = skipWithout(RUBY, "ruby");

type RubySpec = Omit<FunctionSpec, "files"> & { readonly files?: FunctionSpec["files"] };

/** A Ruby function whose file `app.rb` is `code`. */
function ruby(code: string, spec: RubySpec = {}): FunctionSpec {
  return { runtime: "ruby3.3", handler: "app.handler", ...spec, files: { "app.rb": code, ...spec.files } };
}

/** A handler whose body is these lines. */
function handlerOf(...lines: string[]): string {
  return `def handler(event:, context:)\n  ${lines.join("\n  ")}\nend\n`;
}

async function resultOf(spec: FunctionSpec, event: unknown = { n: 1 }): Promise<unknown> {
  await using fn = await startFunction(spec);
  return await fn.result(event);
}

/** Without what differs from run to run, and from one version of Ruby to the next. */
function shown(value: unknown): string {
  return JSON.stringify(value)
    .replaceAll(/\/[^ "]*lambdad-code-\w+/g, "HERE")
    .replaceAll(/in [`'](?:Object#)?(\w+)'/g, "in '$1'");
}

describe("a Ruby handler", { skip }, () => {
  let fn: TestFunction;
  before(async () => {
    fn = await startFunction(ruby(handlerOf("event")));
  });
  after(() => fn[Symbol.asyncDispose]());

  for (const event of [null, 0, -1.5, 1e300, true, "text", [1, [2]], {}, { ключ: "значение 🌍" }]) {
    it(`gets and returns ${JSON.stringify(event)}`, async () => {
      const payload = Buffer.from(` ${JSON.stringify(event)}\n`);
      const outcome = await fn.invoke(0, {
        input: { kind: "event", payload, contentType: "application/json" },
      });
      assert.ok(outcome.kind === "returned");
      assert.deepEqual(JSON.parse(Buffer.from(outcome.payload).toString()), event);
    });
  }

  it("gets and returns six MiB", async () => {
    const event = "x".repeat(PAYLOAD_BYTES_MAX - 2);
    assert.equal(await fn.result(event), event);
  });

  it("may be a method of a module, in a folder", async () => {
    const files = {
      "lib/orders.rb": `require "lib/price"
module Orders
  class Create
    def self.process(event:, context:) = { price: PRICE * event["n"] }
  end
end`,
      "lib/price.rb": "PRICE = 3",
    };
    const handler = "lib/orders.Orders::Create.process";
    assert.deepEqual(await resultOf(ruby("", { handler, files })), { price: 3 });
  });

  it("may answer with bytes, which go out as they are", async () => {
    const code = `require "stringio"\n${handlerOf("StringIO.new([0, 255, 10].pack('C*'))")}`;
    await using own = await startFunction(ruby(code));
    assert.deepEqual(await own.invoke({}), {
      kind: "returned",
      payload: Buffer.from([0, 255, 10]),
      head: { kind: "raw", contentType: "application/unknown" },
      isStreamed: false,
    });
  });

  it("gets text where the content is no JSON", async () => {
    await using own = await startFunction(ruby(handlerOf("[event.class, event.bytesize]")));
    const input = { kind: "event", payload: Buffer.from([65, 66, 1]), contentType: "image/png" } as const;
    assert.deepEqual(await own.result(0, { input }), ["String", 3]);
  });

  it("may say by itself how events are read and answers written", async () => {
    const code = `module AwsLambda
  class Marshaller
    def self.marshall_request(request) = JSON.parse(request.body).merge("kind" => request["Content-Type"])
    def self.marshall_response(answer) = answer.reverse.to_json
  end
end
${handlerOf('event["kind"]')}`;
    assert.equal(await resultOf(ruby(code)), "nosj/noitacilppa");
  });

  it("has the trace of each call in its environment, whose values are not kept", async () => {
    const code = `NAME = "_X_AMZN_TRACE_ID"
def bytes = File.read("/proc/self/statm").split[1].to_i * 4096
def seen = [ENV[NAME], ENV.to_h[NAME], \`printenv #{NAME}\`.strip]
def handler(event:, context:)
  if event["calls"]
    trace = LambdadRuntime::Trace.new
    100.times { trace.set("first") }
    before = bytes
    event["calls"].times { |n| trace.set("Root=1-00000000-%024d" % n) }
    GC.start
    return bytes - before < 8_000_000
  end
  if event["more"]
    trace = ObjectSpace.each_object(LambdadRuntime::Trace).first
    100.times { |n| trace.set("t#{n}") }
    return ENV[NAME]
  end
  called = seen
  ENV[NAME] = "mine"
  mine = seen
  ENV.delete(NAME)
  [called, mine, seen]
end`;
    await using own = await startFunction(ruby(code));
    const all = (value: string | null) => [value, value, value ?? ""];
    const wanted = (trace: string | null) => [all(trace), all("mine"), all(null)];
    const traceId = `Root=1-2-3;Lineage=${"x".repeat(5_000)}`;
    assert.deepEqual(await own.result({}, callWith({}, { traceId })), wanted(traceId));
    assert.equal(await own.result({ calls: 200_000 }), true);
    assert.equal(await own.result({ more: true }), "t99");
    assert.deepEqual(await own.result({}, callWith({}, { traceId })), wanted(traceId));
    assert.deepEqual(await own.result({}, callWith({}, { traceId: undefined })), wanted(null));
  });

  it("has a complete context and environment", async () => {
    const code = `def handler(event:, context:)
  names = %w[aws_request_id log_group_name log_stream_name function_name memory_limit_in_mb function_version
             invoked_function_arn identity client_context]
  left = context.get_remaining_time_in_millis
  names.to_h { |name| [name, context.public_send(name)] }.merge(
    type: context.class, isInTime: left.between?(50_001, 60_000), isDue: context.deadline_ms > left,
    trace: ENV["_X_AMZN_TRACE_ID"], greeting: ENV["GREETING"], handler: ENV["_HANDLER"],
    ours: ENV.keys.grep(/LAMBDAD|TELEMETRY/), isAtHome: Dir.pwd == ENV["LAMBDA_TASK_ROOT"] && $LOAD_PATH.first == Dir.pwd,
    encoding: Encoding.default_external, gems: ENV["GEM_PATH"].sub(Dir.pwd, "HERE"), zone: Time.now.utc_offset
  )
end`;
    await using own = await startFunction(ruby(code, { environment: { GREETING: "grüß 🌍" } }));
    const call = callWith({}, { traceId: "Root=1-2-3", clientContext: '{"custom":{"a":1}}' });
    assert.deepEqual(await own.result({}, call), {
      aws_request_id: call.invocationId,
      log_group_name: "/aws/lambda/greet",
      log_stream_name: "2026/01/01/[$LATEST]0123",
      function_name: "greet",
      memory_limit_in_mb: "128",
      function_version: "$LATEST",
      invoked_function_arn: call.functionArn,
      identity: null,
      client_context: { custom: { a: 1 } },
      type: "LambdaContext",
      isInTime: true,
      isDue: true,
      trace: "Root=1-2-3",
      greeting: "grüß 🌍",
      handler: "app.handler",
      ours: [],
      isAtHome: true,
      encoding: "UTF-8",
      gems: "HERE/vendor/bundle/ruby/3.3.0:/opt/ruby/gems/3.3.0",
      zone: 0,
    });
  });

  it("finds gems in vendor/bundle, those of its runtime's name, and in GEM_PATH", async () => {
    const gem = (name: string) => ({
      [`gems/${name}-1.0.0/lib/${name}.rb`]: `module ${name.toUpperCase()}; PLACE = __FILE__; end`,
      [`specifications/${name}-1.0.0.gemspec`]: `Gem::Specification.new do |s|
  s.name = "${name}"; s.version = "1.0.0"; s.summary = "x"; s.authors = ["x"]; s.require_paths = ["lib"]
end`,
    });
    const within = (folder: string, files: Readonly<Record<string, string>>) =>
      Object.fromEntries(Object.entries(files).map(([path, text]) => [`${folder}/${path}`, text]));
    const code = `require "aaa"\nrequire "json"\n${handlerOf("AAA::PLACE.delete_prefix(Dir.pwd)")}`;
    const vendored = within("vendor/bundle/ruby/3.3.0", gem("aaa"));
    assert.equal(
      await resultOf(ruby(code, { files: vendored })),
      "/vendor/bundle/ruby/3.3.0/gems/aaa-1.0.0/lib/aaa.rb",
    );
    const spec = { files: within("mine", gem("aaa")), environment: { GEM_PATH: "mine" } };
    assert.equal(await resultOf(ruby(code, spec)), "/mine/gems/aaa-1.0.0/lib/aaa.rb");
  });

  it("may have files that are named like Ruby's own", async () => {
    const files = { "json.rb": "raise 'not for the runtime'", "logger.rb": "raise 'nor this'" };
    assert.deepEqual(await resultOf(ruby(handlerOf("event"), { files })), { n: 1 });
  });
});

describe("a Ruby handler that fails", { skip }, () => {
  for (const [what, lines, wanted] of [
    [
      "raises",
      ["raise ArgumentError, 'bad'"],
      {
        errorMessage: "bad",
        errorType: "Function<ArgumentError>",
        stackTrace: ["HERE/app.rb:3:in 'handler'"],
      },
    ],
    [
      "raises an error of its own",
      ["raise Class.new(StandardError) { def self.to_s = 'Orders::Gone' }, 'no ä'"],
      {
        errorMessage: "no ä",
        errorType: "Function<Orders::Gone>",
        stackTrace: ["HERE/app.rb:3:in 'handler'"],
      },
    ],
    [
      "raises bytes that are no text",
      ['raise "a\\xFFb"'],
      {
        errorMessage: "a�b",
        errorType: "Function<RuntimeError>",
        stackTrace: ["HERE/app.rb:3:in 'handler'"],
      },
    ],
    [
      "returns too much",
      ["'x' * 6_291_555"],
      {
        errorType: "Function.ResponseSizeTooLarge",
        errorMessage: "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
      },
    ],
  ] as const) {
    it(`is answered with its error and lives on when it ${what}`, async () => {
      await using fn = await startFunction(ruby(handlerOf("return 'alive' if event['ok']", ...lines)));
      assert.equal(shown(await fn.error({})), JSON.stringify(wanted));
      await fn.channel.idle();
      assert.equal(await fn.result({ ok: 1 }), "alive");
    });
  }

  it("is answered with an error for what JSON cannot say", async () => {
    await using fn = await startFunction(ruby(handlerOf("Float::NAN")));
    assert.equal((await fn.error({})).errorType, "Function<JSON::GeneratorError>");
  });

  for (const [what, line, type, message] of [
    [
      "calls what there is not",
      "gone(1)",
      "Function<NoMethodError>",
      /^undefined method [`']gone' for .*LambdaHandler[^\n]*$/,
    ],
    [
      "names what there is not",
      "gone",
      "Function<NameError>",
      /^undefined local variable or method [`']gone' for .*LambdaHandler[^\n]*$/,
    ],
    ["exits", "exit 3", "Function<SystemExit>", /^exit$/],
    [
      "recurses for ever",
      "handler(event: event, context: context)",
      "Function<SystemStackError>",
      /^stack level too deep$/,
    ],
    ["is not implemented", "raise NotImplementedError, 'later'", "Function<NotImplementedError>", /^later$/],
  ] as const) {
    it(`is answered with its error and is over when it ${what}`, async () => {
      await using fn = await startFunction(ruby(handlerOf(line)));
      const error = await fn.error({});
      assert.deepEqual(
        [error.errorType, String(error.errorMessage).match(message) !== null],
        [type, true],
        String(error.errorMessage),
      );
      assert.equal((await fn.sandbox.exited).exitCode, 255);
    });
  }

  it("says that its method is missing at the first call, as on Lambda", async () => {
    await using fn = await startFunction(ruby("", { handler: "app.gone" }));
    const error = await fn.error({});
    assert.equal(error.errorType, "Function<NoMethodError>");
    assert.match(String(error.errorMessage), /^undefined method [`']gone' for .*LambdaHandler/);
  });

  it("gets an error for an event that is no JSON, and for a client context that is none", async () => {
    await using fn = await startFunction(ruby(handlerOf("1")));
    const payload = Buffer.from("{not json");
    const broken = await fn.error(0, { input: { kind: "event", payload, contentType: "application/json" } });
    assert.equal(broken.errorType, "Runtime<JSON::ParserError>");
    assert.equal((await fn.error(0, { clientContext: "{" })).errorType, "Runtime<JSON::ParserError>");
    assert.equal(await fn.result(0), 1);
  });

  it("leaves the call to the exit when it calls exit!", async () => {
    await using fn = await startFunction(ruby(handlerOf("exit! 7")));
    const first = await Promise.race([fn.invoke({}), fn.sandbox.exited]);
    assert.deepEqual(first, { exitCode: 7, signal: null, outOfMemory: false });
  });
});

describe("a Ruby function that cannot start", { skip }, () => {
  for (const [why, code, spec, wanted] of [
    [
      "its file is missing",
      "",
      { handler: "gone.handler" },
      { errorType: "Init<LoadError>", errorMessage: "cannot load such file -- gone" },
    ],
    [
      "a gem is missing",
      "require 'left_pad'",
      {},
      { errorType: "Init<LoadError>", errorMessage: "cannot load such file -- left_pad" },
    ],
    ["it raises", "raise 'at load'", {}, { errorType: "Init<RuntimeError>", errorMessage: "at load" }],
    ["it exits", "exit 3", {}, { errorType: "Init<SystemExit>", errorMessage: "exit" }],
    ["it has a syntax error", "def x(", {}, { errorType: "Init<SyntaxError>" }],
    [
      "its name has no dot",
      "",
      { handler: "app" },
      {
        errorType: "Init<ArgumentError>",
        errorMessage:
          'Invalid handler ["app"], must be of form FILENAME.METHOD or FILENAME.CLASS.METHOD where FILENAME corresponds with an existing Ruby source file FILENAME.rb, CLASS is an optional module/class namespace and METHOD is a callable method. If using CLASS, METHOD must be a class-level method.',
      },
    ],
  ] as const) {
    it(`says that ${why}, and exits`, async () => {
      await using fn = await launchFunction(ruby(code, spec));
      const failure = await fn.channel.ready.catch((error: unknown) => error);
      assert.ok(failure instanceof InitFailed);
      const told = JSON.parse(Buffer.from(failure.payload).toString());
      assert.partialDeepStrictEqual(told, wanted);
      assert.deepEqual(Object.keys(told), ["errorMessage", "errorType", "stackTrace"]);
      assert.ok(!JSON.stringify(told.stackTrace).includes("lambdad_runtime"));
      assert.equal((await fn.sandbox.exited).exitCode, 252);
      await eventually(() => fn.logs.length === 2);
      assert.match(fn.logs[0] ?? "", /^Init error when loading handler /);
      assert.deepEqual(JSON.parse(fn.logs[1] ?? ""), told);
    });
  }
});

describe("the log of a Ruby function", { skip }, () => {
  it("has prints as they are, and records tied to the request with their lines kept whole", async () => {
    const code = `require "logger"
LOG = Logger.new($stdout)
def handler(event:, context:)
  puts "one", ["two", nil]; print "printed"; $stderr.puts "careful"
  LOG.info("three\\nfour"); LOG.error(ArgumentError.new("five"))
  Logger.new($stderr, progname: "mine", level: :warn).tap { |log| log.info("no"); log.warn("six") }
  raise "bad"
end`;
    await using fn = await startFunction(ruby(code));
    const call = callWith({});
    const error = await fn.error({}, call);
    await eventually(() => fn.logs.length === 6 && fn.output().stderr.includes("careful"));

    const id = call.invocationId;
    const lines = fn.logs.map((line) => line.replace(/\[\d{4}-\d\d-\d\dT[\d:.]+ #\d+\]/, "[TIME #PID]"));
    assert.deepEqual(lines.slice(0, 5), [
      "one\ntwo\n",
      `I, [TIME #PID]  INFO ${id} -- : three\nfour\n`,
      `E, [TIME #PID] ERROR ${id} -- : five (ArgumentError)\n\n`,
      `W, [TIME #PID]  WARN ${id} -- mine: six\n`,
      "Error raised from handler method\n",
    ]);
    assert.equal(lines[5], `${JSON.stringify(error, null, 2)}\n`);
    await eventually(() => fn.output().stdout === "printed");
  });

  it("is JSON where that is asked for, from the level that is asked for", async () => {
    const environment = { AWS_LAMBDA_LOG_FORMAT: "JSON", AWS_LAMBDA_LOG_LEVEL: "INFO" };
    const code = `require "logger"
def handler(event:, context:)
  log = Logger.new($stdout, progname: "mine")
  log.debug("no"); log.info("yes")
  begin; raise ZeroDivisionError, "failed"; rescue => error; log.error(error); end
  raise "bad"
end`;
    await using fn = await startFunction(ruby(code, { environment }));
    const call = callWith({});
    await fn.error({}, call);
    await eventually(() => fn.logs.length === 3);

    const [told, failed, raised] = fn.logs.map((line) => JSON.parse(line));
    const requestId = call.invocationId;
    assert.partialDeepStrictEqual(told, { level: "INFO", message: "yes", logger: "mine", requestId });
    assert.partialDeepStrictEqual(failed, {
      level: "ERROR",
      message: "failed",
      errorType: "ZeroDivisionError",
      requestId,
    });
    assert.match(failed.location, /app\.rb:(?:Object#)?handler:5$/);
    assert.match(told.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    assert.partialDeepStrictEqual(raised, {
      level: "ERROR",
      message: "Error raised from handler method",
      errorType: "Function<RuntimeError>",
      errorMessage: "bad",
      requestId,
    });
  });
});
