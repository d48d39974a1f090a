/** Invocations that ran and failed, as responses: the function's fault, so 502 or 504, never one of our own errors. */
import type { FunctionName, InvocationId } from "../../core/ids.ts";
import type { InvocationOutcome } from "../../core/invocation.ts";
import { timedOutMessage } from "../../invoker/raw-outcome.ts";
import type { InvalidFunctionResponse } from "./response-headers.ts";

export interface Failure {
  readonly status: 502 | 504;
  readonly code: "FunctionThrew" | "FunctionTimedOut" | "FunctionCrashed" | "InvalidFunctionResponse";
  readonly message: string;
  /** Left out where callers are not to know. */
  readonly errorType: string | undefined;
}

export interface FailureFacts {
  readonly functionName: FunctionName;
  readonly invocationId: InvocationId;
  /** Whether callers may read what the function says of its error. */
  readonly showsErrors: boolean;
}

type FailedOutcome = Exclude<InvocationOutcome, { readonly kind: "returned" }>;

export function failureOf(outcome: FailedOutcome, facts: FailureFacts): Failure {
  switch (outcome.kind) {
    case "threw":
      return failure(502, "FunctionThrew", "the function failed", facts, {
        errorType: outcome.errorType,
        detail: describeError(outcome.payload, outcome.errorType),
      });
    case "timed-out": {
      // How long it may run is no secret: the caller has just waited for it.
      const message = timedOutMessage(outcome.afterMs).toLowerCase();
      return failure(504, "FunctionTimedOut", message, facts, {
        errorType: "Sandbox.Timedout",
        detail: undefined,
      });
    }
    case "crashed":
      return failure(502, "FunctionCrashed", "the function crashed", facts, {
        errorType: outcome.errorType,
        detail: outcome.message,
      });
  }
}

export function invalidResponse(error: InvalidFunctionResponse, facts: FailureFacts): Failure {
  const detail = { errorType: "InvalidFunctionResponse", detail: error.message };
  return failure(502, "InvalidFunctionResponse", "the function's response is not valid", facts, detail);
}

function failure(
  status: Failure["status"],
  code: Failure["code"],
  sentence: string,
  { functionName, invocationId, showsErrors }: FailureFacts,
  { errorType, detail }: { readonly errorType: string; readonly detail: string | undefined },
): Failure {
  const remedy = `see: lambda logs ${functionName} --id ${invocationId}`;
  if (!showsErrors) return { status, code, message: `${sentence}; ${remedy}`, errorType: undefined };
  const said = detail === undefined ? sentence : `${sentence}: ${detail}`;
  return { status, code, message: `${said}; ${remedy}`, errorType };
}

const DETAIL_CHARACTERS_MAX = 2_000;

/** `TypeError: x is not a function (at /var/task/index.js:3:9)`, from the error as its runtime shaped it. */
function describeError(payload: Uint8Array, errorType: string): string {
  const error = readError(payload);
  if (!error) return errorType;
  const message = typeof error.errorMessage === "string" ? error.errorMessage : "";
  const place = findPlace(error.trace) ?? findPlace(error.stackTrace);
  const said = message === "" ? errorType : `${errorType}: ${message}`;
  const placed = place === undefined || said.includes(place) ? said : `${said} (at ${place})`;
  return placed.length > DETAIL_CHARACTERS_MAX ? `${placed.slice(0, DETAIL_CHARACTERS_MAX)}…` : placed;
}

/** Where the error arose: Node's traces begin there (`/var/task/a.js:3:9`), Python's end there (`File "…", line 3`). */
function findPlace(trace: unknown): string | undefined {
  if (!Array.isArray(trace)) return undefined;
  let place: string | undefined;
  for (const line of trace.slice(0, 50)) {
    if (typeof line !== "string") continue;
    const text = line.slice(0, 1_000);
    const python = /File "(\/[^"]+)",? line (\d+)/i.exec(text);
    if (python) {
      place = `${python[1]}:${python[2]}`;
      continue;
    }
    const node = /(?:file:\/\/)?(\/[^\s():]+:\d+(?::\d+)?)/.exec(text);
    if (node?.[1] && !node[1].startsWith("/var/runtime/")) return node[1];
  }
  return place;
}

function readError(payload: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(payload).toString());
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    // An error of a program that does not write JSON: its type has to do.
    return undefined;
  }
}
