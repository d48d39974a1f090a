import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { newInvocationId } from "../../core/ids.ts";
import type { Call, InvocationOutcome } from "../../core/invocation.ts";
import { STREAMED_RESPONSE_BYTES_MAX } from "../../core/limits.ts";
import { silentLog } from "../../core/log.ts";
import type { Sandbox, SandboxPlaces } from "../../sandbox/driver.ts";
import type { Channel } from "../protocol.ts";
import { startTestSandbox, testVersion } from "../test-sandbox.fake.ts";
import { managedAdapter } from "./managed.ts";

export const NODE = process.execPath;
export const OLD_NODE = findProgram("/usr/bin/node", ["-p", "process.execPath"], /^\//);
export const RUBY = findProgram("ruby", ["-e", "print RbConfig.ruby"], /^\//);
export const PYTHON = findProgram("python3", ["-c", "import sys;print(sys.executable)"], /^\//);

const RUNTIMES = new URL("../../../runtimes/", import.meta.url).pathname;

export interface FunctionSpec {
  /** By path in the code folder. */
  readonly files: Readonly<Record<string, string>>;
  readonly handler?: string;
  readonly runtime?: string;
  readonly interpreter?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Has a pack made of the code before it starts; then these files are other ones, so that it is seen which are read. */
  readonly pack?: { readonly rewrite: Readonly<Record<string, string>> } | undefined;
}

/** A handler that runs in its managed runtime, in a plain process. */
export interface TestFunction extends AsyncDisposable {
  readonly channel: Channel;
  readonly sandbox: Sandbox;
  /** Messages of console.*, logging and the runtime, in order. */
  readonly logs: readonly string[];
  output(): { readonly stdout: string; readonly stderr: string };
  /** Invokes with `event` as JSON. */
  invoke(event: unknown, call?: Partial<Call>): Promise<InvocationOutcome>;
  /** The result as a value; fails unless it returned. */
  result(event: unknown, call?: Partial<Call>): Promise<unknown>;
  /** The error as a value; fails unless it threw. */
  error(event: unknown, call?: Partial<Call>): Promise<Record<string, unknown>>;
}

/** Starts it and waits until it is ready; rejects with `InitFailed` if it says that it cannot. */
export async function startFunction(spec: FunctionSpec): Promise<TestFunction> {
  const fn = await launchFunction(spec);
  const gone = fn.sandbox.exited.then(async (exit) => {
    await new Promise((resolve) => setTimeout(resolve, 50));
    throw new Error(`exited: ${JSON.stringify(exit)} ${fn.output().stderr}`);
  });
  gone.catch(() => undefined);
  try {
    await Promise.race([fn.channel.ready, gone]);
    return fn;
  } catch (error) {
    await fn[Symbol.asyncDispose]();
    throw error;
  }
}

/** Starts it without waiting. */
export async function launchFunction(spec: FunctionSpec): Promise<TestFunction> {
  const { runtime = "nodejs24.x", handler = "index.handler" } = spec;
  const family = /^[a-z]+/.exec(runtime)?.[0] ?? "";
  const codeDir = await mkdtemp(join(tmpdir(), "lambdad-code-"));
  for (const [path, text] of Object.entries(spec.files)) {
    await mkdir(dirname(join(codeDir, path)), { recursive: true });
    await writeFile(join(codeDir, path), text);
  }
  const runtimeDir = join(RUNTIMES, family);
  const interpreter = spec.interpreter ?? { nodejs: NODE, python: PYTHON, ruby: RUBY }[family];
  const adapter = managedAdapter({ log: silentLog, accountId: "000000000000" });
  const version = testVersion({ kind: "handler", handler }, { runtime });
  const resolved = { interpreter, runtimeDir, toolDirs: [] };
  const channel = adapter.open(version, resolved);
  if (spec.pack) {
    const launch = adapter.packer?.(version, resolved)?.launch(placesOf(codeDir, runtimeDir), {});
    const [program = "", ...args] = launch?.command ?? [];
    channel.bring?.(execFileSync(program, args, { env: {}, maxBuffer: PACK_BYTES_MAX }));
    for (const [path, text] of Object.entries(spec.pack.rewrite)) await writeFile(join(codeDir, path), text);
  }
  const environment = { ...lambdaEnvironment(runtime), ...spec.environment };
  const sandbox = await startTestSandbox(channel, { codeDir, runtimeDir, environment });
  channel.attach(sandbox);
  return watched(channel, sandbox, codeDir);
}

const PACK_BYTES_MAX = 16 * 1024 * 1024;

function placesOf(codeDir: string, runtimeDir: string): SandboxPlaces {
  return { codeDir, runtimeDir, socketDir: "", tmpDir: "", runtimeApi: undefined, port: undefined };
}

function watched(channel: Channel, sandbox: Sandbox, codeDir: string): TestFunction {
  const logs: string[] = [];
  const output = { stdout: "", stderr: "" };
  sandbox.stdout.setEncoding("utf8").on("data", (text) => (output.stdout += text));
  sandbox.stderr.setEncoding("utf8").on("data", (text) => (output.stderr += text));
  collectRecords(sandbox, logs);
  const invoke = (event: unknown, call?: Partial<Call>) =>
    channel.invoke(callWith(event, call), { signal: new AbortController().signal });
  return {
    channel,
    sandbox,
    logs,
    output: () => output,
    invoke,
    async result(event, call) {
      const outcome = await invoke(event, call);
      if (outcome.kind !== "returned") throw new Error(`not returned: ${shown(outcome)}`);
      return JSON.parse(Buffer.from(outcome.payload).toString());
    },
    async error(event, call) {
      const outcome = await invoke(event, call);
      if (outcome.kind !== "threw") throw new Error(`not thrown: ${shown(outcome)}`);
      return JSON.parse(Buffer.from(outcome.payload).toString());
    },
    async [Symbol.asyncDispose]() {
      await sandbox[Symbol.asyncDispose]();
      await channel[Symbol.asyncDispose]();
      await rm(codeDir, { recursive: true, force: true });
    },
  };
}

export function callWith(event: unknown, call: Partial<Call> = {}): Call {
  return {
    invocationId: newInvocationId(),
    input: { kind: "event", payload: Buffer.from(JSON.stringify(event)), contentType: "application/json" },
    functionArn: "arn:aws:lambda:us-east-1:000000000000:function:greet",
    deadlineAt: Date.now() + 60_000,
    traceId: undefined,
    clientContext: undefined,
    sink: undefined,
    streamBytesMax: STREAMED_RESPONSE_BYTES_MAX,
    ...call,
  };
}

function shown(outcome: InvocationOutcome): string {
  return "payload" in outcome ? Buffer.from(outcome.payload).toString() : JSON.stringify(outcome);
}

/** The records of the log descriptor: 16 bytes head, then the message. */
function collectRecords(sandbox: Sandbox, logs: string[]): void {
  let rest: Buffer = Buffer.alloc(0);
  sandbox.telemetry.on("data", (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 16 && rest.length >= 16 + rest.readUInt32BE(4)) {
      const end = 16 + rest.readUInt32BE(4);
      logs.push(rest.toString("utf8", 16, end));
      rest = rest.subarray(end);
    }
  });
}

function lambdaEnvironment(runtime: string): Record<string, string> {
  return {
    LANG: "en_US.UTF-8",
    TZ: ":UTC",
    AWS_EXECUTION_ENV: `AWS_Lambda_${runtime}`,
    AWS_LAMBDA_FUNCTION_NAME: "greet",
    AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "128",
    AWS_LAMBDA_LOG_GROUP_NAME: "/aws/lambda/greet",
    AWS_LAMBDA_LOG_STREAM_NAME: "2026/01/01/[$LATEST]0123",
  };
}

function findProgram(program: string, args: readonly string[], valid: RegExp): string | undefined {
  try {
    const answer = execFileSync(program, args, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
    return valid.test(answer) ? answer : undefined;
  } catch {
    return undefined;
  }
}

/** For tests that need a tool: the reason to skip, or false. With REQUIRE_ALL=1 a missing tool fails the test instead. */
export function skipWithout(tool: string | undefined, name: string): string | false {
  return tool === undefined && process.env.REQUIRE_ALL !== "1" ? `${name} is not installed` : false;
}

/** Resolves once `condition` holds; fails after five seconds. */
export async function eventually(condition: () => boolean): Promise<void> {
  const giveUpAt = Date.now() + 5_000;
  while (!condition()) {
    if (Date.now() > giveUpAt) throw new Error(`never true: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
