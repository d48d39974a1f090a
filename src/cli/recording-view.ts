import { formatShare } from "./canary-view.ts";
import { formatBytes, formatInstant, formatSpan, plural } from "./units.ts";
import { Fields } from "./wire.ts";

/** A recording without its payloads. */
export interface RecordingView {
  readonly id: string;
  readonly functionName: string;
  readonly at: number;
  /** The number that was live if it was `$LATEST`. */
  readonly version: string;
  readonly outcome: string;
  readonly status: number | undefined;
  readonly durationMs: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
  readonly redacted: number;
  readonly variables: readonly string[];
}

export function readRecording(value: unknown): RecordingView {
  const fields = new Fields("recording", value);
  const outcome = fields.value("outcome");
  return {
    id: fields.text("id"),
    functionName: fields.text("function"),
    at: fields.number("at"),
    version: String(fields.optionalNumber("liveVersion") ?? fields.label("version")),
    // One that is shown whole has more of it.
    outcome: typeof outcome === "string" ? outcome : fields.object("outcome").text("kind"),
    status: fields.optionalNumber("status"),
    durationMs: fields.number("durationMs"),
    inputBytes: fields.number("inputBytes"),
    outputBytes: fields.number("outputBytes"),
    redacted: fields.number("redacted"),
    variables: fields.list("variables").map(String),
  };
}

/** `10% of its calls, kept for 7 days, as its release says`; undefined if it is not recorded. */
export function recordingLine(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const fields = new Fields("recording", value);
  if (!fields.truth("isOn")) return undefined;
  const redact = fields.list("redact").map(String);
  return [
    `${formatShare(fields.number("share"))} of its calls`,
    `kept for ${formatKeep(fields.number("keepMs"))}`,
    ...(redact.length > 0 ? [`without ${redact.join(", ")}`] : []),
    ...(fields.value("isOfRelease") === true ? ["as its release says"] : []),
  ].join(", ");
}

export function formatKeep(keepMs: number): string {
  const hours = keepMs / 3_600_000;
  return hours % 24 === 0 ? plural(hours / 24, "day") : plural(Number(hours.toFixed(1)), "hour");
}

export const RECORDING_TITLES = [
  "ID",
  "AT",
  "VERSION",
  "OUTCOME",
  "DURATION",
  "IN",
  "OUT",
  "REDACTED",
] as const;

export function recordingRow(view: RecordingView): string[] {
  return [
    view.id,
    formatInstant(view.at),
    view.version,
    outcomeWords(view.outcome, view.status),
    formatSpan(view.durationMs),
    formatBytes(view.inputBytes),
    formatBytes(view.outputBytes),
    view.redacted === 0 ? "" : String(view.redacted),
  ];
}

export function outcomeWords(outcome: string, status: number | undefined): string {
  return status === undefined ? outcome : `${outcome} ${status}`;
}

/** Payloads as they are kept: text, or what is said of other bytes. */
export function bytesWords(fields: Fields): string {
  const text = fields.optionalText("text");
  if (text !== undefined) return text;
  const base64 = fields.optionalText("base64");
  if (base64 !== undefined) return `${formatBytes(Buffer.from(base64, "base64").length)}, no text`;
  const bytes = fields.optionalNumber("bytes");
  return bytes === undefined
    ? ""
    : `${formatBytes(bytes)}, too large to be kept; SHA-256 ${fields.text("sha256")}`;
}

export interface DifferenceView {
  readonly path: string;
  readonly was: string | undefined;
  readonly is: string | undefined;
}

export function readDifference(value: unknown): DifferenceView {
  const fields = new Fields("difference", value);
  return { path: fields.text("path"), was: fields.optionalText("was"), is: fields.optionalText("is") };
}
