/** Requests of CloudWatch Logs (Logs_20140328). Members that we do not know are ignored, as AWS does. */
import * as z from "zod";
import { optional, parse, text, whole } from "../aws/validation.ts";

const GroupName = text({ min: 1, max: 512, pattern: "[\\.\\-_/#A-Za-z0-9]+" });
const GroupIdentifier = text({ min: 1, max: 2_048, pattern: "[\\w#+=/:,.@\\-*]*" });
const StreamName = text({ min: 1, max: 512, pattern: "[^:*]*" });
const Token = optional(text({ min: 1, max: 2_048 }));
const Instant = optional(whole(0, Number.MAX_SAFE_INTEGER));

const OneGroup = { logGroupName: optional(GroupName), logGroupIdentifier: optional(GroupIdentifier) };

const DescribeGroups = z.object({
  logGroupNamePrefix: optional(GroupName),
  logGroupNamePattern: optional(text({ max: 512, pattern: "[\\.\\-_/#A-Za-z0-9]*" })),
  limit: optional(whole(1, 50)),
  nextToken: Token,
});

const DescribeStreams = z.object({
  ...OneGroup,
  logStreamNamePrefix: optional(StreamName),
  orderBy: optional(z.enum(["LogStreamName", "LastEventTime"])),
  descending: optional(z.boolean()),
  limit: optional(whole(1, 50)),
  nextToken: Token,
});

const GetEvents = z.object({
  ...OneGroup,
  logStreamName: StreamName,
  startTime: Instant,
  endTime: Instant,
  startFromHead: optional(z.boolean()),
  limit: optional(whole(1, 10_000)),
  nextToken: Token,
});

const FilterEvents = z.object({
  ...OneGroup,
  logStreamNames: optional(z.array(StreamName).min(1).max(100)),
  logStreamNamePrefix: optional(StreamName),
  startTime: Instant,
  endTime: Instant,
  filterPattern: optional(z.string()),
  limit: optional(whole(1, 10_000)),
  nextToken: Token,
});

/** The spans that CloudWatch knows. */
const RETENTION_DAYS = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1_096, 1_827, 2_192, 2_557, 2_922, 3_288,
  3_653,
];

const PutRetention = z.object({
  logGroupName: GroupName,
  retentionInDays: z
    .int()
    .refine(
      (days) => RETENTION_DAYS.includes(days),
      `Member must satisfy enum value set: [${RETENTION_DAYS.join(", ")}]`,
    ),
});

export const parseDescribeGroups = (body: unknown) => parse(DescribeGroups, body);
export const parseDescribeStreams = (body: unknown) => parse(DescribeStreams, body);
export const parseGetEvents = (body: unknown) => parse(GetEvents, body);
export const parseFilterEvents = (body: unknown) => parse(FilterEvents, body);
export const parsePutRetention = (body: unknown) => parse(PutRetention, body);
export const parseDeleteRetention = (body: unknown) => parse(z.object({ logGroupName: GroupName }), body);
