import type { LogLevel } from "./function.ts";

/** What the platform, a function or an extension has to tell, as Lambda's Telemetry API shapes it. */
export interface TelemetryEvent {
  /** ms since epoch. */
  readonly at: number;
  /** `platform.start` and kin, `function`, `extension`. */
  readonly type: string;
  /** JSON: an object for the platform's, text or an object for lines. */
  readonly record: unknown;
}

const RANKS: Readonly<Record<LogLevel, number>> = {
  TRACE: 0,
  DEBUG: 1,
  INFO: 2,
  WARN: 3,
  ERROR: 4,
  FATAL: 5,
};

/** Whether something of that level is told where `least` is the least. */
export function reaches(level: LogLevel, least: LogLevel): boolean {
  return RANKS[level] >= RANKS[least];
}

/** `{"time":…,"type":…,"record":…}`, which is also how a system line looks in a JSON log. */
export function telemetryText({ at, type, record }: TelemetryEvent): string {
  return JSON.stringify({ time: new Date(at).toISOString(), type, record });
}

/**
 * The level of a line that a program wrote itself into a JSON log: what it says if it is a JSON object with `level` and
 * `timestamp`, else INFO.
 */
export function levelOfLine(line: string): LogLevel {
  if (!line.startsWith("{")) return "INFO";
  try {
    const { level, timestamp } = Object(JSON.parse(line));
    const name = String(level).toUpperCase();
    if (timestamp !== undefined && name in RANKS) return name as LogLevel;
  } catch {
    // No JSON after all.
  }
  return "INFO";
}
