import type { ReleaseCanary, StickyKey } from "./canary.ts";
import type { Hook } from "./hook.ts";
import type { FunctionName } from "./ids.ts";
import type { HttpRoute } from "./route.ts";
import type { Schedule } from "./schedule.ts";
import type { Timing } from "./schedule-times.ts";
import type { ShadowPlan } from "./shadow.ts";
import type { Source } from "./source.ts";

/** The name of a project: 1 to 40 of `a-z 0-9 -`, with neither a dash at an end nor two in a row: it is part of host names. */
export type ProjectName = string & { readonly __brand: "ProjectName" };

/** One release of a project. */
export interface ReleaseRef {
  readonly project: ProjectName;
  /** From 1, never used twice. */
  readonly number: number;
}

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

/**
 * The project of a hook or a source. While the live release does not have it, it does nothing and is kept for those that
 * have: with its address and secrets, its place in the queue.
 */
export interface TriggerOwner {
  readonly project: ProjectName;
  readonly isLive: boolean;
}

/** Whether the live release, if it is for releases to say, has it. */
export function isOfLiveRelease({ owner }: { readonly owner: TriggerOwner | undefined }): boolean {
  return owner?.isLive ?? true;
}

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

const PROJECT_NAME = /^(?!.*--)[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/;
const RELEASE_REF = /^([a-z0-9-]{1,40})@([1-9]\d{0,8})$/;
const RELEASE_LABEL = /^r([1-9]\d{0,8})$/;

/** The grammar in words, for error messages. */
export const PROJECT_NAME_RULE =
  "1 to 40 characters of a-z, 0-9 and -, with no - at an end and no two in a row";

export function parseProjectName(text: string): ProjectName | undefined {
  return PROJECT_NAME.test(text) ? (text as ProjectName) : undefined;
}

/**
 * `shop@12`. Stands where a qualifier does and can be neither alias nor version, so that whatever keeps a qualifier
 * (an event in the queue, say) keeps a release as well.
 */
export function formatRelease({ project, number }: ReleaseRef): string {
  return `${project}@${number}`;
}

export function parseRelease(text: string): ReleaseRef | undefined {
  const [, name = "", number] = RELEASE_REF.exec(text) ?? [];
  const project = parseProjectName(name);
  return project && { project, number: Number(number) };
}

/** The number of `r12`, as hosts name a release. */
export function parseReleaseLabel(text: string): number | undefined {
  const [, number] = RELEASE_LABEL.exec(text) ?? [];
  return number === undefined ? undefined : Number(number);
}
