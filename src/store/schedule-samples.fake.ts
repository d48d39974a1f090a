import type { Schedule, ScheduleRecord } from "../core/schedule.ts";
import { sampleName } from "./samples.fake.ts";

export function sampleSchedule(name: string, change: Partial<Schedule> = {}): Schedule {
  return {
    name,
    description: "",
    functionName: sampleName("greet"),
    qualifier: undefined,
    timing: {
      expression: "* * * * *",
      timeZone: "UTC",
      anchorAt: 0,
      startAt: undefined,
      endAt: undefined,
    },
    input: undefined,
    overlap: "allow",
    catchUpMax: 1,
    lateMsMax: undefined,
    jitterMs: 0,
    isPaused: false,
    endsDeleted: false,
    owner: { kind: "own" },
    createdAt: 0,
    modifiedAt: 0,
    ...change,
  };
}

export function sampleScheduleRecord(
  name: string,
  dueAt: number | undefined,
  change: Partial<Schedule> = {},
): ScheduleRecord {
  return {
    schedule: sampleSchedule(name, change),
    next: dueAt === undefined ? undefined : { instantAt: dueAt, dueAt },
  };
}
