/**
 * Stored lines as CloudWatch's events. A stream is an instance on one day (UTC): `2026/11/20/[$LATEST]9f86d081884c7d65`.
 */
import { createHash } from "node:crypto";
import { PlatformError } from "../../../core/errors.ts";
import type { LogLine } from "../../../records/records.ts";
import type { ControlParts } from "../parts.ts";
import type { LogGroup } from "./log-groups.ts";

export interface LogEvent {
  /** 56 digits, later ones are greater. */
  readonly id: string;
  readonly at: number;
  readonly stream: string;
  readonly text: string;
}

/** Where to go on: at this time, after so many events of it. */
export interface Position {
  readonly at: number;
  readonly skip: number;
}

export interface EventQuery {
  /** ms since epoch, inclusive; `untilAt` exclusive, as CloudWatch has it. */
  readonly sinceAt: number | undefined;
  readonly untilAt: number | undefined;
  readonly wants: (event: LogEvent) => boolean;
  readonly from: Position | undefined;
}

const DAY_MS = 24 * 3_600_000;

/** All events of a group in order of time, from a position on, each with the position behind it. */
export async function* readEvents(
  parts: Pick<ControlParts, "records" | "clock">,
  group: LogGroup,
  query: EventQuery,
  signal: AbortSignal,
): AsyncGenerator<{ readonly event: LogEvent; readonly behind: Position }> {
  const kept = group.retentionDays === undefined ? 0 : parts.clock.now() - group.retentionDays * DAY_MS;
  const sinceAt = Math.max(kept, query.sinceAt ?? 0, query.from?.at ?? 0);
  let position: Position = { at: -1, skip: 0 };
  for await (const line of mergedLines(parts, group, { sinceAt, untilAt: query.untilAt }, signal)) {
    position = line.at === position.at ? { at: line.at, skip: position.skip + 1 } : { at: line.at, skip: 1 };
    const { from } = query;
    if (from && line.at === from.at && position.skip <= from.skip) continue;
    const event = eventOf(line, position.skip);
    if (query.wants(event)) yield { event, behind: position };
  }
}

/** Lines of several functions, merged by time. */
async function* mergedLines(
  parts: Pick<ControlParts, "records">,
  group: LogGroup,
  span: { readonly sinceAt: number; readonly untilAt: number | undefined },
  signal: AbortSignal,
): AsyncGenerator<LogLine> {
  const sources = group.functions.map(({ name }) =>
    parts.records
      .read(
        {
          functionName: name,
          sinceAt: span.sinceAt,
          untilAt: span.untilAt === undefined ? undefined : span.untilAt - 1,
          invocationId: undefined,
          version: undefined,
          contains: undefined,
          last: undefined,
          follow: false,
        },
        { signal },
      )
      [Symbol.asyncIterator](),
  );
  try {
    const heads = await Promise.all(sources.map((source) => source.next()));
    for (;;) {
      let first = -1;
      for (const [index, head] of heads.entries()) {
        const best = heads[first];
        if (!head.done && (best === undefined || best.done || head.value.at < best.value.at)) first = index;
      }
      const [head, source] = [heads[first], sources[first]];
      if (!head || head.done || !source) return;
      yield head.value;
      heads[first] = await source.next();
    }
  } finally {
    // Whoever has a page reads no further, and a file that is left open ends the process when it is collected.
    await Promise.all(sources.map((source) => source.return?.()));
  }
}

function eventOf(line: LogLine, nthOfItsMs: number): LogEvent {
  const digest = createHash("sha256").update(`${line.sandboxId}\n${line.text}`).digest();
  const digits = (digest.readBigUInt64BE() % 10n ** 18n).toString().padStart(18, "0");
  const id = `${String(line.at).padStart(13, "0")}${String(nthOfItsMs).padStart(25, "0")}${digits}`;
  return { id, at: line.at, stream: streamOf(line), text: line.text };
}

function streamOf({ at, version, sandboxId }: LogLine): string {
  const day = new Date(at).toISOString().slice(0, 10).replaceAll("-", "/");
  return `${day}/[${version}]${sandboxId.replace(/^sb-/, "")}`;
}

export function encodePosition({ at, skip }: Position): string {
  return Buffer.from(`${at} ${skip}`).toString("base64url");
}

/** @throws PlatformError `InvalidRequest` for what was not made here. */
export function decodePosition(token: string): Position {
  const [, at, skip] = /^(\d{1,15}) (\d{1,15})$/.exec(Buffer.from(token, "base64url").toString()) ?? [];
  if (at === undefined || skip === undefined) {
    throw new PlatformError("InvalidRequest", "The specified nextToken is invalid.");
  }
  return { at: Number(at), skip: Number(skip) };
}
