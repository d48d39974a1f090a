import { usageError } from "./cli-error.ts";

/** Spans, sizes and instants as people write and read them. */

const MS_PER: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const MIB_PER: Readonly<Record<string, number>> = {
  "": 1,
  m: 1,
  mb: 1,
  mib: 1,
  g: 1_024,
  gb: 1_024,
  gib: 1_024,
};

/** `500ms`, `3s`, `2m`, `1h30m`; a bare number is seconds. Undefined if it is none of these. */
export function parseSpan(text: string): number | undefined {
  if (/^\d+(\.\d+)?$/.test(text)) return Math.round(Number(text) * 1_000);
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined;
  let spanMs = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    spanMs += Number(amount) * (MS_PER[unit ?? ""] ?? 0);
  }
  return Math.round(spanMs);
}

/** @throws CliError `Usage` naming the option. */
export function spanOption(option: string, text: string): number {
  const spanMs = parseSpan(text);
  if (spanMs !== undefined) return spanMs;
  throw usageError(`${option}: expected a span like 500ms, 3s, 2m or 1h30m, got ${JSON.stringify(text)}`);
}

/** `256`, `256M`, `1G`, `1GiB`, in MiB. @throws CliError `Usage` naming the option. */
export function mibOption(option: string, text: string): number {
  const [, amount, unit] = /^(\d+)\s*([a-z]*)$/i.exec(text) ?? [];
  const factor = MIB_PER[(unit ?? "?").toLowerCase()];
  if (amount !== undefined && factor !== undefined) return Number(amount) * factor;
  throw usageError(`${option}: expected MiB, or a size like 256M or 1G, got ${JSON.stringify(text)}`);
}

/** @throws CliError `Usage` naming the option. */
export function countOption(option: string, text: string, min = 0): number {
  if (/^\d{1,15}$/.test(text) && Number(text) >= min) return Number(text);
  throw usageError(`${option}: expected a whole number from ${min} up, got ${JSON.stringify(text)}`);
}

/** `10%`, `100%`. @throws CliError `Usage` naming the option. */
export function percentOption(option: string, text: string): number {
  const [, amount] = /^(\d{1,3}(?:\.\d{1,4})?)\s*%$/.exec(text) ?? [];
  if (amount !== undefined && Number(amount) > 0 && Number(amount) <= 100) return Number(amount) / 100;
  throw usageError(
    `${option}: expected more than 0% and at most 100%, like 10%, got ${JSON.stringify(text)}`,
  );
}

/** `0.5`, `2`: whole CPUs and parts of one. @throws CliError `Usage` naming the option. */
export function cpusOption(option: string, text: string): number {
  if (/^\d{1,3}(\.\d{1,3})?$/.test(text) && Number(text) > 0) return Number(text);
  throw usageError(`${option}: expected CPUs like 0.5 or 2, or auto, got ${JSON.stringify(text)}`);
}

/**
 * An instant as ms since epoch: a span back from now (`10m`), or a date with or without time, local if it names no
 * zone. @throws CliError `Usage` naming the option.
 */
export function instantOption(option: string, text: string, now: number): number {
  const back = /[a-z]$/.test(text) ? parseSpan(text) : undefined;
  if (back !== undefined) return now - back;
  const at = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(at)) return at;
  throw usageError(
    `${option}: expected a span back from now like 10m or 2h, or a date like 2026-01-31T12:00, got ${JSON.stringify(text)}`,
  );
}

/** `1.1 KiB` */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = bytes;
  let unit = 0;
  while (size >= 1_024 && unit < units.length - 1) {
    size /= 1_024;
    unit += 1;
  }
  return unit === 0
    ? `${bytes} B`
    : `${size >= 100 ? Math.round(size) : Number(size.toFixed(1))} ${units[unit]}`;
}

/** `38 ms`, `1.2 s`, `2 min` */
export function formatSpan(spanMs: number): string {
  if (spanMs < 1_000) return `${Math.round(spanMs)} ms`;
  if (spanMs < 120_000) return `${Number((spanMs / 1_000).toFixed(1))} s`;
  return `${Number((spanMs / 60_000).toFixed(1))} min`;
}

/** How long ago, in the largest unit that fits: `12s`, `5m`, `3h`, `9d`. */
export function formatAge(at: number, now: number): string {
  const seconds = Math.max(0, Math.round((now - at) / 1_000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)}h`;
  return `${Math.round(seconds / 86_400)}d`;
}

/** `2026-11-20 14:05:09`, local time. */
export function formatInstant(at: number): string {
  const local = new Date(at - new Date(at).getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19).replace("T", " ");
}

/** The wall clock of a zone: `2026-12-01 16:00:00`; of UTC if this machine does not know the zone. */
export function formatInstantIn(timeZone: string, at: number): string {
  const iso = new Date(at).toISOString().slice(0, 19).replace("T", " ");
  try {
    const parts = { dateStyle: "short", timeStyle: "medium", timeZone } as const;
    // The one language whose usual way of writing this is ISO 8601.
    return timeZone === "UTC" ? iso : new Intl.DateTimeFormat("sv-SE", parts).format(at);
  } catch {
    return `${iso} UTC`;
  }
}

/** `UTC`, `Europe/Berlin, UTC+01:00`: what the clock of that zone is worth at that moment, which summer time changes. */
export function describeZone(timeZone: string, at: number): string {
  if (timeZone === "UTC") return timeZone;
  try {
    const parts = new Intl.DateTimeFormat("en", { timeZone, timeZoneName: "longOffset" }).formatToParts(at);
    const offset = parts.find(({ type }) => type === "timeZoneName")?.value.replace("GMT", "");
    return `${timeZone}, UTC${offset || "+00:00"}`;
  } catch {
    return timeZone;
  }
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
