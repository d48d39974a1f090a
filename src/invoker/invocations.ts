import type { Duplex } from "node:stream";
import type { InvocationId, SandboxId } from "../core/ids.ts";
import type { CallInput, InvocationOutcome, ResponseSink } from "../core/invocation.ts";
import type { TunnelRequest } from "../protocol/protocol.ts";
import type { Target } from "../registry/target.ts";

/** An invocation in, an outcome out: the port that gateway, control and events use. */
export interface Invocations {
  /**
   * Runs the target once. The caller has turned its request into what the entry takes: `event` for handlers and
   * filters, `request` for servers and lifecycle modules.
   *
   * When `signal` aborts, a call that has not been handed over never is; one that has been runs to its end unobserved.
   *
   * @throws PlatformError `TooManyInvocations`, `SandboxStartFailed`, `ShuttingDown`, `CallerGone` …: the call did not run.
   */
  invoke(
    target: Target,
    request: InvocationRequest,
    options: { readonly signal: AbortSignal },
  ): Promise<InvocationResult>;
  /** Passes an upgraded connection through to a server. Resolves when it is over. */
  tunnel(target: Target, tunnel: Tunnel, options: { readonly signal: AbortSignal }): Promise<void>;
}

export interface InvocationRequest {
  readonly invocationId: InvocationId;
  readonly input: CallInput;
  readonly traceId: string | undefined;
  /** Decoded JSON text. */
  readonly clientContext: string | undefined;
  readonly wantsTail: boolean;
  readonly sink: ResponseSink | undefined;
  /** Of the HTTP request that it came as; left out if it came as none. */
  readonly method?: string | undefined;
  /** Nobody waits for its answer: while it waits for an instance, calls that somebody waits for come first. */
  readonly isUnattended?: boolean;
}

export interface InvocationResult {
  readonly outcome: InvocationOutcome;
  readonly durationMs: number;
  /** Where it ran. */
  readonly sandboxId?: SandboxId | undefined;
  /** Set when this call had to start its instance. */
  readonly initMs: number | undefined;
  /** Last 4 KiB of the log if `wantsTail`, else empty. */
  readonly logTail: string;
}

export interface Tunnel {
  readonly request: TunnelRequest;
  readonly client: Duplex;
  /** What the client sent after its request. */
  readonly head: Uint8Array;
}
