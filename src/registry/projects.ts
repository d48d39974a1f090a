import type { CanaryDecision, CanaryPlan } from "../core/canary.ts";
import type { CodeRef, FunctionConfig } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import type { ProjectName, ReleaseRef } from "../core/project.ts";
import type { ReleasedRecording } from "../core/recording.ts";
import type { ProjectRecord, Release, ReleasedRoute, ReleasedSchedule } from "../core/release.ts";
import type { HookNews, WantedHook } from "./hook-releases.ts";
import type { WantedSource } from "./source-releases.ts";
import type { Target } from "./target.ts";
import type { VersionMember } from "./version-diff.ts";

/**
 * The rules by which projects and their releases change. A release goes live in one step of the store and one of the
 * routing: when the promise of a switch resolves, `Functions.resolve` gives nothing older, and at no moment functions of
 * two releases.
 *
 * All throw PlatformError `ResourceNotFound` for a project or release that is not there.
 */
export interface ProjectBook {
  get(project: ProjectName): Promise<ProjectRecord>;
  list(page: { readonly after: string | undefined; readonly limit: number }): Promise<ProjectRecord[]>;
  getRelease(project: ProjectName, number: number): Promise<Release>;
  /** Latest first; `before` is exclusive. */
  listReleases(
    project: ProjectName,
    page: { readonly before: number | undefined; readonly limit: number },
  ): Promise<Release[]>;
  /** What `make` would do; changes nothing. Throws what that would refuse. */
  plan(wanted: WantedRelease): Promise<ReleasePlan>;
  /**
   * Makes a release and, unless it is a preview, makes it live, or a canary. `start` is given what it newly has to have
   * started before that; if it rejects, nothing has changed. A canary that runs is ended by whatever changes what is live, in
   * the same write, and so it is by the next.
   *
   * @throws PlatformError `ResourceConflict` if a function or a trigger belongs to somebody else, or if functions, hooks or
   * sources would be removed and `mayRemove` is not set; `InvalidRequest` for triggers that cannot be; `SourceUnavailable`.
   */
  make(
    wanted: WantedRelease,
    options: {
      readonly mayRemove: boolean;
      readonly start: (plan: ReleasePlan, targets: readonly Target[]) => Promise<void>;
    },
  ): Promise<ReleaseMade>;
  /**
   * Makes a release live that was made before; without `to` the one before the live one that was live as well.
   *
   * @throws PlatformError `VersionNotFound` if there is none, or something that it needs was deleted since.
   */
  switchTo(project: ProjectName, to: number | undefined, by: string): Promise<ReleaseSwitched>;
  /**
   * Ends the canary of that release: it goes live if it is promoted, else nothing is routed to it any more. `by` is who is
   * said to have made it live.
   *
   * @throws PlatformError `ResourceConflict` if it does not run (any more).
   */
  endCanary(
    project: ProjectName,
    release: number,
    decision: CanaryDecision,
    by: string,
  ): Promise<ProjectRecord>;
  /** How the second differs from the first. */
  compare(older: Release | undefined, newer: Release): Promise<ReleaseDifference>;
  /** Removes the project and all of its functions. Gives their names. */
  remove(project: ProjectName): Promise<FunctionName[]>;
}

export interface WantedRelease {
  readonly project: ProjectName;
  readonly functions: readonly WantedFunction[];
  readonly schedules: readonly ReleasedSchedule[];
  readonly routes: readonly ReleasedRoute[];
  readonly hooks: readonly WantedHook[];
  readonly sources: readonly WantedSource[];
  readonly by: string;
  readonly commit: string | undefined;
  readonly description: string;
  /** It can be reached, and does not go live. */
  readonly isPreview: boolean;
  /** It takes a share of the calls that enter the project, and goes live if it does well. */
  readonly canary?: CanaryPlan | undefined;
  /** Functions, hooks and sources that exist outside of the project become part of it. */
  readonly adopts: boolean;
}

export interface WantedFunction {
  readonly name: FunctionName;
  readonly code: CodeRef;
  readonly config: FunctionConfig;
  readonly inputs: string;
  readonly concurrencyMax: number | undefined;
  readonly concurrencyMin: number;
  readonly recording?: ReleasedRecording | undefined;
}

export interface ReleasePlan {
  readonly release: Release;
  /** There is such a release already; none is made. */
  readonly isMade: boolean;
  /** And it is the live one. */
  readonly isLive: boolean;
  readonly difference: ReleaseDifference;
  /** Names of hooks that have another secret so far. */
  readonly newSecrets: readonly string[];
}

export interface ReleaseMade extends ReleasePlan {
  readonly hookNews: readonly HookNews[];
}

export interface ReleaseDifference {
  readonly functions: readonly {
    readonly name: FunctionName;
    readonly change: "added" | "changed" | "removed";
    /** Undefined where it is not. */
    readonly from: number | undefined;
    readonly to: number | undefined;
    /** What is otherwise in it. */
    readonly members: readonly (VersionMember | "concurrency" | "recording")[];
  }[];
  readonly schedules: readonly NamedChange[];
  readonly routes: readonly NamedChange[];
  readonly hooks: readonly NamedChange[];
  readonly sources: readonly NamedChange[];
}

export interface NamedChange {
  readonly name: string;
  readonly change: "added" | "changed" | "removed";
}

export interface ReleaseSwitched {
  readonly from: number | undefined;
  readonly release: Release;
  /** Of hooks that were deleted since it was made. */
  readonly hookNews: readonly HookNews[];
}

/** Is told which instances are of use. Must not throw. */
export interface ReleaseListener {
  /** Instances are about to be started of one that is not stored yet; one of the others follows. */
  releaseStarting(release: Release): void;
  /** It is stored, and does not go live. */
  releaseMade(preview: ReleaseRef): void;
  /** Calls begin in it from now on: all, or a share of them. */
  releaseLive(live: ReleaseRef): void;
  /** No call begins in it any more by itself; those that run in it go on. */
  releaseLetGo(old: ReleaseRef): void;
}
