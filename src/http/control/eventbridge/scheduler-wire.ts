/** Requests of EventBridge Scheduler. Members that nothing here could honour are refused by name. */
import * as z from "zod";
import { PlatformError } from "../../../core/errors.ts";
import { openInstants } from "../../../core/schedule-times.ts";
import type { NewSchedule } from "../../../registry/schedule-book.ts";
import { oneOf, optional, parse, text, violations, whole } from "../aws/validation.ts";
import type { ControlParts } from "../parts.ts";
import { expressionProblem } from "./errors.ts";
import { EVENT_AGE_S_MAX, EVENT_AGE_S_MIN, parseTargetArn, RETRY_ATTEMPTS_MAX } from "./targets.ts";

const NAME = "[0-9a-zA-Z-_.]+";
export const GROUP = "default";
const MINUTE_MS = 60_000;
const FLEXIBLE_MINUTES_MAX = 1_440;
const INPUT_LENGTH_MAX = 256 * 1024;

/** Seconds since epoch, with a fraction. */
const Instant = optional(z.number().min(0).max(8_640_000_000_000));

const ScheduleRequest = z.object({
  Name: text({ min: 1, max: 64, pattern: NAME }),
  GroupName: optional(text({ min: 1, max: 64, pattern: NAME })),
  ScheduleExpression: text({ min: 1, max: 256 }),
  ScheduleExpressionTimezone: optional(text({ min: 1, max: 50 })),
  FlexibleTimeWindow: z.object({
    Mode: oneOf(["OFF", "FLEXIBLE"]),
    MaximumWindowInMinutes: optional(whole(1, FLEXIBLE_MINUTES_MAX)),
  }),
  Target: z.object({
    Arn: text({ min: 1, max: 1_600 }),
    RoleArn: text({ min: 1, max: 1_600, pattern: "arn:aws[a-z-]*:iam::\\d{12}:role\\/[\\w+=,.@\\/-]+" }),
    Input: optional(text({ min: 1, max: INPUT_LENGTH_MAX })),
    RetryPolicy: optional(
      z.object({
        MaximumEventAgeInSeconds: optional(whole(EVENT_AGE_S_MIN, EVENT_AGE_S_MAX)),
        MaximumRetryAttempts: optional(whole(0, RETRY_ATTEMPTS_MAX)),
      }),
    ),
    DeadLetterConfig: optional(z.object({ Arn: optional(z.string()) })),
    EcsParameters: optional(z.unknown()),
    EventBridgeParameters: optional(z.unknown()),
    KinesisParameters: optional(z.unknown()),
    SageMakerPipelineParameters: optional(z.unknown()),
    SqsParameters: optional(z.unknown()),
  }),
  State: optional(oneOf(["ENABLED", "DISABLED"])),
  Description: optional(text({ max: 512 })),
  StartDate: Instant,
  EndDate: Instant,
  ActionAfterCompletion: optional(oneOf(["NONE", "DELETE"])),
  KmsKeyArn: optional(z.string()),
});

/** The body of CreateSchedule and UpdateSchedule. @throws PlatformError `ValidationFailed`, `UnsupportedMember`. */
export function parseScheduleRequest(name: string, body: unknown, parts: ControlParts): NewSchedule {
  const given = parse(ScheduleRequest, { ...Object(body), Name: name });
  requireGroup(given.GroupName);
  const { Target: target, FlexibleTimeWindow: window } = given;
  refuseMembers(given);
  if ((window.Mode === "FLEXIBLE") !== (window.MaximumWindowInMinutes !== undefined)) {
    throw violations([
      `Value null at 'flexibleTimeWindow.maximumWindowInMinutes' failed to satisfy constraint: Member must be given with mode FLEXIBLE, and only then`,
    ]);
  }
  const timing = {
    expression: given.ScheduleExpression,
    timeZone: given.ScheduleExpressionTimezone ?? "UTC",
    startAt: msOf(given.StartDate),
    endAt: msOf(given.EndDate),
  };
  requireTiming(timing);
  const ageS = target.RetryPolicy?.MaximumEventAgeInSeconds ?? EVENT_AGE_S_MAX;
  return {
    name,
    description: given.Description ?? "",
    ...parseTargetArn(target.Arn, parts),
    timing,
    input: target.Input,
    overlap: "allow",
    catchUpMax: 1,
    lateMsMax: ageS * 1000,
    jitterMs: (window.MaximumWindowInMinutes ?? 0) * MINUTE_MS,
    isPaused: given.State === "DISABLED",
    endsDeleted: given.ActionAfterCompletion === "DELETE",
    owner: {
      kind: "scheduler",
      roleArn: target.RoleArn,
      isFlexible: window.Mode === "FLEXIBLE",
      retryAttemptsMax: target.RetryPolicy?.MaximumRetryAttempts ?? RETRY_ATTEMPTS_MAX,
    },
  };
}

/** @throws PlatformError `ResourceNotFound`. */
export function requireGroup(name: string | undefined | null): void {
  if (name === undefined || name === null || name === GROUP) return;
  throw new PlatformError("ResourceNotFound", `Schedule group ${name} does not exist.`);
}

function requireTiming(timing: NewSchedule["timing"]): void {
  const { expression, startAt, endAt } = timing;
  const isWritten = /^(rate|cron|at)\(/.test(expression);
  const invalid = `Invalid Schedule Expression ${expression}.`;
  if (!isWritten) throw new PlatformError("ValidationFailed", invalid);
  try {
    openInstants({ ...timing, timeZone: "UTC", anchorAt: 0 });
  } catch (error) {
    throw expressionProblem(error, invalid);
  }
  try {
    openInstants({ ...timing, anchorAt: 0 });
  } catch (error) {
    throw expressionProblem(error, `Invalid Schedule Expression Timezone ${timing.timeZone}.`);
  }
  if (startAt !== undefined && endAt !== undefined && endAt <= startAt) {
    throw new PlatformError("ValidationFailed", "The EndDate you specify must come after the StartDate.");
  }
}

function refuseMembers({ Target: target, KmsKeyArn }: z.output<typeof ScheduleRequest>): void {
  const refused = [
    ["KmsKeyArn", KmsKeyArn, "there is no key service"],
    [
      "Target.DeadLetterConfig",
      target.DeadLetterConfig?.Arn,
      "what fails is in the function's own dead-letter queue",
    ],
    ["Target.EcsParameters", target.EcsParameters, "only functions can be called"],
    ["Target.EventBridgeParameters", target.EventBridgeParameters, "only functions can be called"],
    ["Target.KinesisParameters", target.KinesisParameters, "only functions can be called"],
    [
      "Target.SageMakerPipelineParameters",
      target.SageMakerPipelineParameters,
      "only functions can be called",
    ],
    ["Target.SqsParameters", target.SqsParameters, "only functions can be called"],
  ] as const;
  for (const [member, value, why] of refused) {
    if (value !== undefined)
      throw new PlatformError("UnsupportedMember", `${member} is not supported by lambdad: ${why}`);
  }
}

function msOf(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : Math.floor(seconds * 1000);
}
