import type { Clock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import { type FunctionName, newSourceId, type SourceId } from "../core/ids.ts";
import { isOfLiveRelease } from "../core/project.ts";
import type { OriginFacts, Source } from "../core/source.ts";
import type { Sources } from "../store/sources.ts";
import type { Functions } from "./functions.ts";
import { checkBatch, checkFilters, isSameQueue, type NewOrigin, sealedOrigin } from "./source-rules.ts";
import { Turns } from "./turns.ts";

/** A source as somebody wants it. */
export type NewSource = Omit<
  Source,
  "id" | "origin" | "tags" | "owner" | "generation" | "createdAt" | "modifiedAt"
> & {
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
 * All throw PlatformError `ResourceNotFound` for a source that is not there; `ResourceConflict` for what only the project
 * of a source decides.
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
      const other = page.find(
        (one) => one.id !== source.id && isSameQueue(one, source) && isOfLiveRelease(one),
      );
      if (other) throw alreadyThere(other);
      after = page.length === PAGE ? page.at(-1)?.id : undefined;
    } while (after !== undefined);
  }

  /** Whoever polls looks what is there now, also where the store says that it failed: it may have happened. */
  async function told(id: SourceId, write: () => Promise<unknown>): Promise<void> {
    try {
      await write();
    } finally {
      changed(id);
    }
  }

  async function save(source: Source, rules: SourceRules): Promise<Source> {
    await check(source, rules);
    // Two requests must not both find that there is none.
    await turns.take(`function ${source.functionName}`, async () => {
      await refuseSecond(source);
      await told(source.id, () => sources.save(source));
    });
    return source;
  }

  return {
    get,
    list: (page) => sources.list(page),
    async create(wanted, rules) {
      const id = newSourceId();
      const now = clock.now();
      const origin = await sealedOrigin(wanted.origin, (secret) => seal(id, secret));
      const made = {
        ...wanted,
        id,
        origin,
        owner: undefined,
        generation: 1,
        createdAt: now,
        modifiedAt: now,
      };
      return await save(made, rules);
    },
    update: (id, change, rules) =>
      turns.take(id, async () => {
        const source = await get(id);
        // Pausing one of a project holds until its next release, which has it as lambda.yaml says.
        if (!Object.keys(change).every((name) => name === "isPaused" || name === "tags")) refuseOwned(source);
        const made = { ...source, ...change, generation: source.generation + 1, modifiedAt: clock.now() };
        // What only stops or labels it must be possible while its queue is away.
        const isHarmless = Object.keys(change).every((name) => name === "isPaused" || name === "tags");
        const isResumed = source.isPaused && !made.isPaused && isOfLiveRelease(source);
        if (!isHarmless || isResumed) return await save(made, rules);
        await told(id, () => sources.save(made));
        return made;
      }),
    remove: (id) =>
      turns.take(id, async () => {
        const source = await get(id);
        if (isOfLiveRelease(source)) refuseOwned(source);
        await told(id, () => sources.remove(id));
        return source;
      }),
  };
}

function refuseOwned({ id, owner }: Source): void {
  if (!owner) return;
  throw new PlatformError(
    "ResourceConflict",
    `source ${id} is ${owner.name} of project ${owner.project}; change it in lambda.yaml and run lambda deploy there`,
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
