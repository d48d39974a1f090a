/**
 * A second opinion on when schedules fire: it looks at every minute of two weeks and asks whether it fits. Slow and
 * plain, and nothing in it is shared with what it judges: expressions are made here together with what they mean.
 */

import { openInstants } from "./schedule-times.ts";
import { seededRandom } from "./seeded-random.fake.ts";

const ZONES = [
  "America/New_York",
  "Europe/Berlin",
  "Europe/London",
  "Australia/Lord_Howe",
  "America/Santiago",
  "America/Sao_Paulo",
  "America/Havana",
  "America/St_Johns",
  "Asia/Kolkata",
  "Asia/Beirut",
  "Asia/Tehran",
  "Asia/Gaza",
  "Africa/Cairo",
  "Africa/Casablanca",
  "Antarctica/Troll",
  "Atlantic/Azores",
  "Pacific/Apia",
  "Pacific/Chatham",
  "UTC",
];
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const WINDOW_DAYS = 16;
const WINDOW_MINUTES = WINDOW_DAYS * 1440;
const CASES_PER_WINDOW = 100;
const ASKED_PER_CASE = 8;

export interface CaseReport {
  readonly cases: number;
  readonly asked: number;
  /** Cases whose window has a change of the clock in it. */
  readonly withChange: number;
  /** CPU time of the slowest question. */
  readonly slowestMs: number;
  readonly differences: readonly string[];
}

/** Compares `count` random cases of zone, year and expression. The same seed gives the same cases. */
export function judgeRandomCases(seed: number, count: number): CaseReport {
  const random = newRandom(seed);
  const differences: string[] = [];
  let [asked, withChange, slowestMs] = [0, 0, 0];
  let window = newWindow(random);
  for (let number = 0; number < count; number += 1) {
    if (number > 0 && number % CASES_PER_WINDOW === 0) window = newWindow(random);
    if (window.changeMinute !== undefined) withChange += 1;
    const sample = random(2) === 0 ? newPlain(random) : newAws(random);
    const expected = scan(window, sample);
    const startMinute = chooseStart(random, window);
    let at: number | undefined =
      window.from + startMinute * MINUTE_MS + (random(2) === 0 ? 0 : random(60_000));
    const rest = expected.filter((instant) => instant > (at ?? 0));
    const instants = openInstants({
      expression: sample.text,
      timeZone: window.zone,
      anchorAt: 0,
      startAt: undefined,
      endAt: undefined,
    });
    for (let step = 0; step < ASKED_PER_CASE && at !== undefined; step += 1) {
      const after: number = at;
      const begun = process.threadCpuUsage();
      at = instants.next(after);
      const { user, system } = process.threadCpuUsage(begun);
      slowestMs = Math.max(slowestMs, (user + system) / 1000);
      asked += 1;
      const right = rest[step];
      const isRight =
        right === undefined
          ? at === undefined || at >= window.from + WINDOW_MINUTES * MINUTE_MS
          : at === right;
      if (!isRight || (at !== undefined && at <= after)) {
        differences.push(
          `seed ${seed} case ${number}: ${sample.text} in ${window.zone} after ${text(after)}: got ${text(at)}, expected ${text(right)}`,
        );
        break;
      }
      if (right === undefined) break;
    }
  }
  return { cases: count, asked, withChange, slowestMs, differences };
}

/** Mostly shortly before a change of the clock, or in the hours after it, where it matters. */
function chooseStart(random: Random, { changeMinute }: Window): number {
  if (changeMinute === undefined || random(4) === 0) return random(WINDOW_MINUTES);
  return Math.max(0, random(3) === 0 ? changeMinute + random(180) : changeMinute - random(600));
}

function text(at: number | undefined): string {
  return at === undefined ? "none" : new Date(at).toISOString();
}

type Random = (below: number) => number;

function newRandom(seed: number): Random {
  const random = seededRandom(seed);
  return (below) => Math.floor(random() * below);
}

interface Window {
  readonly zone: string;
  readonly from: number;
  /** When the clock is changed, if it is. */
  readonly changeMinute: number | undefined;
  /** Of each minute of the window, what the wall shows: minutes since the first day. */
  readonly walls: Int32Array;
  /** Midnight of the first day that the walls count from, as if in Greenwich. */
  readonly firstDay: number;
}

function newWindow(random: Random): Window {
  const zone = ZONES[random(ZONES.length)] ?? "UTC";
  const year = 1990 + random(90);
  const wallOf = newWallReader(zone);
  const changes: number[] = [];
  for (let day = Date.UTC(year, 0, 1); day < Date.UTC(year + 1, 0, 1); day += DAY_MS) {
    if (wallOf(day + DAY_MS) - wallOf(day) !== DAY_MS) changes.push(day);
  }
  const change = random(5) === 0 ? undefined : changes[random(Math.max(1, changes.length))];
  const middle = change ?? Date.UTC(year, random(12), 1 + random(28));
  const from = middle - (2 + random(WINDOW_DAYS - 4)) * DAY_MS;
  const firstDay = Math.floor(wallOf(from) / DAY_MS) * DAY_MS - DAY_MS;
  const walls = new Int32Array(WINDOW_MINUTES);
  const read = (minute: number) => (wallOf(from + minute * MINUTE_MS) - firstDay) / MINUTE_MS;
  for (let minute = 0; minute < WINDOW_MINUTES; minute += 1) {
    const previous = walls[minute - 1];
    walls[minute] = previous === undefined || minute % 15 === 0 ? read(minute) : previous + 1;
    if (previous === undefined || walls[minute] === previous + 1) continue;
    // Some zones change a minute after midnight.
    for (let within = minute - 14; within < minute; within += 1) walls[within] = read(within);
  }
  const changeMinute = walls.findLastIndex(
    (wall, minute) => minute > 0 && wall !== (walls[minute - 1] ?? 0) + 1,
  );
  return { zone, from, changeMinute: changeMinute < 0 ? undefined : changeMinute, walls, firstDay };
}

function newWallReader(zone: string): (at: number) => number {
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
  });
  return (at) => {
    const [day = 0, month = 0, year = 0, hour = 0, minute = 0] = (format.format(at).match(/\d+/g) ?? []).map(
      Number,
    );
    return Date.UTC(year, month - 1, day, hour, minute);
  };
}

interface Sample {
  readonly text: string;
  readonly rule: "interval" | "once-a-day" | "aws";
  readonly hours: ReadonlySet<number>;
  readonly minutes: ReadonlySet<number>;
  /** By midnight, as if in Greenwich. */
  isDay(day: Date): boolean;
}

function scan(window: Window, sample: Sample): number[] {
  const { walls, from, firstDay } = window;
  const isDay = new Uint8Array(WINDOW_DAYS + 6);
  for (const index of isDay.keys()) isDay[index] = Number(sample.isDay(new Date(firstDay + index * DAY_MS)));
  const isTime = new Uint8Array(1440);
  for (const index of isTime.keys()) {
    isTime[index] = Number(sample.hours.has(Math.floor(index / 60)) && sample.minutes.has(index % 60));
  }
  const fits = (wall: number) => isTime[wall % 1440] === 1 && isDay[Math.floor(wall / 1440)] === 1;
  const found: number[] = [];
  let shown = (walls[0] ?? 0) - 1;
  for (let minute = 0; minute < WINDOW_MINUTES; minute += 1) {
    const wall = walls[minute] ?? 0;
    let fires = false;
    switch (sample.rule) {
      case "interval":
        fires = fits(wall);
        break;
      case "aws":
        fires = wall > shown && fits(wall);
        break;
      case "once-a-day":
        for (let passed = shown + 1; passed <= wall; passed += 1) fires ||= fits(passed);
    }
    if (fires) found.push(from + minute * MINUTE_MS);
    shown = Math.max(shown, wall);
  }
  return found;
}

interface Choice {
  readonly text: string;
  readonly numbers: ReadonlySet<number>;
}

/** One number, a list, a range, a stepped range, or all. */
function choose(random: Random, min: number, max: number, name: (number: number) => string = String): Choice {
  const one = () => min + random(max - min + 1);
  const through = (from: number, to: number, step: number) => {
    const numbers = new Set<number>();
    for (let number = from; number <= to; number += step) numbers.add(number);
    return numbers;
  };
  const [a, b] = [one(), one()].sort((x, y) => x - y) as [number, number];
  const step = 1 + random(20);
  switch (random(6)) {
    case 0:
      return { text: "*", numbers: through(min, max, 1) };
    case 1:
      return { text: `*/${step}`, numbers: through(min, max, step) };
    case 2:
      return { text: `${name(a)}-${name(b)}`, numbers: through(a, b, 1) };
    case 3:
      return { text: `${name(a)}-${name(b)}/${step}`, numbers: through(a, b, step) };
    case 4:
      return { text: `${name(b)},${name(a)}`, numbers: new Set([a, b]) };
    default:
      return { text: name(a), numbers: new Set([a]) };
  }
}

const MONTHS = ["Jan", "feb", "MAR", "apr", "May", "JUN", "Jul", "AUG", "sep", "OCT", "nov", "Dec"];
const DAYS = ["sun", "Mon", "TUE", "wed", "Thu", "FRI", "sat"];

/** Of a narrowed-down choice `*` would mean more than it says. */
function spelledOut(choice: Choice, isNarrow: boolean): Choice {
  return isNarrow && choice.text.startsWith("*") ? { ...choice, text: [...choice.numbers].join() } : choice;
}

/** Changes of the clock happen at night, so that is where most samples go. */
function chooseHours(random: Random): Choice {
  const isNarrow = random(2) === 0;
  return spelledOut(isNarrow ? choose(random, 0, 3) : choose(random, 0, 23), isNarrow);
}

function newPlain(random: Random): Sample {
  const minute = choose(random, 0, 59);
  const hour = chooseHours(random);
  const day = random(2) === 0 ? choose(random, 1, 31) : { text: "*", numbers: new Set(range(1, 31)) };
  const month =
    random(3) === 0
      ? choose(random, 1, 12, (number) => (random(2) === 0 ? String(number) : (MONTHS[number - 1] ?? "")))
      : { text: "*", numbers: new Set(range(1, 12)) };
  const weekday =
    random(2) === 0
      ? choose(random, 0, 6, (number) => (random(2) === 0 ? String(number) : (DAYS[number] ?? "")))
      : { text: "*", numbers: new Set(range(0, 6)) };
  const needsBoth = day.text.startsWith("*") || weekday.text.startsWith("*");
  return possible(random, newPlain, {
    text: [minute, hour, day, month, weekday].map((choice) => choice.text).join(" "),
    rule: minute.text.startsWith("*") || hour.text.startsWith("*") ? "interval" : "once-a-day",
    hours: hour.numbers,
    minutes: minute.numbers,
    isDay(date) {
      if (!month.numbers.has(date.getUTCMonth() + 1)) return false;
      const isDay = day.numbers.has(date.getUTCDate());
      const isWeekday = weekday.numbers.has(date.getUTCDay());
      return needsBoth ? isDay && isWeekday : isDay || isWeekday;
    },
  });
}

function newAws(random: Random): Sample {
  const minute = choose(random, 0, 59);
  const hour = chooseHours(random);
  const month =
    random(3) === 0
      ? choose(random, 1, 12, (number) => (random(2) === 0 ? String(number) : (MONTHS[number - 1] ?? "")))
      : { text: "*", numbers: new Set(range(1, 12)) };
  const from = 1970 + random(130);
  const year =
    random(4) === 0
      ? { text: `${from}-2199`, numbers: new Set(range(from, 2199)) }
      : { text: "*", numbers: new Set(range(1970, 2199)) };
  const [days, weekdays, isDay] = random(2) === 0 ? [...awsDays(random)] : [...awsWeekdays(random)];
  return possible(random, newAws, {
    text: `cron(${minute.text} ${hour.text} ${days} ${month.text} ${weekdays} ${year.text})`,
    rule: "aws",
    hours: hour.numbers,
    minutes: minute.numbers,
    isDay: (date) =>
      month.numbers.has(date.getUTCMonth() + 1) && year.numbers.has(date.getUTCFullYear()) && isDay(date),
  });
}

/** A sample that never comes is refused, which other tests look at. */
function possible(random: Random, again: (random: Random) => Sample, sample: Sample): Sample {
  return ALL_DAYS.some((day) => sample.isDay(day)) ? sample : again(random);
}

/** 28 years, in which each date falls on each day of the week. */
const ALL_DAYS = Array.from(
  { length: (Date.UTC(2029, 0, 1) - Date.UTC(2001, 0, 1)) / DAY_MS },
  (_, index) => new Date(Date.UTC(2001, 0, 1) + index * DAY_MS),
);

type DayRule = readonly [days: string, weekdays: string, isDay: (date: Date) => boolean];

function awsDays(random: Random): DayRule {
  switch (random(4)) {
    case 0:
      return ["L", "?", (date) => date.getUTCDate() === lastDay(date)];
    case 1:
      return ["LW", "?", (date) => date.getUTCDate() === nearestWeekday(date, lastDay(date))];
    case 2: {
      const wanted = 1 + random(31);
      return [`${wanted}W`, "?", (date) => date.getUTCDate() === nearestWeekday(date, wanted)];
    }
    default: {
      const choice = choose(random, 1, 31);
      return [choice.text, "?", (date) => choice.numbers.has(date.getUTCDate())];
    }
  }
}

function awsWeekdays(random: Random): DayRule {
  const weekday = random(7);
  switch (random(4)) {
    case 0:
      return [
        "?",
        `${weekday + 1}L`,
        (date) => date.getUTCDay() === weekday && date.getUTCDate() + 7 > lastDay(date),
      ];
    case 1: {
      const nth = 1 + random(5);
      return [
        "?",
        `${weekday + 1}#${nth}`,
        (date) => date.getUTCDay() === weekday && Math.ceil(date.getUTCDate() / 7) === nth,
      ];
    }
    case 2:
      return ["?", "L", (date) => date.getUTCDay() === 6];
    default: {
      const choice = choose(random, 1, 7, (number) =>
        random(2) === 0 ? String(number) : (DAYS[number - 1] ?? ""),
      );
      return ["?", choice.text, (date) => choice.numbers.has(date.getUTCDay() + 1)];
    }
  }
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

function lastDay(date: Date): number {
  return new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
}

/** Of the same month; undefined where the month has no such day. */
function nearestWeekday(date: Date, wanted: number): number | undefined {
  const last = lastDay(date);
  if (wanted > last) return undefined;
  const weekday = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), wanted)).getUTCDay();
  if (weekday === 6) return wanted === 1 ? 3 : wanted - 1;
  if (weekday === 0) return wanted === last ? wanted - 2 : wanted + 1;
  return wanted;
}
