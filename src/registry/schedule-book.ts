import type { Clock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import { type EventId, newInvocationId } from "../core/ids.ts";
import type { Schedule, ScheduleRecord } from "../core/schedule.ts";
import { newScheduleEvent, type ScheduleIdentity } from "../core/schedule-event.ts";
import { firstFiring } from "../core/schedule-plan.ts";
import { openInstants, type Timing } from "../core/schedule-times.ts";
import type { FiringFacts, Schedules } from "../store/schedules.ts";
import type { Functions } from "./functions.ts";
import type { Target } from "./target.ts";

/** A schedule as somebody wants it. */
export type NewSchedule = Omit<Schedule, "timing" | "createdAt" | "modifiedAt"> & {
  readonly timing: Omit<Timing, "anchorAt">;
};

export interface SaveOptions {
  /** `put` creates or replaces. */
  readonly mode: "create" | "update" | "put";
  /** Whether one that never comes is taken, as AWS does. */
  readonly allowsNever: boolean;
}

/**
 * The rules by which schedules change, whoever asks. Changes of one daemon are made one after the other.
 *
 * All throw PlatformError `ResourceNotFound` for a schedule that is not there; those that change, `ResourceConflict` for
 * one that belongs to a rule, or (unless it is only paused) to a project.
 */
export interface ScheduleBook {
  get(name: string): Promise<ScheduleRecord>;
  list(page: {
    readonly prefix: string;
    readonly after: string | undefined;
    readonly limit: number;
  }): Promise<ScheduleRecord[]>;
  /**
   * Gives what it has replaced. One whose times stay the same goes on where it was.
   *
   * @throws PlatformError `InvalidRequest` for times that cannot be; `FunctionNotFound`, `AliasNotFound`,
   * `VersionNotFound`; `ResourceConflict` if it is to be created and is there.
   */
  save(
    wanted: NewSchedule,
    options: SaveOptions,
  ): Promise<{ readonly record: ScheduleRecord; readonly before: ScheduleRecord | undefined }>;
  setPaused(name: string, isPaused: boolean): Promise<ScheduleRecord>;
  remove(name: string): Promise<void>;
  /** Enqueues an event now; its times stay as they are. */
  run(name: string): Promise<EventId>;
  /** The next instants, earliest first; paused ones would have them too. */
  upcoming(name: string, count: number): Promise<number[]>;
  history(
    name: string,
    page: { readonly before: number | undefined; readonly limit: number },
  ): Promise<FiringFacts[]>;
}

export function openScheduleBook(parts: {
  readonly schedules: Schedules;
  readonly functions: Pick<Functions, "resolve">;
  readonly identity: ScheduleIdentity;
  readonly clock: Clock;
}): ScheduleBook {
  const { schedules, functions, identity, clock } = parts;
  const inTurn = newTurns();

  async function get(name: string): Promise<ScheduleRecord> {
    const record = await schedules.find(name);
    if (record) return record;
    throw new PlatformError("ResourceNotFound", `there is no schedule ${JSON.stringify(name)}`);
  }

  async function getOwn(
    name: string,
    { isOfProjectToo }: { readonly isOfProjectToo: boolean } = { isOfProjectToo: false },
  ): Promise<ScheduleRecord> {
    const record = await get(name);
    const { owner } = record.schedule;
    if (owner.kind === "project" && !isOfProjectToo) {
      throw new PlatformError(
        "ResourceConflict",
        `schedule ${name} belongs to project ${owner.project}; change it in lambda.yaml and run lambda deploy there`,
      );
    }
    if (owner.kind !== "rule") return record;
    throw new PlatformError(
      "ResourceConflict",
      `schedule ${name} belongs to rule ${owner.rule}; change it as a rule, with aws events`,
    );
  }

  return {
    get,
    list: (page) => schedules.list(page),
    save: (wanted, options) =>
      inTurn(async () => {
        refuseInput(await functions.resolve(wanted.functionName, wanted.qualifier), wanted.input);
        const before = await schedules.find(wanted.name);
        if (options.mode === "update" || before) await getOwn(wanted.name);
        if (options.mode === "create" && before) {
          throw new PlatformError("ResourceConflict", `schedule ${wanted.name} already exists`);
        }
        const record = newScheduleRecord(wanted, before, clock.now());
        if (!record.next && !wanted.isPaused && !options.allowsNever) {
          throw new PlatformError("InvalidRequest", `${wanted.timing.expression} does not come any more`);
        }
        await schedules.save(record);
        return { record, before };
      }),
    setPaused: (name, isPaused) =>
      inTurn(async () => {
        // Until the next release, which has it as lambda.yaml says.
        const { schedule, next } = await getOwn(name, { isOfProjectToo: true });
        if (schedule.isPaused === isPaused) return { schedule, next };
        const now = clock.now();
        const changed = { ...schedule, isPaused, modifiedAt: now };
        const record = {
          schedule: changed,
          next: firstFiring(changed, openInstants(changed.timing), now),
        };
        await schedules.save(record);
        return record;
      }),
    remove: (name) =>
      inTurn(async () => {
        await getOwn(name);
        await schedules.remove(name);
      }),
    async run(name) {
      const { schedule } = await get(name);
      const now = clock.now();
      // Somebody else may have had the same idea in the same millisecond.
      for (let instantAt = now; instantAt < now + RUNS_AT_ONCE_MAX; instantAt += 1) {
        const event = newScheduleEvent(schedule, instantAt, newInvocationId(), identity);
        const instants = [{ instantAt, kind: "by-hand" as const, event }];
        const fired = await schedules.fire({ name, firedAt: now, instants, moves: undefined });
        if (!fired) break;
        if (fired[0]) return fired[0];
      }
      throw new PlatformError("ResourceNotFound", `there is no schedule ${JSON.stringify(name)}`);
    },
    async upcoming(name, count) {
      const { schedule, next } = await get(name);
      const instants = openInstants(schedule.timing);
      const found: number[] = [];
      let at = next?.instantAt ?? instants.next(clock.now());
      while (at !== undefined && found.length < count) {
        found.push(at);
        at = instants.next(at);
      }
      return found;
    },
    async history(name, page) {
      await get(name);
      return await schedules.firings(name, page);
    },
  };
}

const RUNS_AT_ONCE_MAX = 1_000;

/** With its first time; one whose times are those of `before` keeps what that waits for. @throws `InvalidRequest`. */
export function newScheduleRecord(
  wanted: NewSchedule,
  before: ScheduleRecord | undefined,
  now: number,
): ScheduleRecord {
  const { startAt } = wanted.timing;
  // Events tell whole seconds.
  const createdAt = Math.floor(now / 1000) * 1000;
  const anchorAt = startAt ?? createdAt;
  const made = before?.schedule;
  const schedule = {
    ...wanted,
    timing: { ...wanted.timing, anchorAt },
    createdAt: made?.createdAt ?? createdAt,
    modifiedAt: createdAt,
  };
  const instants = openInstants(schedule.timing);
  if (made && before && isTimedAlike(made, schedule)) {
    return { schedule: { ...schedule, timing: made.timing }, next: before.next };
  }
  // EventBridge Scheduler begins a rate at once, unless it is told when.
  const beginsAtOnce = wanted.owner.kind === "scheduler" && startAt === undefined;
  const isRate = wanted.timing.expression.startsWith("rate(");
  const after = beginsAtOnce && isRate && !made ? anchorAt - 1 : now;
  return { schedule, next: firstFiring(schedule, instants, after) };
}

function isTimedAlike(a: Schedule, b: Schedule): boolean {
  return (
    a.isPaused === b.isPaused &&
    a.jitterMs === b.jitterMs &&
    a.timing.expression === b.timing.expression &&
    a.timing.timeZone === b.timing.timeZone &&
    a.timing.startAt === b.timing.startAt &&
    a.timing.endAt === b.timing.endAt
  );
}

/** Runs what it is given one after the other. */
export function newTurns(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const done = last.then(work);
    // Whoever asked is told of the failure; the next one only waits.
    last = done.catch(() => undefined);
    return done;
  };
}

/** Every event of it would fail, when nobody looks. */
function refuseInput({ record, version }: Target, input: string | undefined): void {
  if (input === undefined || version.config.entry.kind !== "handler") return;
  try {
    JSON.parse(input);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new PlatformError(
      "InvalidRequest",
      `input: ${record.name} is a handler, which takes JSON, such as {"k":1} or "text": ${why}`,
      { cause },
    );
  }
}
