/**
 * EventBridge Scheduler (REST, 2021-06-30): schedules of the one group there is. Names are AWS's.
 * https://docs.aws.amazon.com/scheduler/latest/APIReference/API_Operations.html
 */
import type { Scope } from "../../../store/store.ts";
import type { BodyRule, Route } from "../route.ts";

const JSON_BODY: BodyRule = { kind: "json", bytesMax: 1024 * 1024 };
const NO_BODY: BodyRule = { kind: "none" };

function route(name: string, method: string, path: string, access: Scope, body = NO_BODY): Route {
  return { name, dialect: "scheduler", method, path, access, subject: "none", body };
}

export const SCHEDULER_ROUTES: readonly Route[] = [
  route("CreateSchedule", "POST", "/schedules/{Name}", "deploy", JSON_BODY),
  route("GetSchedule", "GET", "/schedules/{Name}", "read"),
  route("UpdateSchedule", "PUT", "/schedules/{Name}", "deploy", JSON_BODY),
  route("DeleteSchedule", "DELETE", "/schedules/{Name}", "deploy"),
  route("ListSchedules", "GET", "/schedules", "read"),
  route("GetScheduleGroup", "GET", "/schedule-groups/{Name}", "read"),
  route("ListScheduleGroups", "GET", "/schedule-groups", "read"),
];

export function isSchedulerPath(path: string): boolean {
  return /^\/schedule(s|-groups)(\/|\?|$)/.test(path);
}
