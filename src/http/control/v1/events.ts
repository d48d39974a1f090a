/** Events of our own API: what became of them, and what to do about those that failed. */
import { isUtf8 } from "node:buffer";
import { PlatformError } from "../../../core/errors.ts";
import {
  EVENT_STATES,
  type EventFacts,
  type EventState,
  type EventWork,
  isDeadLetter,
  isEnded,
} from "../../../core/event.ts";
import { type EventId, type FunctionName, parseEventId } from "../../../core/ids.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, jsonReply, type Reply } from "../route.ts";
import { askedFunction, requireFunction } from "./asked-function.ts";
import { nameOf } from "./named-function.ts";
import { parsePage, parseRedrive, wholeNumber } from "./wire.ts";

const WAIT_S_MAX = 60;
/** What one request redrives or removes in one step; it takes as many as there are. */
const STEP = 500;
const DEAD_STATES = ["failed", "expired"] as const;
/** A comment this often shows us a reader who has gone. */
const HEARTBEAT_MS = 15_000;

export async function listEvents(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { query, caller } = request;
  const { limit } = parsePage(query);
  const functionName = askedFunction(request);
  const states = parseStates(query.get("state"));
  const found: EventFacts[] = [];
  let after = parseAfter(query.get("after"));
  // One more than asked for tells whether there is a next page.
  while (found.length <= limit) {
    const page = await parts.ledger.list({ functionName, states, after, limit: limit + 1 });
    found.push(...page.filter((facts) => caller.mayUse(facts.functionName)));
    after = page.at(-1)?.id;
    if (page.length <= limit) break;
  }
  await requireFunction(parts.functions, functionName, found.length);
  const shown = found.slice(0, limit);
  return jsonReply(200, {
    events: shown.map(eventShape),
    next: found.length > limit ? shown.at(-1)?.id : undefined,
  });
}

/** Also as server-sent events, one per change until it has ended. */
export async function getEvent(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const facts = await findEvent(parts, request);
  if (request.headers.accept?.includes("text/event-stream")) return changes(parts, request, facts);
  const ended = await untilEnded(parts, request, facts);
  const work = await parts.ledger.findWork(ended.id);
  return jsonReply(200, { ...eventShape(ended), input: work && inputShape(work) });
}

/** The bytes that the call gave; 202 with the state while there are none yet. */
export async function getEventResult(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const facts = await untilEnded(parts, request, await findEvent(parts, request));
  const { id, state, reason } = facts;
  if (!isEnded(state)) return jsonReply(202, { id, state });
  const result = await parts.ledger.findResult(id);
  if (!result) {
    const why = reason === undefined ? "" : `: ${reason.condition}: ${reason.message}`;
    throw new PlatformError("ResourceNotFound", `event ${id} is ${state} and has no result${why}`);
  }
  const headers = [
    "x-lambdad-event-state",
    state,
    "x-amz-executed-version",
    result.executedVersion,
    ...(result.functionError ? ["x-amz-function-error", result.functionError] : []),
    ...(result.isCut ? ["x-lambdad-result-cut", "true"] : []),
  ];
  const contentType = isUtf8(result.payload) ? "application/json" : "application/octet-stream";
  return { kind: "bytes", status: 200, contentType, body: result.payload, headers };
}

export async function cancelEvent(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { id, state } = await findEvent(parts, request);
  if (!(await parts.ledger.cancel(id, CANCELLED))) {
    throw new PlatformError("ResourceConflict", `event ${id} is ${state} already and cannot be cancelled`);
  }
  return await shown(parts, id);
}

export async function retryEvent(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { id, state } = await findEvent(parts, request);
  const requeued = await parts.ledger.requeue([id], { qualifier: undefined });
  if (requeued.length === 0) {
    throw new PlatformError(
      "ResourceConflict",
      `event ${id} is ${state}; only failed, expired and cancelled ones can be tried again`,
    );
  }
  return await shown(parts, id);
}

export async function listDeadLetters(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const functionName = nameOf(request);
  const { limit } = parsePage(request.query);
  const after = parseAfter(request.query.get("after"));
  const page = await parts.ledger.list({ functionName, states: DEAD_STATES, after, limit: limit + 1 });
  await requireFunction(parts.functions, functionName, page.length);
  const letters = page.slice(0, limit);
  return jsonReply(200, {
    events: letters.map(eventShape),
    next: page.length > limit ? letters.at(-1)?.id : undefined,
  });
}

export async function redriveDeadLetters(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const functionName = nameOf(request);
  const { ids, version } = parseRedrive(request.json);
  await parts.functions.get(functionName);
  if (version !== undefined) await parts.functions.resolve(functionName, version);
  if (ids) {
    const letters = await Promise.all(ids.map((id) => deadLetter(parts, functionName, id)));
    const requeued = await parts.ledger.requeue(letters, { qualifier: version });
    return jsonReply(200, { redriven: requeued.length });
  }
  let redriven = 0;
  let after: EventId | undefined;
  for (;;) {
    const page = await parts.ledger.list({ functionName, states: DEAD_STATES, after, limit: STEP });
    after = page.at(-1)?.id;
    const letters = page.map(({ id }) => id);
    redriven += (await parts.ledger.requeue(letters, { qualifier: version })).length;
    if (page.length < STEP) return jsonReply(200, { redriven });
  }
}

export async function purgeDeadLetters(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const functionName = nameOf(request);
  let removed = 0;
  for (;;) {
    const count = await parts.ledger.removeDeadLetters(functionName, undefined, STEP);
    removed += count;
    if (count < STEP) break;
  }
  await requireFunction(parts.functions, functionName, removed);
  return jsonReply(200, { removed });
}

/** @throws PlatformError `EventNotFound`, also for an event that is no dead letter of that function. */
async function deadLetter(parts: ControlParts, functionName: FunctionName, text: string): Promise<EventId> {
  const id = parseEventId(text);
  const facts = id && (await parts.ledger.find(id));
  if (facts?.functionName === functionName && isDeadLetter(facts.state)) return facts.id;
  throw new PlatformError(
    "EventNotFound",
    `${JSON.stringify(text.slice(0, 80))} is no dead letter of ${functionName}; lambda dlq list ${functionName} shows them`,
  );
}

const CANCELLED = { condition: "Cancelled", message: "cancelled by hand" } as const;

async function shown(parts: ControlParts, id: EventId): Promise<Reply> {
  const facts = await parts.ledger.find(id);
  return facts ? jsonReply(200, eventShape(facts)) : emptyReply(204);
}

/** @throws PlatformError `EventNotFound`, also for one that the key is not good for. */
async function findEvent(parts: ControlParts, request: ControlRequest): Promise<EventFacts> {
  const text = request.params.id ?? "";
  const id = parseEventId(text);
  const facts = id && (await parts.ledger.find(id));
  if (facts && request.caller.mayUse(facts.functionName)) return facts;
  throw new PlatformError("EventNotFound", `there is no event ${JSON.stringify(text.slice(0, 80))}`);
}

/** With `wait`, resolves when the event has ended or that many seconds are over. */
async function untilEnded(
  parts: ControlParts,
  request: ControlRequest,
  facts: EventFacts,
): Promise<EventFacts> {
  const waitS = wholeNumber(request.query, "wait", 0, WAIT_S_MAX) ?? 0;
  if (waitS === 0) return facts;
  const over = AbortSignal.timeout(waitS * 1_000);
  const signal = AbortSignal.any([request.signal, request.closing, over]);
  let known = facts;
  try {
    while (!isEnded(known.state)) known = (await parts.ledger.nextChange(known, { signal })) ?? known;
  } catch (error) {
    if (!signal.aborted) throw error;
    // Its time is up, or ours: the answer is how it stands now.
  }
  return known;
}

function changes(parts: ControlParts, request: ControlRequest, facts: EventFacts): Reply {
  return {
    kind: "stream",
    contentType: "text/event-stream",
    async run(out) {
      const over = new AbortController();
      const signal = AbortSignal.any([request.signal, request.closing, over.signal]);
      const beating = beat(parts, out, signal);
      let known: EventFacts | undefined = facts;
      try {
        while (known) {
          out.write(`event: ${known.state}\ndata: ${JSON.stringify(eventShape(known))}\n\n`);
          if (isEnded(known.state)) break;
          known = await parts.ledger.nextChange(known, { signal });
        }
      } catch (error) {
        // The reader has gone, or we are closing.
        if (!signal.aborted) throw error;
      }
      over.abort();
      await beating;
    },
  };
}

async function beat(
  parts: ControlParts,
  out: { write(text: string): boolean },
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await parts.clock.sleep(HEARTBEAT_MS, { signal }).catch(() => undefined);
    if (!signal.aborted) out.write(": still here\n\n");
  }
}

/** @throws PlatformError `InvalidRequest`. */
function parseStates(text: string | null): EventState[] | undefined {
  if (text === null || text === "") return undefined;
  return text.split(",").map((word) => {
    const state = EVENT_STATES.find((known) => known === word);
    if (state) return state;
    throw new PlatformError(
      "InvalidRequest",
      `state: expected some of ${EVENT_STATES.join(", ")} with commas between, got ${JSON.stringify(word)}`,
    );
  });
}

function parseAfter(text: string | null): EventId | undefined {
  if (text === null || text === "") return undefined;
  const id = parseEventId(text);
  if (id) return id;
  throw new PlatformError(
    "InvalidRequest",
    `after: expected the id of an event, got ${JSON.stringify(text)}`,
  );
}

/** `logs` is where the lines of all its attempts are. */
function eventShape(facts: EventFacts): Record<string, unknown> {
  const { functionName, invocationId, kind, ...rest } = facts;
  return {
    ...rest,
    function: functionName,
    kind,
    invocationId,
    ...(kind === "call" && { logs: `/v1/functions/${functionName}/logs?id=${invocationId}` }),
  };
}

function inputShape(work: EventWork): Record<string, unknown> {
  if (work.kind === "delivery") return { kind: "delivery", ...bytesShape(work.body) };
  const { input } = work;
  if (input.kind === "event") {
    return { kind: "event", contentType: input.contentType, ...bytesShape(input.payload) };
  }
  const { kind, method, path, rawHeaders, body } = input;
  return { kind, method, path, rawHeaders, ...(body && bytesShape(body)) };
}

function bytesShape(bytes: Uint8Array): Record<string, string> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(buffer) ? { text: buffer.toString() } : { base64: buffer.toString("base64") };
}
