/** What clients of our own API send about recordings. */
import * as z from "zod";
import { PlatformError } from "../../../core/errors.ts";
import {
  RECORDING_KEEP_MS_DEFAULT,
  RECORDING_KEEP_MS_MAX,
  RECORDING_KEEP_MS_MIN,
  RECORDING_REDACT_MAX,
} from "../../../core/limits.ts";
import type { RecordingSettings, ReleasedRecording } from "../../../core/recording.ts";
import { isRedactable, REDACTABLE_RULE } from "../../../core/redaction.ts";
import { type PathPattern, parsePattern } from "../../../core/value-path.ts";
import type { RecordingQuery } from "../../../records/recordings/recordings.ts";
import { parse, wholeNumber } from "./wire.ts";

const IGNORED_MAX = 100;
const LIMIT_DEFAULT = 100;
const LIMIT_MAX = 1_000;

/** What is left out stays as it was. */
export const PutRecording = z.strictObject({
  share: z.number().gt(0).max(1).optional(),
  keepMs: z.int().min(RECORDING_KEEP_MS_MIN).max(RECORDING_KEEP_MS_MAX).optional(),
  redact: z.array(z.string().min(1).max(256)).max(RECORDING_REDACT_MAX).optional(),
});

export const Replay = z.strictObject({
  /** A number, an alias, `$LATEST`; left out: what is live. */
  version: z.string().min(1).max(128).optional(),
  ignore: z.array(z.string().min(1).max(256)).max(IGNORED_MAX).default([]),
});

/** @throws PlatformError `InvalidRequest`. */
export function parsePutRecording(body: unknown, before: RecordingSettings | undefined): RecordingSettings {
  return { isOn: true, ...recordingOf(parse(PutRecording, body, "body"), before) };
}

/** @throws PlatformError `InvalidRequest`. */
export function recordingOf(
  given: z.output<typeof PutRecording>,
  before: RecordingSettings | undefined,
): ReleasedRecording {
  for (const text of given.redact ?? []) checkRedact(text);
  return {
    share: given.share ?? before?.share ?? 1,
    keepMs: given.keepMs ?? before?.keepMs ?? RECORDING_KEEP_MS_DEFAULT,
    redact: given.redact ?? before?.redact ?? [],
  };
}

export function parseReplay(body: unknown): {
  readonly version: string | undefined;
  readonly ignored: readonly PathPattern[];
} {
  const { version, ignore } = parse(Replay, body, "body");
  const ignored = ignore.map((text) => {
    const pattern = parsePattern(text);
    if (pattern) return pattern;
    throw new PlatformError(
      "InvalidRequest",
      `ignore: expected a place like status, headers.etag or body.items[*].id, got ${JSON.stringify(text)}`,
    );
  });
  return { version, ignored };
}

export function parseRecordingQuery(query: URLSearchParams): RecordingQuery {
  const before = query.get("before") ?? undefined;
  if (before !== undefined && !/^[0-9a-z-]+\.log\/\d+$/.test(before)) {
    throw new PlatformError(
      "InvalidRequest",
      `before: expected "next" of the page before, got ${JSON.stringify(before)}`,
    );
  }
  return {
    limit: wholeNumber(query, "limit", 1, LIMIT_MAX) ?? LIMIT_DEFAULT,
    before,
    sinceAt: wholeNumber(query, "since", 0, Number.MAX_SAFE_INTEGER),
    version: versionIn(query),
    outcome: outcomeIn(query),
  };
}

function versionIn(query: URLSearchParams): string | undefined {
  const version = query.get("version") ?? undefined;
  if (version === undefined || /^(\$LATEST|[1-9]\d*)$/.test(version)) return version;
  throw new PlatformError(
    "InvalidRequest",
    `version: expected a number or $LATEST, got ${JSON.stringify(version)}`,
  );
}

function outcomeIn(query: URLSearchParams): RecordingQuery["outcome"] {
  const text = query.get("outcome");
  if (text === null || text === "") return undefined;
  const outcome = OUTCOMES.find((known) => known === text);
  if (outcome) return outcome;
  throw new PlatformError(
    "InvalidRequest",
    `outcome: expected one of ${OUTCOMES.join(", ")}, got ${JSON.stringify(text)}`,
  );
}

const OUTCOMES = ["returned", "threw", "timed-out", "crashed"] as const;

function checkRedact(text: string): void {
  if (isRedactable(text)) return;
  throw new PlatformError(
    "InvalidRequest",
    `redact: expected ${REDACTABLE_RULE}, got ${JSON.stringify(text)}`,
  );
}
