/** What becomes of all that calls the functions of a project when a release of it is made or goes live. */
import type { Clock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import type { ProjectName } from "../core/project.ts";
import type { Release, ReleasedSchedule } from "../core/release.ts";
import type { ScheduleRecord } from "../core/schedule.ts";
import type { ProjectChange } from "../store/projects.ts";
import type { Schedules } from "../store/schedules.ts";
import type { HookNews, HooksOfReleases } from "./hook-releases.ts";
import { conflict, type Draft } from "./release-steps.ts";
import type { RouteBook } from "./route-book.ts";
import { newScheduleRecord } from "./schedule-book.ts";
import type { SourcesOfReleases } from "./source-releases.ts";

export interface TriggerParts {
  readonly schedules: Pick<Schedules, "find">;
  readonly routes: Pick<RouteBook, "planOf">;
  readonly hooks: HooksOfReleases;
  readonly sources: SourcesOfReleases;
  readonly clock: Clock;
}

type TriggerChange = Omit<ProjectChange, "project" | "release" | "functions">;

/** Changes nothing yet. Before a release is live there is only what will have to have an address. */
export async function triggerChanges(
  parts: TriggerParts,
  { live, release, hooks, adopts }: Draft,
  isLive: boolean,
): Promise<TriggerChange & { readonly hookNews: readonly HookNews[] }> {
  const { project } = release;
  const { hooks: hookBook, sources, routes } = parts;
  const { saved, news } = await hookBook.planOf(hooks, { project, live, isLive, adopts });
  const none = { saved: [], removed: [] };
  return {
    hooks: saved,
    hookNews: news,
    sources: isLive ? await sources.planOf(release.sources, { project, live, adopts }) : [],
    routes: isLive ? await routes.planOf(project, release.routes) : none,
    schedules: isLive ? await scheduleChange(parts, project, live, release.schedules) : none,
  };
}

/** @throws PlatformError `ResourceConflict` for one that is not the project's, `InvalidRequest` for bad times. */
export async function scheduleChange(
  { schedules, clock }: TriggerParts,
  project: ProjectName,
  live: Release | undefined,
  wanted: readonly ReleasedSchedule[],
): Promise<ProjectChange["schedules"]> {
  const owner = { kind: "project", project } as const;
  const isOwn = ({ schedule }: ScheduleRecord) =>
    schedule.owner.kind === "project" && schedule.owner.project === project;
  const saved: ScheduleRecord[] = [];
  for (const schedule of wanted) {
    const before = await schedules.find(schedule.name);
    if (before && !isOwn(before)) {
      throw conflict(
        `schedule "${schedule.name}" exists and is not of project "${project}"; give it another name, or delete that one`,
      );
    }
    const record = newScheduleRecord({ ...schedule, owner }, before, clock.now());
    if (!record.next && !schedule.isPaused) {
      throw new PlatformError(
        "InvalidRequest",
        `schedule "${schedule.name}": ${schedule.timing.expression} does not come any more`,
      );
    }
    saved.push(record);
  }
  const gone = (live?.schedules ?? []).filter(({ name }) => !wanted.some((each) => each.name === name));
  const removed: string[] = [];
  for (const { name } of gone) {
    const before = await schedules.find(name);
    if (before && isOwn(before)) removed.push(name);
  }
  return { saved, removed };
}
