/**
 * A recording as a line of a file: its facts as JSON, a tab, its payloads as JSON. JSON has neither tabs nor line ends of
 * its own, so that facts are read without payloads, and the end of a line is the end of what was written.
 * A line without a tab is a note of what was dropped.
 */
import { isUtf8 } from "node:buffer";
import { type FunctionName, parseInvocationId } from "../../core/ids.ts";
import type { ComparedBody, ComparedOutcome } from "../../core/outcome-diff.ts";
import {
  DROP_REASONS,
  type Dropped,
  type DropReason,
  type RecordedInput,
  type Recording,
  type RecordingFacts,
} from "../../core/recording.ts";
import { Redactor } from "../../core/redaction.ts";
import type { TakenInvocation } from "./recordings.ts";

/** The line, with all redacted that is to be. `mark` is new for each. */
export function recordingLine(taken: TakenInvocation, mark: string): string {
  const rules = { redact: taken.settings.redact, environment: taken.environment, mark };
  const redactor = new Redactor(rules);
  const input = redactedInput(redactor, taken.input);
  const clientContext =
    taken.clientContext === undefined ? undefined : redactor.text(["clientContext"], taken.clientContext);
  const { redacted, variables } = { redacted: redactor.removedCount, variables: [...redactor.variables] };
  const outcome = redactedOutcome(redactor, taken.outcome);
  const facts = {
    id: taken.invocationId,
    at: taken.at,
    version: taken.version,
    live: taken.liveVersion,
    input: input.kind,
    outcome: outcome.kind,
    status: outcome.status,
    ms: Math.round(taken.durationMs * 100) / 100,
    inputBytes: bytesOf(taken.input).byteLength,
    outputBytes: sizeOf(taken.outcome.body),
    redacted,
    variables,
  };
  const payloads = {
    mark,
    redact: taken.settings.redact,
    clientContext,
    input: inputShape(input),
    outcome: {
      errorType: outcome.errorType,
      rawHeaders: outcome.rawHeaders,
      body: outcome.body instanceof Uint8Array ? bytesShape(outcome.body) : outcome.body,
    },
  };
  return `${JSON.stringify(facts)}\t${JSON.stringify(payloads)}\n`;
}

/** Also for what a replay gave, so that the two can be compared. */
export function redactedOutcome(redactor: Redactor, outcome: ComparedOutcome): ComparedOutcome {
  const { body } = outcome;
  return {
    ...outcome,
    rawHeaders: redactor.headers(outcome.rawHeaders),
    body: body instanceof Uint8Array ? redactor.bytes(body) : body,
  };
}

function redactedInput(redactor: Redactor, input: RecordedInput): RecordedInput {
  if (input.kind === "event") return { ...input, payload: redactor.bytes(input.payload) };
  return {
    ...input,
    path: redactor.address(input.path),
    rawHeaders: redactor.headers(input.rawHeaders),
    body: input.body && redactor.bytes(input.body),
  };
}

/** What was dropped since the last note. */
export function droppedLine(dropped: Partial<Dropped>): string {
  return `${JSON.stringify({ dropped })}\n`;
}

export type ParsedLine =
  | { readonly kind: "recording"; readonly facts: RecordingFacts }
  | { readonly kind: "dropped"; readonly dropped: Partial<Dropped> }
  | { readonly kind: "damaged" };

const DAMAGED: ParsedLine = { kind: "damaged" };

export function parseLine(line: Buffer, functionName: FunctionName): ParsedLine {
  const tab = line.indexOf(TAB);
  if (tab === -1) return parseDropped(objectIn(line));
  const facts = parseFacts(objectIn(line.subarray(0, tab)), functionName);
  return facts ? { kind: "recording", facts } : DAMAGED;
}

const TAB = 9;

/** Undefined if the line is damaged. */
export function parseRecording(line: Buffer, functionName: FunctionName): Recording | undefined {
  const tab = line.indexOf(TAB);
  const facts = tab === -1 ? undefined : parseFacts(objectIn(line.subarray(0, tab)), functionName);
  const payloads = objectIn(line.subarray(tab + 1));
  const input = parseInput(objectOf(payloads?.input));
  const outcome = objectOf(payloads?.outcome);
  const body = parseBody(objectOf(outcome?.body));
  if (!facts || !payloads || !input || !body) return undefined;
  return {
    ...facts,
    input,
    clientContext: textOf(payloads.clientContext),
    mark: textOf(payloads.mark) ?? "",
    redact: textsOf(payloads.redact),
    outcome: {
      kind: facts.outcomeKind,
      errorType: textOf(outcome?.errorType),
      status: facts.status,
      rawHeaders: textsOf(outcome?.rawHeaders),
      body,
    },
  };
}

type Members = Readonly<Record<string, unknown>>;

function parseFacts(stored: Members | undefined, functionName: FunctionName): RecordingFacts | undefined {
  const invocationId = parseInvocationId(textOf(stored?.id) ?? "");
  const inputKind = INPUT_KINDS.find((kind) => kind === stored?.input);
  const outcomeKind = OUTCOME_KINDS.find((kind) => kind === stored?.outcome);
  const version = textOf(stored?.version);
  if (!stored || !invocationId || !inputKind || !outcomeKind || version === undefined) return undefined;
  return {
    invocationId,
    functionName,
    at: numberOf(stored.at) ?? 0,
    version,
    liveVersion: numberOf(stored.live),
    inputKind,
    outcomeKind,
    status: numberOf(stored.status),
    durationMs: numberOf(stored.ms) ?? 0,
    inputBytes: numberOf(stored.inputBytes) ?? 0,
    outputBytes: numberOf(stored.outputBytes) ?? 0,
    redacted: numberOf(stored.redacted) ?? 0,
    variables: textsOf(stored.variables),
  };
}

const INPUT_KINDS = ["event", "request"] as const;
const OUTCOME_KINDS = ["returned", "threw", "timed-out", "crashed"] as const;

function parseDropped(stored: Members | undefined): ParsedLine {
  const counts = objectOf(stored?.dropped);
  if (!counts) return DAMAGED;
  const dropped: Partial<Record<DropReason, number>> = {};
  for (const reason of DROP_REASONS) dropped[reason] = numberOf(counts[reason]) ?? 0;
  return { kind: "dropped", dropped };
}

function inputShape(input: RecordedInput): Members {
  if (input.kind === "event") return { type: input.contentType, ...bytesShape(input.payload) };
  const { method, path, rawHeaders, body } = input;
  return { method, path, rawHeaders, ...(body && bytesShape(body)) };
}

function parseInput(stored: Members | undefined): RecordedInput | undefined {
  if (!stored) return undefined;
  const bytes = parseBytes(stored);
  const method = textOf(stored.method);
  const contentType = textOf(stored.type);
  if (method !== undefined) {
    const rawHeaders = textsOf(stored.rawHeaders);
    return { kind: "request", method, path: textOf(stored.path) ?? "/", rawHeaders, body: bytes };
  }
  if (contentType === undefined || !bytes) return undefined;
  return { kind: "event", payload: bytes, contentType };
}

function bytesShape(bytes: Uint8Array): { readonly text: string } | { readonly base64: string } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(buffer) ? { text: buffer.toString() } : { base64: buffer.toString("base64") };
}

function parseBytes(stored: Members): Uint8Array | undefined {
  const text = textOf(stored.text);
  if (text !== undefined) return Buffer.from(text);
  const base64 = textOf(stored.base64);
  return base64 === undefined ? undefined : Buffer.from(base64, "base64");
}

function parseBody(stored: Members | undefined): ComparedBody | undefined {
  if (!stored) return undefined;
  const sha256 = textOf(stored.sha256);
  if (sha256 === undefined) return parseBytes(stored);
  return { bytes: numberOf(stored.bytes) ?? 0, sha256 };
}

function bytesOf(input: RecordedInput): Uint8Array {
  return (input.kind === "event" ? input.payload : input.body) ?? new Uint8Array(0);
}

function sizeOf(body: ComparedBody): number {
  return body instanceof Uint8Array ? body.byteLength : body.bytes;
}

function objectIn(bytes: Buffer): Members | undefined {
  try {
    return objectOf(JSON.parse(bytes.toString()));
  } catch {
    return undefined; // Damaged, which the caller counts.
  }
}

function objectOf(value: unknown): Members | undefined {
  return typeof value === "object" && value !== null ? { ...value } : undefined;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
