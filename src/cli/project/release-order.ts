/** A project as the control API wants a release of it (docs/api.md). */
import type {
  FunctionSections,
  HookSections,
  RouteSections,
  ScheduleSections,
  SourceSections,
} from "./project-schema.ts";
import type { Project } from "./read-project.ts";
import { expressionOf } from "./schedule-expression.ts";

/** Everything about a function but its code. */
export function functionOrder(
  { sections, variables }: Project,
  section: FunctionSections,
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
    recording: section.recording && recordingOrder(section.recording),
    environment: { ...sections.environment, ...section.environment, ...Object.fromEntries(secrets) },
  });
}

function recordingOrder({
  sample,
  keep,
  redact,
}: NonNullable<FunctionSections["recording"]>): Record<string, unknown> {
  return given({ share: sample, keepMs: keep, redact });
}

function scheduleOrder(section: ScheduleSections): Record<string, unknown> {
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

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600 };

function routeOrder(key: string, section: RouteSections): Record<string, unknown> {
  const { cors, limit } = section;
  const [, count, unit = "s"] = /^([\d.]+)\/(s|m|h)$/.exec(limit?.rate ?? "") ?? [];
  return given({
    ...section,
    route: key.replace(/ +/, " "),
    cors:
      cors && given({ ...cors, maxAge: undefined, maxAgeS: cors.maxAge && Math.round(cors.maxAge / 1_000) }),
    limit:
      limit && given({ burst: limit.burst, per: limit.per, perSecond: Number(count) / (SECONDS[unit] ?? 1) }),
  });
}

function hookOrder(section: HookSections, { variables }: Project): Record<string, unknown> {
  const { secret, paused, ...rest } = section;
  return given({
    ...rest,
    secretName: secret,
    secret: secret === undefined ? undefined : variables[secret],
    isPaused: paused,
  });
}

function sourceOrder(section: SourceSections, { variables }: Project): Record<string, unknown> {
  const { queue, nats, from, batch, window, concurrency, attempts, secret, paused, ...rest } = section;
  return given({
    ...rest,
    from: queue ?? [nats ?? []].flat().join(","),
    startsAt: from,
    batchSize: batch,
    windowMs: window,
    concurrencyMax: concurrency,
    attemptsMax: attempts,
    secret: secret === undefined ? undefined : variables[secret],
    isPaused: paused,
  });
}

/** What is undefined is left out. */
export function given(members: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

/** What a release has besides functions. */
export function besidesOrder(project: Project): Readonly<Record<string, unknown>> {
  const { sections } = project;
  return {
    schedules: mapped(sections.schedules, scheduleOrder),
    routes: Object.entries(sections.routes ?? {}).map(([key, section]) => routeOrder(key, section)),
    hooks: mapped(sections.hooks, (section) => hookOrder(section, project)),
    sources: mapped(sections.sources, (section) => sourceOrder(section, project)),
  };
}

function mapped<T>(
  sections: Readonly<Record<string, T>> | undefined,
  order: (section: T) => Record<string, unknown>,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(sections ?? {}).map(([name, section]) => [name, order(section)]));
}
