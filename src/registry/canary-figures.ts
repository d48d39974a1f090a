/** What was counted of the calls that a canary took. */
import {
  type Canary,
  type CanaryFigures,
  canarySeries,
  type FunctionFigures,
  type ReleaseCanary,
} from "../core/canary.ts";
import type { FunctionName } from "../core/ids.ts";
import type { Release } from "../core/release.ts";

/** A window beyond this is read from files (MetricReader). */
const IN_MEMORY_MS_MAX = 15 * 60_000;

/** Calls that were counted (`Tally`); may be added to. */
interface Counted {
  readonly invocations: number;
  readonly errors: number;
  /** ms */
  readonly duration: { quantile(share: number): number | undefined };
  add(other: Counted): void;
}

/** What was counted in the last ms, of a version or of what was called by a name (`MetricReader`). */
export interface CanaryMetrics {
  window(query: {
    readonly functionName: FunctionName;
    readonly version: string | undefined;
    readonly qualifier?: string | undefined;
    readonly lastMs: number;
  }): Promise<Counted>;
}

type Times = Pick<Canary, "startedAt" | "decision">;

/** Figures that were written before the daemon was started are in files. */
export function isByFiles({ startedAt }: Times, openedAt: number): boolean {
  return startedAt < openedAt;
}

/** Nothing has called the version before it was a canary, so a window that is too wide counts nothing else. */
export async function figuresOfVersion(
  metrics: CanaryMetrics,
  functionName: FunctionName,
  canary: Canary,
  times: { readonly now: number; readonly openedAt: number },
): Promise<CanaryFigures> {
  const lastMs = windowOf(canary, times);
  return figuresIn(await metrics.window({ functionName, version: `${canary.version}`, lastMs }));
}

/** All calls in the release, whatever made them: a series of their own has them, so that windows need not fit. */
export async function figuresOfRelease(
  metrics: CanaryMetrics,
  release: Pick<Release, "project" | "number" | "functions">,
  canary: ReleaseCanary,
  times: { readonly now: number; readonly openedAt: number },
): Promise<CanaryFigures> {
  const lastMs = windowOf(canary, times);
  const qualifier = canarySeries(release, canary.startedAt);
  let all: Counted | undefined;
  const functions: FunctionFigures[] = [];
  for (const { name } of release.functions) {
    const counted = await metrics.window({ functionName: name, version: undefined, qualifier, lastMs });
    if (counted.invocations > 0) functions.push({ name, ...figuresIn(counted) });
    if (all) all.add(counted);
    else all = counted;
  }
  return { ...(all ? figuresIn(all) : { calls: 0, errors: 0 }), functions };
}

function windowOf(
  times: Times,
  { now, openedAt }: { readonly now: number; readonly openedAt: number },
): number {
  const ageMs = Math.max(0, (times.decision?.at ?? now) - times.startedAt);
  return isByFiles(times, openedAt) ? Math.max(ageMs, IN_MEMORY_MS_MAX + 1) : ageMs;
}

function figuresIn({ invocations, errors, duration }: Counted): CanaryFigures {
  const at = (share: number) => duration.quantile(share);
  const [p50, p90, p95, p99] = [at(0.5), at(0.9), at(0.95), at(0.99)];
  return {
    calls: invocations,
    errors,
    ...(p50 !== undefined && { p50 }),
    ...(p90 !== undefined && { p90 }),
    ...(p95 !== undefined && { p95 }),
    ...(p99 !== undefined && { p99 }),
  };
}
