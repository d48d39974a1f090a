/** What takes a share of the calls of a function beside what is live, or copies of them. */
import type { Canary, StickyKey } from "./canary.ts";
import type { ReleaseRef } from "./project.ts";
import type { Membership } from "./release.ts";
import type { ShadowPlan } from "./shadow.ts";

interface HasCanaries {
  readonly canaries?: readonly Canary[] | undefined;
  readonly membership?: Membership | undefined;
}

/** The canary or shadow that runs. What a project's function runs is its release's, whatever was begun before. */
export function runningTrial({ canaries, membership }: HasCanaries): Canary | undefined {
  const latest = canaries?.[0];
  return latest && !latest.decision && !membership ? latest : undefined;
}

/** The one that takes calls now. */
export function runningCanary(record: HasCanaries): Canary | undefined {
  const running = runningTrial(record);
  return running?.shadow ? undefined : running;
}

/** What takes calls of a function beside what is live, or copies of them, as routing has to know it. */
export interface Tried {
  readonly version: number;
  readonly share: number;
  readonly startedAt: number;
  readonly sticky?: StickyKey | undefined;
  readonly shadow?: ShadowPlan | undefined;
  /** Of a function of a project: the release that such a call is part of. */
  readonly release?: ReleaseRef;
}

/** Undefined where all plain calls go to what is live and are not copied, and where nothing is live that could share with it. */
export function triedOf(record: HasCanaries): Tried | undefined {
  const { membership } = record;
  if (!membership) return runningTrial(record);
  const { project, tried } = membership;
  if (!tried || membership.release === undefined) return undefined;
  return { ...tried, release: { project, number: tried.release } };
}
