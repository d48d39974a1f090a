/** The operations of CloudWatch Logs that people's tools call, over the stored logs of functions. */
import { PlatformError } from "../../../core/errors.ts";
import { allowsScope } from "../keys.ts";
import type { ControlParts } from "../parts.ts";
import type { ControlRequest } from "../route.ts";
import { parseFilterPattern } from "./filter-pattern.ts";
import { decodePosition, encodePosition, type LogEvent, type Position, readEvents } from "./log-events.ts";
import { getGroup, type LogGroup, listGroups } from "./log-groups.ts";
import {
  parseDeleteRetention,
  parseDescribeGroups,
  parseDescribeStreams,
  parseFilterEvents,
  parseGetEvents,
  parsePutRetention,
} from "./logs-wire.ts";

/** Gives the answer's body; undefined for none. */
type Operation = (parts: ControlParts, request: ControlRequest, body: unknown) => Promise<unknown>;

export const LOGS_OPERATIONS: Readonly<Record<string, Operation>> = {
  DescribeLogGroups: describeLogGroups,
  DescribeLogStreams: describeLogStreams,
  GetLogEvents: getLogEvents,
  FilterLogEvents: filterLogEvents,
  PutRetentionPolicy: async (parts, request, body) => {
    const { logGroupName, retentionInDays } = parsePutRetention(body);
    await setRetention(parts, request, logGroupName, retentionInDays);
  },
  DeleteRetentionPolicy: async (parts, request, body) => {
    await setRetention(parts, request, parseDeleteRetention(body).logGroupName, undefined);
  },
};

const PER_PAGE = 50;
const EVENTS_PER_PAGE = 10_000;
/** Lambda and CloudWatch both answer at most so much. */
const ANSWER_BYTES_MAX = 1024 * 1024;

async function describeLogGroups(
  parts: ControlParts,
  request: ControlRequest,
  body: unknown,
): Promise<unknown> {
  const {
    logGroupNamePrefix = "",
    logGroupNamePattern = "",
    limit = PER_PAGE,
    nextToken,
  } = parseDescribeGroups(body);
  const groups = (await listGroups(parts, request.caller)).filter(
    ({ name }) => name.startsWith(logGroupNamePrefix) && name.includes(logGroupNamePattern),
  );
  const rest = nextToken === undefined ? groups : groups.filter(({ name }) => name > nextToken);
  const shown = rest.slice(0, limit);
  return {
    logGroups: shown.map((group) => groupShape(parts, group)),
    ...(rest.length > shown.length && { nextToken: shown.at(-1)?.name }),
  };
}

function groupShape({ account, region }: ControlParts, group: LogGroup): Record<string, unknown> {
  const arn = `arn:aws:logs:${region}:${account}:log-group:${group.name}`;
  return {
    logGroupName: group.name,
    creationTime: group.createdAt,
    ...(group.retentionDays !== undefined && { retentionInDays: group.retentionDays }),
    metricFilterCount: 0,
    arn: `${arn}:*`,
    logGroupClass: "STANDARD",
    logGroupArn: arn,
  };
}

interface Stream {
  readonly name: string;
  readonly firstAt: number;
  readonly lastAt: number;
}

async function describeLogStreams(
  parts: ControlParts,
  request: ControlRequest,
  body: unknown,
): Promise<unknown> {
  const { logStreamNamePrefix = "", limit = PER_PAGE, nextToken, ...asked } = parseDescribeStreams(body);
  const group = await groupIn(parts, request, asked);
  const streams = new Map<string, Stream>();
  const all = { sinceAt: undefined, untilAt: undefined, wants: () => true, from: undefined };
  for await (const { event } of readEvents(parts, group, all, request.signal)) {
    const { stream: name, at } = event;
    if (!name.startsWith(logStreamNamePrefix)) continue;
    streams.set(name, { name, firstAt: streams.get(name)?.firstAt ?? at, lastAt: at });
  }
  const byName = (a: Stream, b: Stream) => (a.name < b.name ? -1 : 1);
  const sorted = [...streams.values()].sort((a, b) =>
    asked.orderBy === "LastEventTime" ? a.lastAt - b.lastAt || byName(a, b) : byName(a, b),
  );
  if (asked.descending) sorted.reverse();
  const start = nextToken === undefined ? 0 : sorted.findIndex(({ name }) => name === nextToken) + 1;
  const shown = sorted.slice(start, start + limit);
  return {
    logStreams: shown.map((stream) => streamShape(parts, group, stream)),
    ...(start + shown.length < sorted.length && { nextToken: shown.at(-1)?.name }),
  };
}

function streamShape(
  { account, region }: ControlParts,
  group: LogGroup,
  stream: Stream,
): Record<string, unknown> {
  const { name, firstAt, lastAt } = stream;
  return {
    logStreamName: name,
    creationTime: firstAt,
    firstEventTimestamp: firstAt,
    lastEventTimestamp: lastAt,
    lastIngestionTime: lastAt,
    uploadSequenceToken: "0",
    arn: `arn:aws:logs:${region}:${account}:log-group:${group.name}:log-stream:${name}`,
    storedBytes: 0,
  };
}

async function filterLogEvents(
  parts: ControlParts,
  request: ControlRequest,
  body: unknown,
): Promise<unknown> {
  const asked = parseFilterEvents(body);
  const { logStreamNames, logStreamNamePrefix, limit = EVENTS_PER_PAGE, nextToken } = asked;
  const fits = parseFilterPattern(asked.filterPattern ?? "");
  const group = await groupIn(parts, request, asked);
  const wants = ({ stream, text }: LogEvent) =>
    (logStreamNames?.includes(stream) ?? true) && stream.startsWith(logStreamNamePrefix ?? "") && fits(text);
  const from = nextToken === undefined ? undefined : decodePosition(nextToken);
  const query = { sinceAt: asked.startTime, untilAt: asked.endTime, wants, from };
  const page: LogEvent[] = [];
  let bytes = 0;
  let behind: Position | undefined;
  let hasMore = false;
  for await (const read of readEvents(parts, group, query, request.signal)) {
    bytes += Buffer.byteLength(read.event.text);
    hasMore = page.length === limit || (page.length > 0 && bytes > ANSWER_BYTES_MAX);
    if (hasMore) break;
    page.push(read.event);
    behind = read.behind;
  }
  return {
    events: page.map((event) => ({ ...eventShape(event), logStreamName: event.stream, eventId: event.id })),
    searchedLogStreams: [],
    ...(hasMore && behind && { nextToken: encodePosition(behind) }),
  };
}

/** Tokens say where the page lies among the stream's events; a page that is empty gives the token it was asked with. */
async function getLogEvents(parts: ControlParts, request: ControlRequest, body: unknown): Promise<unknown> {
  const asked = parseGetEvents(body);
  const { logStreamName, limit = EVENTS_PER_PAGE, nextToken, startFromHead = false } = asked;
  const group = await groupIn(parts, request, asked);
  const wants = ({ stream }: LogEvent) => stream === logStreamName;
  const query = { sinceAt: asked.startTime, untilAt: asked.endTime, wants, from: undefined };
  const events: LogEvent[] = [];
  for await (const { event } of readEvents(parts, group, query, request.signal)) events.push(event);
  if (events.length === 0 && asked.startTime === undefined && asked.endTime === undefined) {
    throw new PlatformError("ResourceNotFound", "The specified log stream does not exist.");
  }
  const [, way, at] = /^([fb])\/(\d{1,12})$/.exec(nextToken ?? "") ?? [];
  if (nextToken !== undefined && way === undefined) {
    throw new PlatformError("InvalidRequest", "The specified nextToken is invalid.");
  }
  const isForward = way === "f" || (way === undefined && startFromHead);
  const [start, end] = isForward
    ? pageFrom(events, Math.min(Number(at ?? 0), events.length), limit)
    : pageUntil(events, Math.min(Number(at ?? events.length), events.length), limit);
  return {
    events: events.slice(start, end).map(eventShape),
    nextForwardToken: `f/${end}`,
    nextBackwardToken: `b/${start}`,
  };
}

/** As many as an answer takes, from `start` on. */
function pageFrom(events: readonly LogEvent[], start: number, limit: number): [start: number, end: number] {
  let end = start;
  let bytes = 0;
  for (const { text } of events.slice(start, start + limit)) {
    bytes += Buffer.byteLength(text);
    if (end > start && bytes > ANSWER_BYTES_MAX) break;
    end++;
  }
  return [start, end];
}

function pageUntil(events: readonly LogEvent[], end: number, limit: number): [start: number, end: number] {
  const before = events.slice(Math.max(0, end - limit), end).toReversed();
  const [, count] = pageFrom(before, 0, limit);
  return [end - count, end];
}

function eventShape({ at, text }: LogEvent): Record<string, unknown> {
  return { timestamp: at, message: text, ingestionTime: at };
}

async function setRetention(
  parts: ControlParts,
  request: ControlRequest,
  name: string,
  days: number | undefined,
): Promise<void> {
  const { key } = request.caller;
  if (!key || !allowsScope(key, "deploy")) {
    throw new PlatformError(
      "Forbidden",
      `key ${key?.id} is not authorized to do this: it needs the scope deploy`,
    );
  }
  const group = await getGroup(parts, request.caller, name);
  for (const record of group.functions) {
    await parts.functions.changeSettings(record.name, ({ settings }) => ({
      ...settings,
      logRetentionDays: days,
    }));
  }
}

/** @throws PlatformError `InvalidRequest` for none or two that differ, `ResourceNotFound`. */
async function groupIn(
  parts: ControlParts,
  request: ControlRequest,
  asked: { readonly logGroupName?: string | undefined; readonly logGroupIdentifier?: string | undefined },
): Promise<LogGroup> {
  const { logGroupName, logGroupIdentifier } = asked;
  const name = logGroupName ?? logGroupIdentifier;
  if (name === undefined || (logGroupName !== undefined && logGroupIdentifier !== undefined)) {
    throw new PlatformError(
      "InvalidRequest",
      "exactly one of logGroupName and logGroupIdentifier must be given",
    );
  }
  return await getGroup(parts, request.caller, name);
}
