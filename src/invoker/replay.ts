import { PlatformError } from "../core/errors.ts";
import { type InvocationId, newInvocationId } from "../core/ids.ts";
import { type ComparedOutcome, diffOutcomes, type OutcomeDiff } from "../core/outcome-diff.ts";
import type { RecordedInput, Recording } from "../core/recording.ts";
import { Redactor, Restorer } from "../core/redaction.ts";
import type { PathPattern } from "../core/value-path.ts";
import { redactedOutcome } from "../records/recordings/recording-line.ts";
import type { Records } from "../records/records.ts";
import type { Target } from "../registry/target.ts";
import type { InvocationResult, Invocations } from "./invocations.ts";
import { KeepingSink, takenOutcome } from "./taken-outcome.ts";

export interface ReplayParts {
  /** Not those that are recorded: a replay is not recorded again. */
  readonly invocations: Pick<Invocations, "invoke">;
  readonly records: Pick<Records, "line">;
}

export interface Replayed {
  /** Of the replay: what its log is found by. */
  readonly invocationId: InvocationId;
  readonly durationMs: number;
  /** Redacted as the recording was. */
  readonly outcome: ComparedOutcome;
  readonly diff: OutcomeDiff;
  /** Variables whose values were in the input, and that the version does not have. */
  readonly missing: readonly string[];
}

/** A function that speaks HTTP finds the recorded invocation here; a handler in `context.clientContext.custom`. */
const REPLAY_HEADER = "x-lambdad-replay";
const REPLAY_MEMBER = "lambdad-replay";

/**
 * Runs what was recorded again and compares what comes of it.
 *
 * @throws PlatformError `RecordingUnsuitable` if the target takes another kind of input, and what `invoke` throws.
 */
export async function replay(
  { invocations, records }: ReplayParts,
  recording: Recording,
  target: Target,
  { ignored, signal }: { readonly ignored: readonly PathPattern[]; readonly signal: AbortSignal },
): Promise<Replayed> {
  checkFits(recording, target);
  const { environment } = target.version.config;
  const restorer = new Restorer({ environment, mark: recording.mark });
  const invocationId = newInvocationId();
  const sink = new KeepingSink(undefined);
  const result = await invocations.invoke(
    target,
    {
      invocationId,
      input: marked(restoredInput(restorer, recording.input), recording.invocationId),
      traceId: undefined,
      clientContext: markedContext(restorer, recording),
      wantsTail: false,
      sink: target.version.config.entry.kind === "filter" ? undefined : sink,
    },
    { signal },
  );
  sayReplay(records, target, result, invocationId, recording.invocationId);
  const redactor = new Redactor({ redact: recording.redact, environment, mark: recording.mark });
  const outcome = redactedOutcome(redactor, takenOutcome(result.outcome, sink));
  return {
    invocationId,
    durationMs: result.durationMs,
    outcome,
    diff: diffOutcomes(recording.outcome, outcome, { ignored }),
    missing: [...restorer.missing],
  };
}

function checkFits(recording: Recording, { record, version }: Target): void {
  const { kind } = version.config.entry;
  const takes = kind === "server" || kind === "lifecycle" ? "request" : "event";
  if (takes === recording.inputKind) return;
  const words = { request: "an HTTP request", event: "an event" };
  throw new PlatformError(
    "RecordingUnsuitable",
    `the recording of invocation ${recording.invocationId} is ${words[recording.inputKind]}, and version ${version.label} of "${record.name}" is a ${kind}, which takes ${words[takes]}; choose a version that is written as the recorded one was`,
  );
}

function restoredInput(restorer: Restorer, input: RecordedInput): RecordedInput {
  if (input.kind === "event") return { ...input, payload: restorer.bytes(input.payload) };
  return {
    ...input,
    path: restorer.address(input.path),
    rawHeaders: restorer.headers(input.rawHeaders),
    body: input.body && restorer.bytes(input.body),
  };
}

/** The body may have another length by now. */
function marked(input: RecordedInput, original: InvocationId): RecordedInput {
  if (input.kind === "event") return input;
  const length = String(input.body?.byteLength ?? 0);
  const rawHeaders = input.rawHeaders.map((value, at) =>
    at % 2 === 1 && input.rawHeaders[at - 1]?.toLowerCase() === "content-length" ? length : value,
  );
  return { ...input, rawHeaders: [...rawHeaders, REPLAY_HEADER, original] };
}

function markedContext(restorer: Restorer, { clientContext, invocationId }: Recording): string {
  const text = clientContext === undefined ? "{}" : restorer.text(["clientContext"], clientContext);
  const given = membersOf(JSON.parse(text));
  return JSON.stringify({ ...given, custom: { ...membersOf(given.custom), [REPLAY_MEMBER]: invocationId } });
}

function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
}

function sayReplay(
  records: ReplayParts["records"],
  { record, version }: Target,
  { sandboxId }: InvocationResult,
  invocationId: InvocationId,
  original: InvocationId,
): void {
  if (sandboxId === undefined) return;
  const liveVersion = version.label === "$LATEST" ? record.liveVersion : undefined;
  const origin = { functionName: record.name, version: version.label, liveVersion, sandboxId };
  records.line(origin, "platform", `REPLAY RequestId: ${invocationId} Of: ${original}`, invocationId);
}
