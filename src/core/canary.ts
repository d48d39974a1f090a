/**
 * A canary: a published version that takes a share of the calls that name no version, for a while. Then it goes live, or
 * goes back if it does worse than was asked for. What was decided stays with the function.
 */
import { PlatformError } from "./errors.ts";
import type { FunctionName } from "./ids.ts";
import { formatRelease, type ReleaseRef } from "./project.ts";
import type { ShadowCounts, ShadowPlan } from "./shadow.ts";

/** Of one function, newest first; those beyond are forgotten. */
export const CANARIES_KEPT = 10;
export const CANARY_MS_MIN = 1_000;
export const CANARY_MS_MAX = 7 * 86_400_000;
export const CANARY_CONDITIONS_MAX = 10;
/** Fewer calls than that decide nothing before the end. */
export const CANARY_CALLS_MIN_DEFAULT = 20;

export interface Canary extends CanaryPlan {
  readonly version: number;
  /** What was live when it began; left out if `$LATEST` equalled no version then. */
  readonly from?: number;
  readonly startedAt: number;
  /** When it goes live, unless something else decides before. */
  readonly endsAt: number;
  /** Left out while it runs. */
  readonly decision?: CanaryDecision;
}

/** A release of a project that is tried; its decision is kept with the project. `from` is what was live when it began. */
export interface ReleaseCanary extends Omit<Canary, "version"> {
  readonly release: number;
}

export interface CanaryPlan {
  /** More than 0, less than 1. */
  readonly share: number;
  readonly forMs: number;
  /** Any of them that is met ends it. */
  readonly abortOn: readonly CanaryCondition[];
  readonly callsMin: number;
  /** Requests with the same key stay on one side; left out, every call is drawn. */
  readonly sticky?: StickyKey;
  /** Set on a shadow, which takes no calls: it is given copies of that share of them. */
  readonly shadow?: ShadowPlan;
}

export interface CanaryCondition {
  readonly metric: CanaryMetric;
  /** A share (0 to 1) for `error-rate`, else ms. It is met above that. */
  readonly above: number;
}

export type CanaryMetric = "error-rate" | "p50" | "p90" | "p95" | "p99";

export type StickyKey =
  | { readonly kind: "header"; readonly name: string }
  | { readonly kind: "cookie"; readonly name: string }
  | { readonly kind: "ip" };

/** `superseded`: something else changed what is live. `ended`: of a shadow, whose time was over or who was stopped. */
export type CanaryOutcome = "promoted" | "aborted" | "superseded" | "ended";

export interface CanaryDecision {
  readonly outcome: CanaryOutcome;
  readonly at: number;
  /** A sentence for people. */
  readonly reason: string;
  /** What it was decided on; left out where nobody looked. */
  readonly figures?: CanaryFigures;
  /** The same of a shadow. */
  readonly comparison?: ShadowCounts;
}

/** What calls of a version came to. Spans are ms; left out without calls. */
export interface CanaryFigures {
  readonly calls: number;
  readonly errors: number;
  readonly p50?: number;
  readonly p90?: number;
  readonly p95?: number;
  readonly p99?: number;
  /** Of a release: those of each function that was called in it. */
  readonly functions?: readonly FunctionFigures[];
}

export interface FunctionFigures extends Omit<CanaryFigures, "functions"> {
  readonly name: FunctionName;
}

/** What calls in a release that is tried are counted as, whoever makes them. No call is named like that. */
export function canarySeries(release: ReleaseRef, startedAt: number): string {
  return `${formatRelease(release)}#${startedAt}`;
}

/** The canaries with what is undecided decided; the same array if nothing is. */
export function decided<T extends { readonly decision?: CanaryDecision }>(
  canaries: readonly T[] | undefined,
  decision: CanaryDecision,
): readonly T[] | undefined {
  const [latest, ...rest] = canaries ?? [];
  return latest && !latest.decision ? [{ ...latest, decision }, ...rest] : canaries;
}

/** `error-rate>1%`, `p99>500ms`. @throws PlatformError `InvalidRequest` */
export function parseCondition(text: string): CanaryCondition {
  const [, metric, amount, unit] =
    /^(error-rate|p50|p90|p95|p99)\s*>\s*(\d{1,9}(?:\.\d{1,6})?)\s*(%|ms|s)$/.exec(text.trim()) ?? [];
  const value = Number(amount);
  if (metric === "error-rate" && unit === "%" && value < 100) return { metric, above: value / 100 };
  if (isPercentile(metric) && (unit === "ms" || unit === "s")) {
    return { metric, above: unit === "s" ? value * 1_000 : value };
  }
  throw new PlatformError(
    "InvalidRequest",
    `abortOn: expected error-rate>1% (less than 100 %), or p50, p90, p95 or p99 like p99>500ms, got ${JSON.stringify(text)}`,
  );
}

function isPercentile(metric: string | undefined): metric is Exclude<CanaryMetric, "error-rate"> {
  return metric !== undefined && metric !== "error-rate";
}

export function formatCondition({ metric, above }: CanaryCondition): string {
  return metric === "error-rate" ? `error-rate>${percent(above)}` : `${metric}>${above}ms`;
}

/** `header:x-user`, `cookie:NAME`, `ip`. @throws PlatformError `InvalidRequest` */
export function parseSticky(text: string): StickyKey {
  if (text === "ip") return { kind: "ip" };
  const [, kind, name] = /^(header|cookie):([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128})$/.exec(text) ?? [];
  if (kind === "header" && name !== undefined) return { kind, name: name.toLowerCase() };
  if (kind === "cookie" && name !== undefined) return { kind, name };
  throw new PlatformError(
    "InvalidRequest",
    `sticky: expected header:NAME, cookie:NAME or ip, got ${JSON.stringify(text)}`,
  );
}

export function formatSticky(sticky: StickyKey): string {
  return sticky.kind === "ip" ? "ip" : `${sticky.kind}:${sticky.name}`;
}

/** The first condition that the figures meet, in words with the figure. */
export function metCondition(
  conditions: readonly CanaryCondition[],
  figures: CanaryFigures,
): string | undefined {
  for (const condition of conditions) {
    const value = figureOf(condition.metric, figures);
    if (value === undefined || !(value > condition.above)) continue;
    const shown = condition.metric === "error-rate" ? percent(value) : `${Math.round(value)} ms`;
    return `${formatCondition(condition)} was met: ${condition.metric} was ${shown} of ${calls(figures.calls)}`;
  }
  return undefined;
}

export function calls(count: number): string {
  return `${count} ${count === 1 ? "call" : "calls"}`;
}

function figureOf(metric: CanaryMetric, figures: CanaryFigures): number | undefined {
  if (metric !== "error-rate") return figures[metric];
  return figures.calls === 0 ? undefined : figures.errors / figures.calls;
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(3))}%`;
}

/**
 * Where a key stands, from 0 up to, but not including, 1: always the same for one canary, and another for the next, so that it is
 * not always the same people who try what is new. FNV-1a, with the finalizer of MurmurHash3 as neighbours would else stay neighbours.
 */
export function placeOf(key: string, startedAt: number): number {
  let hash = 0x811c9dc5;
  for (const text of [String(startedAt), ":", key]) {
    for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
