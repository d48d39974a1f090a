import type { Readable, Writable } from "node:stream";
import { assert } from "../../core/assert.ts";
import type { Version } from "../../core/function.ts";
import { type Call, describeExit, type InvocationOutcome, type SandboxExit } from "../../core/invocation.ts";
import type { Sandbox, SandboxLaunch, SandboxPlaces } from "../../sandbox/driver.ts";
import { programOf, withInterpreterOnPath } from "../command.ts";
import type { Channel, ProtocolAdapter, ResolvedRuntime } from "../protocol.ts";
import { untilAborted } from "../until-aborted.ts";
import { receiveOutput } from "./output.ts";

/** Of what a program said on stderr, so much goes into the error of its call. */
const STDERR_TAIL_LENGTH = 2_000;
const STDERR_GRACE_MS = 100;

/**
 * For filters: a process per invocation, its input on stdin, its result on stdout, its log on stderr. It starts before the
 * call is known and waits in its first read. Its exit is part of the answer, so `invoke` tells it, not its owner.
 */
export function stdioAdapter(): ProtocolAdapter {
  return { open: (version, runtime) => new StdioChannel(version, runtime) };
}

class StdioChannel implements Channel {
  readonly hasInput = true;
  readonly hasPort = false;
  readonly isReusable = false;
  readonly onRuntimeApiConnection = undefined;
  readonly ready: Promise<void>;
  readonly #command: readonly [string, ...string[]];
  readonly #runtime: ResolvedRuntime;
  readonly #setReady: () => void;
  #sandbox: Sandbox | undefined;
  #isUsed = false;

  constructor(version: Version, runtime: ResolvedRuntime) {
    const { entry } = version.config;
    assert(entry.kind === "filter", `stdin and stdout are for filters, not for a ${entry.kind}`);
    this.#command = entry.command;
    this.#runtime = runtime;
    const ready = Promise.withResolvers<void>();
    this.ready = ready.promise;
    this.#setReady = ready.resolve;
  }

  launch(places: SandboxPlaces, environment: Readonly<Record<string, string>>): SandboxLaunch {
    const [program, ...args] = this.#command;
    return {
      command: [programOf(program, places.codeDir), ...args],
      environment: withInterpreterOnPath(environment, this.#runtime),
      workingDir: places.codeDir,
    };
  }

  attach(sandbox: Sandbox): void {
    this.#sandbox = sandbox;
    // Holds what a program writes before its call comes; Node drops it at the exit of a process that nobody reads from.
    sandbox.stdout.on("readable", () => undefined);
    this.#setReady();
  }

  async invoke(call: Call, { signal }: { readonly signal: AbortSignal }): Promise<InvocationOutcome> {
    const { input } = call;
    const sandbox = this.#sandbox;
    assert(input.kind === "event", "a filter is invoked with bytes");
    assert(sandbox?.stdin, "a filter is attached to a sandbox with a stdin");
    signal.throwIfAborted();
    assert(!this.#isUsed, "a filter serves one call");
    this.#isUsed = true;
    const stderr = new Tail(sandbox.stderr);
    feed(sandbox.stdin, input.payload);
    const output = await untilAborted(receiveOutput(sandbox.stdout, call, signal), signal);
    if (output.end === "too-large") return output.outcome;
    const exit = await untilAborted(sandbox.exited, signal);
    return judge(exit, output.outcome, exit.exitCode === 0 ? "" : await stderr.last());
  }

  async idle(): Promise<void> {
    // It never takes another call: there is nothing to wait for.
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // All it holds are the sandbox's pipes, which close with it.
  }
}

/** A program may leave without having read its input; that is its own affair. */
function feed(stdin: Writable, payload: Uint8Array): void {
  stdin.on("error", () => undefined);
  stdin.end(payload);
}

/** The exit makes the outcome: 0 is success, another status is the program's error, a signal is a crash. */
function judge(exit: SandboxExit, output: InvocationOutcome, stderr: string): InvocationOutcome {
  if (exit.outOfMemory || exit.signal !== null || exit.exitCode === null) {
    const { isStreamed } = output;
    return { kind: "crashed", errorType: "Runtime.ExitError", message: describeExit(exit), isStreamed };
  }
  if (exit.exitCode === 0) return output;
  const errorType = "Function.ExitError";
  const errorMessage = `exit status ${exit.exitCode}`;
  const payload = Buffer.from(JSON.stringify({ errorType, errorMessage, ...(stderr && { stderr }) }));
  return { kind: "threw", payload, errorType, isStreamed: output.isStreamed };
}

/** The last of what a stream says, beside whoever else reads it. */
class Tail {
  readonly #stream: Readable;
  #text = "";

  constructor(stream: Readable) {
    this.#stream = stream;
    stream.on("data", (chunk: Buffer | string) => {
      this.#text = (this.#text + chunk).slice(-STDERR_TAIL_LENGTH);
    });
  }

  /** When the program is gone: waits a little for what is still in the pipe. */
  async last(): Promise<string> {
    if (!this.#stream.readableEnded && !this.#stream.destroyed) {
      const ended = Promise.withResolvers<void>();
      const timer = setTimeout(ended.resolve, STDERR_GRACE_MS);
      this.#stream.once("close", ended.resolve).once("end", ended.resolve);
      await ended.promise;
      clearTimeout(timer);
    }
    return this.#text.trimEnd();
  }
}
