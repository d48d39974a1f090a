import type { InvocationOutcome } from "../../../core/invocation.ts";
import { timedOutMessage } from "../../../invoker/raw-outcome.ts";
import { StartFailed } from "../../../invoker/starter.ts";

/** Why an instance did not start, in one line: what the function's first caller would see, with its place in the code. */
export function startProblem(error: unknown): string {
  if (error instanceof StartFailed) return outcomeProblem(error.outcome);
  return error instanceof Error ? error.message : String(error);
}

function outcomeProblem(outcome: InvocationOutcome): string {
  switch (outcome.kind) {
    case "returned":
      return "it ended before it could take a call";
    case "threw":
      return thrownProblem(outcome.payload, outcome.errorType);
    case "timed-out":
      return timedOutMessage(outcome.afterMs);
    case "crashed":
      return `${outcome.errorType}: ${outcome.message}`;
  }
}

/** The error as runtimes report it: `errorType`, `errorMessage`, and a trace named `trace` (Node) or `stackTrace`. */
function thrownProblem(payload: Uint8Array, errorType: string): string {
  const error = parseObject(payload);
  const message = typeof error.errorMessage === "string" ? error.errorMessage : "";
  const trace = [error.trace, error.stackTrace].flatMap((lines) => (Array.isArray(lines) ? lines : []));
  const place = trace.map(String).find((line) => PLACE.test(line));
  const words = [errorType, message].filter((part) => part !== "").join(": ");
  return place === undefined || words.includes(place.trim()) ? words : `${words} (${place.trim()})`;
}

/** A line of a trace that names a file and a line, as Node (`file.js:3`) and Python (`File "x.py", line 3`) do. */
const PLACE = /[\w-]\.\w+:\d+|", line \d+/;

function parseObject(payload: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(Buffer.from(payload).toString());
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    // A runtime that reports something else has at least given its type.
    return {};
  }
}
