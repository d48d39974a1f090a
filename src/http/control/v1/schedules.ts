/** Schedules of our own API. */
import type { ScheduleOwner, ScheduleRecord } from "../../../core/schedule.ts";
import type { ScheduleBook } from "../../../registry/schedule-book.ts";
import type { FiringFacts } from "../../../store/schedules.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, type Handler, jsonReply } from "../route.ts";
import { askedFunction, refuseOthers, requireFunction } from "./asked-function.ts";
import { parsePutSchedule } from "./schedule-wire.ts";
import { parsePage, wholeNumber } from "./wire.ts";

const UPCOMING_DEFAULT = 5;
const UPCOMING_MAX = 100;

export type ScheduleOperation =
  | "listSchedules"
  | "getSchedule"
  | "putSchedule"
  | "deleteSchedule"
  | "pauseSchedule"
  | "resumeSchedule"
  | "runSchedule"
  | "upcomingOfSchedule"
  | "historyOfSchedule";

export function scheduleHandlers(
  parts: Pick<ControlParts, "functions" | "ledger">,
  book: ScheduleBook,
): Readonly<Record<ScheduleOperation, Handler>> {
  /** The schedule that the path names, if the key is good for its function. */
  async function named(request: ControlRequest): Promise<ScheduleRecord> {
    const record = await book.get(request.params.schedule ?? "");
    refuseOthers(request, record.schedule.functionName);
    return record;
  }

  const setPaused =
    (isPaused: boolean): Handler =>
    async (request) => {
      const { schedule } = await named(request);
      return jsonReply(200, scheduleShape(await book.setPaused(schedule.name, isPaused)));
    };

  return {
    async listSchedules(request) {
      const { query, caller } = request;
      const { after, limit } = parsePage(query);
      const functionName = askedFunction(request);
      const found: ScheduleRecord[] = [];
      let position = after;
      // One more than asked for tells whether there is a next page.
      while (found.length <= limit) {
        const page = await book.list({ prefix: "", after: position, limit: limit + 1 });
        const isWanted = ({ schedule }: ScheduleRecord) =>
          caller.mayUse(schedule.functionName) &&
          (functionName ?? schedule.functionName) === schedule.functionName;
        found.push(...page.filter(isWanted));
        position = page.at(-1)?.schedule.name;
        if (page.length <= limit) break;
      }
      await requireFunction(parts.functions, functionName, found.length);
      const shown = found.slice(0, limit);
      return jsonReply(200, {
        schedules: shown.map(scheduleShape),
        next: found.length > limit ? shown.at(-1)?.schedule.name : undefined,
      });
    },
    getSchedule: async (request) => jsonReply(200, scheduleShape(await named(request))),
    async putSchedule(request) {
      const wanted = parsePutSchedule(request.params.schedule ?? "", request.json);
      refuseOthers(request, wanted.functionName);
      const old = await book.list({ prefix: wanted.name, after: undefined, limit: 1 });
      for (const { schedule } of old) {
        if (schedule.name === wanted.name) refuseOthers(request, schedule.functionName);
      }
      const { record, before } = await book.save(wanted, { mode: "put", allowsNever: false });
      const replaced = before && scheduleShape(before);
      return jsonReply(before ? 200 : 201, { schedule: scheduleShape(record), replaced });
    },
    async deleteSchedule(request) {
      await book.remove((await named(request)).schedule.name);
      return emptyReply(204);
    },
    pauseSchedule: setPaused(true),
    resumeSchedule: setPaused(false),
    async runSchedule(request) {
      const { schedule } = await named(request);
      return jsonReply(202, { eventId: await book.run(schedule.name) });
    },
    async upcomingOfSchedule(request) {
      const { schedule } = await named(request);
      const count = wholeNumber(request.query, "count", 1, UPCOMING_MAX) ?? UPCOMING_DEFAULT;
      return jsonReply(200, { instants: await book.upcoming(schedule.name, count) });
    },
    async historyOfSchedule(request) {
      const { schedule } = await named(request);
      const { limit } = parsePage(request.query);
      const before = wholeNumber(request.query, "before", 0, Number.MAX_SAFE_INTEGER);
      const firings = await book.history(schedule.name, { before, limit: limit + 1 });
      const shown = firings.slice(0, limit);
      return jsonReply(200, {
        history: await Promise.all(shown.map((firing) => firingShape(parts, firing))),
        next: firings.length > limit ? shown.at(-1)?.instantAt : undefined,
      });
    },
  };
}

function scheduleShape({ schedule, next }: ScheduleRecord): Record<string, unknown> {
  const { timing, owner, isPaused } = schedule;
  return {
    name: schedule.name,
    function: schedule.functionName,
    qualifier: schedule.qualifier,
    expression: timing.expression,
    timezone: timing.timeZone,
    state: isPaused ? "paused" : next ? "active" : "ended",
    nextAt: next?.instantAt,
    input: schedule.input,
    overlap: schedule.overlap,
    catchUp: schedule.catchUpMax,
    jitterMs: schedule.jitterMs,
    startAt: timing.startAt,
    endAt: timing.endAt,
    isPaused,
    endsDeleted: schedule.endsDeleted,
    description: schedule.description,
    owner: ownerName(owner),
    createdAt: schedule.createdAt,
    modifiedAt: schedule.modifiedAt,
  };
}

function ownerName(owner: ScheduleOwner): string {
  if (owner.kind === "rule") return `rule ${owner.rule}`;
  return owner.kind === "project" ? `project ${owner.project}` : owner.kind;
}

/** `outcome` is the state of its event; that of an event that is no longer kept is not known. */
async function firingShape(
  { ledger }: Pick<ControlParts, "ledger">,
  { instantAt, firedAt, kind, eventId }: FiringFacts,
): Promise<Record<string, unknown>> {
  const facts = eventId && (await ledger.find(eventId));
  return {
    instantAt,
    firedAt,
    kind,
    eventId,
    outcome: eventId === undefined ? undefined : (facts?.state ?? "forgotten"),
    endedAt: facts?.endedAt,
    reason: facts?.reason,
  };
}
