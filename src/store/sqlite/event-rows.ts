/** Events as rows, and back. Rows are ours once the checksum of their head holds (documents.ts). */
import { crc32 } from "../../core/crc32.ts";
import { PlatformError } from "../../core/errors.ts";
import type {
  Attempt,
  EndReason,
  EventFacts,
  EventResult,
  EventState,
  EventWork,
  NewEvent,
  QueuedInput,
} from "../../core/event.ts";
import { EVENT_STATES } from "../../core/event.ts";
import type { FunctionName, InvocationId } from "../../core/ids.ts";
import { ATTEMPTS_KEPT_MAX } from "../../core/limits.ts";
import { laneOf } from "../event-queue.ts";
import { eventIdOf } from "../event-sequence.ts";
import type { Row } from "./connection.ts";
import type { EndingRow, EventRow } from "./event-operations.ts";

/** All that `factsOf` needs. */
export const EVENT_FACTS =
  "sequence, function_name, qualifier, head, checksum, state, aged_from_at, due_at, attempt, started_at, errors, setbacks, attempts, ended_at, reason";

/** What of an event never changes, its bytes apart. */
interface Head {
  readonly invocationId: InvocationId;
  readonly traceId?: string;
  readonly depth: number;
  readonly origin: string;
  readonly at: number;
  readonly work:
    | { readonly kind: "event"; readonly contentType: string }
    | {
        readonly kind: "request";
        readonly method: string;
        readonly path: string;
        readonly rawHeaders: readonly string[];
        readonly hasBody: boolean;
      }
    | { readonly kind: "delivery"; readonly url: string };
  readonly payloadCrc: number;
}

/** Larger payloads and results have rows of their own. */
const INLINE_BYTES_MAX = 2_048;

export function eventRow(sequence: number, event: NewEvent, now: number): EventRow {
  const { functionName, work } = event;
  const { description, payload } = describeWork(work);
  const head: Head = {
    invocationId: event.invocationId,
    ...(event.traceId !== undefined && { traceId: event.traceId }),
    depth: event.depth,
    origin: event.origin,
    at: now,
    work: description,
    payloadCrc: crc32(payload),
  };
  const text = JSON.stringify(head);
  const lane = laneOf(functionName, work);
  return {
    sequence,
    functionName,
    lane: lane === functionName ? null : lane,
    qualifier: work.kind === "call" ? (work.qualifier ?? null) : null,
    head: text,
    checksum: headChecksum(functionName, text),
    ...split(payload),
    now,
  };
}

export function factsOf(row: Row): EventFacts {
  const head = headOf(row);
  const { work } = head;
  return {
    id: eventIdOf(Number(row.sequence)),
    functionName: String(row.function_name) as FunctionName,
    invocationId: head.invocationId,
    state: stateOf(row.state),
    kind: work.kind === "delivery" ? "delivery" : "call",
    qualifier: row.qualifier === null ? undefined : String(row.qualifier),
    url: work.kind === "delivery" ? work.url : undefined,
    traceId: head.traceId,
    depth: head.depth,
    origin: head.origin,
    enqueuedAt: head.at,
    agedFromAt: Number(row.aged_from_at),
    dueAt: Number(row.due_at),
    attempt: Number(row.attempt),
    errors: Number(row.errors),
    setbacks: Number(row.setbacks),
    attempts: attemptsOf(row.attempts),
    endedAt: row.ended_at === null ? undefined : Number(row.ended_at),
    reason: row.reason === null ? undefined : (JSON.parse(String(row.reason)) as EndReason),
  };
}

/** @throws PlatformError `StoreUnavailable` if the bytes are not those that were saved. */
export function workOf(row: Row, payload: Uint8Array): EventWork {
  const { work, payloadCrc } = headOf(row);
  if (crc32(payload) !== payloadCrc) throw damaged();
  const qualifier = row.qualifier === null ? undefined : String(row.qualifier);
  switch (work.kind) {
    case "delivery":
      return { kind: "delivery", url: work.url, body: payload };
    case "event":
      return { kind: "call", qualifier, input: { kind: "event", payload, contentType: work.contentType } };
    case "request": {
      const { method, path, rawHeaders, hasBody } = work;
      const input: QueuedInput = {
        kind: "request",
        method,
        path,
        rawHeaders,
        body: hasBody ? payload : undefined,
      };
      return { kind: "call", qualifier, input };
    }
  }
}

export function attemptsOf(text: unknown): Attempt[] {
  if (typeof text !== "string") return [];
  return (JSON.parse(text) as Attempt[]).map((attempt) => ({
    ...attempt,
    error: attempt.error,
    version: attempt.version,
    sandboxId: attempt.sandboxId,
  }));
}

const FIRST_KEPT = 10;

/** The list with one more, the middle left out where it gets too long. */
export function attemptsText(before: readonly Attempt[], added: Attempt | undefined): string | null {
  const all = added ? [...before, added] : before;
  if (all.length === 0) return null;
  const kept =
    all.length <= ATTEMPTS_KEPT_MAX
      ? all
      : [...all.slice(0, FIRST_KEPT), ...all.slice(FIRST_KEPT + all.length - ATTEMPTS_KEPT_MAX)];
  return JSON.stringify(kept);
}

type ResultHead = Omit<EventResult, "payload">;

export function resultRow(
  result: EventResult | undefined,
): Pick<EndingRow, "resultHead" | "result" | "largeResult"> {
  if (!result) return { resultHead: null, result: null, largeResult: undefined };
  const { payload, ...head } = result;
  const { payload: inline, large } = split(payload);
  return { resultHead: JSON.stringify(head satisfies ResultHead), result: inline, largeResult: large };
}

export function resultOf(resultHead: unknown, payload: Uint8Array): EventResult | undefined {
  if (typeof resultHead !== "string") return undefined;
  const head = JSON.parse(resultHead) as ResultHead;
  return { ...head, functionError: head.functionError, payload };
}

export function stateNumber(state: EventState): number {
  return EVENT_STATES.indexOf(state);
}

export function invocationIdOf(row: Row): InvocationId {
  return headOf(row).invocationId;
}

function stateOf(value: unknown): EventState {
  const state = EVENT_STATES[Number(value)];
  if (!state) throw damaged();
  return state;
}

function headOf(row: Row): Head {
  const text = String(row.head);
  if (headChecksum(String(row.function_name), text) !== row.checksum) throw damaged();
  return JSON.parse(text) as Head;
}

function headChecksum(functionName: string, head: string): number {
  return crc32(head, crc32(functionName));
}

function damaged(): PlatformError {
  return new PlatformError(
    "StoreUnavailable",
    "an event in the database is damaged (checksum); stop lambdad and restore lambdad.db from a backup",
  );
}

function describeWork(work: EventWork): { readonly description: Head["work"]; readonly payload: Uint8Array } {
  if (work.kind === "delivery")
    return { description: { kind: "delivery", url: work.url }, payload: work.body };
  const { input } = work;
  if (input.kind === "event") {
    return { description: { kind: "event", contentType: input.contentType }, payload: input.payload };
  }
  const { method, path, rawHeaders, body } = input;
  return {
    description: { kind: "request", method, path, rawHeaders, hasBody: body !== undefined },
    payload: body ?? new Uint8Array(0),
  };
}

function split(bytes: Uint8Array): {
  readonly payload: Uint8Array | null;
  readonly large: Uint8Array | undefined;
} {
  const own = ownBytes(bytes);
  return bytes.byteLength <= INLINE_BYTES_MAX
    ? { payload: own, large: undefined }
    : { payload: null, large: own };
}

/** What crosses to the writer takes the whole buffer below it along, and small ones share a large one. */
function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}
