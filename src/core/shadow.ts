/**
 * A shadow: a version, or a release of a project, that is given copies of live calls. Its answers go nowhere but into a
 * comparison. It stands where a canary does: one of both at a time.
 */
import { isDeepStrictEqual } from "node:util";
import { PlatformError } from "./errors.ts";
import type { FunctionName, InvocationId } from "./ids.ts";
import type { InvocationOutcome, OutcomeKind, ResponseHead } from "./invocation.ts";

export const SHADOW_MS_DEFAULT = 86_400_000;
/** Calls that may change nothing, as HTTP has it. Of all others, side effects would happen twice. */
export const SHADOW_METHODS_DEFAULT: readonly string[] = ["GET", "HEAD", "OPTIONS"];
/** Stands for calls that are no HTTP request. */
export const INVOKE_METHOD = "INVOKE";
const ALL_METHODS = "all";
const METHODS_MAX = 20;

/** What is not copied, or not compared, beyond. */
export const SHADOW_BODY_BYTES_MAX = 256 * 1024;
/** Copies of one shadow that run at once, and calls of all shadows that are waited for to be copied. */
export const SHADOW_AT_ONCE_MAX = 4;
export const SHADOW_IN_HAND_MAX = 32;
/** Differences that are kept, the first ones, and how much of a body with each. */
export const SHADOW_DIFFERENCES_MAX = 20;
export const SHADOW_EXCERPT_CHARS_MAX = 200;

export interface ShadowPlan {
  /** Upper case; `INVOKE` for calls that are no HTTP request, `all` alone for all there are. */
  readonly methods: readonly string[];
}

/** `GET,POST`, `all`. @throws PlatformError `InvalidRequest` */
export function parseShadowMethods(methods: readonly string[]): readonly string[] {
  const wanted = methods.map((method) => (/^all$/i.test(method) ? ALL_METHODS : method.toUpperCase()));
  const isMixed = wanted.includes(ALL_METHODS) && wanted.length > 1;
  const bad = wanted.find((method) => method !== ALL_METHODS && !/^[A-Z][A-Z-]{0,31}$/.test(method));
  if (bad === undefined && !isMixed && wanted.length > 0 && wanted.length <= METHODS_MAX) return wanted;
  throw new PlatformError(
    "InvalidRequest",
    `shadow.methods: expected methods of HTTP, INVOKE for calls that are none, or all alone, got ${JSON.stringify(methods)}`,
  );
}

export function isShadowed({ methods }: ShadowPlan, method: string): boolean {
  return methods[0] === ALL_METHODS || methods.includes(method);
}

/** Why a call that was drawn was not copied. `method`: it may have side effects; `failed`: the live call did not run. */
export type ShadowSkip = "method" | "size" | "busy" | "failed";

export interface ShadowCounts {
  readonly copied: number;
  readonly same: number;
  readonly different: number;
  /** The copy failed, or could not run, where the live call was answered. */
  readonly failed: number;
  /** Answers that were too large. */
  readonly notCompared: number;
  readonly skipped: Readonly<Record<ShadowSkip, number>>;
}

export const NO_SHADOW_COUNTS: ShadowCounts = {
  copied: 0,
  same: 0,
  different: 0,
  failed: 0,
  notCompared: 0,
  skipped: { method: 0, size: 0, busy: 0, failed: 0 },
};

/** What is known of a shadow: counts, durations (ms) and the first differences. */
export interface ShadowReport {
  readonly counts: ShadowCounts;
  readonly liveMs: ShadowSpans | undefined;
  readonly shadowMs: ShadowSpans | undefined;
  readonly differences: readonly ShadowDifference[];
}

export interface ShadowSpans {
  readonly p50: number;
  readonly p99: number;
}

export type ShadowAspect = "error" | "status" | "body";

export interface ShadowDifference {
  readonly at: number;
  readonly functionName: FunctionName;
  readonly method: string;
  readonly what: readonly ShadowAspect[];
  readonly live: ShadowSide;
  readonly shadow: ShadowSide;
}

/** One of the two answers, as far as it is kept. */
export interface ShadowSide {
  readonly invocationId: InvocationId;
  readonly durationMs?: number;
  readonly status?: number;
  readonly error?: string;
  /** From shortly before the first character that differs. */
  readonly excerpt?: string;
}

/** An answer to be compared. */
export interface ShadowAnswer {
  readonly kind: OutcomeKind;
  readonly status: number | undefined;
  /** Undefined of a failure, and if it is too large. */
  readonly body: Buffer | undefined;
  readonly isTooLarge: boolean;
  /** What went wrong, without what is another each time. */
  readonly error: string | undefined;
}

/** `streamed` is what has gone to the caller piece by piece. Copies what it keeps. */
export function answerOf(
  outcome: InvocationOutcome,
  streamed: { readonly head: ResponseHead | undefined; readonly body: Buffer | undefined } | undefined,
): ShadowAnswer {
  if (outcome.kind !== "returned") {
    const error = errorOf(outcome);
    return { kind: outcome.kind, status: undefined, body: undefined, isTooLarge: false, error };
  }
  const head = outcome.isStreamed ? streamed?.head : outcome.head;
  const payload = outcome.isStreamed ? streamed?.body : outcome.payload;
  const isTooLarge = !payload || payload.byteLength > SHADOW_BODY_BYTES_MAX;
  const body = isTooLarge ? undefined : Buffer.from(payload);
  if (head?.kind === "http") {
    return { kind: "returned", status: head.status, body, isTooLarge, error: undefined };
  }
  const returned = body && !head ? httpAnswerOf(body) : undefined;
  return { kind: "returned", status: undefined, body, isTooLarge, error: undefined, ...returned };
}

/** What a handler has returned as the answer to an HTTP request: its headers are not compared. */
function httpAnswerOf(payload: Buffer): { readonly status: number; readonly body: Buffer } | undefined {
  const value = parsed(payload);
  if (typeof value !== "object" || value === null || !("statusCode" in value)) return undefined;
  const status = Number(value.statusCode);
  if (!Number.isInteger(status)) return undefined;
  const text = "body" in value ? value.body : "";
  const isBase64 = "isBase64Encoded" in value && value.isBase64Encoded === true;
  const body = typeof text === "string" ? text : (JSON.stringify(text) ?? "");
  return { status, body: Buffer.from(body, isBase64 ? "base64" : "utf8") };
}

function errorOf(outcome: Exclude<InvocationOutcome, { readonly kind: "returned" }>): string {
  switch (outcome.kind) {
    case "threw": {
      const value = parsed(Buffer.from(outcome.payload));
      const message =
        typeof value === "object" && value !== null && "errorMessage" in value ? value.errorMessage : "";
      return `${outcome.errorType}: ${String(message).slice(0, SHADOW_EXCERPT_CHARS_MAX)}`;
    }
    case "timed-out":
      return "timed out";
    case "crashed":
      return `${outcome.errorType}: ${outcome.message.slice(0, SHADOW_EXCERPT_CHARS_MAX)}`;
  }
}

export type Comparison =
  | { readonly kind: "same" }
  | { readonly kind: "not-compared" }
  | { readonly kind: "different" | "failed"; readonly what: readonly ShadowAspect[] };

/** JSON is compared by what it means, all else by its bytes. */
export function compareAnswers(live: ShadowAnswer, shadow: ShadowAnswer): Comparison {
  if (live.kind === "returned" && shadow.kind !== "returned") return { kind: "failed", what: ["error"] };
  if (live.kind !== shadow.kind || live.error !== shadow.error) return { kind: "different", what: ["error"] };
  const what: ShadowAspect[] = [];
  if (live.status !== shadow.status) what.push("status");
  const areCompared = !live.isTooLarge && !shadow.isTooLarge;
  if (live.isTooLarge !== shadow.isTooLarge || (areCompared && !isSameBody(live.body, shadow.body))) {
    what.push("body");
  }
  if (what.length > 0) return { kind: "different", what };
  return areCompared ? { kind: "same" } : { kind: "not-compared" };
}

function isSameBody(a: Buffer | undefined, b: Buffer | undefined): boolean {
  if (!a || !b) return a === b;
  if (a.equals(b)) return true;
  const [left, right] = [parsed(a), parsed(b)];
  return left !== undefined && right !== undefined && isDeepStrictEqual(left, right);
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}

const BEFORE_THE_DIFFERENCE = 20;

/** What is shown of two bodies. */
export function excerptsOf(
  live: Buffer | undefined,
  shadow: Buffer | undefined,
): readonly [string | undefined, string | undefined] {
  const [a, b] = [live?.toString(), shadow?.toString()];
  let at = 0;
  while (a !== undefined && b !== undefined && at < a.length && a[at] === b[at]) at += 1;
  const from = Math.max(0, at - BEFORE_THE_DIFFERENCE);
  const cut = (text: string | undefined) => text?.slice(from, from + SHADOW_EXCERPT_CHARS_MAX);
  return [cut(a), cut(b)];
}

/** `97 of 100 answers were the same, 2 different, 1 failed` */
export function shadowSummary({ copied, same, different, failed, notCompared }: ShadowCounts): string {
  const rest = notCompared > 0 ? `, ${notCompared} not compared` : "";
  return `of ${copied} copied ${copied === 1 ? "call" : "calls"} ${same} had the same answer, ${different} a different one, ${failed} failed${rest}`;
}
