/**
 * What a raw invoke, as Lambda's Invoke has it, gives back: bytes, whatever way the function is written. A server's
 * status of 500 or more counts as a failed function, so that whoever invokes learns of it.
 */
import type { InvocationId } from "../core/ids.ts";
import type { InvocationOutcome } from "../core/invocation.ts";

export interface RawResult {
  readonly payload: Uint8Array;
  /** Value of `X-Amz-Function-Error`. Lambda documents `Handled` as well and never sends it. */
  readonly functionError: "Unhandled" | undefined;
}

const SERVER_FAILED_STATUS = 500;

/** What the caller of Invoke gets, in Lambda's words for failures that are not the function's own. */
export function rawOutcome(outcome: InvocationOutcome, invocationId: InvocationId): RawResult {
  switch (outcome.kind) {
    case "returned": {
      const { head, payload } = outcome;
      const hasFailed = head?.kind === "http" && head.status >= SERVER_FAILED_STATUS;
      return { payload, functionError: hasFailed ? "Unhandled" : undefined };
    }
    case "threw":
      return { payload: outcome.payload, functionError: "Unhandled" };
    case "timed-out":
      return platformFailure("Sandbox.Timedout", timedOutMessage(outcome.afterMs), invocationId);
    case "crashed":
      return platformFailure(outcome.errorType, outcome.message, invocationId);
  }
}

/** Lambda's sentence, with its two decimals of a second. */
export function timedOutMessage(afterMs: number): string {
  return `Task timed out after ${(afterMs / 1000).toFixed(2)} seconds`;
}

function platformFailure(errorType: string, message: string, invocationId: InvocationId): RawResult {
  const error = { errorType, errorMessage: `RequestId: ${invocationId} Error: ${message}` };
  return { payload: Buffer.from(JSON.stringify(error)), functionError: "Unhandled" };
}
