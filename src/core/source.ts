import type { Destination } from "./event.ts";
import type { FunctionName, SourceId } from "./ids.ts";
import type { TriggerOwner } from "./project.ts";

/**
 * A queue that a function is called for, with batches of its messages: an event source mapping, in AWS's words. Its
 * messages stay in the queue until the function has worked on them; nothing of them is kept here.
 */
export interface Source {
  readonly id: SourceId;
  readonly functionName: FunctionName;
  /** Alias, number or `$LATEST`; looked up anew for each batch. */
  readonly qualifier: string | undefined;
  readonly origin: SourceOrigin;
  /** Messages in a batch, at most. */
  readonly batchMax: number;
  /** How long a batch may wait for more messages once it has one. */
  readonly windowMs: number;
  /** Batches that run at once; undefined leaves it to the function's own limit. */
  readonly concurrencyMax: number | undefined;
  /** Whether the function's answer may name the messages that it failed on. */
  readonly reportsFailures: boolean;
  /** Patterns as they were given (event-filter.ts). A message that fits none is removed unseen; no patterns let all through. */
  readonly filters: readonly string[];
  /** Who is told of messages that are given up; only where the queue itself does not keep them. */
  readonly onFailure: Destination | undefined;
  readonly isPaused: boolean;
  readonly tags: Readonly<Record<string, string>>;
  /** With its name there; undefined for one of its own. */
  readonly owner: (TriggerOwner & { readonly name: string }) | undefined;
  /** Counts its changes, from 1. */
  readonly generation: number;
  readonly createdAt: number;
  readonly modifiedAt: number;
}

export type SourceOrigin = SqsOrigin | NatsOrigin;

/** A queue that speaks SQS: AWS's own or another's. */
export interface SqsOrigin {
  readonly kind: "sqs";
  readonly queueArn: string;
  /** Where it is called, without a path; undefined: where the daemon's configuration says. */
  readonly endpoint: string | undefined;
  /** Undefined: those of the daemon's configuration. */
  readonly login: { readonly accessKeyId: string; readonly sealedSecret: string } | undefined;
}

/** A stream of NATS JetStream, and the durable consumer whose position in it is ours. */
export interface NatsOrigin {
  readonly kind: "nats";
  /** `nats://HOST:PORT` or `tls://HOST:PORT`, without names and passwords. */
  readonly servers: readonly string[];
  readonly stream: string;
  readonly consumer: string;
  /** Which of the stream's subjects, if the consumer is made here. */
  readonly subject: string | undefined;
  /** Where it begins, if the consumer is made here. */
  readonly startsAt: "first" | "new";
  /** How often a message is handed to the function before it is given up; undefined: until it succeeds. */
  readonly attemptsMax: number | undefined;
  readonly login: NatsLogin | undefined;
}

/** A user and a password; without a user a token, or the text of a credentials file. */
export interface NatsLogin {
  readonly user: string | undefined;
  readonly sealedSecret: string;
}

/** What a queue said when it was looked at. */
export type OriginFacts =
  | { readonly kind: "sqs"; readonly visibilityMs: number; readonly isFifo: boolean }
  | { readonly kind: "nats"; readonly ackWaitMs: number };

/**
 *   starting ──► polling ◄──► waiting
 *       │           │            │
 *       └───────────┴─────┬──────┘
 *                         ▼
 *                     stopping ──► stopped
 *
 * `waiting`: it cannot go on for now, and says why; it tries again by itself.
 */
export type SourceActivity = "starting" | "polling" | "waiting" | "stopping" | "stopped";

/** How a source is doing, as far as this process knows. */
export interface SourceStatus {
  readonly activity: SourceActivity;
  /** Batches that run. */
  readonly running: number;
  /** What came of the last batch, or why there is none. */
  readonly lastResult:
    | { readonly text: string; readonly isProblem: boolean; readonly at: number }
    | undefined;
  /** Since the process began. */
  readonly counts: SourceCounts;
}

export interface SourceCounts {
  readonly batches: number;
  /** Messages that the function has worked on. */
  readonly done: number;
  /** Messages that it failed on, as often as it did. */
  readonly failed: number;
  /** Messages that no pattern fitted. */
  readonly filtered: number;
  /** Messages that were given up. */
  readonly givenUp: number;
  /** Messages that came again though they were done, and were not given to the function again. */
  readonly repeated: number;
}

const SOURCE_NAME = /^[0-9A-Za-z_.-]{1,64}$/;

/** The grammar of names in a project in words, for error messages. */
export const SOURCE_NAME_RULE = "1 to 64 characters of A-Z, a-z, 0-9, -, _ and .";

export function isSourceName(text: string): boolean {
  return SOURCE_NAME.test(text);
}

/** `arn:aws:sqs:REGION:ACCOUNT:NAME`, or undefined if it is none. */
export function parseQueueArn(
  text: string,
): { readonly region: string; readonly account: string; readonly name: string } | undefined {
  const match =
    /^arn:aws[a-z-]*:sqs:([a-z0-9-]+):(\d{12}):([A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo)$/.exec(text);
  const [, region, account, name] = match ?? [];
  return region && account && name ? { region, account, name } : undefined;
}

/** What ARNs and records name it by; that of a stream is ours, in AWS's form. */
export function originArn(
  origin: SourceOrigin,
  { account, region }: { readonly account: string; readonly region: string },
): string {
  return origin.kind === "sqs"
    ? origin.queueArn
    : `arn:aws:nats:${region}:${account}:${origin.stream}/${origin.consumer}`;
}
