/** A project as the control API wants a release of it (docs/api.md). */

import type { FunctionSections, ScheduleSections } from "./project-schema.ts";
import type { Project } from "./read-project.ts";

export type Variables = Readonly<Record<string, string | undefined>>;

/** Everything about a function but its code; `variables` have its secrets. */
export function functionOrder(
  { sections }: Project,
  section: FunctionSections,
  variables: Variables,
): Record<string, unknown> {
  const names = [...(sections.secrets ?? []), ...(section.secrets ?? [])];
  const secrets = names.map((name) => [name, variables[name]]);
  return given({
    memoryMib: section.memory,
    cpus: section.cpus,
    timeoutMs: section.timeout,
    tmpMib: section.tmp,
    network: section.network,
    slotsPerInstance: section.slots,
    concurrencyMax: section.concurrency?.max,
    concurrencyMin: section.concurrency?.min,
    mayInvoke: section.calls,
    description: section.description,
    environment: { ...sections.environment, ...section.environment, ...Object.fromEntries(secrets) },
  });
}

export function scheduleOrder(section: ScheduleSections): Record<string, unknown> {
  const { input } = section;
  return given({
    function: section.function,
    expression: expressionOf(section),
    timezone: section.timezone,
    input: input === undefined || typeof input === "string" ? input : JSON.stringify(input),
    overlap: section.overlap,
    catchUp: section.catchUp,
    jitterMs: section.jitter,
    isPaused: section.paused,
    description: section.description,
  });
}

function expressionOf({ cron, rate, at = "" }: ScheduleSections): string {
  if (cron !== undefined) return cron;
  if (rate !== undefined) return rate.startsWith("rate(") ? rate : `rate(${rate})`;
  return at.startsWith("at(") ? at : `at(${at})`;
}

/** What is undefined is left out. */
export function given(members: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}
