/**
 * Calls for handlers in our own Node and Python runtimes (`runtimes/`), by frames (frames.ts).
 *
 * The channel listens on a socket in the sandbox's folder before the interpreter is up; the runtime connects to it, and
 * tries again while it is not there. The first connection is the runtime's, made before any code of the function runs;
 * then the socket is gone. The process starts generic: what makes it this function's comes in the first frame, which may be
 * much later (managed-ready.ts).
 */
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { PlatformError } from "../../core/errors.ts";
import type { Call, InvocationOutcome, ResponseSink } from "../../core/invocation.ts";
import { RESPONSE_BYTES_MAX } from "../../core/limits.ts";
import type { Log } from "../../core/log.ts";
import type { Sandbox, SandboxLaunch, SandboxPlaces } from "../../sandbox/driver.ts";
import {
  type Channel,
  type ChannelFailure,
  InitFailed,
  type ProtocolAdapter,
  type TelemetrySink,
} from "../protocol.ts";
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
import { ManagedApi } from "./managed-api.ts";
import { type ManagedStart, managedLaunch, needsApi, SOCKET_NAME } from "./managed-launch.ts";
import { findReadyKind } from "./managed-ready.ts";

/** For entries of kind `handler` with a runtime `nodejs*` or `python*`. */
export function managedAdapter(parts: { readonly log: Log; readonly accountId: string }): ProtocolAdapter {
  const { log } = parts;
  return {
    open: (version, runtime, externals = []) =>
      new ManagedChannel({
        log,
        start: (places, environment) => managedLaunch(version, runtime, places, environment),
        api: needsApi(version) ? new ManagedApi({ ...parts, version, externals }) : undefined,
      }),
    readyKind: (version) =>
      findReadyKind(version, (start) => new ManagedChannel({ log, start, api: undefined })),
  };
}

/** A response may be this much over its limit and still be told apart from garbage. */
const OVERSHOOT_BYTES = 1024 * 1024;

/** How long a lost connection waits for the exit that usually explains it. */
const EXIT_GRACE_MS = 1_000;

export class ManagedChannel implements Channel {
  readonly hasInput: boolean;
  readonly hasPort = false;
  readonly onRuntimeApiConnection: ((socket: Duplex) => void) | undefined;
  readonly isReusable = true;
  readonly ready: Promise<void>;
  /** The runtime has connected: what it is to be was sent to it, or can be. */
  readonly connected: Promise<void>;
  readonly failed?: Promise<ChannelFailure>;
  readonly telemetry?: TelemetrySink;
  readonly sort?: NonNullable<Channel["sort"]>;
  readonly shutDown?: NonNullable<Channel["shutDown"]>;

  readonly #start: ManagedStart;
  #log: Log;
  readonly #connection = Promise.withResolvers<void>();
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
  /** Only where something in the sandbox may ask for it, since it costs every start a listener. */
  readonly #api: ManagedApi | undefined;

  constructor(parts: {
    readonly log: Log;
    readonly start: ManagedStart;
    readonly api: ManagedApi | undefined;
  }) {
    const { api } = parts;
    this.#start = parts.start;
    this.#log = parts.log;
    this.#api = api;
    this.connected = this.#connection.promise;
    this.hasInput = api?.extensions.hasInput ?? false;
    this.onRuntimeApiConnection = api && ((socket) => api.accept(socket));
    this.ready = this.#readiness.promise;
    if (api) {
      const { extensions } = api;
      this.failed = extensions.failed;
      this.telemetry = extensions.telemetry;
      this.sort = (line) => extensions.sort(line);
      this.shutDown = (reason) => extensions.shutDown(reason);
      const both = Promise.all([this.#readiness.promise, extensions.ready]);
      this.ready = Promise.race([both.then(() => undefined), api.tookOver]);
    }
    // Whoever awaits it sees a rejection; a channel that is disposed before must not end the daemon.
    this.ready.catch(() => undefined);
    this.#idle.resolve();
  }

  launch(places: SandboxPlaces, environment: Readonly<Record<string, string>>): SandboxLaunch {
    const { launch, specialisation } = this.#start(places, environment);
    this.#specialisation = specialisation;
    return this.#api?.extensions.launch(places, launch) ?? launch;
  }

  /** Makes a runtime that was started without one a function's. Once, when it has connected. */
  specialise(specialisation: Specialisation): void {
    this.#send(FRAME.specialise, 0, JSON.stringify(specialisation), new Uint8Array());
  }

  attach(sandbox: Sandbox): void {
    this.#api?.attach(sandbox);
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
    if (this.#api?.hasTakenOver) return this.#api.invoke(call, signal);
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
    this.#api?.extensions.invoke(call);
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

  idle(): Promise<void> | undefined {
    if (this.#api) return this.#api.idle(this.#idle.promise);
    return this.#answer?.isOver === false ? this.#idle.promise : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#graceTimer);
    await this.#api?.[Symbol.asyncDispose]();
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    if (this.#server?.listening) this.#server.close(() => resolve());
    else resolve();
    this.#socket?.destroy();
    await closed;
  }

  #accept(socket: Socket): void {
    if (this.#socket) {
      socket.destroy();
      return;
    }
    this.#socket = socket;
    this.#server?.close();
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    // A reset is followed by `close`, which says all that matters.
    socket.on("error", () => undefined);
    socket.on("close", () => this.#lose());
    if (this.#specialisation) this.specialise(this.#specialisation);
    this.#connection.resolve();
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
      this.#api?.extensions.runtimeReady();
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
