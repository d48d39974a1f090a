/** What our own API answers about projects. */
import type { ProjectRecord, Release } from "../../../core/release.ts";
import { routeKeyText } from "../../../core/route.ts";
import type { ReleaseDifference, ReleasePlan } from "../../../registry/projects.ts";
import type { ControlParts } from "../parts.ts";

export function projectShape(project: ProjectRecord): Record<string, unknown> {
  const { name, createdAt, liveRelease, nextRelease, switches } = project;
  return { name, createdAt, liveRelease, releases: nextRelease - 1, switches };
}

export function releaseShape(
  release: Release,
  project: Pick<ProjectRecord, "liveRelease" | "switches"> | undefined,
  parts: Pick<ControlParts, "urls">,
): Record<string, unknown> {
  const { number, functions, schedules } = release;
  const wasLive = project?.switches.some(({ to }) => to === number) ?? false;
  return {
    project: release.project,
    number,
    state: project?.liveRelease === number ? "live" : wasLive ? "earlier" : "preview",
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
    madeOver: release.madeOver,
    createdAt: release.createdAt,
    createdBy: release.createdBy,
    commit: release.commit,
    description: release.description,
  };
}

export function planShape(plan: ReleasePlan, parts: Pick<ControlParts, "urls">): Record<string, unknown> {
  const { release, isMade, isLive, difference } = plan;
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
  };
}

export function differenceShape({
  functions,
  schedules,
  routes,
}: ReleaseDifference): Record<string, unknown> {
  return { functions, schedules, routes };
}
