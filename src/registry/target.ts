import type { StickyKey } from "../core/canary.ts";
import type { FunctionRecord, Version } from "../core/function.ts";
import { formatRelease, type ReleaseRef } from "../core/project.ts";
import type { ShadowPlan } from "../core/shadow.ts";

/** What an invocation runs: a function, the version that name and qualifier led to, and how the caller named it. */
export interface Target {
  readonly record: FunctionRecord;
  readonly version: Version;
  /** As the caller gave it: an alias, a number, `$LATEST`; undefined if none. Part of the ARN the function sees. */
  readonly qualifier: string | undefined;
  /** The release that the call is part of: what its instance calls in turn stays in it. */
  readonly release?: ReleaseRef | undefined;
  /** The caller was in that release, or has named it; otherwise it is the one that is live now. */
  readonly isPinned?: boolean;
  /** Set while a canary runs whose callers stay on one side: who has their key chooses by it, instead of the draw. */
  readonly canary?: CanarySides;
  /** What the call is counted as instead of `qualifier`; set in a release that is tried. */
  readonly countedAs?: string;
  /** Set while calls by that name are copied. */
  readonly shadow?: ShadowCopies;
  /** It is a copy, which must take no place from calls that somebody waits for. */
  readonly isCopy?: true;
}

/** Where copies of a share of the calls go. */
export interface ShadowCopies {
  readonly tried: Target;
  readonly share: number;
  readonly plan: ShadowPlan;
  /** A function's name, or a project's after an `@`, and when the shadow began. */
  readonly report: { readonly key: string; readonly startedAt: number };
}

export interface CanarySides {
  readonly sticky: StickyKey;
  readonly share: number;
  /** Of the canary; keys are spread anew by it. */
  readonly startedAt: number;
  readonly live: Target;
  readonly tried: Target;
}

/** What leads to the same target later, whatever is live by then. */
export function lastingQualifier({ qualifier, release, isPinned }: Target): string | undefined {
  return isPinned === true && release ? formatRelease(release) : qualifier;
}
