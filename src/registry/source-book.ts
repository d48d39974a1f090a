import type { Clock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import { FILTERS_MAX, parseFilter } from "../core/event-filter.ts";
import { type FunctionName, newSourceId, type SourceId } from "../core/ids.ts";
import type { NatsOrigin, OriginFacts, Source, SourceOrigin, SqsOrigin } from "../core/source.ts";
import type { Sources } from "../store/sources.ts";
import type { Functions } from "./functions.ts";
import { Turns } from "./turns.ts";

/** An origin as somebody gives it: its secret is not sealed yet. */
export type NewOrigin =
  | (Omit<SqsOrigin, "login"> & {
      readonly login: { readonly accessKeyId: string; readonly secret: string } | undefined;
    })
  | (Omit<NatsOrigin, "login"> & {
      readonly login: { readonly user: string | undefined; readonly secret: string } | undefined;
    });

/** A source as somebody wants it. */
export type NewSource = Omit<Source, "id" | "origin" | "tags" | "generation" | "createdAt" | "modifiedAt"> & {
  readonly origin: NewOrigin;
  readonly tags: Readonly<Record<string, string>>;
};

/** What may change of one; what is not there stays. */
export type SourceChange = Partial<
  Pick<
    Source,
    | "functionName"
    | "qualifier"
    | "batchMax"
    | "windowMs"
    | "concurrencyMax"
    | "reportsFailures"
    | "filters"
    | "onFailure"
    | "isPaused"
    | "tags"
  >
>;

export interface SourceRules {
  /** Whether a queue must hide its messages as long as its function may run, as AWS has it; ours are kept hidden. */
  readonly hidesForTimeout: boolean;
}

/**
 * The rules by which sources change, whoever asks. Changes of one source are made one after the other, and whoever
 * polls is told of each.
 *
 * All throw PlatformError `ResourceNotFound` for a source that is not there.
 */
export interface SourceBook {
  get(id: SourceId): Promise<Source>;
  list(page: {
    readonly functionName: FunctionName | undefined;
    readonly after: string | undefined;
    readonly limit: number;
  }): Promise<Source[]>;
  /**
   * Looks at the queue before anything is stored.
   *
   * @throws PlatformError `InvalidRequest` for settings that do not go together or a queue that is not there;
   * `SourceUnavailable` if it cannot be reached; `FunctionNotFound`, `AliasNotFound`, `VersionNotFound`;
   * `ResourceConflict` if the function is called for that queue already.
   */
  create(wanted: NewSource, rules: SourceRules): Promise<Source>;
  update(id: SourceId, change: SourceChange, rules: SourceRules): Promise<Source>;
  /** Gives what it was. */
  remove(id: SourceId): Promise<Source>;
}

export interface SourceBookParts {
  readonly sources: Sources;
  readonly functions: Pick<Functions, "resolve">;
  /** Connects to the queue and looks at it. */
  readonly inspect: (source: Pick<Source, "id" | "origin" | "createdAt">) => Promise<OriginFacts>;
  readonly seal: (id: SourceId, secret: string) => Promise<string>;
  /** Told of each change. */
  readonly changed: (id: SourceId) => void;
  readonly clock: Clock;
}

const FIFO_BATCH_MAX = 10;
/** A larger batch of SQS takes several calls to fetch, which takes time. */
const BATCH_AT_ONCE_MAX = 10;
const PAGE = 500;

export function openSourceBook(parts: SourceBookParts): SourceBook {
  const { sources, functions, inspect, seal, changed, clock } = parts;
  const turns = new Turns();

  async function get(id: SourceId): Promise<Source> {
    const source = await sources.find(id);
    if (source) return source;
    throw new PlatformError("ResourceNotFound", `there is no source ${id}`);
  }

  async function check(source: Source, { hidesForTimeout }: SourceRules): Promise<void> {
    const { version } = await functions.resolve(source.functionName, source.qualifier);
    checkFilters(source.filters);
    checkBatch(source);
    const facts = await inspect(source);
    const { timeoutMs } = version.config;
    if (hidesForTimeout && facts.kind === "sqs" && facts.visibilityMs < timeoutMs) {
      throw new PlatformError(
        "InvalidRequest",
        `Queue visibility timeout: ${facts.visibilityMs / 1_000} seconds is less than Function timeout: ${Math.ceil(timeoutMs / 1_000)} seconds`,
      );
    }
  }

  /** Functions must not compete with themselves. */
  async function refuseSecond(source: Source): Promise<void> {
    const { functionName } = source;
    let after: string | undefined;
    do {
      const page = await sources.list({ functionName, after, limit: PAGE });
      const other = page.find((one) => one.id !== source.id && isSameQueue(one, source));
      if (other) throw alreadyThere(other);
      after = page.length === PAGE ? page.at(-1)?.id : undefined;
    } while (after !== undefined);
  }

  async function save(source: Source, rules: SourceRules): Promise<Source> {
    await check(source, rules);
    // Two requests must not both find that there is none.
    await turns.take(`function ${source.functionName}`, async () => {
      await refuseSecond(source);
      await sources.save(source);
    });
    changed(source.id);
    return source;
  }

  return {
    get,
    list: (page) => sources.list(page),
    async create(wanted, rules) {
      const id = newSourceId();
      const now = clock.now();
      const origin = await sealed(wanted.origin, (secret) => seal(id, secret));
      return await save({ ...wanted, id, origin, generation: 1, createdAt: now, modifiedAt: now }, rules);
    },
    update: (id, change, rules) =>
      turns.take(id, async () => {
        const source = await get(id);
        const made = { ...source, ...change, generation: source.generation + 1, modifiedAt: clock.now() };
        // What only stops or labels it must be possible while its queue is away.
        const isHarmless = Object.keys(change).every((name) => name === "isPaused" || name === "tags");
        if (!isHarmless || (source.isPaused && !made.isPaused)) return await save(made, rules);
        await sources.save(made);
        changed(id);
        return made;
      }),
    remove: (id) =>
      turns.take(id, async () => {
        const source = await get(id);
        await sources.remove(id);
        changed(id);
        return source;
      }),
  };
}

async function sealed(origin: NewOrigin, seal: (secret: string) => Promise<string>): Promise<SourceOrigin> {
  const sealedSecret = origin.login && (await seal(origin.login.secret));
  if (sealedSecret === undefined) return { ...origin, login: undefined };
  return origin.kind === "sqs"
    ? { ...origin, login: { accessKeyId: origin.login?.accessKeyId ?? "", sealedSecret } }
    : { ...origin, login: { user: origin.login?.user, sealedSecret } };
}

function isSameQueue(a: Source, b: Source): boolean {
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

/** AWS's words, where it has some. */
function alreadyThere({ id, functionName, origin }: Source): PlatformError {
  const queue =
    origin.kind === "sqs"
      ? `SQS arn (" ${origin.queueArn} ")`
      : `consumer (" ${origin.consumer} ") of stream (" ${origin.stream} ")`;
  return new PlatformError(
    "ResourceConflict",
    `An event source mapping with ${queue} and function (" ${functionName} ") already exists. Please update or delete the existing mapping with UUID ${id}`,
  );
}

function checkFilters(filters: readonly string[]): void {
  if (filters.length > FILTERS_MAX) {
    throw new PlatformError(
      "InvalidRequest",
      `expected at most ${FILTERS_MAX} filter patterns, got ${filters.length}`,
    );
  }
  for (const pattern of filters) parseFilter(pattern);
}

function checkBatch({ origin, batchMax, windowMs }: Source): void {
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
