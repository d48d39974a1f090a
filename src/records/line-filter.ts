import type { LogLine, LogQuery } from "./records.ts";

/** Whether a query asks for a line, by what the line says; `last` and `follow` are not about lines. */
export function lineFilter(query: LogQuery): (line: LogLine) => boolean {
  const { sinceAt, untilAt, invocationId, version, contains } = query;
  return (line) =>
    (sinceAt === undefined || line.at >= sinceAt) &&
    (untilAt === undefined || line.at <= untilAt) &&
    (invocationId === undefined || line.invocationId === invocationId) &&
    (version === undefined || line.version === version || String(line.liveVersion) === version) &&
    (contains === undefined || line.text.includes(contains));
}
