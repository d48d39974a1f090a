/** Requests about EventBridge's rules (JSON 1.1). Members that nothing here could honour are refused by name. */
import * as z from "zod";
import { PlatformError } from "../../../core/errors.ts";
import { openInstants } from "../../../core/schedule-times.ts";
import { oneOf, optional, parse, text, whole } from "../aws/validation.ts";
import { expressionProblem } from "./errors.ts";
import { EVENT_AGE_S_MAX, EVENT_AGE_S_MIN, RETRY_ATTEMPTS_MAX } from "./targets.ts";

const Name = text({ min: 1, max: 64, pattern: "[\\.\\-_A-Za-z0-9]+" });
const Bus = optional(text({ min: 1, max: 1_600 }));
const Token = optional(text({ min: 1, max: 2_048 }));
const Limit = optional(whole(1, 100));
const Arn = text({ min: 1, max: 1_600 });

const Tags = z.array(z.object({ Key: text({ min: 1, max: 128 }), Value: text({ max: 256 }) })).max(50);

const PutRule = z.object({
  Name,
  ScheduleExpression: optional(text({ max: 256 })),
  EventPattern: optional(z.string()),
  State: optional(oneOf(["ENABLED", "DISABLED", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"])),
  Description: optional(text({ max: 512 })),
  RoleArn: optional(Arn),
  Tags: optional(Tags),
  EventBusName: Bus,
});

const NamedRule = z.object({ Name, EventBusName: Bus });
const RulePage = z.object({
  NamePrefix: optional(Name),
  EventBusName: Bus,
  NextToken: Token,
  Limit,
});

const PutTargets = z.object({
  Rule: Name,
  EventBusName: Bus,
  Targets: z
    .array(
      z.looseObject({
        Id: text({ min: 1, max: 64, pattern: "[\\.\\-_A-Za-z0-9]+" }),
        Arn,
        RoleArn: optional(Arn),
        Input: optional(text({ max: 8_192 })),
        RetryPolicy: optional(
          z.object({
            MaximumEventAgeInSeconds: optional(whole(EVENT_AGE_S_MIN, EVENT_AGE_S_MAX)),
            MaximumRetryAttempts: optional(whole(0, RETRY_ATTEMPTS_MAX)),
          }),
        ),
      }),
    )
    .min(1)
    .max(100),
});

const TargetPage = z.object({ Rule: Name, EventBusName: Bus, NextToken: Token, Limit });
const RulesByTarget = z.object({ TargetArn: Arn, EventBusName: Bus, NextToken: Token, Limit });
const RemoveTargets = z.object({
  Rule: Name,
  EventBusName: Bus,
  Ids: z
    .array(text({ min: 1, max: 64 }))
    .min(1)
    .max(100),
});
const NamedResource = z.object({ ResourceARN: Arn });
const TagResource = z.object({ ResourceARN: Arn, Tags });
const UntagResource = z.object({ ResourceARN: Arn, TagKeys: z.array(text({ min: 1, max: 128 })) });

const TARGET_MEMBERS = new Set(["Id", "Arn", "RoleArn", "Input", "RetryPolicy"]);

export interface PutRuleRequest {
  readonly name: string;
  readonly expression: string;
  readonly isEnabled: boolean;
  readonly description: string;
  readonly roleArn: string | undefined;
  readonly tags: Readonly<Record<string, string>> | undefined;
}

export interface PutTarget {
  readonly id: string;
  readonly arn: string;
  readonly input: string | undefined;
  readonly lateMsMax: number;
}

/** @throws PlatformError `ValidationFailed`, `UnsupportedMember`. */
export function parsePutRule(body: unknown): PutRuleRequest {
  const given = parse(PutRule, body);
  if (given.EventPattern !== undefined) {
    throw new PlatformError(
      "UnsupportedMember",
      "EventPattern is not supported by lambdad: there is no event bus; give a ScheduleExpression",
    );
  }
  const { ScheduleExpression: expression = "" } = given;
  if (expression !== "" && !isDefaultBus(given.EventBusName)) {
    throw new PlatformError(
      "ValidationFailed",
      "ScheduleExpression is supported only on the default event bus.",
    );
  }
  requireBus(given.EventBusName);
  const invalid = "Parameter ScheduleExpression is not valid.";
  if (!/^(rate|cron)\(/.test(expression)) throw new PlatformError("ValidationFailed", invalid);
  try {
    openInstants({ expression, timeZone: "UTC", anchorAt: 0, startAt: undefined, endAt: undefined });
  } catch (error) {
    throw expressionProblem(error, invalid);
  }
  return {
    name: given.Name,
    expression,
    isEnabled: given.State !== "DISABLED",
    description: given.Description ?? "",
    roleArn: given.RoleArn,
    tags: given.Tags && tagMap(given.Tags),
  };
}

/** @throws PlatformError `ValidationFailed`, `ResourceNotFound` for another bus. */
export function parseNamedRule(body: unknown): string {
  const { Name: name, EventBusName } = parse(NamedRule, body);
  requireBus(EventBusName);
  return name;
}

export interface Page {
  readonly after: string | undefined;
  readonly limit: number;
}

export function parseRulePage(body: unknown): Page & { readonly prefix: string } {
  const given = parse(RulePage, body);
  requireBus(given.EventBusName);
  return { prefix: given.NamePrefix ?? "", ...pageOf(given) };
}

export function parsePutTargets(body: unknown): {
  readonly rule: string;
  readonly targets: readonly PutTarget[];
} {
  const given = parse(PutTargets, body);
  requireBus(given.EventBusName);
  for (const target of given.Targets) {
    const foreign = Object.keys(target).find((member) => !TARGET_MEMBERS.has(member));
    if (foreign !== undefined) {
      throw new PlatformError(
        "UnsupportedMember",
        `Targets.${foreign} is not supported by lambdad: give Id, Arn and a constant Input`,
      );
    }
  }
  return {
    rule: given.Rule,
    targets: given.Targets.map((target) => ({
      id: target.Id,
      arn: target.Arn,
      input: target.Input,
      lateMsMax: (target.RetryPolicy?.MaximumEventAgeInSeconds ?? EVENT_AGE_S_MAX) * 1000,
    })),
  };
}

export function parseTargetPage(body: unknown): Page & { readonly rule: string } {
  const given = parse(TargetPage, body);
  requireBus(given.EventBusName);
  return { rule: given.Rule, ...pageOf(given) };
}

export function parseRulesByTarget(body: unknown): Page & { readonly arn: string } {
  const given = parse(RulesByTarget, body);
  requireBus(given.EventBusName);
  return { arn: given.TargetArn, ...pageOf(given) };
}

export function parseRemoveTargets(body: unknown): {
  readonly rule: string;
  readonly ids: readonly string[];
} {
  const given = parse(RemoveTargets, body);
  requireBus(given.EventBusName);
  return { rule: given.Rule, ids: given.Ids };
}

/** The rule that an ARN names. @throws PlatformError `ResourceNotFound` for what is none. */
export function parseNamedResource(body: unknown): string {
  return ruleIn(parse(NamedResource, body).ResourceARN);
}

export function parseTagResource(body: unknown): {
  readonly rule: string;
  readonly tags: Record<string, string>;
} {
  const given = parse(TagResource, body);
  return { rule: ruleIn(given.ResourceARN), tags: tagMap(given.Tags) };
}

export function parseUntagResource(body: unknown): {
  readonly rule: string;
  readonly keys: readonly string[];
} {
  const given = parse(UntagResource, body);
  return { rule: ruleIn(given.ResourceARN), keys: given.TagKeys };
}

function ruleIn(arn: string): string {
  const name = /^arn:[^:]+:events:[^:]+:\d{12}:rule\/([^/]+)$/.exec(arn)?.[1];
  if (name !== undefined) return name;
  throw new PlatformError("ResourceNotFound", `${arn} does not exist.`);
}

function tagMap(tags: z.output<typeof Tags>): Record<string, string> {
  return Object.fromEntries(tags.map(({ Key, Value }) => [Key, Value]));
}

function pageOf(given: {
  readonly NextToken?: string | undefined;
  readonly Limit?: number | undefined;
}): Page {
  return { after: given.NextToken, limit: given.Limit ?? 100 };
}

function isDefaultBus(name: string | undefined): boolean {
  return name === undefined || name === "default" || /:event-bus\/default$/.test(name);
}

function requireBus(name: string | undefined): void {
  if (!isDefaultBus(name)) throw new PlatformError("ResourceNotFound", `Event bus ${name} does not exist.`);
}
