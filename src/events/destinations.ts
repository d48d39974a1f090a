/**
 * Who is told what became of a call, and in what words: Lambda's invocation record, as it was recorded on AWS.
 *
 * What follows from an event is enqueued in the step that ends it, so each end is told exactly once and delivered at
 * least once.
 */
import type { Destination, EventFacts, EventInvokeConfig, EventWork, NewEvent } from "../core/event.ts";
import type { FunctionRecord } from "../core/function.ts";
import { newInvocationId } from "../core/ids.ts";
import { formatRelease, parseRelease, type ReleaseRef } from "../core/project.ts";
import type { Verdict } from "./call-attempt.ts";

/** Whose functions these are; part of every ARN. */
export interface Identity {
  readonly accountId: string;
  readonly region: string;
}

/** How an event that calls a function ended. */
export interface CallEnd {
  readonly facts: Pick<EventFacts, "functionName" | "qualifier" | "invocationId" | "traceId" | "depth"> & {
    readonly id: string;
  };
  readonly work: EventWork;
  /** Lambda's word. */
  readonly condition: string;
  /** The last call, unless the last attempt came to none. */
  readonly answer: Extract<Verdict, { readonly kind: "answered" }> | undefined;
  /** Calls that were made, this one included. */
  readonly invokeCount: number;
  readonly now: number;
}

/** What the function asks for events of that qualifier. As on AWS, an alias does not inherit from the function. */
export function configFor(
  record: FunctionRecord | undefined,
  qualifier: string | undefined,
): EventInvokeConfig | undefined {
  const named = isOwnName(qualifier) ? undefined : qualifier;
  return record?.eventInvokeConfigs.find((config) => config.qualifier === named);
}

/** `$LATEST` and releases (`shop@12`) are other words for the function itself. */
function isOwnName(qualifier: string | undefined): boolean {
  return qualifier === "$LATEST" || (qualifier !== undefined && parseRelease(qualifier) !== undefined);
}

/**
 * The event that tells a destination of it. `release`: the call's, which a destination that names no version stays in if
 * it is of the same project.
 */
export function followUp(
  destination: Destination,
  end: CallEnd,
  identity: Identity,
  release?: ReleaseRef,
): NewEvent {
  const { facts } = end;
  const record = Buffer.from(JSON.stringify(invocationRecord(end, identity)));
  const common = {
    invocationId: newInvocationId(),
    traceId: facts.traceId,
    depth: facts.depth + 1,
    origin: `destination of ${facts.id}`,
  };
  switch (destination.kind) {
    case "url":
      return {
        ...common,
        functionName: facts.functionName,
        work: { kind: "delivery", url: destination.url, body: record },
      };
    case "function":
      return {
        ...common,
        functionName: destination.functionName,
        work: {
          kind: "call",
          qualifier: destination.qualifier ?? (release && formatRelease(release)),
          input: { kind: "event", payload: record, contentType: "application/json" },
        },
      };
  }
}

/** https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html */
function invocationRecord(end: CallEnd, identity: Identity): Record<string, unknown> {
  const { facts, work, answer } = end;
  const qualifier = isOwnName(facts.qualifier) ? "$LATEST" : (facts.qualifier ?? "$LATEST");
  const arn = `arn:aws:lambda:${identity.region}:${identity.accountId}:function:${facts.functionName}:${qualifier}`;
  return {
    version: "1.0",
    timestamp: new Date(end.now).toISOString(),
    requestContext: {
      requestId: facts.invocationId,
      functionArn: arn,
      condition: end.condition,
      approximateInvokeCount: end.invokeCount,
    },
    requestPayload: requestPayload(work),
    ...(answer && {
      responseContext: {
        statusCode: 200,
        executedVersion: answer.version,
        ...(answer.functionError && { functionError: answer.functionError }),
      },
      responsePayload: readable(answer.payload),
    }),
  };
}

function requestPayload(work: EventWork): unknown {
  if (work.kind === "delivery") return readable(work.body);
  const { input } = work;
  return readable(input.kind === "event" ? input.payload : (input.body ?? new Uint8Array(0)));
}

/** JSON as it is, anything else as text. */
function readable(bytes: Uint8Array): unknown {
  if (bytes.byteLength === 0) return null;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
