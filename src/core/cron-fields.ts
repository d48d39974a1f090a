/**
 * The two spellings of cron, read strictly into one form.
 *
 * Plain, five fields (POSIX crontab, names and steps as in Vixie's):
 *   minute 0-59, hour 0-23, day of month 1-31, month 1-12 or JAN-DEC, day of week 0-7 or SUN-SAT (0 and 7 are Sunday)
 * AWS, six fields:
 *   minute, hour, day of month (also L, LW, 15W), month, day of week 1-7 or SUN-SAT (1 is Sunday; also L, 6L, 3#2), year
 *   1970-2199; exactly one of the two days is `?`.
 * https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
 */
import { PlatformError } from "./errors.ts";

/** Numbers that match, ascending; days may be said by rule: the spelling of those is croner's. */
export interface CronFields {
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  /** `*`, numbers, `L`, `LW`, `15W`. */
  readonly days: string;
  readonly months: readonly number[];
  /** `*`, numbers from 0 (Sunday) to 6, `5L` (the last Friday), `2#2` (the second Tuesday). */
  readonly weekdays: string;
  /** Undefined: all of them. */
  readonly years: readonly number[] | undefined;
  /** Whether a day has to fit both `days` and `weekdays`; otherwise one is enough. */
  readonly needsBothDays: boolean;
  /** Whether it is rather an interval than times of day, by Vixie's rule: minute or hour begin with `*`. */
  readonly isInterval: boolean;
}

interface Field {
  readonly label: string;
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
  /** What the first name stands for. */
  readonly firstName?: number;
  /** Whether 22-2 goes over the end. */
  readonly wraps?: boolean;
}

const MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

export const YEAR_MIN = 1970;
export const YEAR_MAX = 2199;

const MINUTE: Field = { label: "minute", min: 0, max: 59 };
const HOUR: Field = { label: "hour", min: 0, max: 23 };
const DAY: Field = { label: "day of month", min: 1, max: 31 };
const MONTH: Field = { label: "month", min: 1, max: 12, names: MONTHS, firstName: 1 };
const WEEKDAY: Field = { label: "day of week", min: 0, max: 7, names: WEEKDAYS, firstName: 0 };
const AWS_WEEKDAY: Field = {
  label: "day of week",
  min: 1,
  max: 7,
  names: WEEKDAYS,
  firstName: 1,
  wraps: true,
};
const YEAR: Field = { label: "year", min: YEAR_MIN, max: YEAR_MAX };

/** @throws PlatformError `InvalidRequest` with what is wrong in which field. */
export function parsePlainCron(text: string): CronFields {
  const fields = text.trim().split(/\s+/);
  const [minute = "", hour = "", day = "", month = "", weekday = ""] = fields;
  if (fields.length !== 5) {
    throw wrong(
      `expected five fields (minute hour day month weekday), got ${fields.length}; AWS's six are written cron(…)`,
    );
  }
  for (const field of fields) {
    const special = /[?#]|^L|\dL|\dW|LW/i.exec(field);
    if (special && !/^[a-z]{3}/i.test(field)) {
      throw wrong(`"${field}": ? L W and # are AWS's; write cron(minute hour day month weekday year)`);
    }
  }
  const weekdays = plainItems(weekday, WEEKDAY).map((number) => number % 7);
  return {
    minutes: plainItems(minute, MINUTE),
    hours: plainItems(hour, HOUR),
    days: day === "*" ? "*" : plainItems(day, DAY).join(),
    months: plainItems(month, MONTH),
    weekdays: weekday === "*" ? "*" : ascending(weekdays).join(),
    years: undefined,
    needsBothDays: day.startsWith("*") || weekday.startsWith("*"),
    isInterval: minute.startsWith("*") || hour.startsWith("*"),
  };
}

/** What stands between the parentheses of `cron(…)`. @throws PlatformError `InvalidRequest`. */
export function parseAwsCron(text: string): CronFields {
  const fields = text.split(" ");
  const [minute = "", hour = "", day = "", month = "", weekday = "", year = ""] = fields;
  if (fields.length !== 6 || fields.includes("")) {
    throw wrong("cron(…): expected six fields (minute hour day month weekday year) with one space between");
  }
  if ((day === "?") === (weekday === "?")) {
    throw wrong("cron(…): exactly one of day of month and day of week must be ?");
  }
  return {
    minutes: items(minute, { ...MINUTE, wraps: true }),
    hours: items(hour, { ...HOUR, wraps: true }),
    days: day === "?" || day === "*" ? "*" : awsDays(day),
    months: items(month, { ...MONTH, wraps: true }),
    weekdays: weekday === "?" || weekday === "*" ? "*" : awsWeekdays(weekday),
    years: year === "*" ? undefined : items(year, YEAR),
    needsBothDays: true,
    isInterval: false,
  };
}

function plainItems(text: string, field: Field): number[] {
  if (/(^|,)\w+\//.test(text)) {
    throw wrong(`${field.label} "${text}": a step needs * or a range before it, as in 5-${field.max}/10`);
  }
  return items(text, field);
}

function awsDays(text: string): string {
  const special: string[] = [];
  const plain: string[] = [];
  for (const item of text.split(",")) {
    if (/^L-\d+$/.test(item))
      throw wrong(`day of month "${item}": an offset from the last day is not supported`);
    if (item === "L" || item === "LW") special.push(item);
    else if (/^\d{1,2}W$/.test(item)) special.push(`${numberOf(item.slice(0, -1), DAY, text)}W`);
    else plain.push(item);
  }
  const numbers = plain.length > 0 ? items(plain.join(","), DAY) : [];
  return [...numbers, ...special].join();
}

function awsWeekdays(text: string): string {
  const nth = /^(\w+)#([1-5])$/.exec(text);
  if (nth) return `${numberOf(nth[1] ?? "", AWS_WEEKDAY, text) - 1}#${nth[2]}`;
  if (text.includes("#")) {
    throw wrong(`day of week "${text}": expected one DAY#N alone, with N from 1 to 5, as in 3#2`);
  }
  const special: string[] = [];
  const plain: string[] = [];
  for (const item of text.split(",")) {
    // Alone it is the last day of the week.
    if (item === "L") plain.push("7");
    else if (/^(\d|[a-z]{3})L$/i.test(item)) {
      special.push(`${numberOf(item.slice(0, -1), AWS_WEEKDAY, text) - 1}L`);
    } else plain.push(item);
  }
  const numbers = plain.length > 0 ? items(plain.join(","), AWS_WEEKDAY).map((number) => number - 1) : [];
  return [...numbers, ...special].join();
}

function items(text: string, field: Field): number[] {
  return ascending(text.split(",").flatMap((item) => itemNumbers(item, field, text)));
}

/** `*`, `N`, `N-M`, each with `/STEP`; a step after one number goes from there to the end. */
function itemNumbers(item: string, field: Field, whole: string): number[] {
  const [, range = "", step] = /^([^/]+)(?:\/(\d{1,4}))?$/.exec(item) ?? [];
  if (range === "") throw notThat(field, whole);
  const by = step === undefined ? 1 : Number(step);
  if (by < 1) throw wrong(`${field.label} "${whole}": a step must be at least 1`);
  const [first = "", last, ...more] = range.split("-");
  if (more.length > 0) throw notThat(field, whole);
  const from = range === "*" ? field.min : numberOf(first, field, whole);
  const open = range === "*" || (step !== undefined && last === undefined);
  const to = open ? field.max : numberOf(last ?? first, field, whole);
  if (from > to && !field.wraps) {
    throw wrong(`${field.label} "${whole}": the range ${range} goes backwards`);
  }
  const span = field.max - field.min + 1;
  const end = from > to ? to + span : to;
  const numbers: number[] = [];
  for (let number = from; number <= end; number += by) {
    numbers.push(number > field.max ? number - span : number);
  }
  return numbers;
}

function numberOf(text: string, field: Field, whole: string): number {
  const named = field.names?.indexOf(text.toUpperCase()) ?? -1;
  if (named >= 0) return named + (field.firstName ?? 0);
  const number = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= field.min && number <= field.max) return number;
  throw notThat(field, whole);
}

function notThat({ label, min, max, names }: Field, text: string): PlatformError {
  const named = names ? ` or ${names[0]} to ${names.at(-1)}` : "";
  return wrong(
    `${label} "${text}": expected numbers from ${min} to ${max}${named}, lists, ranges or steps of them`,
  );
}

function ascending(numbers: readonly number[]): number[] {
  return [...new Set(numbers)].sort((a, b) => a - b);
}

function wrong(message: string): PlatformError {
  return new PlatformError("InvalidRequest", message);
}
