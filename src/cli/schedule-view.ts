import { describeZone, formatInstant, formatInstantIn, formatSpan } from "./units.ts";
import { Fields } from "./wire.ts";

/** A schedule as docs/api.md shows one. */
export interface ScheduleView {
  readonly name: string;
  readonly function: string;
  readonly expression: string;
  readonly timeZone: string;
  readonly state: string;
  readonly nextAt: number | undefined;
  readonly input: string | undefined;
  readonly overlap: string;
  readonly catchUp: number;
  readonly jitterMs: number;
  readonly startAt: number | undefined;
  readonly endAt: number | undefined;
  readonly description: string;
  readonly owner: string;
}

export function readSchedule(value: unknown): ScheduleView {
  const fields = new Fields("schedule", value);
  const qualifier = fields.optionalText("qualifier");
  return {
    name: fields.text("name"),
    function: `${fields.text("function")}${qualifier === undefined ? "" : `:${qualifier}`}`,
    expression: fields.text("expression"),
    timeZone: fields.text("timezone"),
    state: fields.text("state"),
    nextAt: fields.optionalNumber("nextAt"),
    input: fields.optionalText("input"),
    overlap: fields.text("overlap"),
    catchUp: fields.number("catchUp"),
    jitterMs: fields.number("jitterMs"),
    startAt: fields.optionalNumber("startAt"),
    endAt: fields.optionalNumber("endAt"),
    description: fields.text("description"),
    owner: fields.text("owner"),
  };
}

export const SCHEDULE_TITLES = ["NAME", "FUNCTION", "SCHEDULE", "ZONE", "STATE", "NEXT"];

export function scheduleRow(schedule: ScheduleView): string[] {
  const { name, expression, timeZone, state, nextAt } = schedule;
  const next = nextAt === undefined ? "-" : formatInstantIn(timeZone, nextAt);
  return [name, schedule.function, expression, timeZone, state, next];
}

export function scheduleFacts(schedule: ScheduleView): [string, string | undefined][] {
  const { owner, jitterMs, timeZone } = schedule;
  const instant = (at: number | undefined) => (at === undefined ? undefined : zonedInstant(timeZone, at));
  return [
    ["Name", schedule.name],
    ["Function", schedule.function],
    ["Schedule", schedule.expression],
    ["Zone", timeZone],
    ["State", schedule.state],
    ["Next", instant(schedule.nextAt)],
    ["Starts", instant(schedule.startAt)],
    ["Ends", instant(schedule.endAt)],
    ["Overlap", schedule.overlap],
    ["Catch up", String(schedule.catchUp)],
    ["Jitter", jitterMs === 0 ? undefined : formatSpan(jitterMs)],
    ["Input", schedule.input],
    ["Made by", owner === "own" ? undefined : owner],
    ["For", schedule.description],
  ];
}

export const FIRING_TITLES = ["TIME", "KIND", "OUTCOME", "EVENT"];

export function firingRow(value: unknown): string[] {
  const fields = new Fields("firing", value);
  return [
    formatInstant(fields.number("instantAt")),
    fields.text("kind"),
    fields.optionalText("outcome") ?? "-",
    fields.optionalText("eventId") ?? "-",
  ];
}

/** `cron: 0 * * * *`, `rate: 5 minutes`, `at: 2027-01-01T00:00:00`. */
export function inWords(expression: string): string {
  const [, form, inside] = /^(rate|at)\((.*)\)$/.exec(expression) ?? [];
  return form === undefined ? `cron: ${expression}` : `${form}: ${inside}`;
}

/** `2026-12-01 16:00:00 (Europe/Berlin, UTC+01:00)`, in the zone that the schedule is told in. */
export function zonedInstant(timeZone: string, at: number): string {
  return `${formatInstantIn(timeZone, at)} (${describeZone(timeZone, at)})`;
}
