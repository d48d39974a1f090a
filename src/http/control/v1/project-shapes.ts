/** What our own API answers about projects. */
import type { ReleaseCanary } from "../../../core/canary.ts";
import type { ProjectRecord, Release } from "../../../core/release.ts";
import { routeKeyText } from "../../../core/route.ts";
import type { HookNews } from "../../../registry/hook-releases.ts";
import type { ReleaseDifference, ReleasePlan } from "../../../registry/projects.ts";
import type { ControlParts } from "../parts.ts";
import { canaryShape } from "./canaries.ts";
import { shadowShape } from "./shadows.ts";

export function projectShape(project: ProjectRecord): Record<string, unknown> {
  const { name, createdAt, liveRelease, nextRelease, switches } = project;
  return { name, createdAt, liveRelease, releases: nextRelease - 1, switches };
}

export function releaseShape(
  release: Release,
  project: Pick<ProjectRecord, "liveRelease" | "switches" | "canaries"> | undefined,
  parts: Pick<ControlParts, "urls">,
): Record<string, unknown> {
  const { number, functions, schedules } = release;
  const trials = (project?.canaries ?? []).filter((each) => each.release === number);
  const canary = trials.find(({ shadow }) => !shadow);
  const shadow = trials.find(({ shadow }) => shadow);
  return {
    project: release.project,
    number,
    state: project ? stateOf(number, project, trials[0]) : "preview",
    url: parts.urls.ofRelease(release),
    functions,
    schedules: schedules.map(({ name, functionName, timing, isPaused }) => ({
      name,
      function: functionName,
      expression: timing.expression,
      timezone: timing.timeZone,
      isPaused,
    })),
    routes: release.routes.map((route) => ({
      route: routeKeyText(route),
      host: route.host,
      ...(route.action.kind === "function" && { function: route.action.functionName }),
    })),
    hooks: release.hooks.map(({ id, name, functionName, provider, isPaused }) => ({
      name,
      function: functionName,
      provider,
      url: parts.urls.ofHook(id),
      isPaused,
    })),
    sources: release.sources.map(({ id, name, functionName, origin, isPaused }) => ({
      name,
      id,
      function: functionName,
      kind: origin.kind,
      from: origin.kind === "sqs" ? origin.queueArn : origin.servers.join(","),
      ...(origin.kind === "nats" && { stream: origin.stream, consumer: origin.consumer }),
      isPaused,
    })),
    madeOver: release.madeOver,
    createdAt: release.createdAt,
    createdBy: release.createdBy,
    commit: release.commit,
    description: release.description,
    canary: canary && canaryShape(canary),
    shadow: shadow && shadowShape(shadow),
  };
}

function stateOf(
  number: number,
  { liveRelease, switches }: Pick<ProjectRecord, "liveRelease" | "switches">,
  trial: ReleaseCanary | undefined,
): string {
  if (liveRelease === number) return "live";
  if (trial && !trial.decision) return trial.shadow ? "shadow" : "canary";
  if (switches.some(({ to }) => to === number)) return "earlier";
  // What took calls and did not go live: aborted, or superseded. A shadow took none.
  return trial?.shadow ? "preview" : (trial?.decision?.outcome ?? "preview");
}

export function planShape(plan: ReleasePlan, parts: Pick<ControlParts, "urls">): Record<string, unknown> {
  const { release, isMade, isLive, difference, newSecrets } = plan;
  return {
    release: release.number,
    isMade,
    isLive,
    url: parts.urls.ofRelease(release),
    functions: release.functions.map(({ name, version }) => ({
      name,
      version,
      url: parts.urls.ofFunction(name),
    })),
    difference: differenceShape(difference),
    newSecrets,
  };
}

/** A secret that was made here is told this once. */
export function hookNewsShape(
  { hook, change, secret }: HookNews,
  { urls }: Pick<ControlParts, "urls">,
): Record<string, unknown> {
  const { id, name, provider, secrets } = hook;
  return { name, change, provider, url: urls.ofHook(id), hasSecret: secrets.length > 0, secret };
}

export function differenceShape(difference: ReleaseDifference): Record<string, unknown> {
  const { functions, schedules, routes, hooks, sources } = difference;
  return { functions, schedules, routes, hooks, sources };
}
