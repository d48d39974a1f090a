/** What a source may be, whoever wants it. */
import { PlatformError } from "../core/errors.ts";
import { FILTERS_MAX, parseFilter } from "../core/event-filter.ts";
import type { NatsOrigin, Source, SourceOrigin, SqsOrigin } from "../core/source.ts";

/** An origin as somebody gives it: its secret is not sealed yet. */
export type NewOrigin =
  | (Omit<SqsOrigin, "login"> & {
      readonly login: { readonly accessKeyId: string; readonly secret: string } | undefined;
    })
  | (Omit<NatsOrigin, "login"> & {
      readonly login: { readonly user: string | undefined; readonly secret: string } | undefined;
    });

const FIFO_BATCH_MAX = 10;
/** A larger batch of SQS takes several calls to fetch, which takes time. */
const BATCH_AT_ONCE_MAX = 10;

export async function sealedOrigin(
  origin: NewOrigin,
  seal: (secret: string) => Promise<string>,
): Promise<SourceOrigin> {
  const sealedSecret = origin.login && (await seal(origin.login.secret));
  if (sealedSecret === undefined) return { ...origin, login: undefined };
  return origin.kind === "sqs"
    ? { ...origin, login: { accessKeyId: origin.login?.accessKeyId ?? "", sealedSecret } }
    : { ...origin, login: { user: origin.login?.user, sealedSecret } };
}

type Queue = { readonly origin: SourceOrigin | NewOrigin } & Pick<Source, "qualifier">;

export function isSameQueue(a: Queue, b: Queue): boolean {
  if (a.qualifier !== b.qualifier) return false;
  const [one, other] = [a.origin, b.origin];
  if (one.kind === "sqs") {
    return other.kind === "sqs" && one.queueArn === other.queueArn && one.endpoint === other.endpoint;
  }
  return (
    other.kind === "nats" &&
    one.servers.join() === other.servers.join() &&
    one.stream === other.stream &&
    one.consumer === other.consumer
  );
}

/** @throws PlatformError `InvalidRequest` */
export function checkFilters(filters: readonly string[]): void {
  if (filters.length > FILTERS_MAX) {
    throw new PlatformError(
      "InvalidRequest",
      `expected at most ${FILTERS_MAX} filter patterns, got ${filters.length}`,
    );
  }
  for (const pattern of filters) parseFilter(pattern);
}

/** @throws PlatformError `InvalidRequest` */
export function checkBatch({
  origin,
  batchMax,
  windowMs,
}: Pick<Source, "origin" | "batchMax" | "windowMs">): void {
  if (origin.kind !== "sqs") return;
  const isFifo = origin.queueArn.endsWith(".fifo");
  if (isFifo && batchMax > FIFO_BATCH_MAX) {
    throw new PlatformError(
      "InvalidRequest",
      `BatchSize: a batch of a FIFO queue has at most ${FIFO_BATCH_MAX} messages, got ${batchMax}`,
    );
  }
  if (isFifo && windowMs > 0) {
    throw new PlatformError(
      "InvalidRequest",
      "MaximumBatchingWindowInSeconds: batches of a FIFO queue cannot wait for more messages; leave it at 0",
    );
  }
  if (batchMax > BATCH_AT_ONCE_MAX && windowMs === 0) {
    throw new PlatformError(
      "InvalidRequest",
      "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
    );
  }
}
