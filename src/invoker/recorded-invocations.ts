import type { Clock } from "../core/clock.ts";
import type { CallInput } from "../core/invocation.ts";
import { RECORDING_INPUT_BYTES_MAX } from "../core/limits.ts";
import type { DropReason, RecordedInput, RecordingSettings } from "../core/recording.ts";
import type { Recordings } from "../records/recordings/recordings.ts";
import type { Target } from "../registry/target.ts";
import type { InvocationRequest, InvocationResult, Invocations } from "./invocations.ts";
import { KeepingSink, takenOutcome } from "./taken-outcome.ts";

export interface RecordedParts {
  readonly invocations: Invocations;
  readonly recordings: Pick<Recordings, "add" | "drop">;
  readonly clock: Clock;
  /** From 0 to 1, as Math.random gives it. */
  readonly draw?: () => number;
}

/**
 * Invocations that are recorded where their function says so; for all others it is one look at their function. Only what
 * has run is recorded: not what was refused, nor what its caller has left. What is upgraded (`tunnel`) is not.
 */
export function recordedInvocations(parts: RecordedParts): Invocations {
  const { invocations, draw = Math.random } = parts;
  return {
    invoke(target, request, options) {
      const settings = target.record.settings.recording;
      if (!settings?.isOn || draw() >= settings.share) return invocations.invoke(target, request, options);
      return invokeRecorded(parts, settings, target, request, options);
    },
    tunnel: (target, tunnel, options) => invocations.tunnel(target, tunnel, options),
  };
}

async function invokeRecorded(
  { invocations, recordings, clock }: RecordedParts,
  settings: RecordingSettings,
  target: Target,
  request: InvocationRequest,
  options: { readonly signal: AbortSignal },
): Promise<InvocationResult> {
  const at = clock.now();
  const input = new TakenInput(request.input);
  const sink = request.sink && new KeepingSink(request.sink);
  const result = await invocations.invoke(target, { ...request, input: input.passed, sink }, options);
  const { record, version } = target;
  const taken = input.taken();
  if (typeof taken === "string") {
    recordings.drop(record.name, taken);
    return result;
  }
  recordings.add({
    invocationId: request.invocationId,
    functionName: record.name,
    at,
    version: version.label,
    liveVersion: version.label === "$LATEST" ? record.liveVersion : undefined,
    input: taken,
    clientContext: request.clientContext,
    outcome: takenOutcome(result.outcome, sink),
    durationMs: result.durationMs,
    settings,
    environment: version.config.environment,
  });
  return result;
}

/** The input of a call, kept while the function reads it. */
class TakenInput {
  /** What the function is given in its place. */
  readonly passed: CallInput;
  readonly #input: CallInput;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #isRead = false;

  constructor(input: CallInput) {
    this.#input = input;
    const isStream =
      input.kind === "request" && input.body !== undefined && !(input.body instanceof Uint8Array);
    this.passed = isStream ? { ...input, body: this.#keeping(input.body) } : input;
  }

  /** Why it cannot be recorded, if it cannot. */
  taken(): RecordedInput | DropReason {
    const input = this.#input;
    if (input.kind === "event") {
      if (input.payload.byteLength > RECORDING_INPUT_BYTES_MAX) return "tooLarge";
      return { ...input, payload: Buffer.from(input.payload) };
    }
    const { body } = input;
    if (body === undefined || body instanceof Uint8Array) {
      if ((body?.byteLength ?? 0) > RECORDING_INPUT_BYTES_MAX) return "tooLarge";
      return { ...input, body: body && Buffer.from(body) };
    }
    if (this.#bytes > RECORDING_INPUT_BYTES_MAX) return "tooLarge";
    if (!this.#isRead) return "unread";
    return { ...input, body: Buffer.concat(this.#chunks) };
  }

  async *#keeping(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      this.#bytes += chunk.byteLength;
      if (this.#bytes <= RECORDING_INPUT_BYTES_MAX) this.#chunks.push(Buffer.from(chunk));
      else this.#chunks = [];
      yield chunk;
    }
    this.#isRead = true;
  }
}
