/** One attempt of an event that calls a function: what became of it, in the words of the retry rules. */
import { isPlatformError } from "../core/errors.ts";
import type { Attempt, EndCondition, EventFacts, EventWork, QueuedInput } from "../core/event.ts";
import type { EntryKind } from "../core/function.ts";
import type { CallInput } from "../core/invocation.ts";
import { EVENT_RESULT_BYTES_MAX } from "../core/limits.ts";
import type { Log } from "../core/log.ts";
import type { Invocations } from "../invoker/invocations.ts";
import { rawOutcome } from "../invoker/raw-outcome.ts";
import type { Functions } from "../registry/functions.ts";
import type { Target } from "../registry/target.ts";

/** What an attempt came to, apart from when. */
export type Verdict =
  | {
      readonly kind: "answered";
      readonly outcome: Attempt["outcome"];
      readonly error: Attempt["error"];
      readonly functionError: "Unhandled" | undefined;
      readonly payload: Uint8Array;
      readonly isCut: boolean;
      readonly version: string;
      readonly sandboxId: string | undefined;
    }
  /** It came to no call, and another time it may. */
  | {
      readonly kind: "setback";
      readonly outcome: "throttled" | "unavailable" | "refused";
      readonly error: NonNullable<Attempt["error"]>;
    }
  /** It came to no call and never will. */
  | { readonly kind: "hopeless"; readonly condition: EndCondition; readonly message: string }
  /** We are stopping. */
  | { readonly kind: "released" };

export interface CallAttemptParts {
  readonly functions: Pick<Functions, "resolve">;
  readonly invocations: Pick<Invocations, "invoke">;
  readonly log: Log;
}

/** What an attempt has to know of what it calls with. */
export interface CallOrder {
  readonly facts: Pick<EventFacts, "functionName" | "invocationId" | "traceId">;
  readonly work: EventWork;
}

/** Finds the function and calls it, unless it is known not to be callable. Never throws. */
export async function attemptCall(
  parts: CallAttemptParts,
  { facts, work }: CallOrder,
  { signal }: { readonly signal: AbortSignal },
): Promise<{ readonly verdict: Verdict; readonly target: Target | undefined }> {
  let target: Target | undefined;
  try {
    if (work.kind !== "call") throw new TypeError("a delivery calls no function");
    target = await parts.functions.resolve(facts.functionName, work.qualifier);
    if (target.record.concurrencyMax === 0) {
      const message = "the function's reserved concurrency is 0";
      return { target, verdict: { kind: "hopeless", condition: "ZeroReservedConcurrency", message } };
    }
    const input = inputFor(target.version.config.entry.kind, work.input);
    const { invocationId, traceId } = facts;
    const { outcome, sandboxId } = await parts.invocations.invoke(
      target,
      {
        ...{ invocationId, input, traceId, clientContext: undefined, wantsTail: false, sink: undefined },
        isUnattended: true,
      },
      { signal },
    );
    const { payload, functionError } = rawOutcome(outcome, invocationId);
    const kept = payload.subarray(0, EVENT_RESULT_BYTES_MAX);
    const verdict: Verdict = {
      kind: "answered",
      outcome: outcome.kind,
      error: functionError && errorIn(kept, outcome.kind),
      functionError,
      payload: kept,
      isCut: kept.byteLength < payload.byteLength,
      version: target.version.label,
      sandboxId,
    };
    return { target, verdict };
  } catch (error) {
    return { target, verdict: signal.aborted ? { kind: "released" } : verdictOn(error, parts.log) };
  }
}

function verdictOn(error: unknown, log: Log): Verdict {
  const message = error instanceof Error ? error.message : String(error);
  if (!isPlatformError(error)) {
    log.error("an event could not be given to its function", { error });
    return {
      kind: "setback",
      outcome: "unavailable",
      error: { type: "Internal", message: "internal error" },
    };
  }
  const { code } = error;
  switch (code) {
    case "ShuttingDown":
      return { kind: "released" };
    case "TooManyInvocations":
      return { kind: "setback", outcome: "throttled", error: { type: code, message } };
    case "FunctionNotFound":
    case "VersionNotFound":
    case "AliasNotFound":
      return { kind: "hopeless", condition: "TargetNotFound", message };
    case "InvalidRequest":
    case "InvalidPayload":
    case "PayloadTooLarge":
    case "UnsupportedMember":
      return { kind: "hopeless", condition: "CallRejected", message };
    default:
      return { kind: "setback", outcome: "unavailable", error: { type: code, message } };
  }
}

const ERROR_TEXT_MAX = 1_024;

/** What a runtime's error document says; a text that is none is the message itself. */
function errorIn(payload: Uint8Array, outcome: Attempt["outcome"]): NonNullable<Attempt["error"]> {
  const text = Buffer.from(payload).toString();
  const document = jsonOf(text);
  const isDocument = typeof document === "object" && document !== null;
  const type: unknown = isDocument && "errorType" in document ? document.errorType : undefined;
  const message: unknown = isDocument && "errorMessage" in document ? document.errorMessage : undefined;
  return {
    type: typeof type === "string" ? type.slice(0, ERROR_TEXT_MAX) : outcome,
    message: (typeof message === "string" ? message : text).slice(0, ERROR_TEXT_MAX),
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Servers and filters fail in whatever words they like.
    return undefined;
  }
}

/**
 * The event as the function takes it. Events are accepted for one way of writing and may meet another: records of
 * destinations come to any function, and a deploy can change the way while they wait.
 */
function inputFor(kind: EntryKind, input: QueuedInput): CallInput {
  const takesRequests = kind === "server" || kind === "lifecycle";
  if (takesRequests === (input.kind === "request")) return input;
  if (input.kind === "request") {
    const isEmpty = input.body === undefined || input.body.byteLength === 0;
    const payload = isEmpty ? Buffer.from("{}") : (input.body ?? new Uint8Array(0));
    return { kind: "event", payload, contentType: "application/json" };
  }
  const { payload, contentType } = input;
  const length = String(payload.byteLength);
  const rawHeaders = ["host", "localhost", "content-type", contentType, "content-length", length];
  return { kind: "request", method: "POST", path: "/", rawHeaders, body: payload };
}
