export type LogLevel = "debug" | "info" | "warn" | "error";

const RANK: Readonly<Record<LogLevel, number>> = { debug: 10, info: 20, warn: 30, error: 40 };

/** The daemon's own log: constant message, facts as fields. Payloads and environment values never go in. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same log with fields that every line then has. */
  with(fields: LogFields): Log;
}

export type LogFields = Readonly<Record<string, unknown>>;

/** JSON lines, one per call, written by `write` (a whole line with its end). */
export function jsonLog(write: (line: string) => void, level: LogLevel, base: LogFields = {}): Log {
  const at = (name: LogLevel) => (message: string, fields?: LogFields) => {
    if (RANK[name] < RANK[level]) return;
    write(
      `${JSON.stringify({ time: new Date().toISOString(), level: name, message, ...base, ...plain(fields) })}\n`,
    );
  };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    with: (fields) => jsonLog(write, level, { ...base, ...fields }),
  };
}

/** Says nothing; for tests and tools that do not listen. */
export const silentLog: Log = jsonLog(() => undefined, "error");

function plain(fields: LogFields | undefined): LogFields {
  if (!fields?.error) return fields ?? {};
  const { error } = fields;
  if (!(error instanceof Error)) return fields;
  const cause = error.cause instanceof Error ? error.cause.message : undefined;
  return {
    ...fields,
    error: { name: error.name, message: error.message, stack: error.stack, ...(cause && { cause }) },
  };
}
