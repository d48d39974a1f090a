/** Requests of the operations on event source mappings. */
import * as z from "zod";
import { PlatformError } from "../../../core/errors.ts";
import { FILTER_LENGTH_MAX } from "../../../core/event-filter.ts";
import { SOURCE_BATCH_MESSAGES_MAX, SOURCE_WINDOW_MS_MAX } from "../../../core/limits.ts";
import { parseQueueArn } from "../../../core/source.ts";
import type { SourceChange } from "../../../registry/source-book.ts";
import type { NewOrigin } from "../../../registry/source-rules.ts";
import type { Account } from "./names.ts";
import { unsupported } from "./refusals.ts";
import { oneOf, optional, parse, stringMap, text, whole } from "./validation.ts";
import { checkTags } from "./wire.ts";

const ARN =
  "arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\\-])+:([a-z]{2}(-gov)?(-iso([a-z])?)?-[a-z]+-\\d{1})?:(\\d{12})?:(.*)";

const Settings = {
  Enabled: optional(z.boolean()),
  BatchSize: optional(whole(1, SOURCE_BATCH_MESSAGES_MAX)),
  MaximumBatchingWindowInSeconds: optional(whole(0, SOURCE_WINDOW_MS_MAX / 1_000)),
  FilterCriteria: optional(
    z.object({
      Filters: optional(z.array(z.object({ Pattern: optional(text({ max: FILTER_LENGTH_MAX })) }))),
    }),
  ),
  FunctionResponseTypes: optional(
    z.array(oneOf(["ReportBatchItemFailures"])).max(1, "Member must have length less than or equal to 1"),
  ),
  ScalingConfig: optional(z.object({ MaximumConcurrency: optional(whole(2, 1_000)) })),
};

const CreateRequest = z.object({
  ...Settings,
  EventSourceArn: optional(text({ pattern: ARN })),
  FunctionName: text({ min: 1, max: 140 }),
  Tags: optional(stringMap(undefined)),
});

const UpdateRequest = z.object({ ...Settings, FunctionName: optional(text({ min: 1, max: 140 })) });

/** Members that are for other kinds of event sources; AWS refuses them for SQS. */
const FOR_OTHERS = [
  "StartingPosition",
  "StartingPositionTimestamp",
  "ParallelizationFactor",
  "DestinationConfig",
  "MaximumRecordAgeInSeconds",
  "BisectBatchOnFunctionError",
  "MaximumRetryAttempts",
  "TumblingWindowInSeconds",
  "Topics",
  "Queues",
  "SourceAccessConfigurations",
  "AmazonManagedKafkaEventSourceConfig",
  "SelfManagedKafkaEventSourceConfig",
  "DocumentDBEventSourceConfig",
] as const;

/** Members that are for SQS too, and that nothing here would act on. */
const REFUSED: Readonly<Record<string, string>> = {
  SelfManagedEventSource: "there are no pollers for Kafka",
  KMSKeyArn: "there is no key service",
  MetricsConfig: "counts of each mapping are at /v1/sources",
  LoggingConfig: "what a mapping meets is in the daemon's log",
  ProvisionedPollerConfig: "pollers start with their mapping",
};

/** @throws PlatformError `ValidationFailed`, `InvalidRequest`, `UnsupportedMember`. */
export function parseCreateMapping(
  body: unknown,
  { region }: Account,
): {
  readonly functionName: string;
  readonly origin: NewOrigin;
  readonly change: SourceChange;
  readonly tags: Readonly<Record<string, string>>;
} {
  const request = parse(CreateRequest, body);
  refuse(body, REFUSED);
  const queueArn = request.EventSourceArn;
  if (queueArn === undefined) throw new PlatformError("InvalidRequest", "Unrecognized event source.");
  const queue = parseQueueArn(queueArn);
  if (!queue) {
    throw unsupported(
      `the event source ${queueArn}`,
      "event sources are queues of SQS (arn:aws:sqs:REGION:ACCOUNT:NAME); streams of NATS are for lambda source",
    );
  }
  if (queue.region !== region) {
    throw new PlatformError(
      "InvalidRequest",
      `The queue is in region ${queue.region}, and the function in ${region}; an event source must be in the function's region`,
    );
  }
  refuseForOthers(body);
  return {
    functionName: request.FunctionName,
    origin: { kind: "sqs", queueArn, endpoint: undefined, login: undefined },
    change: changeOf(request),
    tags: checkTags(request.Tags ?? {}),
  };
}

/** @throws PlatformError `ValidationFailed`, `InvalidRequest`, `UnsupportedMember`. */
export function parseUpdateMapping(body: unknown): {
  readonly functionName: string | undefined;
  readonly change: SourceChange;
} {
  const request = parse(UpdateRequest, body);
  refuse(body, REFUSED);
  refuseForOthers(body);
  return { functionName: request.FunctionName, change: changeOf(request) };
}

function changeOf(request: Omit<z.output<typeof UpdateRequest>, "FunctionName">): SourceChange {
  const { Enabled, BatchSize, MaximumBatchingWindowInSeconds, FilterCriteria } = request;
  const { FunctionResponseTypes, ScalingConfig } = request;
  return {
    ...(Enabled !== undefined && { isPaused: !Enabled }),
    ...(BatchSize !== undefined && { batchMax: BatchSize }),
    ...(MaximumBatchingWindowInSeconds !== undefined && {
      windowMs: MaximumBatchingWindowInSeconds * 1_000,
    }),
    ...(FilterCriteria !== undefined && {
      filters: (FilterCriteria.Filters ?? []).map(({ Pattern }) => Pattern ?? ""),
    }),
    ...(FunctionResponseTypes !== undefined && { reportsFailures: FunctionResponseTypes.length > 0 }),
    ...(ScalingConfig !== undefined && { concurrencyMax: ScalingConfig.MaximumConcurrency }),
  };
}

function refuse(body: unknown, refused: Readonly<Record<string, string>>): void {
  for (const [name, why] of Object.entries(refused)) {
    if (asksFor(body, name)) throw unsupported(name, why);
  }
}

function refuseForOthers(body: unknown): void {
  for (const name of FOR_OTHERS) {
    if (!asksFor(body, name)) continue;
    throw new PlatformError(
      "InvalidRequest",
      `Unsupported ${name} parameter for given event source mapping type.`,
    );
  }
}

/** Empty lists, maps and switches that are off ask for nothing. */
function asksFor(body: unknown, name: string): boolean {
  const value: unknown = typeof body === "object" && body !== null ? Reflect.get(body, name) : undefined;
  return isFilled(value);
}

function isFilled(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === "") return false;
  return typeof value !== "object" || Object.values(value).some(isFilled);
}
