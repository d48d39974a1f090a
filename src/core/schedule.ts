import type { FunctionName } from "./ids.ts";
import type { ProjectName } from "./project.ts";
import type { Timing } from "./schedule-times.ts";

/** What happens at an instant while an event of an earlier one has not ended. */
export const OVERLAPS = ["allow", "skip", "queue", "replace"] as const;

/**
 * `allow`: both run. `skip`: the instant passes. `queue`: it waits until the earlier one has ended. `replace`: the
 * earlier one is cancelled.
 */
export type Overlap = (typeof OVERLAPS)[number];

/** When a function is to be called with an event, again and again or once. */
export interface Schedule {
  /** 1 to 64 of `0-9 A-Z a-z - _ .`; of a target of a rule `rule/RULE/TARGET`. */
  readonly name: string;
  readonly description: string;
  readonly functionName: FunctionName;
  /** Alias, number or `$LATEST`; looked up anew for each event. */
  readonly qualifier: string | undefined;
  readonly timing: Timing;
  /** What the function gets instead of EventBridge's event. */
  readonly input: string | undefined;
  readonly overlap: Overlap;
  /** Of the instants that came while nobody was there, how many are made up for: the latest. */
  readonly catchUpMax: number;
  /** None of them is older than this. */
  readonly lateMsMax: number | undefined;
  /** Each instant is put off by a share of this, always the same for one instant. */
  readonly jitterMs: number;
  readonly isPaused: boolean;
  /** Whether it is deleted when it has no instant left. */
  readonly endsDeleted: boolean;
  readonly owner: ScheduleOwner;
  readonly createdAt: number;
  readonly modifiedAt: number;
}

/** By which API it was made; decides what its events look like. */
export type ScheduleOwner =
  | { readonly kind: "own" }
  | {
      readonly kind: "scheduler";
      readonly roleArn: string;
      readonly isFlexible: boolean;
      /** Kept for the answers of the API: events are handed over in the same step, which takes no second attempt. */
      readonly retryAttemptsMax: number;
    }
  | { readonly kind: "rule"; readonly rule: string; readonly target: string }
  | { readonly kind: "project"; readonly project: ProjectName };

/** A rule of EventBridge: a time that several targets share. Each target is a schedule. */
export interface Rule {
  readonly name: string;
  readonly description: string;
  readonly expression: string;
  readonly isEnabled: boolean;
  readonly roleArn: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
  /** What a rate is counted from: when it was made or enabled. */
  readonly anchorAt: number;
}

/** A schedule, and when it fires next. */
export interface ScheduleRecord {
  readonly schedule: Schedule;
  /** Undefined while it is paused, and when it is over. */
  readonly next: NextFiring | undefined;
}

export interface NextFiring {
  readonly instantAt: number;
  /** Later than the instant by its jitter. */
  readonly dueAt: number;
}

/**
 * What became of an instant. `missed`: nobody was there, and it stands for all up to the next one that was not;
 * `late`: made up for; `by-hand`: it is not an instant of the schedule at all.
 */
export const FIRING_KINDS = ["on-time", "late", "by-hand", "skipped", "missed"] as const;

export type FiringKind = (typeof FIRING_KINDS)[number];

const SCHEDULE_NAME = /^[0-9A-Za-z_.-]{1,64}$/;

/** The grammar in words, for error messages. */
export const SCHEDULE_NAME_RULE = "1 to 64 characters of A-Z, a-z, 0-9, -, _ and .";

export function isScheduleName(text: string): boolean {
  return SCHEDULE_NAME.test(text);
}

/** The name of a target's schedule; no other can have it. */
export function targetScheduleName(rule: string, target: string): string {
  return `${targetsPrefix(rule)}${target}`;
}

export function targetsPrefix(rule: string): string {
  return `rule/${rule}/`;
}
