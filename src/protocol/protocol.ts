import type { Duplex } from "node:stream";
import type { Version } from "../core/function.ts";
import type { Call, InvocationOutcome } from "../core/invocation.ts";
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
  open(version: Version, runtime: ResolvedRuntime): Channel;
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
  invoke(call: Call, options: { readonly signal: AbortSignal }): Promise<InvocationOutcome>;
  /**
   * Resolves when the program is ready for another call after the last outcome: for handlers when it asks for the
   * next event, which may be after the answer. Immediately where there is no such thing.
   */
  idle(): Promise<void>;
  /** Passes an HTTP upgrade (WebSocket) through, both ways, until either side closes. Only for `http`. */
  tunnel?(head: Uint8Array, client: Duplex, request: TunnelRequest): Promise<void>;
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
