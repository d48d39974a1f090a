import { openCalendar } from "./cron-calendar.ts";
import { type CronFields, parseAwsCron, parsePlainCron } from "./cron-fields.ts";
import { PlatformError } from "./errors.ts";

/**
 * When something is to happen, as people write it. Four forms:
 *
 *   0 8 * * MON-FRI          five-field cron, or @yearly @monthly @weekly @daily @hourly
 *   cron(0 8 ? * MON-FRI *)  AWS's cron, six fields
 *   rate(5 minutes)          every so often
 *   at(2027-01-01T00:00:00)  once
 */
export type ScheduleExpression =
  | { readonly kind: "cron"; readonly dialect: "plain" | "aws"; readonly fields: CronFields }
  | { readonly kind: "rate"; readonly everyMs: number }
  /** Wall time. */
  | { readonly kind: "at"; readonly wall: number };

const NICKNAMES: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};

const UNIT_MS: Readonly<Record<string, number>> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };
const RATE_MS_MAX = 366 * 86_400_000;
export const EXPRESSION_LENGTH_MAX = 256;

/** @throws PlatformError `InvalidRequest` with what is wrong and how to write it. */
export function parseExpression(text: string): ScheduleExpression {
  if (text.length > EXPRESSION_LENGTH_MAX) {
    throw wrong(`a schedule has at most ${EXPRESSION_LENGTH_MAX} characters`);
  }
  const [, form, inside] = /^(cron|rate|at)\(([^()]*)\)$/.exec(text) ?? [];
  switch (form) {
    case "cron":
      return ofCalendar({ kind: "cron", dialect: "aws", fields: parseAwsCron(inside ?? "") }, text);
    case "rate":
      return parseRate(inside ?? "");
    case "at":
      return parseAt(inside ?? "");
  }
  if (/[()]/.test(text)) {
    throw wrong(`${JSON.stringify(text)}: expected cron(…), rate(…) or at(…), in small letters`);
  }
  return ofCalendar({ kind: "cron", dialect: "plain", fields: parsePlainCron(plainOf(text)) }, text);
}

function plainOf(text: string): string {
  if (!text.startsWith("@")) return text;
  const plain = NICKNAMES[text];
  if (plain !== undefined) return plain;
  throw wrong(
    `"${text}": expected ${Object.keys(NICKNAMES).join(" ")}; for intervals write rate(5 minutes), for once at(…)`,
  );
}

function ofCalendar(
  expression: ScheduleExpression & { readonly kind: "cron" },
  text: string,
): ScheduleExpression {
  if (openCalendar(expression.fields).next(-1) !== undefined) return expression;
  throw wrong(`"${text}" never comes: there is no such day`);
}

function parseRate(text: string): ScheduleExpression {
  const [, digits, unit = "", plural] = /^(\d{1,9}) (minute|hour|day)(s?)$/.exec(text) ?? [];
  const count = Number(digits);
  const unitMs = UNIT_MS[unit];
  if (unitMs === undefined || count < 1) {
    throw wrong(`rate(${text}): expected a number from 1 and minutes, hours or days, as in rate(5 minutes)`);
  }
  if ((plural === "") !== (count === 1)) {
    throw wrong(`rate(${text}): write rate(${count} ${unit}${count === 1 ? "" : "s"})`);
  }
  if (count * unitMs > RATE_MS_MAX) throw wrong(`rate(${text}): expected at most 366 days`);
  return { kind: "rate", everyMs: count * unitMs };
}

function parseAt(text: string): ScheduleExpression {
  const isWritten = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/.test(text);
  const wall = isWritten ? Date.parse(`${text}Z`) : Number.NaN;
  // Date.parse makes 3 March of 31 February.
  if (Number.isNaN(wall) || new Date(wall).toISOString().slice(0, 19) !== text) {
    throw wrong(`at(${text}): expected a time without zone: at(yyyy-mm-ddThh:mm:ss)`);
  }
  return { kind: "at", wall };
}

function wrong(message: string): PlatformError {
  return new PlatformError("InvalidRequest", message);
}
