/** What clients of our own API send about schedules. */
import * as z from "zod";
import { PlatformError } from "../../../core/errors.ts";
import { FUNCTION_NAME_RULE, parseFunctionName } from "../../../core/ids.ts";
import { CATCH_UP_MAX, SCHEDULE_JITTER_MS_MAX } from "../../../core/limits.ts";
import type { ReleasedSchedule } from "../../../core/release.ts";
import { isScheduleName, OVERLAPS, SCHEDULE_NAME_RULE } from "../../../core/schedule.ts";
import { EXPRESSION_LENGTH_MAX } from "../../../core/schedule-expression.ts";
import type { NewSchedule } from "../../../registry/schedule-book.ts";
import { parse } from "./wire.ts";

const SCHEDULE_INPUT_BYTES_MAX = 256 * 1024;

const Instant = z.int().min(0).max(8_640_000_000_000_000);

export const PutSchedule = z.strictObject({
  function: z.string(),
  qualifier: z
    .string()
    .regex(/^(\$LATEST|[a-zA-Z0-9-_]{1,128})$/, "expected a version, an alias or $LATEST")
    .optional(),
  expression: z.string().min(1).max(EXPRESSION_LENGTH_MAX),
  timezone: z.string().default("UTC"),
  input: z.string().optional(),
  overlap: z.enum(OVERLAPS).default("allow"),
  catchUp: z.int().min(0).max(CATCH_UP_MAX).default(1),
  jitterMs: z.int().min(0).max(SCHEDULE_JITTER_MS_MAX).default(0),
  startAt: Instant.optional(),
  endAt: Instant.optional(),
  isPaused: z.boolean().default(false),
  endsDeleted: z.boolean().default(false),
  description: z.string().max(512).default(""),
});

/** @throws PlatformError `InvalidRequest`, `InvalidName`. */
export function parsePutSchedule(name: string, body: unknown): NewSchedule {
  const given = parse(PutSchedule, body, "body");
  return { ...scheduleOf(name, given), owner: { kind: "own" } };
}

/** @throws PlatformError `InvalidRequest`, `InvalidName`. */
export function scheduleOf(name: string, given: z.output<typeof PutSchedule>): ReleasedSchedule {
  if (!isScheduleName(name)) {
    throw new PlatformError(
      "InvalidRequest",
      `name of a schedule: expected ${SCHEDULE_NAME_RULE}, got ${JSON.stringify(name)}`,
    );
  }
  const functionName = parseFunctionName(given.function);
  if (!functionName) {
    throw new PlatformError(
      "InvalidName",
      `function: expected ${FUNCTION_NAME_RULE}, got ${JSON.stringify(given.function)}`,
    );
  }
  if (given.input !== undefined && Buffer.byteLength(given.input) > SCHEDULE_INPUT_BYTES_MAX) {
    throw new PlatformError("InvalidRequest", `input: expected at most ${SCHEDULE_INPUT_BYTES_MAX} bytes`);
  }
  if (given.startAt !== undefined && given.endAt !== undefined && given.endAt <= given.startAt) {
    throw new PlatformError("InvalidRequest", "endAt: expected a time after startAt");
  }
  return {
    name,
    description: given.description,
    functionName,
    qualifier: given.qualifier,
    timing: {
      expression: given.expression,
      timeZone: given.timezone,
      startAt: given.startAt,
      endAt: given.endAt,
    },
    input: given.input,
    overlap: given.overlap,
    catchUpMax: given.catchUp,
    lateMsMax: undefined,
    jitterMs: given.jitterMs,
    isPaused: given.isPaused,
    endsDeleted: given.endsDeleted,
  };
}
