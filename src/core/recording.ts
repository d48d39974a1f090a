import type { QueuedRequest } from "./event.ts";
import type { FunctionName, InvocationId } from "./ids.ts";
import type { EventInput } from "./invocation.ts";
import type { ComparedOutcome } from "./outcome-diff.ts";

/** How invocations of a function are recorded. Versions do not freeze it. */
export interface RecordingSettings {
  readonly isOn: boolean;
  /** Of the invocations; more than 0, at most 1. */
  readonly share: number;
  /** Recordings that are older go. */
  readonly keepMs: number;
  /** Besides what is redacted anyway: names of headers and JSON members, or places (`body.card.number`). */
  readonly redact: readonly string[];
  /** A release has set it, and one that has none switches it off. Left out where it was set by hand. */
  readonly isOfRelease?: true;
}

/** What a release says of it; it is on then. */
export type ReleasedRecording = Pick<RecordingSettings, "share" | "keepMs" | "redact">;

export type RecordedInput = EventInput | QueuedRequest;

/** The input and the outcome of an invocation, kept to be run again. Secrets have been taken out of it. */
export interface Recording extends RecordingFacts {
  readonly input: RecordedInput;
  /** Decoded JSON text. */
  readonly clientContext: string | undefined;
  readonly outcome: ComparedOutcome;
  /** Tells placeholders of this recording from text that looks like one. */
  readonly mark: string;
  /** `RecordingSettings.redact` as it was then. */
  readonly redact: readonly string[];
}

/** What is known of a recording without its payloads. */
export interface RecordingFacts {
  /** Of the invocation; attempts of one event share it. */
  readonly invocationId: InvocationId;
  readonly functionName: FunctionName;
  /** When the call came (ms since epoch). */
  readonly at: number;
  /** `$LATEST` or a number. */
  readonly version: string;
  /** The number that `$LATEST` equalled then. */
  readonly liveVersion: number | undefined;
  readonly inputKind: RecordedInput["kind"];
  readonly outcomeKind: ComparedOutcome["kind"];
  /** Of an HTTP response. */
  readonly status: number | undefined;
  readonly durationMs: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
  /** Values of the input that were taken out for good. */
  readonly redacted: number;
  /** Variables of the function whose values were in the input; a replay puts in those of the version that it runs. */
  readonly variables: readonly string[];
}

/**
 * Why an invocation was not recorded: its input was larger than a recording may be; the function did not read all of it;
 * too much was waiting to be written; the disk did not take it; or it could not be made safe.
 */
export const DROP_REASONS = ["tooLarge", "unread", "busy", "disk", "failed"] as const;

export type DropReason = (typeof DROP_REASONS)[number];

export type Dropped = Readonly<Record<DropReason, number>>;
