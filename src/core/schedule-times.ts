/**
 * Which instants a schedule means. The rule where clocks are changed (docs/schedules.md):
 *
 * - Times of day of a plain cron expression: once where the clock is put back, at the first of the two; where it is
 *   put forward over them, at the first instant after the gap. So a daily job runs once every day.
 * - Intervals (a plain expression whose minute or hour begins with `*`, and `rate`) follow real time.
 * - AWS's `cron()`: times that do not exist are left out, times that come twice count once, as EventBridge Scheduler.
 * - `at()`: like times of day.
 */
import { type CronCalendar, openCalendar } from "./cron-calendar.ts";
import { PlatformError } from "./errors.ts";
import { parseExpression, type ScheduleExpression } from "./schedule-expression.ts";
import {
  comingFold,
  findTimeZone,
  firstReached,
  instantsOf,
  latestWall,
  type TimeZone,
} from "./time-zone.ts";

export interface Timing {
  readonly expression: string;
  /** IANA. */
  readonly timeZone: string;
  /** What the steps of a `rate` are counted from. */
  readonly anchorAt: number;
  /** Nothing before it. */
  readonly startAt: number | undefined;
  /** Nothing from then on. */
  readonly endAt: number | undefined;
}

export interface Instants {
  /** The first instant strictly later than `after`. */
  next(after: number): number | undefined;
}

/** @throws PlatformError `InvalidRequest`. */
export function openInstants(timing: Timing): Instants {
  const { startAt, endAt } = timing;
  const next = nextOf(parseExpression(timing.expression), getTimeZone(timing.timeZone), timing.anchorAt);
  return {
    next(after) {
      const at = next(startAt === undefined ? after : Math.max(after, startAt - 1));
      return at === undefined || (endAt !== undefined && at >= endAt) ? undefined : at;
    },
  };
}

/** @throws PlatformError `InvalidRequest`. */
function getTimeZone(name: string): TimeZone {
  const zone = findTimeZone(name);
  if (zone) return zone;
  throw new PlatformError(
    "InvalidRequest",
    `time zone ${JSON.stringify(name)}: expected an IANA name, as Europe/Berlin or UTC`,
  );
}

/**
 * The latest instants from `from` to `to`, both included, at most `limit`, earliest first. It looks back in growing
 * steps, so that a year of minutes costs no more than a few of them.
 */
export function latestInstants(instants: Instants, from: number, to: number, limit: number): number[] {
  if (limit === 0) return [];
  for (let spanMs = 60_000 * limit; ; spanMs *= 4) {
    const start = Math.max(from, to - spanMs);
    const found: number[] = [];
    for (let at = instants.next(start - 1); at !== undefined && at <= to; at = instants.next(at)) {
      found.push(at);
      if (found.length > limit) found.shift();
    }
    if (found.length === limit || start === from) return found;
  }
}

function nextOf(
  expression: ScheduleExpression,
  zone: TimeZone,
  anchorAt: number,
): (after: number) => number | undefined {
  switch (expression.kind) {
    case "rate": {
      const { everyMs } = expression;
      return (after) => anchorAt + Math.max(0, Math.floor((after - anchorAt) / everyMs) + 1) * everyMs;
    }
    case "at": {
      const { at } = firstReached(zone, expression.wall);
      return (after) => (at > after ? at : undefined);
    }
    case "cron": {
      const calendar = openCalendar(expression.fields);
      if (expression.fields.isInterval) return (after) => nextInRealTime(calendar, zone, after);
      return (after) => nextOnTheWall(calendar, zone, after, expression.dialect === "aws");
    }
  }
}

/** Each wall time once, when it is first shown. */
function nextOnTheWall(
  calendar: CronCalendar,
  zone: TimeZone,
  after: number,
  skipsGaps: boolean,
): number | undefined {
  let wall = calendar.next(latestWall(zone, after));
  while (wall !== undefined) {
    const { at, isReal } = firstReached(zone, wall);
    if (isReal || !skipsGaps) return at;
    wall = calendar.next(at + zone.offsetAt(at) - 1);
  }
  return undefined;
}

/** Each instant at which the wall shows a matching time. */
function nextInRealTime(calendar: CronCalendar, zone: TimeZone, after: number): number | undefined {
  const ahead = nextShown(calendar, zone, after);
  const fold = comingFold(zone, after);
  if (!fold) return ahead;
  // What the wall shows again is behind what it shows now, so looking ahead does not find it.
  const wall = calendar.next(fold.from - 1);
  if (wall === undefined || wall >= fold.to) return ahead;
  return Math.min(ahead ?? Number.POSITIVE_INFINITY, wall - fold.offset);
}

function nextShown(calendar: CronCalendar, zone: TimeZone, after: number): number | undefined {
  let wall = calendar.next(after + zone.offsetAt(after));
  while (wall !== undefined) {
    const at = instantsOf(zone, wall).find((instant) => instant > after);
    if (at !== undefined) return at;
    const { at: end } = firstReached(zone, wall);
    wall = calendar.next(end + zone.offsetAt(end) - 1);
  }
  return undefined;
}
