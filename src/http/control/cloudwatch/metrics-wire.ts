/**
 * Requests of CloudWatch's metrics (2010-08-01). Forms have text where JSON has numbers; instants are seconds in JSON and
 * CBOR, and ISO 8601 in forms. Members that we do not know are ignored, as AWS does.
 */
import * as z from "zod";
import { oneOf, optional, parse, text } from "../aws/validation.ts";

const Count = (max: number) =>
  z.preprocess(
    (value) => (typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value),
    z
      .int()
      .min(1, "Member must have value greater than or equal to 1")
      .max(max, `Member must have value less than or equal to ${max}`),
  );

/** ms since epoch. */
const Instant = z.union([z.number(), z.string()]).transform((value, context) => {
  const at = typeof value === "number" ? value * 1_000 : Date.parse(value);
  if (Number.isFinite(at) && Math.abs(at) < 8.64e15) return at;
  context.addIssue({ code: "custom", message: "Member must be a timestamp" });
  return z.NEVER;
});

const Truth = z.preprocess(
  (value) => (value === "true" ? true : value === "false" ? false : value),
  z.boolean(),
);

/** In a form, a list without members is an empty text. */
function list<Member extends z.ZodType>(
  member: Member,
  rule: { readonly min?: number; readonly max: number },
) {
  return z.preprocess(
    (value) => (value === "" ? [] : value),
    z
      .array(member)
      .min(rule.min ?? 0)
      .max(rule.max),
  );
}

const Namespace = text({ min: 1, max: 255, pattern: "[^:].*" });
const MetricName = text({ min: 1, max: 255 });
const Dimension = z.object({
  Name: text({ min: 1, max: 255 }),
  Value: text({ min: 1, max: 1_024 }),
});
const Dimensions = optional(list(Dimension, { max: 30 }));
const Period = Count(86_400);
const Unit = optional(z.string());

const Query = z.object({
  Id: text({ min: 1, max: 255 }),
  MetricStat: optional(
    z.object({
      Metric: z.object({ Namespace, MetricName, Dimensions }),
      Period,
      Stat: z.string(),
      Unit,
    }),
  ),
  Expression: optional(text({ min: 1, max: 2_048 })),
  Period: optional(Period),
  Label: optional(z.string()),
  ReturnData: optional(Truth),
});

const GetData = z.object({
  MetricDataQueries: list(Query, { min: 1, max: 500 }),
  StartTime: Instant,
  EndTime: Instant,
  NextToken: optional(z.string()),
  ScanBy: optional(oneOf(["TimestampDescending", "TimestampAscending"])),
  MaxDatapoints: optional(Count(100_800)),
});

const Statistic = oneOf(["SampleCount", "Average", "Sum", "Minimum", "Maximum"]);

const GetStatistics = z.object({
  Namespace,
  MetricName,
  Dimensions,
  StartTime: Instant,
  EndTime: Instant,
  Period,
  Statistics: optional(list(Statistic, { min: 1, max: 5 })),
  ExtendedStatistics: optional(list(z.string(), { min: 1, max: 10 })),
  Unit,
});

const List = z.object({
  Namespace: optional(Namespace),
  MetricName: optional(MetricName),
  Dimensions: optional(
    list(z.object({ Name: text({ min: 1, max: 255 }), Value: optional(text({ min: 1, max: 1_024 })) }), {
      max: 10,
    }),
  ),
  NextToken: optional(z.string()),
  RecentlyActive: optional(oneOf(["PT3H"])),
});

export type MetricDataQuery = z.output<typeof Query>;

export const parseGetMetricData = (body: unknown) => parse(GetData, body);
export const parseGetMetricStatistics = (body: unknown) => parse(GetStatistics, body);
export const parseListMetrics = (body: unknown) => parse(List, body);
