import { PlatformError } from "../core/errors.ts";
import type { EventId, FunctionName } from "../core/ids.ts";
import type { NextFiring, Rule, ScheduleRecord } from "../core/schedule.ts";
import type { EventLedger, EventQueue } from "./event-queue.ts";
import type { FiringFacts, Rules, Schedules } from "./schedules.ts";

/** Schedules in memory, for tests. */
export function fakeSchedules(
  events: Pick<EventQueue, "enqueue"> & Pick<EventLedger, "find">,
  isFunction: (name: FunctionName) => Promise<boolean>,
): Schedules & { readonly rules: Rules } {
  const schedules = new Map<string, ScheduleRecord>();
  const history = new Map<string, Map<number, FiringFacts>>();
  const latest = (name: string) =>
    [...(history.get(name)?.values() ?? [])].sort((a, b) => b.instantAt - a.instantAt);
  /** They go with their functions. */
  async function collect(): Promise<void> {
    for (const [name, { schedule }] of schedules) {
      if (await isFunction(schedule.functionName)) continue;
      schedules.delete(name);
      history.delete(name);
    }
  }

  return {
    async save(record) {
      const { name, functionName } = record.schedule;
      if (!(await isFunction(functionName))) {
        throw new PlatformError("FunctionNotFound", `function "${functionName}" does not exist`);
      }
      schedules.set(name, structuredClone(record));
    },
    async find(name) {
      await collect();
      return structuredClone(schedules.get(name));
    },
    async list({ prefix, after, limit }) {
      await collect();
      return page([...schedules.values()], ({ schedule }) => schedule.name, prefix, after).slice(0, limit);
    },
    async remove(name) {
      history.delete(name);
      return schedules.delete(name);
    },
    async due(at, limit) {
      const due = [...schedules.values()].filter(({ next }) => next !== undefined && next.dueAt <= at);
      return structuredClone(due.sort((a, b) => (a.next?.dueAt ?? 0) - (b.next?.dueAt ?? 0)).slice(0, limit));
    },
    async fire({ name, firedAt, instants, moves }) {
      const record = schedules.get(name);
      if (!record || (moves && !isSame(record.next, moves.from))) return undefined;
      if (moves) schedules.set(name, { ...record, next: moves.to });
      const fired = history.get(name) ?? new Map<number, FiringFacts>();
      history.set(name, fired);
      const claimed: (EventId | undefined)[] = [];
      for (const { instantAt, kind, event } of instants) {
        const before = fired.get(instantAt);
        const isNew = before === undefined || before.kind === "missed";
        const enqueued = isNew && event && (await events.enqueue(event, { idempotencyKey: undefined }));
        const eventId = enqueued ? enqueued.id : undefined;
        if (isNew) fired.set(instantAt, { instantAt, firedAt, kind, eventId });
        claimed.push(eventId);
      }
      return claimed;
    },
    async firings(name, { before, limit }) {
      return latest(name)
        .filter(({ instantAt }) => before === undefined || instantAt < before)
        .slice(0, limit);
    },
    async openEvents(name) {
      const open: EventId[] = [];
      for (const { eventId } of latest(name)) {
        const facts = eventId && (await events.find(eventId));
        if (facts && (facts.state === "queued" || facts.state === "running")) open.push(facts.id);
      }
      return open;
    },
    rules: fakeRules(schedules),
  };
}

function fakeRules(schedules: Map<string, ScheduleRecord>): Rules {
  const rules = new Map<string, Rule>();
  return {
    async find(name) {
      return structuredClone(rules.get(name));
    },
    async list({ prefix, after, limit }) {
      return page([...rules.values()], ({ name }) => name, prefix, after).slice(0, limit);
    },
    async save(rule, targets) {
      rules.set(rule.name, structuredClone(rule));
      for (const target of targets) {
        if (schedules.has(target.schedule.name)) schedules.set(target.schedule.name, structuredClone(target));
      }
    },
    async remove(name) {
      return rules.delete(name);
    },
  };
}

function page<T>(
  all: readonly T[],
  nameOf: (one: T) => string,
  prefix: string,
  after: string | undefined,
): T[] {
  const found = all.filter((one) => {
    const name = nameOf(one);
    return name.startsWith(prefix) && (after === undefined || name > after);
  });
  return structuredClone(found.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1)));
}

function isSame(a: NextFiring | undefined, b: NextFiring | undefined): boolean {
  return a?.instantAt === b?.instantAt && a?.dueAt === b?.dueAt;
}
