import type { Clock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import type { FunctionName } from "../core/ids.ts";
import {
  type Rule,
  type Schedule,
  type ScheduleRecord,
  targetScheduleName,
  targetsPrefix,
} from "../core/schedule.ts";
import { firstFiring } from "../core/schedule-plan.ts";
import { openInstants } from "../core/schedule-times.ts";
import type { Rules, Schedules } from "../store/schedules.ts";
import type { Functions } from "./functions.ts";
import { newTurns } from "./schedule-book.ts";

/** As on EventBridge. */
const TARGETS_PER_RULE_MAX = 5;
const RULES_MAX = 10_000;
const PAGE = 100;

export interface RuleTarget {
  readonly id: string;
  readonly functionName: FunctionName;
  readonly qualifier: string | undefined;
  readonly input: string | undefined;
  readonly lateMsMax: number | undefined;
}

/**
 * The rules by which EventBridge's rules change. A rule is a time; each of its targets is a schedule of its own, so a
 * target goes with its function.
 *
 * All throw PlatformError `ResourceNotFound` for a rule that is not there.
 */
export interface RuleBook {
  get(name: string): Promise<Rule>;
  list(page: {
    readonly prefix: string;
    readonly after: string | undefined;
    readonly limit: number;
  }): Promise<Rule[]>;
  /** Creates or replaces. @throws PlatformError `InvalidRequest`; `ResourceConflict` when there are too many. */
  put(wanted: Omit<Rule, "anchorAt" | "tags"> & { readonly tags: Rule["tags"] | undefined }): Promise<Rule>;
  setEnabled(name: string, isEnabled: boolean): Promise<void>;
  /** No error if it is not there. @throws PlatformError `ResourceConflict` if it has targets. */
  remove(name: string): Promise<void>;
  /** By id, ascending. */
  targets(name: string): Promise<Schedule[]>;
  /**
   * Creates or replaces one. @throws PlatformError `ResourceConflict` when the rule has as many as it may;
   * `FunctionNotFound`, `AliasNotFound`, `VersionNotFound`.
   */
  putTarget(name: string, target: RuleTarget): Promise<void>;
  removeTarget(name: string, id: string): Promise<boolean>;
}

export function openRuleBook(parts: {
  readonly rules: Rules;
  readonly schedules: Schedules;
  readonly functions: Pick<Functions, "resolve">;
  readonly clock: Clock;
}): RuleBook {
  const { rules, schedules, functions, clock } = parts;
  const inTurn = newTurns();

  async function get(name: string): Promise<Rule> {
    const rule = await rules.find(name);
    if (rule) return rule;
    throw new PlatformError("ResourceNotFound", `Rule ${name} does not exist on EventBus default.`);
  }

  const targetsOf = (name: string) =>
    schedules.list({ prefix: targetsPrefix(name), after: undefined, limit: PAGE });

  /** Saves the rule, with the times of its targets. */
  async function save(rule: Rule): Promise<void> {
    const now = clock.now();
    const targets = await targetsOf(rule.name);
    await rules.save(
      rule,
      targets.map(({ schedule, next }) => timed(schedule, rule, { schedule, next }, now)),
    );
  }

  return {
    get,
    list: (page) => rules.list(page),
    put: (wanted) =>
      inTurn(async () => {
        const before = await rules.find(wanted.name);
        if (
          !before &&
          (await rules.list({ prefix: "", after: undefined, limit: RULES_MAX })).length >= RULES_MAX
        ) {
          throw new PlatformError("ResourceConflict", `there are ${RULES_MAX} rules already; delete some`);
        }
        const anchorAt =
          before && before.expression === wanted.expression && before.isEnabled === wanted.isEnabled
            ? before.anchorAt
            : wholeSecond(clock.now());
        const rule = { ...wanted, tags: wanted.tags ?? before?.tags ?? {}, anchorAt };
        openInstants(timingOf(rule));
        await save(rule);
        return rule;
      }),
    setEnabled: (name, isEnabled) =>
      inTurn(async () => {
        const rule = await get(name);
        if (rule.isEnabled !== isEnabled)
          await save({ ...rule, isEnabled, anchorAt: wholeSecond(clock.now()) });
      }),
    remove: (name) =>
      inTurn(async () => {
        if ((await targetsOf(name)).length > 0) {
          throw new PlatformError("ResourceConflict", "Rule can't be deleted since it has targets.");
        }
        await rules.remove(name);
      }),
    async targets(name) {
      await get(name);
      return (await targetsOf(name)).map(({ schedule }) => schedule);
    },
    putTarget: (name, target) =>
      inTurn(async () => {
        const rule = await get(name);
        const id = targetScheduleName(name, target.id);
        const before = await schedules.find(id);
        if (!before && (await targetsOf(name)).length >= TARGETS_PER_RULE_MAX) {
          throw new PlatformError(
            "ResourceConflict",
            "The requested resource exceeds the maximum number allowed.",
          );
        }
        await functions.resolve(target.functionName, target.qualifier);
        const now = clock.now();
        const { functionName, qualifier, input, lateMsMax } = target;
        const schedule: Schedule = {
          name: id,
          description: "",
          functionName,
          qualifier,
          timing: timingOf(rule),
          input,
          overlap: "allow",
          catchUpMax: 1,
          lateMsMax,
          jitterMs: 0,
          isPaused: !rule.isEnabled,
          endsDeleted: false,
          owner: { kind: "rule", rule: name, target: target.id },
          createdAt: before?.schedule.createdAt ?? now,
          modifiedAt: now,
        };
        await schedules.save(timed(schedule, rule, before, now));
      }),
    removeTarget: (name, id) =>
      inTurn(async () => {
        await get(name);
        return await schedules.remove(targetScheduleName(name, id));
      }),
  };
}

/** A target's schedule at the times of its rule; where those have not changed, it goes on where it was. */
function timed(
  schedule: Schedule,
  rule: Rule,
  before: ScheduleRecord | undefined,
  now: number,
): ScheduleRecord {
  const timing = timingOf(rule);
  const timedSchedule = { ...schedule, timing, isPaused: !rule.isEnabled };
  const old = before?.schedule;
  const isSame =
    old?.isPaused === timedSchedule.isPaused &&
    old.timing.expression === timing.expression &&
    old.timing.anchorAt === timing.anchorAt;
  const next = isSame ? before?.next : firstFiring(timedSchedule, openInstants(timing), now);
  return { schedule: timedSchedule, next };
}

/** Rules know no time zone but UTC. */
function timingOf(rule: Pick<Rule, "expression" | "anchorAt">) {
  return {
    expression: rule.expression,
    timeZone: "UTC",
    anchorAt: rule.anchorAt,
    startAt: undefined,
    endAt: undefined,
  };
}

function wholeSecond(at: number): number {
  return Math.floor(at / 1000) * 1000;
}
