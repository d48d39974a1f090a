import type { FunctionRecord, Version } from "../core/function.ts";
import type { Hook } from "../core/hook.ts";
import type { RouteId } from "../core/ids.ts";
import type { ProjectName } from "../core/project.ts";
import type { ProjectRecord, Release } from "../core/release.ts";
import type { HttpRoute } from "../core/route.ts";
import type { ScheduleRecord } from "../core/schedule.ts";
import type { Source } from "../core/source.ts";

/** All that changes when a release is made, or goes live. */
export interface ProjectChange {
  /** Its generation is one more than what is stored (1 for a new project). */
  readonly project: ProjectRecord;
  /** A new one. */
  readonly release: Release | undefined;
  readonly functions: readonly {
    readonly record: FunctionRecord;
    readonly published: Version | undefined;
  }[];
  readonly schedules: {
    readonly saved: readonly ScheduleRecord[];
    readonly removed: readonly string[];
  };
  readonly routes: RouteChange;
  /** None is removed: another release may have it. */
  readonly hooks: readonly Hook[];
  readonly sources: readonly Source[];
}

export interface RouteChange {
  readonly saved: readonly HttpRoute[];
  readonly removed: readonly RouteId[];
}

/**
 * Projects and their releases. What a promise of a change resolves with is on disk.
 *
 * @throws PlatformError `StoreUnavailable`, `StorageFull` from any of them.
 */
export interface Projects {
  find(name: ProjectName): Promise<ProjectRecord | undefined>;
  /** By name, ascending; `after` is exclusive. */
  list(page: { readonly after: string | undefined; readonly limit: number }): Promise<ProjectRecord[]>;
  findRelease(project: ProjectName, number: number): Promise<Release | undefined>;
  /** Latest first; `before` is exclusive. */
  listReleases(
    project: ProjectName,
    page: { readonly before: number | undefined; readonly limit: number },
  ): Promise<Release[]>;
  /**
   * Makes all of it in one step: after a crash it has happened or not. Of more releases than `RELEASES_MAX` the oldest
   * that is not live is forgotten.
   *
   * @throws PlatformError `ResourceConflict` if somebody has changed the project or one of the functions in between;
   * what `Registry.saveFunction` and the `save` of triggers throw. Nothing has happened then.
   */
  apply(change: ProjectChange): Promise<void>;
  /** Removes the project and its releases, not its functions. False if there was none. */
  remove(name: ProjectName): Promise<boolean>;
}
