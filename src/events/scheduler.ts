import type { Clock } from "../core/clock.ts";
import { isPlatformError } from "../core/errors.ts";
import { newInvocationId } from "../core/ids.ts";
import type { Log } from "../core/log.ts";
import type { ScheduleRecord } from "../core/schedule.ts";
import { newScheduleEvent, type ScheduleIdentity } from "../core/schedule-event.ts";
import { type FiringPlan, firstFiring, planFiring } from "../core/schedule-plan.ts";
import { type Instants, openInstants } from "../core/schedule-times.ts";
import type { EventLedger } from "../store/event-queue.ts";
import type { Schedules } from "../store/schedules.ts";

export interface SchedulerParts {
  readonly schedules: Schedules;
  readonly events: Pick<EventLedger, "cancel">;
  readonly identity: ScheduleIdentity;
  readonly clock: Clock;
  readonly log: Log;
}

/** Schedules that are looked at in one go. */
const BATCH_MAX = 100;
/** How long nothing is looked at, at most: a new schedule and a changed clock are noticed after that. */
const TICK_MS = 1_000;
/** A time between two looks that is longer than this was slept through, or never was. */
const GAP_MS = 30_000;
const RETRY_MS = 5_000;

/**
 * Turns due schedules into queued events until `signal` aborts.
 *
 * The store claims an instant and enqueues its event in one step, so a crash can neither lose nor double it. Several
 * may run on one store: each instant belongs to whoever claims it first, and no lock has to be held.
 */
export async function runScheduler(
  parts: SchedulerParts,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const { clock, log } = parts;
  const wall = new WallWatch(clock);
  /** Those that wait for an earlier event to end. */
  const waiting = new Set<string>();
  let isAdjusted = false;
  while (!signal.aborted) {
    let restMs = TICK_MS;
    try {
      if (wall.look() || !isAdjusted) {
        await adjustToClock(parts);
        isAdjusted = true;
      }
      restMs = await fireDue(parts, wall.awakeSince, waiting);
    } catch (error) {
      // The disk is full or fails: what is due stays due, and what had ended is looked for again.
      if (!isPlatformError(error)) throw error;
      isAdjusted = false;
      log.error("schedules cannot fire; trying again", { error });
      restMs = RETRY_MS;
    }
    if (restMs > 0) await clock.sleep(restMs, { signal }).catch(() => undefined);
  }
}

/** Knows since when the time on the wall has gone on as it should. */
class WallWatch {
  readonly #clock: Clock;
  #lastAt: number;
  awakeSince: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#lastAt = clock.now();
    this.awakeSince = this.#lastAt;
  }

  /** True if the clock was put back since the last look. */
  look(): boolean {
    const now = this.#clock.now();
    const passedMs = now - this.#lastAt;
    this.#lastAt = now;
    if (passedMs >= 0 && passedMs < GAP_MS) return false;
    this.awakeSince = now;
    return passedMs < 0;
  }
}

/** Gives for how long there is nothing to do. */
async function fireDue(parts: SchedulerParts, awakeSince: number, waiting: Set<string>): Promise<number> {
  const { schedules, clock } = parts;
  const now = clock.now();
  // What waits stays due, and must not keep others from being seen.
  const limit = BATCH_MAX + waiting.size;
  const coming = await schedules.due(now + TICK_MS, limit);
  const due = coming.filter(({ next }) => next !== undefined && next.dueAt <= now);
  const present = new Set(due.map(({ schedule }) => schedule.name));
  for (const name of waiting) if (!present.has(name)) waiting.delete(name);
  await Promise.all(
    due.map(async (record) => {
      if (await fireOne(parts, record, now, awakeSince)) waiting.delete(record.schedule.name);
      else waiting.add(record.schedule.name);
    }),
  );
  if (due.length >= limit) return 0;
  const soonest = coming[due.length]?.next?.dueAt ?? Number.POSITIVE_INFINITY;
  return Math.max(1, Math.min(TICK_MS, soonest - clock.now()));
}

/** False if it has to wait. */
async function fireOne(
  parts: SchedulerParts,
  record: ScheduleRecord,
  now: number,
  awakeSince: number,
): Promise<boolean> {
  const { schedules, events, identity, log } = parts;
  const { schedule, next } = record;
  const { name } = schedule;
  const plan = await planOf(parts, record, now, awakeSince);
  if (plan === undefined) return false;
  if (plan.replaces) {
    for (const id of await schedules.openEvents(name)) {
      const message = `schedule ${name} fired again, and is to replace what has not ended`;
      await events.cancel(id, { condition: "Cancelled", message });
    }
  }
  const fired = await schedules.fire({
    name,
    firedAt: now,
    instants: plan.instants.map(({ instantAt, kind }) => ({
      instantAt,
      kind,
      event:
        kind === "skipped" || kind === "missed"
          ? undefined
          : newScheduleEvent(schedule, instantAt, newInvocationId(), identity),
    })),
    moves: { from: next, to: plan.next },
  });
  const missed = plan.instants.filter(({ kind }) => kind === "missed");
  for (const { instantAt } of missed)
    log.warn("a schedule missed instants", { schedule: name, from: instantAt });
  if (fired && plan.next === undefined && schedule.endsDeleted) await schedules.remove(name);
  return true;
}

async function planOf(
  { schedules, log }: SchedulerParts,
  record: ScheduleRecord,
  now: number,
  awakeSince: number,
): Promise<FiringPlan | undefined> {
  const { name, overlap } = record.schedule;
  let instants: Instants;
  try {
    instants = openInstants(record.schedule.timing);
  } catch (error) {
    // It was right when it was saved, so Node's time zones have changed; it must not hold up the others.
    if (!isPlatformError(error)) throw error;
    log.error("a schedule cannot be read any more, and stops", { schedule: name, error });
    return { instants: [], next: undefined, replaces: false };
  }
  const isOpen = overlap !== "allow" && (await schedules.openEvents(name)).length > 0;
  return planFiring(record, instants, { now, awakeSince, isOpen });
}

/**
 * Lets schedules that wait for what is far ahead, by a clock that has been put back, fire from now on; but at no
 * instant again. Also removes what had ended when the last process went away.
 */
async function adjustToClock({ schedules, clock, log }: SchedulerParts): Promise<void> {
  let after: string | undefined;
  do {
    const page = await schedules.list({ prefix: "", after, limit: BATCH_MAX });
    for (const record of page) {
      if (record.next) await adjust(schedules, record, clock.now(), log);
      else if (record.schedule.endsDeleted && !record.schedule.isPaused) {
        await schedules.remove(record.schedule.name);
      }
    }
    after = page.length < BATCH_MAX ? undefined : page.at(-1)?.schedule.name;
  } while (after !== undefined);
}

async function adjust(schedules: Schedules, record: ScheduleRecord, now: number, log: Log): Promise<void> {
  const { schedule, next } = record;
  if (!next || next.instantAt <= now) return;
  let instants: Instants;
  try {
    instants = openInstants(schedule.timing);
  } catch (error) {
    if (!isPlatformError(error)) throw error;
    return; // Whoever fires it says so.
  }
  let earlier = firstFiring(schedule, instants, now);
  if (!earlier || earlier.instantAt >= next.instantAt) return;
  const history = await schedules.firings(schedule.name, { before: undefined, limit: HISTORY_MAX });
  const claimed = new Set(history.filter(({ kind }) => kind !== "missed").map(({ instantAt }) => instantAt));
  while (earlier && claimed.has(earlier.instantAt))
    earlier = firstFiring(schedule, instants, earlier.instantAt);
  if (!earlier || earlier.instantAt >= next.instantAt) return;
  log.warn("the clock was put back; a schedule comes earlier", { schedule: schedule.name });
  await schedules.fire({
    name: schedule.name,
    firedAt: now,
    instants: [],
    moves: { from: next, to: earlier },
  });
}

/** More than a schedule of every minute has in eight days. */
const HISTORY_MAX = 12_000;
