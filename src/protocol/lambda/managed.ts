/**
 * Calls for handlers in our own Node and Python runtimes (`runtimes/`), by frames (frames.ts).
 *
 * The channel listens on a socket in the sandbox's folder before the interpreter is up; the runtime connects to it, and
 * tries again while it is not there. The first connection is the runtime's, made before any code of the function runs;
 * then the socket is gone. The process starts generic: what makes it this function's comes in the first frame.
 */
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { PlatformError } from "../../core/errors.ts";
import type { Version } from "../../core/function.ts";
import type { Call, InvocationOutcome, ResponseSink } from "../../core/invocation.ts";
import { RESPONSE_BYTES_MAX } from "../../core/limits.ts";
import type { Log } from "../../core/log.ts";
import type { Sandbox, SandboxLaunch, SandboxPlaces } from "../../sandbox/driver.ts";
import { type Channel, InitFailed, type ProtocolAdapter, type ResolvedRuntime } from "../protocol.ts";
import { Answer, cleanErrorType } from "./answer.ts";
import {
  type CallHead,
  encodeFrameHead,
  FRAME,
  type Frame,
  FrameError,
  FrameReader,
  type Specialisation,
} from "./frames.ts";
import { managedLaunch, SOCKET_NAME } from "./managed-launch.ts";

/** For entries of kind `handler` with a runtime `nodejs*` or `python*`. */
export function managedAdapter(parts: { readonly log: Log }): ProtocolAdapter {
  return { open: (version, runtime) => new ManagedChannel(version, runtime, parts.log) };
}

/** A response may be this much over its limit and still be told apart from garbage. */
const OVERSHOOT_BYTES = 1024 * 1024;

/** How long a lost connection waits for the exit that usually explains it. */
const EXIT_GRACE_MS = 1_000;

class ManagedChannel implements Channel {
  readonly hasInput = false;
  readonly hasPort = false;
  readonly onRuntimeApiConnection = undefined;
  readonly isReusable = true;
  readonly ready: Promise<void>;

  readonly #version: Version;
  readonly #runtime: ResolvedRuntime;
  #log: Log;
  readonly #readiness = Promise.withResolvers<void>();
  #idle = Promise.withResolvers<void>();
  readonly #reader = new FrameReader(RESPONSE_BYTES_MAX + OVERSHOOT_BYTES);
  #specialisation: Specialisation | undefined;
  #server: Server | undefined;
  #socket: Socket | undefined;
  #state: "starting" | "serving" | "init-failed" | "lost" = "starting";
  #callId = 0;
  #answer: Answer | undefined;
  #graceTimer: NodeJS.Timeout | undefined;

  constructor(version: Version, runtime: ResolvedRuntime, log: Log) {
    this.#version = version;
    this.#runtime = runtime;
    this.#log = log;
    this.ready = this.#readiness.promise;
    // Whoever awaits it sees a rejection; a channel that is disposed before must not end the daemon.
    this.ready.catch(() => undefined);
    this.#idle.resolve();
  }

  launch(places: SandboxPlaces, environment: Readonly<Record<string, string>>): SandboxLaunch {
    const { launch, specialisation } = managedLaunch(this.#version, this.#runtime, places, environment);
    this.#specialisation = specialisation;
    return launch;
  }

  attach(sandbox: Sandbox): void {
    this.#log = this.#log.with({ sandboxId: sandbox.id });
    const server = createServer((socket) => this.#accept(socket));
    this.#server = server;
    server.on("error", (cause) => {
      const error = new PlatformError("SandboxStartFailed", "cannot listen for the runtime", { cause });
      this.#readiness.reject(error);
    });
    // The program runs as another user; who can reach the folder is the driver's matter.
    server.listen({ path: join(sandbox.socketDir, SOCKET_NAME), readableAll: true, writableAll: true });
  }

  async invoke(call: Call, { signal }: { readonly signal: AbortSignal }): Promise<InvocationOutcome> {
    signal.throwIfAborted();
    if (call.input.kind !== "event") throw new Error("a handler takes events");
    if (this.#state !== "serving") return { kind: "crashed", ...CONNECTION_LOST, isStreamed: false };
    if (this.#answer && !this.#answer.isOver) throw new Error("a handler takes one call at a time");
    const { promise, resolve, reject } = Promise.withResolvers<InvocationOutcome>();
    const answer = new Answer(call, resolve);
    const giveUp = () => {
      answer.abandon();
      reject(signal.reason);
    };
    this.#answer = answer;
    this.#callId = (this.#callId % 0xffffffff) + 1;
    this.#idle = Promise.withResolvers<void>();
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      this.#send(
        FRAME.invoke,
        this.#callId,
        JSON.stringify(headOf(call, call.input.contentType)),
        call.input.payload,
      );
      return await promise;
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
  }

  idle(): Promise<void> {
    return this.#idle.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#graceTimer);
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    if (this.#server?.listening) this.#server.close(() => resolve());
    else resolve();
    this.#socket?.destroy();
    await closed;
  }

  #accept(socket: Socket): void {
    if (this.#socket || !this.#specialisation) {
      socket.destroy();
      return;
    }
    this.#socket = socket;
    this.#server?.close();
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    // A reset is followed by `close`, which says all that matters.
    socket.on("error", () => undefined);
    socket.on("close", () => this.#lose());
    this.#send(FRAME.specialise, 0, JSON.stringify(this.#specialisation), new Uint8Array());
  }

  #send(type: number, callId: number, label: string, body: Uint8Array): void {
    const head = encodeFrameHead(type, callId, label, body.length);
    if (body.length <= COPIED_BYTES_MAX) {
      this.#socket?.write(Buffer.concat([head, body]));
      return;
    }
    this.#socket?.cork();
    this.#socket?.write(head);
    this.#socket?.write(body);
    this.#socket?.uncork();
  }

  #read(chunk: Buffer): void {
    try {
      this.#reader.read(chunk, (frame) => this.#take(frame));
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#log.warn("a runtime broke its protocol", { reason: error.message });
      this.#state = "lost";
      this.#answer?.fail({ errorType: "Runtime.Unknown", message: "Runtime sent what is no answer" });
      this.#socket?.destroy();
    }
  }

  /** @throws FrameError */
  #take(frame: Frame): void {
    if (this.#state === "serving" && this.#answer && frame.callId === this.#callId) {
      this.#takeAnswer(this.#answer, frame);
    } else if (this.#state === "starting" && frame.type === FRAME.ready) {
      this.#state = "serving";
      this.#readiness.resolve();
    } else if (this.#state === "starting" && frame.type === FRAME.initError) {
      this.#state = "init-failed";
      this.#readiness.reject(new InitFailed(Uint8Array.from(frame.body), cleanErrorType(frame.label)));
    } else throw new FrameError(`frame ${frame.type} of call ${frame.callId} while ${this.#state}`);
  }

  /** @throws FrameError */
  #takeAnswer(answer: Answer, frame: Frame): void {
    const hasRoom = answer.take(frame);
    if (answer.isOver) this.#idle.resolve();
    // What was received before the pause took effect still comes; one wait is enough for all of it.
    if (!hasRoom && answer.sink && !this.#socket?.isPaused()) void this.#waitForSink(answer.sink);
  }

  /** Stops reading meanwhile, so that the socket fills and the handler's own writes wait. */
  async #waitForSink(sink: ResponseSink): Promise<void> {
    this.#socket?.pause();
    await sink.drained();
    this.#socket?.resume();
  }

  #lose(): void {
    if (this.#state !== "init-failed") this.#state = "lost";
    if (!this.#answer || this.#answer.isOver) return;
    // Why the process went is told by its exit; only one that closed its connection and lives on is answered here.
    this.#graceTimer = setTimeout(() => this.#answer?.fail(CONNECTION_LOST), EXIT_GRACE_MS);
    this.#graceTimer.unref();
  }
}

const CONNECTION_LOST = {
  errorType: "Runtime.Unknown",
  message: "Runtime closed its connection",
};

/** Up to here one copy and one write cost less than two writes. */
const COPIED_BYTES_MAX = 16 * 1024;

function headOf(call: Call, contentType: string): CallHead {
  return {
    requestId: call.invocationId,
    deadlineMs: call.deadlineAt,
    functionArn: call.functionArn,
    traceId: call.traceId,
    clientContext: call.clientContext,
    contentType,
  };
}
