/**
 * Calls for handlers in our own Node, Python and Ruby runtimes (`runtimes/`), by frames (frames.ts).
 *
 * The channel listens on a socket in the sandbox's folder before the interpreter is up; the runtime connects to it, and
 * tries again while it is not there. The first connection is the runtime's, made before any code of the function runs;
 * then the socket is gone. The process starts generic: what makes it this function's comes in the first frame, which may be
 * much later (managed-ready.ts).
 */
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { assert } from "../../core/assert.ts";
import { PlatformError } from "../../core/errors.ts";
import type { Version } from "../../core/function.ts";
import type { InvocationId } from "../../core/ids.ts";
import type { Call, InvocationOutcome, ResponseSink } from "../../core/invocation.ts";
import { RESPONSE_BYTES_MAX } from "../../core/limits.ts";
import type { Log } from "../../core/log.ts";
import type { Sandbox, SandboxLaunch, SandboxPlaces } from "../../sandbox/driver.ts";
import {
  type CallKeeper,
  type Channel,
  type ChannelFailure,
  InitFailed,
  type InvokeOptions,
  NotBegun,
  type ProtocolAdapter,
  type TelemetrySink,
} from "../protocol.ts";
import { cleanErrorType } from "./answer.ts";
import { FrameOutbox } from "./frame-outbox.ts";
import { type CallHead, FRAME, type Frame, FrameError, FrameReader, type Specialisation } from "./frames.ts";
import { HandedCall, Outcomes } from "./handed-call.ts";
import { ImportHistory } from "./import-history.ts";
import { ManagedApi } from "./managed-api.ts";
import { findPacker, type ManagedStart, managedLaunch, needsApi, SOCKET_NAME } from "./managed-launch.ts";
import { findReadyKind } from "./managed-ready.ts";

/** For entries of kind `handler` with a runtime `nodejs*`, `python*` or `ruby*`. */
export function managedAdapter(parts: {
  readonly log: Log;
  readonly accountId: string;
  /** How many sets of modules Python is kept forking from, besides none; 0 if left out. */
  readonly importSetsMax?: number | undefined;
}): ProtocolAdapter {
  const { log } = parts;
  const history = new ImportHistory({ setsMax: parts.importSetsMax ?? 0 });
  return {
    open: (version, runtime, externals = []) =>
      new ManagedChannel({
        log,
        start: (places, environment) =>
          managedLaunch(version, runtime, places, { environment, imports: history.of(version) }),
        loaded: (label) => history.learn(version, label),
        api: needsApi(version) ? new ManagedApi({ ...parts, version, externals }) : undefined,
        aheadMax: aheadMaxOf(version),
      }),
    packer: (version, runtime) => findPacker(version, runtime),
    readyKind: (version) =>
      findReadyKind(
        version,
        history,
        (start) => new ManagedChannel({ log, start, api: undefined, aheadMax: aheadMaxOf(version) }),
      ),
  };
}

/** The runtimes of Python and Ruby read one call at a time and could not give one back; extensions are told of each call as it begins. */
function aheadMaxOf(version: Version): number {
  return version.config.runtime.startsWith("nodejs") && !needsApi(version) ? AHEAD_MAX : 0;
}

/** Enough for a runtime to find its next calls in what it has read already, though many clients call at once. */
const AHEAD_MAX = 100;

/** A response may be this much over its limit and still be told apart from garbage. */
const OVERSHOOT_BYTES = 1024 * 1024;

/** How long a lost connection waits for the exit that usually explains it. */
const EXIT_GRACE_MS = 1_000;

class ManagedChannel implements Channel {
  readonly hasInput: boolean;
  readonly hasPort = false;
  readonly onRuntimeApiConnection: ((socket: Duplex) => void) | undefined;
  readonly isReusable = true;
  readonly ready: Promise<void>;
  /** A runtime that was started without a function waits for one. */
  readonly rehearsed: Promise<void>;
  readonly failed?: Promise<ChannelFailure>;
  readonly telemetry?: TelemetrySink;
  readonly sort?: NonNullable<Channel["sort"]>;
  readonly shutDown?: NonNullable<Channel["shutDown"]>;
  readonly tellReady?: NonNullable<Channel["tellReady"]>;

  readonly #start: ManagedStart;
  #loaded: ((label: string) => void) | undefined;
  #log: Log;
  #tellReady: (() => void) | undefined;
  #isTold = false;
  readonly #rehearsal = Promise.withResolvers<void>();
  readonly #readiness = Promise.withResolvers<void>();
  readonly aheadMax: number;
  readonly #reader = new FrameReader(RESPONSE_BYTES_MAX + OVERSHOOT_BYTES);
  #specialisation: Specialisation | undefined;
  #pack: Uint8Array = NOTHING;
  #server: Server | undefined;
  #socket: Socket | undefined;
  #state: "starting" | "serving" | "init-failed" | "lost" = "starting";
  #callId = 0;
  /** Calls handed over whose answers are not over, in the order in which they are served. */
  readonly #calls: HandedCall[] = [];
  readonly #outcomes = new Outcomes();
  readonly #onFrame = (frame: Frame): void => this.#take(frame);
  readonly #outbox = new FrameOutbox(() => this.#socket);
  #watched: AbortSignal | undefined;
  #graceTimer: NodeJS.Timeout | undefined;
  /** Only where something in the sandbox may ask for it, since it costs every start a listener. */
  readonly #api: ManagedApi | undefined;

  constructor(parts: {
    readonly log: Log;
    readonly start: ManagedStart;
    readonly api: ManagedApi | undefined;
    readonly aheadMax: number;
    /** Told what the runtime says of how the function has loaded. */
    readonly loaded?: (label: string) => void;
  }) {
    const { api } = parts;
    this.aheadMax = parts.aheadMax;
    this.#start = parts.start;
    this.#log = parts.log;
    this.#loaded = parts.loaded;
    this.#api = api;
    this.rehearsed = this.#rehearsal.promise;
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
    // With extensions, the runtime alone does not decide.
    if (!api) this.tellReady = (ready) => this.#tellOnceReady(ready);
    // Whoever awaits it sees a rejection; a channel that is disposed before must not end the daemon.
    this.ready.catch(() => undefined);
  }

  launch(places: SandboxPlaces, environment: Readonly<Record<string, string>>): SandboxLaunch {
    const { launch, specialisation } = this.#start(places, environment);
    this.#specialisation = specialisation;
    return this.#api?.extensions.launch(places, launch) ?? launch;
  }

  /** Who is told how the function has loaded, where that was not known when the channel was opened. */
  tellOfLoad(loaded: (label: string) => void): void {
    this.#loaded = loaded;
  }

  /** Makes a runtime that has rehearsed a function's. Once. */
  specialise(specialisation: Specialisation, pack: Uint8Array = NOTHING): void {
    this.#send(FRAME.specialise, 0, JSON.stringify(specialisation), pack);
    // The runtime wakes up while its code is being mounted.
    this.#outbox.flush();
  }

  /** Once its code is there, if it waits for that. */
  load(pack: Uint8Array = NOTHING): void {
    this.#isTold = true;
    this.#send(FRAME.load, 0, "", pack);
  }

  #tellOnceReady(ready: () => void): void {
    if (this.#state === "serving") ready();
    else this.#tellReady = ready;
  }

  /** All that comes before a call has been sent, and the runtime may be sent calls ahead. */
  get takesEarly(): boolean {
    return this.#state === "starting" && this.#isTold && this.aheadMax > 0 && this.#calls.length === 0;
  }

  /** Before the runtime has connected. */
  bring(pack: Uint8Array): void {
    this.#pack = pack;
  }

  attach(sandbox: Sandbox): void {
    this.#api?.attach(sandbox);
    this.#log = this.#log.with({ sandboxId: sandbox.id });
    const server = createServer((socket) => this.#accept(socket));
    this.#server = server;
    server.on("error", (cause) => {
      const error = new PlatformError("SandboxStartFailed", "cannot listen for the runtime", { cause });
      // A program that has left already has taken its folder along; its exit says more then.
      const fail = setTimeout(() => this.#readiness.reject(error), EXIT_GRACE_MS);
      void sandbox.exited.then(() => clearTimeout(fail));
    });
    // The program runs as another user; who can reach the folder is the driver's matter.
    server.listen({ path: join(sandbox.socketDir, SOCKET_NAME), readableAll: true, writableAll: true });
  }

  invoke(call: Call, { signal, begun }: InvokeOptions): Promise<InvocationOutcome> {
    return new Promise((settled, refused) => {
      this.hand(call, { begun: () => begun?.(), settled, refused }, signal);
    });
  }

  hand(call: Call, keeper: CallKeeper, signal: AbortSignal): void {
    if (this.#state !== "serving" || this.#api || signal.aborted || this.#calls.length > this.aheadMax) {
      this.#handWithCare(call, keeper, signal);
    } else this.#handOver(call, keeper, signal);
  }

  /** Where something may be in the way of the call. */
  #handWithCare(call: Call, keeper: CallKeeper, signal: AbortSignal): void {
    const settle = (outcome: Promise<InvocationOutcome>) =>
      outcome.then(
        (settled) => keeper.settled(settled),
        (error: unknown) => keeper.refused(error),
      );
    if (signal.aborted) void settle(Promise.reject(signal.reason));
    else if (this.#api?.hasTakenOver) void settle(this.#api.invoke(call, signal));
    else if (this.takesEarly) this.#handOver(call, keeper, signal);
    else if (this.#state !== "serving") {
      void settle(Promise.resolve({ kind: "crashed", ...CONNECTION_LOST, isStreamed: false }));
    } else if (this.#calls.length > this.aheadMax) {
      void settle(Promise.reject(new Error("a handler serves one call at a time")));
    } else this.#handOver(call, keeper, signal);
  }

  #handOver(call: Call, keeper: CallKeeper, signal: AbortSignal): void {
    assert(call.input.kind === "event", "a handler takes events");
    this.#callId = (this.#callId % 0xffffffff) + 1;
    const handed = new HandedCall(this.#callId, call, keeper, this.#outcomes);
    this.#watch(signal);
    this.#calls.push(handed);
    const isEarly = this.#state === "starting";
    if (this.#calls[0] === handed && !isEarly) keeper.begun();
    this.#api?.extensions.invoke(call);
    const { payload, contentType } = call.input;
    this.#send(FRAME.invoke, handed.callId, headJson(call, contentType, isEarly), payload);
  }

  recall(invocationId: InvocationId): void {
    const handed = this.#calls.find((handed) => handed.invocationId === invocationId);
    if (!handed || handed === this.#calls[0]) return;
    handed.isRecalled = true;
    this.#send(FRAME.recall, handed.callId, "", new Uint8Array());
  }

  idle(): Promise<void> | undefined {
    const first = this.#calls[0];
    const isBusyWithLast = first?.answer.isSettled === true;
    if (this.#api) return this.#api.idle(isBusyWithLast ? first.over() : Promise.resolve());
    return isBusyWithLast ? first.over() : undefined;
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
    if (this.#specialisation) this.specialise(this.#specialisation, this.#pack);
    else this.#send(FRAME.rehearse, 0, JSON.stringify(REHEARSAL), Buffer.from("{}"));
  }

  /** Whoever gives up on one call gives up on the sandbox; so it is one listener for all calls of an owner. */
  #watch(signal: AbortSignal): void {
    if (signal === this.#watched) return;
    this.#watched = signal;
    signal.addEventListener(
      "abort",
      () => {
        for (const handed of this.#calls.splice(0)) handed.refuse(signal.reason);
      },
      { once: true },
    );
  }

  #send(type: number, callId: number, label: string, body: Uint8Array): void {
    this.#outbox.send(type, callId, label, body);
  }

  #read(chunk: Buffer): void {
    this.#readFrames(chunk);
    // Only now: whoever is told of an answer asks whether the runtime is through with the call, which the next frame says.
    this.#outcomes.tell();
  }

  #readFrames(chunk: Buffer): void {
    try {
      this.#reader.read(chunk, this.#onFrame);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#log.warn("a runtime broke its protocol", { reason: error.message });
      const wasServing = this.#state === "serving";
      this.#state = "lost";
      if (wasServing)
        this.#calls[0]?.answer.fail({
          errorType: "Runtime.Unknown",
          message: "Runtime sent what is no answer",
        });
      this.#socket?.destroy();
    }
  }

  /** @throws FrameError */
  #take(frame: Frame): void {
    const [first] = this.#calls;
    if (this.#state === "serving" && first?.callId === frame.callId) {
      this.#takeAnswer(first, frame);
    } else if (this.#state === "serving" && frame.type === FRAME.recalled) {
      this.#giveBack(frame);
    } else if (this.#state === "starting" && frame.type === FRAME.ready) {
      this.#state = "serving";
      this.#loaded?.(frame.label);
      this.#readiness.resolve();
      this.#tellReady?.();
      this.#api?.extensions.runtimeReady();
      this.#calls[0]?.keeper.begun();
    } else if (this.#state === "starting" && frame.type === FRAME.rehearsed && !this.#specialisation) {
      this.#rehearsal.resolve();
    } else if (this.#state === "starting" && frame.type === FRAME.initError) {
      this.#state = "init-failed";
      this.#readiness.reject(new InitFailed(Uint8Array.from(frame.body), cleanErrorType(frame.label)));
    } else throw new FrameError(`frame ${frame.type} of call ${frame.callId} while ${this.#state}`);
  }

  /** @throws FrameError */
  #takeAnswer({ answer }: HandedCall, frame: Frame): void {
    const hasRoom = answer.take(frame);
    if (answer.isOver) {
      this.#calls.shift()?.end();
      this.#calls[0]?.keeper.begun();
    }
    // What was received before the pause took effect still comes; one wait is enough for all of it.
    if (!hasRoom && answer.sink && !this.#socket?.isPaused()) void this.#waitForSink(answer.sink);
  }

  /** @throws FrameError */
  #giveBack(frame: Frame): void {
    const at = this.#calls.findIndex((handed) => handed.callId === frame.callId && handed.isRecalled);
    if (at < 1) throw new FrameError(`call ${frame.callId} was not asked to be given back`);
    for (const handed of this.#calls.splice(at, 1)) handed.refuse(new NotBegun());
  }

  /** Stops reading meanwhile, so that the socket fills and the handler's own writes wait. */
  async #waitForSink(sink: ResponseSink): Promise<void> {
    this.#socket?.pause();
    await sink.drained();
    this.#socket?.resume();
  }

  #lose(): void {
    const wasServing = this.#state === "serving";
    if (this.#state !== "init-failed") this.#state = "lost";
    const [first] = this.#calls;
    // What becomes of a start, and of a call that waits for it, is told by the process's exit alone.
    if (!first || !wasServing) return;
    // Why the process went is told by its exit; only one that closed its connection and lives on is answered here.
    this.#graceTimer = setTimeout(() => {
      first.answer.fail(CONNECTION_LOST);
      this.#outcomes.tell();
    }, EXIT_GRACE_MS);
    this.#graceTimer.unref();
  }
}

const NOTHING = new Uint8Array();

/** A call that nobody made. */
const REHEARSAL: CallHead = {
  requestId: "00000000-0000-4000-8000-000000000000",
  deadlineMs: 0,
  functionArn: "",
  traceId: undefined,
  clientContext: undefined,
  contentType: "application/json",
};

const CONNECTION_LOST = {
  errorType: "Runtime.Unknown",
  message: "Runtime closed its connection",
};

/** A `CallHead`, written by hand: an invocation id needs no escaping, and half of the rest is mostly left out. */
function headJson(call: Call, contentType: string, isEarly: boolean): string {
  const { invocationId, deadlineAt, functionArn, traceId, clientContext } = call;
  const time = isEarly ? `"leftMs":${deadlineAt - Date.now()}` : `"deadlineMs":${deadlineAt}`;
  let json = `{"requestId":"${invocationId}",${time},"functionArn":${quotedArn(functionArn)}`;
  if (traceId !== undefined) json += `,"traceId":${JSON.stringify(traceId)}`;
  if (clientContext !== undefined) json += `,"clientContext":${JSON.stringify(clientContext)}`;
  const type = contentType === JSON_TYPE ? JSON_TYPE_QUOTED : JSON.stringify(contentType);
  return `${json},"contentType":${type}}`;
}

const JSON_TYPE = "application/json";
const JSON_TYPE_QUOTED = JSON.stringify(JSON_TYPE);

let lastArn = { text: "", quoted: '""' };

/** The same one mostly comes again. */
function quotedArn(text: string): string {
  if (lastArn.text !== text) lastArn = { text, quoted: JSON.stringify(text) };
  return lastArn.quoted;
}
