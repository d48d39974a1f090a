/**
 * Time zones of the IANA data base, as the runtime has them. "Wall" is the time that a clock on the wall shows, as ms
 * as if it were in Greenwich: wall = instant + offset.
 */
export interface TimeZone {
  readonly name: string;
  /** What to add to an instant to get its wall time, in ms. */
  offsetAt(at: number): number;
}

/** A day, and the farthest that wall time is from Greenwich: no two changes of a zone are nearer to each other. */
const NEAR_MS = 26 * 3_600_000;

/** Zones that were asked for last: to open one costs a tenth of a millisecond, and schedules share them. */
const known = new Map<string, TimeZone>();
const KNOWN_MAX = 16;

/** Undefined if there is no such zone. */
export function findTimeZone(name: string): TimeZone | undefined {
  const zone = known.get(name) ?? openTimeZone(name);
  if (!zone) return undefined;
  known.delete(name);
  known.set(name, zone);
  if (known.size > KNOWN_MAX) known.delete(known.keys().next().value ?? "");
  return zone;
}

function openTimeZone(name: string): TimeZone | undefined {
  if (name === "UTC") return { name, offsetAt: () => 0 };
  // Intl also takes offsets such as +01:00, which are no zones.
  if (!/^[A-Za-z][A-Za-z0-9_+/-]{1,63}$/.test(name)) return undefined;
  try {
    const format = new Intl.DateTimeFormat("en-US", { timeZone: name, timeZoneName: "longOffset" });
    return { name, offsetAt: (at) => parseOffset(format.format(at)) };
  } catch {
    return undefined; // Intl says so by throwing.
  }
}

/** `1/1/2027, GMT+05:30`; Greenwich itself has no number. */
function parseOffset(text: string): number {
  const [, sign, hours, minutes, seconds] = /GMT([+-])(\d\d):(\d\d)(?::(\d\d))?$/.exec(text) ?? [];
  const ms = (Number(hours ?? 0) * 3600 + Number(minutes ?? 0) * 60 + Number(seconds ?? 0)) * 1000;
  return sign === "-" ? -ms : ms;
}

/**
 * The first instant at which the wall shows `wall` or later: of two, where the clock is put back, the first; the end
 * of the gap, where it is put forward over it. `isReal` is false then.
 */
export function firstReached(
  zone: TimeZone,
  wall: number,
): { readonly at: number; readonly isReal: boolean } {
  const [at] = instantsOf(zone, wall);
  if (at !== undefined) return { at, isReal: true };
  const [early, late] = candidates(zone, wall);
  const end = firstWhere(early, late, (instant) => instant + zone.offsetAt(instant) >= wall);
  return { at: end, isReal: false };
}

/** All instants at which the wall shows `wall`, earliest first: none, one or two. */
export function instantsOf(zone: TimeZone, wall: number): number[] {
  const found = candidates(zone, wall).filter((at) => at + zone.offsetAt(at) === wall);
  return found[0] === found[1] ? found.slice(0, 1) : found;
}

/** The latest wall time that has been shown up to `at`: later than that of `at` itself after the clock was put back. */
export function latestWall(zone: TimeZone, at: number): number {
  const offset = zone.offsetAt(at);
  const before = zone.offsetAt(at - NEAR_MS);
  if (before <= offset) return at + offset;
  const change = firstWhere(at - NEAR_MS, at, (instant) => zone.offsetAt(instant) !== before);
  return Math.max(at + offset, change + before - 1);
}

/** When the clock is put back within the next day, and which wall times are shown again then. */
export function comingFold(
  zone: TimeZone,
  at: number,
): { readonly from: number; readonly to: number; readonly offset: number } | undefined {
  const before = zone.offsetAt(at);
  const offset = zone.offsetAt(at + NEAR_MS);
  if (offset >= before) return undefined;
  const change = firstWhere(at, at + NEAR_MS, (instant) => zone.offsetAt(instant) !== before);
  return { from: change + offset, to: change + before, offset };
}

function candidates(zone: TimeZone, wall: number): [number, number] {
  const one = wall - zone.offsetAt(wall - NEAR_MS);
  const other = wall - zone.offsetAt(wall + NEAR_MS);
  return one < other ? [one, other] : [other, one];
}

/** The first instant after `low`, up to `high`, from which on it is true; it must be at `high`. */
function firstWhere(low: number, high: number, isTrue: (at: number) => boolean): number {
  let [before, after] = [low, high];
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (isTrue(middle)) after = middle;
    else before = middle;
  }
  return after;
}
