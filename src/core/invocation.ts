import type { InvocationId } from "./ids.ts";

/** Bytes for a function that takes events (handlers) or plain input (filters). */
export interface EventInput {
  readonly kind: "event";
  readonly payload: Uint8Array;
  readonly contentType: string;
}

/** An HTTP request for a function that speaks HTTP (servers, lifecycle modules), passed through as it is. */
export interface RequestInput {
  readonly kind: "request";
  readonly method: string;
  /** Path and query as received. */
  readonly path: string;
  /** Names and values in turn, order and case kept, hop-by-hop headers already gone. */
  readonly rawHeaders: readonly string[];
  readonly body: Uint8Array | AsyncIterable<Uint8Array> | undefined;
}

export type CallInput = EventInput | RequestInput;

/** One invocation as it is handed to an instance. */
export interface Call {
  readonly invocationId: InvocationId;
  readonly input: CallInput;
  /** ARN as invoked; it has a qualifier only if the caller gave one. */
  readonly functionArn: string;
  /** When the timeout strikes (ms since epoch). */
  readonly deadlineAt: number;
  /** `X-Amzn-Trace-Id` as received or made. */
  readonly traceId: string | undefined;
  /** Decoded JSON text of `X-Amz-Client-Context`. */
  readonly clientContext: string | undefined;
  /** Where a response may go while it is being made; without one it is collected. */
  readonly sink: ResponseSink | undefined;
  /** How much may go to the sink. Never left out, so that the compiler finds who copies a call without it. */
  readonly streamBytesMax: number;
}

/** What a response begins with. `raw` is a handler's stream of bytes, `http` comes from a server. */
export type ResponseHead =
  | { readonly kind: "raw"; readonly contentType: string }
  | { readonly kind: "http"; readonly status: number; readonly rawHeaders: readonly string[] };

/** Receives a response piece by piece. */
export interface ResponseSink {
  /** Once, before the first write. */
  start(head: ResponseHead): void;
  /**
   * False when its buffer is full: wait for `drained` before writing more. The chunk is the sink's from then on: whoever
   * passes one on and wants to keep it copies it before.
   */
  write(chunk: Uint8Array): boolean;
  /** Resolves when there is room again, or when the reader has gone. */
  drained(): Promise<void>;
}

/** How an invocation that reached an instance ended. None of these is a platform error. */
export type InvocationOutcome =
  /** `head` is undefined for a plain payload. Where `isStreamed`, the bytes have gone to the sink and `payload` is empty. */
  | {
      readonly kind: "returned";
      readonly payload: Uint8Array;
      readonly head: ResponseHead | undefined;
      readonly isStreamed: boolean;
    }
  /** The function's own error, as its runtime shaped it (JSON). `isStreamed`: part of a response was sent before. */
  | {
      readonly kind: "threw";
      readonly payload: Uint8Array;
      readonly errorType: string;
      readonly isStreamed: boolean;
    }
  | { readonly kind: "timed-out"; readonly afterMs: number; readonly isStreamed: boolean }
  | {
      readonly kind: "crashed";
      /** `Runtime.ExitError` and kin: section 1.6 of the Runtime API's platform errors. */
      readonly errorType: string;
      /** Without the `RequestId: … Error: ` prefix. */
      readonly message: string;
      readonly isStreamed: boolean;
    };

export type OutcomeKind = InvocationOutcome["kind"];

/** How a program left. */
export interface SandboxExit {
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** Killed for using more memory than its limit. */
  readonly outOfMemory: boolean;
}

/** Lambda's words for an exit: `Runtime exited with error: exit status 1`. */
export function describeExit(exit: SandboxExit): string {
  if (exit.outOfMemory) return "Runtime exited with error: signal: killed (out of memory)";
  if (exit.signal) return `Runtime exited with error: signal: ${SIGNAL_WORDS[exit.signal] ?? exit.signal}`;
  if (exit.exitCode) return `Runtime exited with error: exit status ${exit.exitCode}`;
  return "Runtime exited without providing a reason";
}

const SIGNAL_WORDS: Readonly<Record<string, string>> = {
  SIGKILL: "killed",
  SIGSEGV: "segmentation fault",
  SIGABRT: "aborted",
  SIGTERM: "terminated",
  SIGSYS: "bad system call",
};
