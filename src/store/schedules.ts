import type { NewEvent } from "../core/event.ts";
import type { EventId, FunctionName } from "../core/ids.ts";

/** A schedule as far as the store knows it: whose it is and when it fires next. What it means is in `definition`. */
export interface ScheduleRecord {
  readonly id: string;
  readonly functionName: FunctionName;
  /** ms since epoch; undefined while it is paused or over. */
  readonly nextAt: number | undefined;
  readonly definition: Readonly<Record<string, unknown>>;
}

/** One instant of a schedule. */
export interface Firing {
  readonly scheduleId: string;
  readonly instantAt: number;
  /** Undefined where the instant is only passed over. */
  readonly event: NewEvent | undefined;
  /** When the schedule fires after that. */
  readonly nextAt: number | undefined;
}

/**
 * Schedules and the instants they fired at. What a promise of a change resolves with is on disk. They go with their
 * function.
 *
 * @throws PlatformError `StoreUnavailable`, `StorageFull` from any of them.
 */
export interface Schedules {
  /** Creates or replaces. @throws PlatformError `FunctionNotFound`. */
  save(schedule: ScheduleRecord): Promise<void>;
  find(id: string): Promise<ScheduleRecord | undefined>;
  /** By id, ascending; `after` is exclusive. */
  list(page: { readonly after: string | undefined; readonly limit: number }): Promise<ScheduleRecord[]>;
  remove(id: string): Promise<boolean>;
  /** Those whose time has come, longest overdue first. */
  due(now: number, limit: number): Promise<ScheduleRecord[]>;
  /**
   * Claims each instant and enqueues its event in one step, so that a crash can neither lose nor double it: an instant
   * that was claimed before gives `undefined` and changes nothing. Gives `false` where there was no event to enqueue.
   */
  fireDue(firings: readonly Firing[]): Promise<(EventId | false | undefined)[]>;
  /** Forgets a batch of instants before that time. True if there may be more. */
  pruneFirings(before: number): Promise<boolean>;
}
