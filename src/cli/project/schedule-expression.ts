import type { ScheduleSections } from "./project-schema.ts";

/** When a schedule of a lambda.yaml is due, as the API has it. */
export function expressionOf({
  cron,
  rate,
  at = "",
}: Pick<ScheduleSections, "cron" | "rate" | "at">): string {
  if (cron !== undefined) return cron;
  if (rate !== undefined) return rate.startsWith("rate(") ? rate : `rate(${rate})`;
  return at.startsWith("at(") ? at : `at(${at})`;
}
