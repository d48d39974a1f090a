/** How a release begins and ends to be tried on a share of the calls: steps from one record to the next. Pure. */
import {
  CANARIES_KEPT,
  type CanaryDecision,
  type CanaryPlan,
  decided,
  type ReleaseCanary,
} from "../core/canary.ts";
import { PlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import type { ProjectRecord, Release, ReleasedFunction, TriedRelease } from "../core/release.ts";
import { changeRecord, type Step } from "./function-states.ts";

/** The canary, or shadow, that runs. */
export function runningReleaseCanary(project: ProjectRecord | undefined): ReleaseCanary | undefined {
  const latest = project?.canaries?.[0];
  return latest && !latest.decision ? latest : undefined;
}

export function newReleaseCanary(
  release: number,
  plan: CanaryPlan,
  { from, now }: { readonly from: number | undefined; readonly now: number },
): ReleaseCanary {
  return {
    ...plan,
    release,
    ...(from !== undefined && { from }),
    startedAt: now,
    endsAt: now + plan.forMs,
  };
}

/** What its functions have to know of it. */
export function triedRelease(
  { release, share, sticky, shadow, startedAt }: ReleaseCanary,
  { version }: ReleasedFunction,
): TriedRelease {
  return { release, version, share, startedAt, ...(sticky && { sticky }), ...(shadow && { shadow }) };
}

/** `begun` takes calls from now on; one that took some before takes none any more. */
export function withCanary(
  project: ProjectRecord,
  begun: ReleaseCanary | undefined,
  decision: CanaryDecision,
): ProjectRecord {
  const before = decided(project.canaries, decision);
  if (!begun) return before ? { ...project, canaries: before } : project;
  return { ...project, canaries: [begun, ...(before ?? [])].slice(0, CANARIES_KEPT) };
}

/** What becomes of one that runs when another release goes live, or the same by hand. */
export function decisionOfSwitch(
  { release }: Pick<ReleaseCanary, "release">,
  to: number,
  { at, by }: { readonly at: number; readonly by: string },
): CanaryDecision {
  const who = by === "" ? "" : ` by ${by}`;
  if (release === to) return { outcome: "promoted", at, reason: `it was made live${who}` };
  return { outcome: "superseded", at, reason: `release ${to} was made live${who}` };
}

/** Calls of the function go to what is live alone; nothing where they do already. */
export function letGoOfTried(record: FunctionRecord): Step[] {
  const { project, release, tried } = record.membership ?? {};
  if (!project || !tried) return [];
  return [changeRecord(record, { membership: { project, release } })];
}

/** @throws PlatformError `InvalidRequest` where there is nothing that would take the other calls. */
export function refuseWithoutLive(project: string, live: Release | undefined): void {
  if (live) return;
  throw new PlatformError(
    "InvalidRequest",
    `canary, shadow: no release of "${project}" is live, so there is nothing to be tried beside; deploy it without first`,
  );
}

export function noCanary(project: string, number: number): PlatformError {
  return new PlatformError(
    "ResourceConflict",
    `release ${number} of "${project}" is not tried any more; lambda releases --project ${project} shows what became of it`,
  );
}
