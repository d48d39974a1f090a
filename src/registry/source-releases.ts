import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import { newSourceId, type SourceId } from "../core/ids.ts";
import type { ProjectName } from "../core/project.ts";
import type { Release, ReleasedSource } from "../core/release.ts";
import type { OriginFacts, Source, SourceOrigin } from "../core/source.ts";
import type { Sources } from "../store/sources.ts";
import type { ReleaseContext } from "./hook-releases.ts";
import { checkBatch, checkFilters, isSameQueue, type NewOrigin, sealedOrigin } from "./source-rules.ts";

/** A source as somebody wants it in a release: its secret is not sealed yet. */
export type WantedSource = Omit<ReleasedSource, "id" | "origin"> & { readonly origin: NewOrigin };

/** What becomes of sources when a release of their project is made or goes live. */
export interface SourcesOfReleases {
  /**
   * As the release would have them, each with the id that it has or is to have: a login stays the text that it was if it
   * is the same one. `releases` are those made before.
   *
   * @throws PlatformError `InvalidRequest` for settings that do not go together; `ResourceConflict` for a queue that its
   * function is called for already.
   */
  draft(wanted: readonly WantedSource[], context: ReleaseContext): Promise<readonly ReleasedSource[]>;
  /** Looks at the queues of those that `live` does not have. @throws PlatformError `SourceUnavailable`, `InvalidRequest`. */
  inspect(wanted: readonly ReleasedSource[], live: Pick<Release, "sources"> | undefined): Promise<void>;
  /**
   * What is to be stored for them to be these; changes nothing.
   *
   * @throws PlatformError `ResourceConflict`
   */
  planOf(
    wanted: readonly ReleasedSource[],
    context: Pick<ReleaseContext, "project" | "adopts"> & {
      readonly live: Pick<Release, "sources"> | undefined;
    },
  ): Promise<readonly Source[]>;
  /** To be told once that is stored. */
  applied(sources: readonly Source[]): void;
}

const PAGE = 500;

export function sourcesOfReleases(parts: {
  readonly sources: Pick<Sources, "find" | "list">;
  readonly inspect: (source: Pick<Source, "id" | "origin" | "createdAt">) => Promise<OriginFacts>;
  readonly seal: (id: SourceId, secret: string) => Promise<string>;
  readonly unseal: (id: SourceId, sealed: string) => Promise<string | undefined>;
  readonly changed: (id: SourceId) => void;
  readonly clock: Clock;
}): SourcesOfReleases {
  const { sources, seal, unseal, clock } = parts;

  async function all(): Promise<Source[]> {
    const found: Source[] = [];
    for (;;) {
      const after = found.at(-1)?.id;
      const page = await sources.list({ functionName: undefined, after, limit: PAGE });
      found.push(...page);
      if (page.length < PAGE) return found;
    }
  }

  /** Sealed anew each time, it would make every release another one. */
  async function originOf(
    id: SourceId,
    wanted: NewOrigin,
    before: readonly SourceOrigin[],
  ): Promise<SourceOrigin> {
    for (const origin of before) {
      const { login } = origin;
      if (!login || !wanted.login || !isSameUser(origin, wanted)) continue;
      if ((await unseal(id, login.sealedSecret)) !== wanted.login.secret) continue;
      return await sealedOrigin(wanted, async () => login.sealedSecret);
    }
    return await sealedOrigin(wanted, (secret) => seal(id, secret));
  }

  return {
    async draft(wanted, { project, releases, adopts }) {
      if (wanted.length === 0) return [];
      const stored = await all();
      const drafted: ReleasedSource[] = [];
      for (const { origin, ...source } of wanted) {
        const { name } = source;
        const released = releases.flatMap((each) => each.sources).filter((each) => each.name === name);
        const own = stored.find(({ owner }) => owner?.project === project && owner.name === name);
        const same = stored.find(
          (each) => each.functionName === source.functionName && isSameQueue(each, withOrigin(origin)),
        );
        const adopted = adopts && same?.owner === undefined ? same : undefined;
        const id = own?.id ?? released[0]?.id ?? adopted?.id ?? newSourceId();
        const before = [own ?? adopted, ...released].filter((each) => each?.id === id);
        const known = before.flatMap((each) => each?.origin ?? []);
        const made = { ...source, id, origin: await originOf(id, origin, known) };
        checkFilters(made.filters);
        checkBatch(made);
        const twin = drafted.find(
          (each) =>
            each.functionName === made.functionName &&
            isSameQueue(withOrigin(each.origin), withOrigin(made.origin)),
        );
        if (twin) {
          throw conflict(
            `sources ${twin.name} and ${name} call "${made.functionName}" for the same queue; leave one of them out`,
          );
        }
        refuseCompetitor(made, stored, { project, adopts });
        drafted.push(made);
      }
      return drafted;
    },
    async inspect(wanted, live) {
      const known = new Map(live?.sources.map((each) => [each.id, each.origin]));
      const createdAt = clock.now();
      const unknown = wanted.filter(({ id, origin }) => !isDeepStrictEqual(known.get(id), origin));
      await Promise.all(
        unknown.map(async ({ id, name, origin }) => {
          try {
            await parts.inspect({ id, origin, createdAt });
          } catch (error) {
            if (!(error instanceof PlatformError)) throw error;
            throw new PlatformError(error.code, `source ${name}: ${error.message}`, { cause: error });
          }
        }),
      );
    },
    async planOf(wanted, { project, live, adopts }) {
      const gone = (live?.sources ?? []).filter(({ id }) => !wanted.some((each) => each.id === id));
      if (wanted.length === 0 && gone.length === 0) return [];
      const now = clock.now();
      const stored = await all();
      const saved: Source[] = [];
      for (const { name, ...released } of wanted) {
        refuseCompetitor({ name, ...released }, stored, { project, adopts });
        const before = stored.find(({ id }) => id === released.id);
        const owner = { project, isLive: true, name };
        const first = { tags: {}, generation: 0, createdAt: now, modifiedAt: now };
        const source: Source = { ...(before ?? first), ...released, qualifier: undefined, owner };
        if (before && isDeepStrictEqual(source, before)) continue;
        saved.push({ ...source, generation: source.generation + 1, modifiedAt: now });
      }
      for (const { id } of gone) {
        const before = stored.find((each) => each.id === id);
        if (before?.owner?.project !== project) continue;
        const owner = { ...before.owner, isLive: false };
        saved.push({ ...before, owner, generation: before.generation + 1, modifiedAt: now });
      }
      return saved;
    },
    applied(changed) {
      for (const { id } of changed) parts.changed(id);
    },
  };
}

/** Functions must not compete with themselves. Those of the project are as the release says. */
function refuseCompetitor(
  { id, name, functionName, origin }: ReleasedSource,
  stored: readonly Source[],
  { project, adopts }: { readonly project: ProjectName; readonly adopts: boolean },
): void {
  const other = stored.find(
    (each) =>
      each.functionName === functionName &&
      each.owner?.project !== project &&
      !(adopts && each.id === id && !each.owner) &&
      isSameQueue(each, withOrigin(origin)),
  );
  if (!other) return;
  throw conflict(
    `source ${name}: "${functionName}" is called for that queue already, by source ${other.id}, which is not of project "${project}"; delete that one, or make it part of the project, with its place in the queue, by --adopt, which is for what goes live at once`,
  );
}

/** What a release calls has no qualifier. */
function withOrigin<T extends NewOrigin | SourceOrigin>(
  origin: T,
): { readonly origin: T; readonly qualifier: undefined } {
  return { origin, qualifier: undefined };
}

function isSameUser(a: SourceOrigin, b: NewOrigin): boolean {
  if (a.kind === "sqs") return b.kind === "sqs" && a.login?.accessKeyId === b.login?.accessKeyId;
  return b.kind === "nats" && a.login?.user === b.login?.user;
}

function conflict(message: string): PlatformError {
  return new PlatformError("ResourceConflict", message);
}
