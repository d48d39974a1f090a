import type { NewEvent } from "./event.ts";
import type { InvocationId } from "./ids.ts";
import type { Schedule } from "./schedule.ts";

/** Of the account that ARNs name. */
export interface ScheduleIdentity {
  readonly account: string;
  readonly region: string;
}

/**
 * The event of one instant: EventBridge's, or the schedule's own input.
 * https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
 */
export function newScheduleEvent(
  schedule: Schedule,
  instantAt: number,
  invocationId: InvocationId,
  identity: ScheduleIdentity,
): NewEvent {
  const payload = payloadOf(schedule, wholeSeconds(instantAt), invocationId, identity);
  return {
    functionName: schedule.functionName,
    invocationId,
    work: {
      kind: "call",
      qualifier: schedule.qualifier,
      input: {
        kind: "event",
        payload: new TextEncoder().encode(payload),
        contentType: "application/json",
      },
    },
    traceId: undefined,
    depth: 0,
    origin: `schedule ${schedule.name}`,
  };
}

export function scheduleArn(name: string, { account, region }: ScheduleIdentity): string {
  return `arn:aws:scheduler:${region}:${account}:schedule/default/${name}`;
}

export function ruleArn(name: string, { account, region }: ScheduleIdentity): string {
  return `arn:aws:events:${region}:${account}:rule/${name}`;
}

function payloadOf(
  { name, input, owner }: Schedule,
  time: string,
  id: InvocationId,
  identity: ScheduleIdentity,
): string {
  const isScheduler = owner.kind === "scheduler";
  if (input !== undefined) {
    return isScheduler ? withAttributes(input, scheduleArn(name, identity), time, id) : input;
  }
  return JSON.stringify({
    version: "0",
    id,
    "detail-type": "Scheduled Event",
    source: isScheduler ? "aws.scheduler" : "aws.events",
    account: identity.account,
    time,
    region: identity.region,
    resources: [
      isScheduler
        ? scheduleArn(name, identity)
        : ruleArn(owner.kind === "rule" ? owner.rule : name, identity),
    ],
    detail: isScheduler ? "{}" : {},
  });
}

/** An event is handed over once and for all, so its attempt is the first. */
function withAttributes(input: string, arn: string, time: string, id: InvocationId): string {
  return input
    .replaceAll("<aws.scheduler.schedule-arn>", arn)
    .replaceAll("<aws.scheduler.scheduled-time>", time)
    .replaceAll("<aws.scheduler.execution-id>", id)
    .replaceAll("<aws.scheduler.attempt-number>", "1");
}

function wholeSeconds(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19)}Z`;
}
