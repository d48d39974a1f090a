/** Invoke and InvokeWithResponseStream: the same call, answered whole or as an event stream. */
import { PlatformError } from "../../../core/errors.ts";
import type { ResponseHead, ResponseSink } from "../../../core/invocation.ts";
import { EVENT_PAYLOAD_BYTES_MAX } from "../../../core/limits.ts";
import type { InvocationRequest, InvocationResult } from "../../../invoker/invocations.ts";
import { rawOutcome } from "../../../invoker/raw-outcome.ts";
import { resolveWithin } from "../../../registry/siblings.ts";
import type { Target } from "../../../registry/target.ts";
import { parseIdempotencyKey } from "../../event-intake.ts";
import { rawInput } from "../../raw-invoke.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, type Reply, type ReplyStream } from "../route.ts";
import { invokeComplete, payloadChunks } from "./eventstream.ts";
import { withLineage } from "./lineage.ts";
import { namedBy } from "./lookup.ts";
import { constraint } from "./names.ts";
import { unsupported } from "./refusals.ts";

/** AWS refuses them, too, for functions that were not made for it; to let a tenant's calls mix with others' would be worse. */
const NOT_HERE = [
  {
    name: "X-Amz-Tenant-Id",
    header: "x-amz-tenant-id",
    why: "there are no tenants, whose calls would be kept apart; leave it out",
  },
  {
    name: "X-Amz-Durable-Execution-Name",
    header: "x-amz-durable-execution-name",
    why: "there are no durable executions; leave it out",
  },
] as const;

/** Base64, as AWS has it. */
const CLIENT_CONTEXT_LENGTH_MAX = 3_583;

export async function invoke(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const type = choice(
    request,
    "x-amz-invocation-type",
    ["RequestResponse", "Event", "DryRun"],
    "invocationType",
  );
  const { target, call } = await prepared(parts, request);
  const trace = traceHeader(request);
  switch (type) {
    case "DryRun":
      return emptyReply(204, trace);
    case "Event":
      return emptyReply(202, [...trace, ...(await enqueue(parts, request, target, call))]);
    case "RequestResponse": {
      const result = await parts.invocations.invoke(target, call, { signal: request.signal });
      const { payload, functionError } = rawOutcome(result.outcome, request.requestId);
      const headers = [
        ...trace,
        "X-Amz-Executed-Version",
        target.version.label,
        ...(functionError ? ["X-Amz-Function-Error", functionError] : []),
        ...(call.wantsTail ? ["X-Amz-Log-Result", Buffer.from(result.logTail).toString("base64")] : []),
      ];
      return { kind: "bytes", status: 200, contentType: "application/json", body: payload, headers };
    }
  }
}

/** Puts the call into the queue. */
export async function invokeEvent(parts: ControlParts, request: ControlRequest): Promise<void> {
  const { target, call } = await prepared(parts, request);
  await enqueue(parts, request, target, call);
}

export async function invokeWithResponseStream(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const type = choice(request, "x-amz-invocation-type", ["RequestResponse", "DryRun"], "invocationType");
  const { target, call } = await prepared(parts, request);
  if (type === "DryRun") return emptyReply(204, traceHeader(request));

  const relay = new StreamRelay();
  const finished = parts.invocations.invoke(target, { ...call, sink: relay }, { signal: request.signal });
  // A call that never ran has a status of its own; that is known only once something comes back.
  await Promise.race([finished, relay.started]);
  return {
    kind: "stream",
    contentType: "application/vnd.amazon.eventstream",
    headers: [...traceHeader(request), "X-Amz-Executed-Version", target.version.label],
    async run(out) {
      relay.connect(out);
      let ending: readonly Buffer[];
      try {
        ending = endOfStream(await finished, request, call.wantsTail);
      } catch (error) {
        // The status is out, so the stream itself has to say that this was not the end.
        parts.log.warn("a streamed invocation broke off", { invocationId: request.requestId, error });
        ending = [
          invokeComplete({ errorCode: "ServiceException", errorDetails: "the invocation broke off" }),
        ];
      }
      for (const message of ending) out.write(message);
    },
  };
}

/** What is still to be sent when the function has ended: its whole answer if it did not stream, then the end. */
function endOfStream(
  result: InvocationResult,
  request: ControlRequest,
  wantsTail: boolean,
): readonly Buffer[] {
  const logResult = wantsTail ? Buffer.from(result.logTail).toString("base64") : "";
  const { payload, functionError } = rawOutcome(result.outcome, request.requestId);
  if (functionError === undefined) return [...payloadChunks(payload), invokeComplete({ logResult })];
  return [
    invokeComplete({ errorCode: functionError, errorDetails: Buffer.from(payload).toString(), logResult }),
  ];
}

/**
 * Where a function streams to. The answer's status is decided when the first piece comes, so pieces wait for
 * `connect`; until then the buffer counts as full.
 */
class StreamRelay implements ResponseSink {
  /** Resolves when the function has begun to answer. */
  readonly started: Promise<void>;
  readonly #begin: () => void;
  readonly #connected: Promise<ReplyStream>;
  readonly #connect: (out: ReplyStream) => void;
  #waiting: Buffer[] = [];
  #out: ReplyStream | undefined;

  constructor() {
    const started = Promise.withResolvers<void>();
    const connected = Promise.withResolvers<ReplyStream>();
    this.started = started.promise;
    this.#begin = started.resolve;
    this.#connected = connected.promise;
    this.#connect = connected.resolve;
  }

  connect(out: ReplyStream): void {
    for (const message of this.#waiting) out.write(message);
    this.#waiting = [];
    this.#out = out;
    this.#connect(out);
  }

  start(head: ResponseHead): void {
    if (head.kind === "http") this.write(prelude(head));
    this.#begin();
  }

  write(chunk: Uint8Array): boolean {
    const messages = payloadChunks(chunk);
    const out = this.#out;
    if (!out) {
      this.#waiting.push(...messages);
      return false;
    }
    return messages.map((message) => out.write(message)).every(Boolean);
  }

  async drained(): Promise<void> {
    await (await this.#connected).drained();
  }
}

/** Lambda's form of an HTTP response in a stream of bytes: status and headers as JSON, then eight NULs. */
function prelude(head: ResponseHead & { readonly kind: "http" }): Buffer {
  const headers: Record<string, string> = {};
  const cookies: string[] = [];
  for (let at = 0; at + 1 < head.rawHeaders.length; at += 2) {
    const name = (head.rawHeaders[at] ?? "").toLowerCase();
    const value = head.rawHeaders[at + 1] ?? "";
    if (name === "set-cookie") cookies.push(value);
    else headers[name] = name in headers ? `${headers[name]},${value}` : value;
  }
  const json = JSON.stringify({ statusCode: head.status, headers, ...(cookies.length > 0 && { cookies }) });
  return Buffer.concat([Buffer.from(json), Buffer.alloc(8)]);
}

async function prepared(
  parts: ControlParts,
  request: ControlRequest,
): Promise<{ readonly target: Target; readonly call: InvocationRequest }> {
  const { name, qualifier } = namedBy(request);
  for (const { name: member, header: sent, why } of NOT_HERE) {
    if (header(request, sent)) throw unsupported(member, why);
  }
  const wantsTail = choice(request, "x-amz-log-type", ["None", "Tail"], "logType") === "Tail";
  const clientContext = parseClientContext(header(request, "x-amz-client-context"));
  const target = await resolveWithin(parts.functions, request.caller.release, name, qualifier);
  const input = rawInput(target.version.config.entry.kind, request.bytes, header(request, "content-type"));
  const traceId = withLineage(header(request, "x-amzn-trace-id") || newTrace(request), target.record);
  return {
    target,
    call: { invocationId: request.requestId, input, traceId, clientContext, wantsTail, sink: undefined },
  };
}

/** Gives the headers that name the event. */
async function enqueue(
  parts: ControlParts,
  request: ControlRequest,
  target: Target,
  call: InvocationRequest,
): Promise<readonly string[]> {
  if (!parts.events) {
    throw new PlatformError(
      "UnsupportedMember",
      "InvocationType Event is not supported yet by lambdad: it has no event queue; use RequestResponse",
    );
  }
  if (request.bytes.length > EVENT_PAYLOAD_BYTES_MAX) {
    throw new PlatformError(
      "PayloadTooLarge",
      `${request.bytes.length} byte payload is too large for the Event invocation type (limit ${EVENT_PAYLOAD_BYTES_MAX} bytes)`,
    );
  }
  const idempotencyKey = parseIdempotencyKey(header(request, "idempotency-key"));
  await parts.events.turn();
  const { invocationId, input, traceId } = call;
  const event = { invocationId, input, traceId, idempotencyKey, origin: "api" } as const;
  const accepted = await parts.events.enqueue(target, event);
  // Of a key that was used before, the ids are those of the first event.
  return ["X-Lambdad-Event-Id", accepted.eventId, "X-Lambdad-Invocation-Id", accepted.invocationId];
}

/** Decoded JSON text. @throws PlatformError `InvalidPayload`. */
function parseClientContext(base64: string | undefined): string | undefined {
  if (base64 === undefined || base64 === "") return undefined;
  const wrong = "Client context must be a valid Base64-encoded JSON object";
  if (base64.length > CLIENT_CONTEXT_LENGTH_MAX) {
    throw new PlatformError("InvalidPayload", `${wrong} of at most ${CLIENT_CONTEXT_LENGTH_MAX} characters`);
  }
  const json = Buffer.from(base64, "base64").toString();
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === "object" && value !== null) return json;
  } catch (cause) {
    throw new PlatformError("InvalidPayload", wrong, { cause });
  }
  throw new PlatformError("InvalidPayload", wrong);
}

/** One of a header's values; the first if it is not sent. @throws PlatformError `ValidationFailed`. */
function choice<const Value extends string>(
  request: ControlRequest,
  name: string,
  values: readonly [Value, ...Value[]],
  field: string,
): Value {
  const given = header(request, name);
  if (given === undefined || given === "") return values[0];
  const known = values.find((value) => value === given);
  if (known !== undefined) return known;
  throw constraint(
    "ValidationFailed",
    given,
    field,
    `Member must satisfy enum value set: [${values.join(", ")}]`,
  );
}

function header(request: ControlRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** The root of the caller's trace, or one made of the request id. */
function traceHeader(request: ControlRequest): readonly string[] {
  const given = /Root=([0-9a-f-]{35})/.exec(header(request, "x-amzn-trace-id") ?? "")?.[1];
  return ["X-Amzn-Trace-Id", `${given === undefined ? newTrace(request) : `Root=${given}`};Sampled=0`];
}

function newTrace(request: ControlRequest): string {
  const seconds = Math.floor(Date.now() / 1000)
    .toString(16)
    .padStart(8, "0");
  const digits = request.requestId.replaceAll("-", "").slice(0, 24);
  return `Root=1-${seconds}-${digits}`;
}
