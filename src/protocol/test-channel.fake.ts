import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Entry } from "../core/function.ts";
import { newInvocationId } from "../core/ids.ts";
import type { Call, CallInput, InvocationOutcome, ResponseHead, ResponseSink } from "../core/invocation.ts";
import { STREAMED_RESPONSE_BYTES_MAX } from "../core/limits.ts";
import type { Sandbox } from "../sandbox/driver.ts";
import type { Channel, ProtocolAdapter, ResolvedRuntime } from "./protocol.ts";
import { startTestSandbox, testVersion } from "./test-sandbox.fake.ts";

export const NO_RUNTIME: ResolvedRuntime = {
  interpreter: undefined,
  runtimeDir: undefined,
  toolDirs: [],
};

/** Code to run: files by path; those whose text begins with `#!` are executable. */
export interface Program {
  readonly files: Readonly<Record<string, string>>;
  readonly entry: Entry;
}

export interface TestChannel extends AsyncDisposable {
  readonly channel: Channel;
  readonly sandbox: Sandbox;
  /** All that the program wrote so far; a filter's stdout is left to its channel. */
  readonly output: { stdout: string; stderr: string; telemetry: string };
  readonly codeDir: string;
  /** Invokes with what `call` makes of it. */
  invoke(
    input: string | Uint8Array | Partial<Call>,
    options?: { readonly signal?: AbortSignal },
  ): Promise<InvocationOutcome>;
}

export interface TestChannelOptions {
  readonly runtime?: ResolvedRuntime;
  readonly environment?: Readonly<Record<string, string>>;
  readonly slots?: number;
  /** A folder with the code instead of `program.files`. */
  readonly codeDir?: string;
}

/** Writes the program, starts it in a sandbox and attaches its channel. Does not wait until it is ready. */
export async function startTestChannel(
  adapter: ProtocolAdapter,
  program: Program,
  options: TestChannelOptions = {},
): Promise<TestChannel> {
  const { runtime = NO_RUNTIME, environment = {} } = options;
  const codeDir = options.codeDir ?? (await writeProgram(program));
  const version = testVersion(program.entry, { slotsPerInstance: options.slots ?? 1 });
  const channel = adapter.open(version, runtime);
  const { runtimeDir } = runtime;
  const sandbox = await startTestSandbox(channel, {
    codeDir,
    environment,
    ...(runtimeDir && { runtimeDir }),
  });
  const output = { stdout: "", stderr: "", telemetry: "" };
  for (const name of ["stdout", "stderr", "telemetry"] as const) {
    if (name === "stdout" && program.entry.kind === "filter") continue;
    sandbox[name].on("data", (chunk) => {
      output[name] += chunk;
    });
  }
  channel.attach(sandbox);
  return {
    channel,
    sandbox,
    output,
    codeDir,
    invoke: (input, { signal = new AbortController().signal } = {}) =>
      channel.invoke(newCall(program.entry, input), { signal }),
    async [Symbol.asyncDispose]() {
      await sandbox[Symbol.asyncDispose]();
      await channel[Symbol.asyncDispose]();
      if (!options.codeDir) await rm(codeDir, { recursive: true, force: true });
    },
  };
}

async function writeProgram(program: Program): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "ld-code-"));
  for (const [path, text] of Object.entries(program.files)) {
    const file = join(folder, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
    if (text.startsWith("#!")) await chmod(file, 0o755);
  }
  return folder;
}

/** A call with the payload as event, or as the body of a POST where the entry speaks HTTP. */
export function newCall(entry: Entry, given: string | Uint8Array | Partial<Call>): Call {
  const isPayload = typeof given === "string" || given instanceof Uint8Array;
  const payload = isPayload ? Buffer.from(given) : Buffer.from("{}");
  const speaksHttp = entry.kind === "server" || entry.kind === "lifecycle";
  const input: CallInput = speaksHttp
    ? { kind: "request", method: "POST", path: "/", rawHeaders: ["Host", "tested.localhost"], body: payload }
    : { kind: "event", payload, contentType: "application/json" };
  return {
    invocationId: newInvocationId(),
    input,
    functionArn: "arn:aws:lambda:us-east-1:000000000000:function:tested",
    deadlineAt: Date.now() + 3_000,
    traceId: undefined,
    clientContext: undefined,
    sink: undefined,
    streamBytesMax: STREAMED_RESPONSE_BYTES_MAX,
    ...(!isPayload && given),
  };
}

/** A GET or another request without a body. */
export function newRequest(
  path: string,
  method = "GET",
  rawHeaders: readonly string[] = ["Host", "tested.localhost"],
): CallInput {
  return { kind: "request", method, path, rawHeaders, body: undefined };
}

/** Collects a response; `blockAfter` bytes it says that it is full until `release` is called. */
export class TestSink implements ResponseSink {
  readonly #blockAfter: number;
  #released = Promise.withResolvers<void>();
  #isReleased = false;
  head: ResponseHead | undefined;
  body = Buffer.alloc(0);
  bytes = 0;
  /** Resolves at the first byte. */
  readonly begun = Promise.withResolvers<void>();
  /** Resolves when somebody waits for room. */
  readonly waitedFor = Promise.withResolvers<void>();

  constructor(blockAfter = Number.POSITIVE_INFINITY) {
    this.#blockAfter = blockAfter;
  }

  start(head: ResponseHead): void {
    if (this.head) throw new Error("started twice");
    this.head = head;
  }

  write(chunk: Uint8Array): boolean {
    if (!this.head) throw new Error("written before start");
    this.bytes += chunk.length;
    if (this.bytes < 1_000_000) this.body = Buffer.concat([this.body, chunk]);
    this.begun.resolve();
    return this.#isReleased || this.bytes < this.#blockAfter;
  }

  drained(): Promise<void> {
    this.waitedFor.resolve();
    return this.#released.promise;
  }

  release(): void {
    this.#isReleased = true;
    this.#released.resolve();
  }
}

export function textOf(outcome: InvocationOutcome): string {
  return "payload" in outcome ? Buffer.from(outcome.payload).toString("utf8") : JSON.stringify(outcome);
}
