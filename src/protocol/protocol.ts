import type { Duplex } from "node:stream";
import type { Version } from "../core/function.ts";
import type { InvocationId } from "../core/ids.ts";
import type { Call, InvocationOutcome } from "../core/invocation.ts";
import type { TelemetryEvent } from "../core/telemetry.ts";
import type { Sandbox, SandboxLaunch, SandboxPlaces } from "../sandbox/driver.ts";

/**
 * How an instance is handed work. One channel belongs to one sandbox that serves one version:
 *
 *   protocol.open(version) ─► channel ─► driver.start({ launch: channel.launch, … }) ─► channel.attach(sandbox)
 *   ─► await channel.ready ─► channel.invoke(call) … ─► dispose
 *
 * A channel never starts, stops or judges sandboxes; whoever owns both reacts to what it returns.
 */
export interface ProtocolAdapter {
  /** `extensions` are the names of the programs in /opt/extensions. */
  open(version: Version, runtime: ResolvedRuntime, extensions?: readonly string[]): Channel;
  /** What a sandbox has to be to become this version's when it runs already; undefined if only one of its own will do. */
  readyKind?(version: Version): ReadyKind | undefined;
  /**
   * A program that makes a pack of the version's code, on its stdout: what every start would otherwise do anew. It runs
   * none of that code. Undefined where there is nothing to be gained.
   */
  packer?(version: Version, runtime: ResolvedRuntime): Packer | undefined;
}

export interface Packer {
  /** Equal where the program makes the same of the same code. */
  readonly key: string;
  launch(places: SandboxPlaces, environment: Readonly<Record<string, string>>): SandboxLaunch;
}

/** The interpreter and files a version runs with on this host. */
export interface ResolvedRuntime {
  /** Absolute path of the interpreter; undefined for programs that need none (`provided.*`). */
  readonly interpreter: string | undefined;
  /** Folder of our managed runtime on this host. */
  readonly runtimeDir: string | undefined;
  /** Folders the interpreter needs that are not in /usr. */
  readonly toolDirs: readonly string[];
}

/** Takes what happens in and around an instance, for extensions inside that asked to be told. */
export interface TelemetrySink {
  /** False while nobody is interested. */
  readonly isWanted: boolean;
  take(event: TelemetryEvent): void;
}

/** Something that belongs to the instance has failed though its sandbox may still be there; it is of no use any more. */
export interface ChannelFailure {
  readonly errorType: string;
  /** Without the `RequestId: … Error: ` prefix. */
  readonly message: string;
}

/** Why an instance ends, in the Extensions API's words. */
export type ShutdownReason = "spindown" | "timeout" | "failure";

export interface Channel extends AsyncDisposable {
  readonly hasInput: boolean;
  readonly hasPort: boolean;
  /** Present when the program polls the Runtime API. */
  readonly onRuntimeApiConnection: ((socket: Duplex) => void) | undefined;
  /**
   * False when the sandbox is used up by one invocation (filters). Its stdout is the answer then, which only the channel
   * reads, and its exit is part of it: `invoke` settles after the exit and tells a crash itself.
   */
  readonly isReusable: boolean;
  /**
   * Command and environment; `environment` is what the platform sets for every function (AWS_LAMBDA_*, PATH, the
   * user's variables), to which the channel adds its own.
   */
  launch(places: SandboxPlaces, environment: Readonly<Record<string, string>>): SandboxLaunch;
  /** Once, after the sandbox was started. */
  attach(sandbox: Sandbox): void;
  /**
   * Resolves when the first call can be handed over. Rejects with `InitFailed` when the program said why it cannot
   * start; if the sandbox merely exits it stays pending (watch `sandbox.exited`, and give a moment to what an exit
   * explains: a missing bootstrap rejects with `InitFailed` in the same turn as `exited` resolves).
   */
  readonly ready: Promise<void>;
  /**
   * Hands over one call. At most `slotsPerInstance` at once. Timeouts are not the channel's: when `signal` aborts,
   * it stops waiting, throws `signal.reason` and the caller disposes the sandbox.
   * If the sandbox exits meanwhile this stays pending (watch `sandbox.exited`), unless the answer was complete.
   */
  invoke(call: Call, options: InvokeOptions): Promise<InvocationOutcome>;
  /**
   * The same for channels that every warm call takes: what becomes of the call is told in the turn in which it is known, and
   * never within `hand` itself, for promises on the way would cost a call more than its bookkeeping.
   */
  hand?(call: Call, keeper: CallKeeper, signal: AbortSignal): void;
  /**
   * How many calls may be handed over before the one that is served has ended; none if left out. They are begun in order,
   * each when the one before is over, so that a quick function need not sleep between two calls.
   */
  readonly aheadMax?: number;
  /**
   * Has `ready` called in the turn in which the program is ready (at once if it is), before anything is told of a call that was
   * handed over early.
   */
  tellReady?(ready: () => void): void;
  /** Whether one call may be handed over now, though the program is not ready: it begins when that is. False if left out. */
  readonly takesEarly?: boolean;
  /** Takes back a call that was handed over ahead: its `invoke` throws NotBegun, unless it has begun meanwhile. */
  recall?(invocationId: InvocationId): void;
  /**
   * Resolves when the program is ready for another call after the last outcome: for handlers when it asks for the
   * next event, which may be after the answer. Undefined if it is already.
   */
  idle(): Promise<void> | undefined;
  /** Takes the pack of the version's code, before the program starts. */
  bring?(pack: Uint8Array): void;
  /** Resolves if the runtime or an extension has gone while the sandbox may go on for a moment. Never rejects. */
  readonly failed?: Promise<ChannelFailure>;
  readonly telemetry?: TelemetrySink;
  /** Whose line on stderr it is; undefined for what the channel keeps to itself. Without this all are the function's. */
  sort?(line: string): { readonly source: "function" | "extension"; readonly text: string } | undefined;
  /**
   * Lets runtime and extensions end by themselves, as far as they asked for that: at most two seconds, none without
   * extensions. The sandbox is disposed behind it.
   */
  shutDown?(reason: ShutdownReason): Promise<void>;
  /** Passes an HTTP upgrade (WebSocket) through, both ways, until either side closes. Only for `http`. */
  tunnel?(head: Uint8Array, client: Duplex, request: TunnelRequest): Promise<void>;
}

export interface InvokeOptions {
  readonly signal: AbortSignal;
  /** Where calls are taken ahead: called when this one begins, at once if nothing is before it. */
  readonly begun?: () => void;
}

/** Who is told what becomes of a call; `settled` or `refused`, once. */
export interface CallKeeper {
  /** It begins: at once if nothing is before it. */
  begun(): void;
  settled(outcome: InvocationOutcome): void;
  /** What `invoke` would have thrown. */
  refused(error: unknown): void;
}

/** A call was handed over ahead and taken back: no code of the function has seen it. */
export class NotBegun extends Error {
  override readonly name = "NotBegun";
}

export interface TunnelRequest {
  readonly method: string;
  readonly path: string;
  readonly rawHeaders: readonly string[];
}

/** The program reported that it cannot start: `payload` is its error as JSON, which the first caller gets. */
export class InitFailed extends Error {
  override readonly name = "InitFailed";
  readonly payload: Uint8Array;
  readonly errorType: string;

  constructor(payload: Uint8Array, errorType: string) {
    super(`initialisation failed: ${errorType}`);
    this.payload = payload;
    this.errorType = errorType;
  }
}

/** Sandboxes that are alike until they are told whose they are. */
export interface ReadyKind {
  /** Equal for those among which a version can choose, given the same runtime and network. */
  readonly key: string;
  /** The limit a sandbox of this kind is started with. */
  readonly memoryMib: number;
  open(runtime: ResolvedRuntime): ReadyChannel;
  /** False once it is not worth keeping any more, though versions might still choose it; true if left out. */
  isKept?(): boolean;
  /** What serves where none of this kind is ready. */
  readonly otherwise?: ReadyKind;
}

/**
 * A channel to a program that has loaded all it can without a function:
 *
 *   kind.open(runtime) ─► driver.startReady({ launch, … }) ─► attach(sandbox) ─► await isWaiting …
 *   ─► become(version, environment) ─► code is mounted ─► load() ─► the channel from `become` gets ready
 */
export interface ReadyChannel extends AsyncDisposable {
  readonly hasInput: boolean;
  readonly onRuntimeApiConnection: ((socket: Duplex) => void) | undefined;
  /** `environment` is what every function has. */
  launch(places: SandboxPlaces, environment: Readonly<Record<string, string>>): SandboxLaunch;
  attach(sandbox: Sandbox): void;
  /** Resolves when the program has nothing to do until it is told whose it is; pending if it exits. */
  readonly isWaiting: Promise<void>;
  /**
   * Tells the program whose it is now. The channel that comes back owns all that this one had. Unless there may be a pack, the
   * program may go on as soon as it sees its code, which may be before `load`.
   */
  become(
    version: Version,
    environment: Readonly<Record<string, string>>,
    options: { readonly mayHavePack: boolean },
  ): Channel;
  /** The code is there, and what `ProtocolAdapter.packer` has made of it. */
  load(pack: Uint8Array | undefined): void;
}
