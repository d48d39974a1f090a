import { Cron } from "croner";
import { type CronFields, YEAR_MAX, YEAR_MIN } from "./cron-fields.ts";

/**
 * The minutes that a cron expression means, on a clock on the wall. Wall times are ms as if the wall were in
 * Greenwich; what they are elsewhere is the time zone's matter.
 */
export interface CronCalendar {
  /** The first matching minute strictly later; undefined if there is none up to the year 2199. */
  next(wall: number): number | undefined;
}

export function openCalendar(fields: CronFields): CronCalendar {
  const { minutes, hours, days, months, weekdays, years, needsBothDays } = fields;
  const pattern = [
    "0",
    minutes.join(),
    hours.join(),
    days,
    // A full list would count as a restriction of nothing, but cost a look at each.
    months.length === 12 ? "*" : months.join(),
    weekdays,
    years?.join() ?? `${YEAR_MIN}-${YEAR_MAX}`,
  ].join(" ");
  // `paused` alone keeps it from starting a timer; it is asked for times only.
  const cron = new Cron(pattern, { mode: "7-part", utcOffset: 0, paused: true, domAndDow: needsBothDays });
  return { next: (wall) => cron.nextRun(new Date(wall))?.getTime() };
}
