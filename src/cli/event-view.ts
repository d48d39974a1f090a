import { formatInstant, formatSpan } from "./units.ts";
import { Fields } from "./wire.ts";

/** What the commands show of an event (docs/api.md). */
export interface EventView {
  readonly id: string;
  readonly functionName: string;
  readonly state: string;
  /** The function with the qualifier that was called, or the address that is told. */
  readonly target: string;
  readonly invocationId: string;
  readonly origin: string;
  readonly enqueuedAt: number;
  readonly dueAt: number;
  readonly endedAt: number | undefined;
  readonly attempts: readonly AttemptView[];
  readonly reason: string | undefined;
  /** Input as text, where the answer has it. */
  readonly input: string | undefined;
}

interface AttemptView {
  readonly number: number;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly outcome: string;
  readonly error: string | undefined;
  readonly version: string | undefined;
  readonly sandboxId: string | undefined;
}

export function readEvent(value: unknown): EventView {
  const fields = new Fields("event", value);
  const functionName = fields.text("function");
  const qualifier = fields.optionalText("qualifier");
  const reason = fields.optionalObject("reason");
  const input = fields.optionalObject("input");
  return {
    id: fields.text("id"),
    functionName,
    state: fields.text("state"),
    target:
      fields.optionalText("url") ?? (qualifier === undefined ? functionName : `${functionName}:${qualifier}`),
    invocationId: fields.text("invocationId"),
    origin: fields.text("origin"),
    enqueuedAt: fields.number("enqueuedAt"),
    dueAt: fields.number("dueAt"),
    endedAt: fields.optionalNumber("endedAt"),
    attempts: fields.list("attempts").map(readAttempt),
    reason: reason && `${reason.text("condition")}: ${reason.text("message")}`,
    input: input?.optionalText("text") ?? input?.optionalText("base64"),
  };
}

function readAttempt(value: unknown): AttemptView {
  const fields = new Fields("attempt", value);
  const error = fields.optionalObject("error");
  return {
    number: fields.number("number"),
    startedAt: fields.number("startedAt"),
    endedAt: fields.number("endedAt"),
    outcome: fields.text("outcome"),
    error: error && `${error.text("type")}: ${error.text("message")}`,
    version: fields.optionalText("version"),
    sandboxId: fields.optionalText("sandboxId"),
  };
}

export const EVENT_TITLES = ["EVENT", "FUNCTION", "STATE", "ACCEPTED", "ATTEMPTS", "WHY"] as const;

export function eventRow(event: EventView): string[] {
  const last = event.attempts.at(-1)?.error;
  return [
    event.id,
    event.target,
    event.state,
    formatInstant(event.enqueuedAt),
    String(event.attempts.at(-1)?.number ?? 0),
    (event.reason ?? last ?? "").slice(0, WHY_LENGTH_MAX),
  ];
}

const WHY_LENGTH_MAX = 80;

export function eventFacts(event: EventView): (readonly [name: string, value: string | undefined])[] {
  const isWaiting = event.state === "queued";
  return [
    ["Event", event.id],
    ["Target", event.target],
    ["State", event.state],
    ["Why", event.reason],
    ["Accepted", formatInstant(event.enqueuedAt)],
    ["Next attempt", isWaiting ? formatInstant(event.dueAt) : undefined],
    ["Ended", event.endedAt === undefined ? undefined : formatInstant(event.endedAt)],
    ["Origin", event.origin],
    ["Input", event.input],
    ["Logs", `lambda logs ${event.functionName} --id ${event.invocationId}`],
  ];
}

export const ATTEMPT_TITLES = [
  "ATTEMPT",
  "STARTED",
  "TOOK",
  "OUTCOME",
  "VERSION",
  "SANDBOX",
  "ERROR",
] as const;

export function attemptRows(event: EventView): string[][] {
  return event.attempts.map((attempt) => [
    String(attempt.number),
    formatInstant(attempt.startedAt),
    formatSpan(attempt.endedAt - attempt.startedAt),
    attempt.outcome,
    attempt.version ?? "",
    attempt.sandboxId ?? "",
    attempt.error ?? "",
  ]);
}
