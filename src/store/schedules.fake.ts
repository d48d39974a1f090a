import { PlatformError } from "../core/errors.ts";
import type { FunctionName } from "../core/ids.ts";
import type { EventQueue } from "./event-queue.ts";
import type { ScheduleRecord, Schedules } from "./schedules.ts";

/** Schedules in memory, for tests. */
export function fakeSchedules(
  events: Pick<EventQueue, "enqueue">,
  isFunction: (name: FunctionName) => Promise<boolean>,
): Schedules {
  const schedules = new Map<string, ScheduleRecord>();
  const fired = new Map<string, number>();
  const sorted = () => [...schedules.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  return {
    async save(schedule) {
      if (!(await isFunction(schedule.functionName))) {
        throw new PlatformError("FunctionNotFound", `function "${schedule.functionName}" does not exist`);
      }
      schedules.set(schedule.id, structuredClone(schedule));
    },
    async find(id) {
      return structuredClone(schedules.get(id));
    },
    async list({ after, limit }) {
      const page = sorted().filter(({ id }) => after === undefined || id > after);
      return structuredClone(page.slice(0, limit));
    },
    async remove(id) {
      return schedules.delete(id);
    },
    async due(now, limit) {
      const due = sorted().filter(({ nextAt }) => nextAt !== undefined && nextAt <= now);
      return structuredClone(due.sort((a, b) => (a.nextAt ?? 0) - (b.nextAt ?? 0)).slice(0, limit));
    },
    async fireDue(firings) {
      const results: Awaited<ReturnType<Schedules["fireDue"]>> = [];
      for (const { scheduleId, instantAt, event, nextAt } of firings) {
        const schedule = schedules.get(scheduleId);
        if (schedule) schedules.set(scheduleId, { ...schedule, nextAt });
        const key = `${scheduleId} ${instantAt}`;
        if (!schedule || fired.has(key)) {
          results.push(undefined);
          continue;
        }
        fired.set(key, instantAt);
        results.push(event ? (await events.enqueue(event, { idempotencyKey: undefined })).id : false);
      }
      return results;
    },
    async pruneFirings(before) {
      for (const [key, at] of fired) if (at < before) fired.delete(key);
      return false;
    },
  };
}
