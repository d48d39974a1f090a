import { createHash } from "node:crypto";
import type { FiringKind, NextFiring, Overlap, Schedule, ScheduleRecord } from "./schedule.ts";
import { type Instants, latestInstants } from "./schedule-times.ts";

/** So late an instant still counts as on time: a restart right around it costs nothing. */
const LATENESS_MS_MAX = 60_000;
/** Instants of one schedule that wait for an earlier one to end; older ones are missed. */
const WAITING_INSTANTS_MAX = 100;

export interface PlannedInstant {
  readonly instantAt: number;
  readonly kind: FiringKind;
}

/** What is to be done about a schedule whose time has come, in one step. */
export interface FiringPlan {
  readonly instants: readonly PlannedInstant[];
  readonly next: NextFiring | undefined;
  /** Whether what is still open of it has to be cancelled first. */
  readonly replaces: boolean;
}

/**
 * Decides which of the instants that have come fire, pass or wait. `awakeSince` is since when somebody has been here to
 * look; `isOpen` tells of an event of the schedule that has not ended. Undefined if it has to wait.
 */
export function planFiring(
  { schedule, next: first }: ScheduleRecord,
  instants: Instants,
  facts: { readonly now: number; readonly awakeSince: number; readonly isOpen: boolean },
): FiringPlan | undefined {
  if (!first) return undefined;
  const { came, following } = instantsThatCame(schedule, instants, first.instantAt, facts);
  // Not an instant of it any more: it goes on from here.
  if (came.length === 0) {
    return { instants: [], next: firstFiring(schedule, instants, facts.now), replaces: false };
  }
  const planned = withOverlap(schedule.overlap, came, facts.isOpen);
  if (planned.length === 0) return undefined;
  return {
    instants: planned,
    next: nextFiring(schedule, came[planned.length]?.instantAt ?? following),
    replaces: schedule.overlap === "replace" && facts.isOpen,
  };
}

/** When the first instant after `after` is due. */
export function firstFiring(schedule: Schedule, instants: Instants, after: number): NextFiring | undefined {
  return schedule.isPaused ? undefined : nextFiring(schedule, instants.next(after));
}

function nextFiring(schedule: Schedule, instantAt: number | undefined): NextFiring | undefined {
  return instantAt === undefined
    ? undefined
    : { instantAt, dueAt: instantAt + jitterOf(schedule, instantAt) };
}

/** The same for the same instant, whoever asks and after whatever restart. */
function jitterOf({ name, jitterMs }: Schedule, instantAt: number): number {
  if (jitterMs === 0) return 0;
  const share = createHash("sha256").update(`${name} ${instantAt}`).digest().readUIntBE(0, 6) / 2 ** 48;
  return Math.floor(share * jitterMs);
}

/** Earliest first, not yet looked at for overlaps; and the first instant that has not come. */
function instantsThatCame(
  schedule: Schedule,
  instants: Instants,
  first: number,
  { now, awakeSince }: { readonly now: number; readonly awakeSince: number },
): { readonly came: readonly PlannedInstant[]; readonly following: number | undefined } {
  const awakeFrom = awakeSince - LATENESS_MS_MAX - schedule.jitterMs;
  const came: PlannedInstant[] = [];
  let following: number | undefined = first;
  if (first < awakeFrom) {
    const oldest = Math.max(first, now - (schedule.lateMsMax ?? now));
    const late = latestInstants(instants, oldest, awakeFrom - 1, schedule.catchUpMax);
    if (late[0] !== first) came.push({ instantAt: first, kind: "missed" });
    came.push(...late.map((instantAt) => ({ instantAt, kind: "late" as const })));
    following = instants.next(awakeFrom - 1);
  }
  if (following === undefined || following > now) return { came, following };
  const present = latestInstants(instants, following, now, WAITING_INSTANTS_MAX);
  if (present.length > 0 && present[0] !== following) came.push({ instantAt: following, kind: "missed" });
  for (const instantAt of present) {
    if (instantAt + jitterOf(schedule, instantAt) > now) return { came, following: instantAt };
    came.push({ instantAt, kind: "on-time" });
  }
  return { came, following: instants.next(present.at(-1) ?? now) };
}

/** The first ones of `came` that can be dealt with now. */
function withOverlap(overlap: Overlap, came: readonly PlannedInstant[], isOpen: boolean): PlannedInstant[] {
  const lastThatFires = came.findLastIndex(({ kind }) => kind !== "missed");
  const planned: PlannedInstant[] = [];
  let isBusy = isOpen;
  for (const [index, instant] of came.entries()) {
    const passes = instant.kind === "missed" || overlap === "allow" || !isBusy;
    if (!passes && overlap === "queue") break;
    const isSkipped = overlap === "skip" ? !passes : overlap === "replace" && index < lastThatFires;
    planned.push(isSkipped && instant.kind !== "missed" ? { ...instant, kind: "skipped" } : instant);
    isBusy ||= instant.kind !== "missed";
  }
  return planned;
}
