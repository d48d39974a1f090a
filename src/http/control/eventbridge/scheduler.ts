/** The operations of EventBridge Scheduler. Its schedules and ours are the same ones. */
import { PlatformError } from "../../../core/errors.ts";
import { isScheduleName, type ScheduleRecord } from "../../../core/schedule.ts";
import { scheduleArn } from "../../../core/schedule-event.ts";
import type { ScheduleBook } from "../../../registry/schedule-book.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, type Handler, jsonReply, type Reply } from "../route.ts";
import { withErrorsOf } from "./errors.ts";
import { GROUP, parseScheduleRequest, requireGroup } from "./scheduler-wire.ts";
import { EVENT_AGE_S_MAX, RETRY_ATTEMPTS_MAX, refuseOthers, targetArn } from "./targets.ts";

const PAGE_MAX = 100;
const MINUTE_MS = 60_000;

export function schedulerHandlers(
  parts: ControlParts,
  book: ScheduleBook,
): (operation: string) => Handler | undefined {
  const operations: Readonly<Record<string, Handler>> = {
    CreateSchedule: (request) => save(request, "create"),
    UpdateSchedule: (request) => save(request, "update"),
    async GetSchedule(request) {
      requireGroup(request.query.get("groupName"));
      return jsonReply(200, fullShape(parts, await named(request)));
    },
    async DeleteSchedule(request) {
      requireGroup(request.query.get("groupName"));
      await book.remove((await named(request)).schedule.name);
      return jsonReply(200, {});
    },
    ListSchedules: (request) => list(request),
    async GetScheduleGroup(request) {
      requireGroup(request.params.Name);
      return jsonReply(200, groupShape(parts));
    },
    async ListScheduleGroups(request) {
      const isWanted = GROUP.startsWith(request.query.get("NamePrefix") ?? "");
      return jsonReply(200, { ScheduleGroups: isWanted ? [groupShape(parts)] : [] });
    },
  };

  async function find(name: string): Promise<ScheduleRecord | undefined> {
    // Targets of rules are schedules too, but not of this service.
    if (!isScheduleName(name)) return undefined;
    const [record] = await book.list({ prefix: name, after: undefined, limit: 1 });
    return record?.schedule.name === name ? record : undefined;
  }

  async function named(request: ControlRequest): Promise<ScheduleRecord> {
    const name = request.params.Name ?? "";
    const record = await find(name);
    if (!record) throw new PlatformError("ResourceNotFound", `Schedule ${name} does not exist.`);
    refuseOthers(request, [record.schedule.functionName], request.route.name);
    return record;
  }

  async function save(request: ControlRequest, mode: "create" | "update"): Promise<Reply> {
    const wanted = parseScheduleRequest(request.params.Name ?? "", request.json, parts);
    refuseOthers(request, [wanted.functionName], request.route.name);
    const known = mode === "update" ? await named(request) : await find(wanted.name);
    if (mode === "create" && known) {
      throw new PlatformError("ResourceConflict", `Schedule ${wanted.name} already exists.`);
    }
    await book.save(wanted, { mode, allowsNever: true });
    return jsonReply(200, { ScheduleArn: scheduleArn(wanted.name, parts) });
  }

  async function list({ query, caller }: ControlRequest): Promise<Reply> {
    requireGroup(query.get("ScheduleGroup"));
    const limit = limitOf(query.get("MaxResults"));
    const state = query.get("State");
    const found: ScheduleRecord[] = [];
    let after = query.get("NextToken") ?? undefined;
    while (found.length <= limit) {
      const page = await book.list({ prefix: query.get("NamePrefix") ?? "", after, limit: limit + 1 });
      const isWanted = ({ schedule }: ScheduleRecord) =>
        schedule.owner.kind !== "rule" &&
        caller.mayUse(schedule.functionName) &&
        (state === null || state === stateOf(schedule.isPaused));
      found.push(...page.filter(isWanted));
      after = page.at(-1)?.schedule.name;
      if (page.length <= limit) break;
    }
    const shown = found.slice(0, limit);
    return jsonReply(200, {
      Schedules: shown.map((record) => shortShape(parts, record)),
      ...(found.length > limit && { NextToken: shown.at(-1)?.schedule.name }),
    });
  }

  return (operation) => {
    const perform = operations[operation];
    return perform && withErrorsOf("scheduler", parts, perform);
  };
}

/** @throws PlatformError `ValidationFailed`. */
function limitOf(textOfLimit: string | null): number {
  if (textOfLimit === null) return PAGE_MAX;
  const limit = Number(textOfLimit);
  if (Number.isInteger(limit) && limit >= 1 && limit <= PAGE_MAX) return limit;
  throw new PlatformError(
    "ValidationFailed",
    `1 validation error detected: Value '${textOfLimit}' at 'maxResults' failed to satisfy constraint: Member must be between 1 and ${PAGE_MAX}`,
  );
}

function stateOf(isPaused: boolean): string {
  return isPaused ? "DISABLED" : "ENABLED";
}

function shortShape(parts: ControlParts, { schedule }: ScheduleRecord): Record<string, unknown> {
  return {
    Arn: scheduleArn(schedule.name, parts),
    CreationDate: schedule.createdAt / 1000,
    GroupName: GROUP,
    LastModificationDate: schedule.modifiedAt / 1000,
    Name: schedule.name,
    State: stateOf(schedule.isPaused),
    Target: { Arn: targetArn(schedule, parts) },
  };
}

function fullShape(parts: ControlParts, record: ScheduleRecord): Record<string, unknown> {
  const { schedule } = record;
  const { timing, owner } = schedule;
  const made = owner.kind === "scheduler" ? owner : undefined;
  const isFlexible = made ? made.isFlexible : schedule.jitterMs >= MINUTE_MS;
  return {
    ...shortShape(parts, record),
    ActionAfterCompletion: schedule.endsDeleted ? "DELETE" : "NONE",
    ...(schedule.description !== "" && { Description: schedule.description }),
    ...(timing.startAt !== undefined && { StartDate: timing.startAt / 1000 }),
    ...(timing.endAt !== undefined && { EndDate: timing.endAt / 1000 }),
    FlexibleTimeWindow: isFlexible
      ? { Mode: "FLEXIBLE", MaximumWindowInMinutes: Math.floor(schedule.jitterMs / MINUTE_MS) }
      : { Mode: "OFF" },
    ScheduleExpression: timing.expression,
    ScheduleExpressionTimezone: timing.timeZone,
    Target: {
      Arn: targetArn(schedule, parts),
      ...(schedule.input !== undefined && { Input: schedule.input }),
      RetryPolicy: {
        MaximumEventAgeInSeconds: (schedule.lateMsMax ?? EVENT_AGE_S_MAX * 1000) / 1000,
        MaximumRetryAttempts: made?.retryAttemptsMax ?? RETRY_ATTEMPTS_MAX,
      },
      RoleArn: made?.roleArn ?? `arn:aws:iam::${parts.account}:role/lambdad`,
    },
  };
}

function groupShape({ account, region }: ControlParts): Record<string, unknown> {
  return {
    Arn: `arn:aws:scheduler:${region}:${account}:schedule-group/${GROUP}`,
    Name: GROUP,
    State: "ACTIVE",
  };
}
