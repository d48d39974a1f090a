import type { NewEvent } from "../core/event.ts";
import type { EventId } from "../core/ids.ts";
import type { FiringKind, NextFiring, Rule, ScheduleRecord } from "../core/schedule.ts";

/** What becomes of a schedule whose time has come, in one step. */
export interface Firing {
  readonly name: string;
  readonly firedAt: number;
  /** `event` is undefined where the instant passes. */
  readonly instants: readonly {
    readonly instantAt: number;
    readonly kind: FiringKind;
    readonly event: NewEvent | undefined;
  }[];
  /** What the schedule waited for when this was decided, and what it waits for then; undefined leaves that alone. */
  readonly moves: { readonly from: NextFiring | undefined; readonly to: NextFiring | undefined } | undefined;
}

/** An instant in the history of a schedule. */
export interface FiringFacts {
  readonly instantAt: number;
  readonly firedAt: number;
  readonly kind: FiringKind;
  readonly eventId: EventId | undefined;
}

/**
 * Schedules and the instants they fired at. What a promise of a change resolves with is on disk. They go with their
 * function.
 *
 * @throws PlatformError `StoreUnavailable`, `StorageFull` from any of them.
 */
export interface Schedules {
  /** Creates or replaces. @throws PlatformError `FunctionNotFound`; `ResourceConflict` beyond `SCHEDULES_MAX`. */
  save(record: ScheduleRecord): Promise<void>;
  find(name: string): Promise<ScheduleRecord | undefined>;
  /** By name, ascending, those that begin with `prefix`; `after` is exclusive. */
  list(page: {
    readonly prefix: string;
    readonly after: string | undefined;
    readonly limit: number;
  }): Promise<ScheduleRecord[]>;
  remove(name: string): Promise<boolean>;
  /** Those that are due by `at`, longest overdue first. */
  due(at: number, limit: number): Promise<ScheduleRecord[]>;
  /**
   * Claims instants and enqueues their events in one step, so that a crash can neither lose nor double them. An instant
   * that was claimed before, but for a missed one, changes nothing. Gives the events, in the order of the instants;
   * undefined if the schedule is gone or waits for something else than `moves.from`: then nothing has happened.
   */
  fire(firing: Firing): Promise<readonly (EventId | undefined)[] | undefined>;
  /** The history of a schedule, latest first: of eight days, and at least the last hundred. `before` is exclusive. */
  firings(
    name: string,
    page: { readonly before: number | undefined; readonly limit: number },
  ): Promise<FiringFacts[]>;
  /** Its latest events that have not ended. */
  openEvents(name: string): Promise<EventId[]>;
}

/** Rules of EventBridge. Their targets are schedules. */
export interface Rules {
  find(name: string): Promise<Rule | undefined>;
  /** By name, ascending, those that begin with `prefix`; `after` is exclusive. */
  list(page: {
    readonly prefix: string;
    readonly after: string | undefined;
    readonly limit: number;
  }): Promise<Rule[]>;
  /** Creates or replaces the rule and, in the same step, its targets' schedules as far as they still exist. */
  save(rule: Rule, targets: readonly ScheduleRecord[]): Promise<void>;
  remove(name: string): Promise<boolean>;
}
