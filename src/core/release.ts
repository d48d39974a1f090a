import type { ReleaseCanary, StickyKey } from "./canary.ts";
import type { Hook } from "./hook.ts";
import type { FunctionName } from "./ids.ts";
import type { ProjectName, ReleaseRef } from "./project.ts";
import type { ReleasedRecording } from "./recording.ts";
import type { HttpRoute } from "./route.ts";
import type { Schedule } from "./schedule.ts";
import type { Timing } from "./schedule-times.ts";
import type { ShadowPlan } from "./shadow.ts";
import type { Source } from "./source.ts";

/** What went live, or can, as a whole. Never changes. */
export interface Release extends ReleaseRef {
  readonly functions: readonly ReleasedFunction[];
  readonly schedules: readonly ReleasedSchedule[];
  readonly routes: readonly ReleasedRoute[];
  readonly hooks: readonly ReleasedHook[];
  readonly sources: readonly ReleasedSource[];
  /** The release that was live when this one was made. */
  readonly madeOver: number | undefined;
  readonly createdAt: number;
  readonly createdBy: string;
  /** The commit it was made of, as the deployer's tools name it. */
  readonly commit: string | undefined;
  readonly description: string;
}

/** A function as it is in a release. */
export interface ReleasedFunction {
  readonly name: FunctionName;
  readonly version: number;
  /** SHA-256 (hex) of what it was built of, and how; what has the same need not be built again. */
  readonly inputs: string;
  /** Calls at once; undefined has no limit of its own. */
  readonly concurrencyMax: number | undefined;
  /** Instances that are kept started. */
  readonly concurrencyMin: number;
  /** How its calls are recorded while the release is live; left out where the release does not say. */
  readonly recording?: ReleasedRecording;
}

/** A schedule as it is written: what it waits for is decided when the release goes live. */
export type ReleasedSchedule = Omit<Schedule, "timing" | "owner" | "createdAt" | "modifiedAt"> & {
  readonly timing: Omit<Timing, "anchorAt">;
};

/** A route as it is written. */
export type ReleasedRoute = Omit<HttpRoute, "id" | "project" | "createdAt" | "modifiedAt">;

/** A hook as it is written, and its address. Its secrets are no part of a release: senders know nothing of releases. */
export type ReleasedHook = Pick<
  Hook,
  "id" | "name" | "description" | "functionName" | "provider" | "hmac" | "isPaused"
>;

/** A source as it is written, with the login that it has in this release. */
export type ReleasedSource = Pick<
  Source,
  | "id"
  | "functionName"
  | "origin"
  | "batchMax"
  | "windowMs"
  | "concurrencyMax"
  | "reportsFailures"
  | "filters"
  | "onFailure"
  | "isPaused"
> & {
  /** In the project. */
  readonly name: string;
};

/** What is known of a project besides its releases. */
export interface ProjectRecord {
  readonly name: ProjectName;
  /** Counts every change, as that of a function. */
  readonly generation: number;
  readonly createdAt: number;
  /** Undefined before the first release went live. */
  readonly liveRelease: number | undefined;
  readonly nextRelease: number;
  /** Latest last, at most `SWITCHES_KEPT_MAX`. */
  readonly switches: readonly ReleaseSwitch[];
  /** Releases that were tried on a share of the calls or on copies, newest first, at most `CANARIES_KEPT`; left out where there was none. */
  readonly canaries?: readonly ReleaseCanary[];
}

/** That another release went live. */
export interface ReleaseSwitch {
  readonly at: number;
  readonly by: string;
  readonly from: number | undefined;
  readonly to: number;
}

/** A function that belongs to a project is in its live release, or, with `release` undefined, in others only. */
export interface Membership {
  readonly project: ProjectName;
  readonly release: number | undefined;
  /** Set while a release that has the function takes a share of the calls that enter the project, or copies of them. */
  readonly tried?: TriedRelease;
}

/** A release beside the live one, as far as the calls of one of its functions have to know it. */
export interface TriedRelease {
  readonly release: number;
  /** Of the function, in that release. */
  readonly version: number;
  readonly share: number;
  readonly sticky?: StickyKey;
  /** It takes no calls, but copies. */
  readonly shadow?: ShadowPlan;
  readonly startedAt: number;
}

/** Releases that are remembered of one project. */
export const RELEASES_MAX = 500;
export const SWITCHES_KEPT_MAX = 100;
export const FUNCTIONS_PER_PROJECT_MAX = 200;
