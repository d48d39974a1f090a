import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { CanaryDecision, CanaryPlan } from "../core/canary.ts";
import type { Clock } from "../core/clock.ts";
import { type ErrorCode, isPlatformError, PlatformError } from "../core/errors.ts";
import type { EventInvokeConfig } from "../core/event.ts";
import type { Alias, FunctionRecord, FunctionUrl, Version } from "../core/function.ts";
import { type FunctionSettings, withoutQualifier } from "../core/function-settings.ts";
import type { FunctionName } from "../core/ids.ts";
import type { ProjectName } from "../core/project.ts";
import type { Projects } from "../store/projects.ts";
import type { Registry } from "../store/store.ts";
import { ALIASES_MAX, checkAlias, findAlias, requireAlias } from "./alias-rules.ts";
import { fromCanary, toCanary } from "./canary-steps.ts";
import {
  checkArchive,
  checkRevision,
  checkTags,
  nothingBefore,
  refuseMember,
  refuseUsed,
} from "./change-checks.ts";
import {
  alsoPublished,
  changeLatest,
  changeRecord,
  createFunction,
  deployOver,
  type PublishedStep,
  publishAside,
  publishLatest,
  rollBackTo,
  type Stamp,
  type Step,
} from "./function-states.ts";
import type {
  ChangeTogether,
  FunctionChange,
  Functions,
  FunctionsTogether,
  NewAlias,
  NewFunction,
  PublishOptions,
} from "./functions.ts";
import { functionNotFound, versionNotFound } from "./not-found.ts";
import { findVersionBefore } from "./rollback-choice.ts";
import { Router } from "./router.ts";
import { requireSaved, surelyDeleted } from "./store-in-doubt.ts";
import type { Target } from "./target.ts";
import { Turns } from "./turns.ts";
import { changedMembers } from "./version-diff.ts";

/**
 * Opens the registry of functions over the store.
 *
 * `changed` is called after each change of a function, when `resolve` gives the new and before the change's promise
 * resolves; it must not throw. `random` draws between the two versions of a split alias.
 */
export function openFunctions(parts: {
  readonly registry: Registry;
  readonly releases: Pick<Projects, "findRelease">;
  readonly clock: Clock;
  readonly changed: (name: FunctionName) => void;
  /** Called after a removal, before its promise resolves; must not throw. */
  readonly removed?: (name: FunctionName) => void;
  readonly random?: () => number;
  /** Functions kept in memory for routing. */
  readonly cacheMax?: number;
}): Functions & FunctionsTogether {
  return new FunctionRegistry(parts);
}

const CACHE_MAX_DEFAULT = 10_000;
/** Attempts at a change that others keep getting ahead of. */
const ATTEMPTS_MAX = 10;
const CHANGE_RETRIED: readonly ErrorCode[] = ["ResourceConflict"];
/** A deploy creates or updates: somebody else's creating or removing in between only turns one into the other. */
const DEPLOY_RETRIED: readonly ErrorCode[] = ["ResourceConflict", "FunctionExists", "FunctionNotFound"];
/** One for each qualifier that matters; the record is read as a whole. */
const EVENT_CONFIGS_MAX = 100;

type Parts = Parameters<typeof openFunctions>[0];

/** Decides on the current record what to save; undefined to leave everything as it is. */
type Decide<S extends Step> = (
  current: FunctionRecord,
  stamp: Stamp,
) => S | undefined | Promise<S | undefined>;

class FunctionRegistry implements Functions, FunctionsTogether {
  readonly #registry: Registry;
  readonly #clock: Clock;
  readonly #changed: (name: FunctionName) => void;
  readonly #removed: (name: FunctionName) => void;
  readonly #router: Router;
  readonly #turns = new Turns();

  constructor(parts: Parts) {
    const { registry, releases, clock, changed, random = Math.random, cacheMax = CACHE_MAX_DEFAULT } = parts;
    this.#registry = registry;
    this.#clock = clock;
    this.#changed = changed;
    this.#removed = parts.removed ?? (() => undefined);
    this.#router = new Router({ registry, releases, random, max: cacheMax });
  }

  async get(name: FunctionName): Promise<FunctionRecord> {
    const record = await this.#registry.findFunction(name);
    if (!record) throw functionNotFound(name);
    return record;
  }

  list(page: { readonly after: string | undefined; readonly limit: number }): Promise<FunctionRecord[]> {
    return this.#registry.listFunctions(page);
  }

  resolve(name: FunctionName, qualifier: string | undefined): Promise<Target> {
    return this.#router.resolve(name, qualifier);
  }

  resolveCached(name: FunctionName, qualifier: string | undefined): Target | undefined {
    return this.#router.resolveCached(name, qualifier);
  }

  async create(made: NewFunction, options: { readonly publish: boolean }): Promise<FunctionRecord> {
    checkTags(made.tags);
    return await this.#turns.take(made.name, async () => {
      const stamp = this.#stamp();
      const created = createFunction(made, stamp);
      return (await this.#save(options.publish ? alsoPublished(created, stamp) : created)).record;
    });
  }

  async update(name: FunctionName, change: FunctionChange): Promise<FunctionRecord> {
    const { record } = await this.#change(name, (current, stamp) => {
      refuseMember(current);
      checkRevision(current.latest.revisionId, change.ifRevision);
      return changeLatest(current, change, stamp);
    });
    return record;
  }

  async publish(name: FunctionName, options: PublishOptions): Promise<Version> {
    let unchanged: Version | undefined;
    const { published } = await this.#change(name, async (current, stamp) => {
      checkRevision(current.latest.revisionId, options.ifRevision);
      checkArchive(current, options.ifArchiveSha256);
      unchanged = await this.#lastIfUnchanged(current);
      return unchanged ? undefined : publishLatest(current, stamp, options.description);
    });
    const version = published ?? unchanged;
    if (!version) throw new PlatformError("Internal", `publishing "${name}" gave no version`);
    return version;
  }

  async publishAside(name: FunctionName, made: Pick<NewFunction, "code" | "config">): Promise<Version> {
    const { published } = await this.#change(name, (current, stamp) => publishAside(current, made, stamp));
    if (!published) throw new PlatformError("Internal", `publishing "${name}" gave no version`);
    return published;
  }

  async deploy(
    deployed: NewFunction,
  ): Promise<{ readonly record: FunctionRecord; readonly version: Version }> {
    checkTags(deployed.tags);
    return await this.#turns.take(deployed.name, async () => {
      const { record, published } = await this.#retrying(async () => {
        const stamp = this.#stamp();
        const current = await this.#registry.findFunction(deployed.name);
        if (current) refuseMember(current);
        const step: PublishedStep = current
          ? deployOver(current, deployed, stamp)
          : alsoPublished(createFunction(deployed, stamp), stamp);
        return await this.#save(step);
      }, DEPLOY_RETRIED);
      return { record, version: published };
    });
  }

  async rollback(
    name: FunctionName,
    to: number | undefined,
  ): Promise<{ readonly record: FunctionRecord; readonly version: Version }> {
    let version: Version | undefined;
    const { record } = await this.#change(name, async (current, stamp) => {
      refuseMember(current);
      version = await (to === undefined
        ? findVersionBefore(this.#registry, current)
        : this.#registry.findVersion(name, to));
      if (!version) throw to === undefined ? nothingBefore(current) : versionNotFound(name, to);
      return rollBackTo(current, version, stamp);
    });
    if (!version) throw nothingBefore(record);
    return { record, version };
  }

  async startCanary(name: FunctionName, version: number, plan: CanaryPlan): Promise<FunctionRecord> {
    return (await this.#change(name, toCanary(this.#registry, version, plan))).record;
  }

  async endCanary(name: FunctionName, version: number, decision: CanaryDecision): Promise<FunctionRecord> {
    return (await this.#change(name, fromCanary(this.#registry, version, decision))).record;
  }

  remove(name: FunctionName, options?: { readonly ofProject: ProjectName }): Promise<void> {
    return this.#turns.take(name, async () => {
      const current = await this.#registry.findFunction(name);
      const { project, release, tried } = current?.membership ?? {};
      const isCalled = release !== undefined || tried !== undefined;
      if (current && isCalled && project !== options?.ofProject) refuseMember(current);
      const removing = surelyDeleted(this.#registry, name, current);
      const wasThere = await removing.finally(() => this.#router.remove(name));
      this.#removed(name);
      if (!wasThere) throw functionNotFound(name);
      this.#changed(name);
    });
  }

  async getVersion(name: FunctionName, number: number): Promise<Version> {
    const version = await this.#registry.findVersion(name, number);
    if (version) return version;
    await this.get(name);
    throw versionNotFound(name, number);
  }

  async listVersions(
    name: FunctionName,
    page: { readonly after: number; readonly limit: number },
  ): Promise<Version[]> {
    await this.get(name);
    return await this.#registry.listVersions(name, page);
  }

  async removeVersion(name: FunctionName, number: number): Promise<void> {
    await this.#change(name, (current) => {
      refuseMember(current);
      refuseUsed(current, number);
      // `$LATEST` goes on as it is; it merely equals no number any more.
      const liveVersion = current.liveVersion === number ? undefined : current.liveVersion;
      const settings = withoutQualifier(current.settings, String(number));
      const isSame = liveVersion === current.liveVersion && settings === current.settings;
      return isSame ? undefined : changeRecord(current, { liveVersion, settings });
    });
    await this.#turns.take(name, async () => {
      await this.#registry.deleteVersion(name, number);
      this.#router.removeVersion(name, number);
      this.#changed(name);
    });
  }

  async changeTogether(
    names: readonly FunctionName[],
    { release, decide, save, alsoRouted }: ChangeTogether,
  ): Promise<void> {
    // In one order for all, so that no two wait for each other.
    await this.#takeTurns([...new Set(names)].sort(), async () => {
      const records = new Map<FunctionName, FunctionRecord>();
      for (const name of names) {
        const record = await this.#registry.findFunction(name);
        if (record) records.set(name, record);
      }
      const steps = await decide(records, this.#stamp());
      await save(steps).catch((error: unknown) => {
        if (release) this.#router.removeReleases(release.project);
        return this.#settle(
          steps.map(({ record }) => record),
          error,
        );
      });
      // No call can come in between: nothing is awaited until all of it is in place.
      if (release) this.#router.putRelease(release);
      for (const { record, published } of steps) this.#router.put(record, published);
      alsoRouted();
      for (const { record } of steps) this.#changed(record.name);
    });
  }

  forgetReleases(project: ProjectName): void {
    this.#router.removeReleases(project);
  }

  async createAlias(name: FunctionName, alias: NewAlias): Promise<Alias> {
    checkAlias(alias);
    const { record } = await this.#change(name, async (current, stamp) => {
      if (findAlias(current, alias.name)) {
        throw new PlatformError(
          "AliasExists",
          `alias "${alias.name}" of "${name}" exists already; update it instead`,
        );
      }
      if (current.aliases.length >= ALIASES_MAX) {
        throw new PlatformError(
          "InvalidRequest",
          `"${name}" has ${ALIASES_MAX} aliases already; remove one first`,
        );
      }
      await this.#checkPointsSomewhere(current, alias);
      return changeRecord(current, {
        aliases: [...current.aliases, { ...alias, revisionId: stamp.newRevision() }],
      });
    });
    return requireAlias(record, alias.name);
  }

  async updateAlias(
    name: FunctionName,
    alias: string,
    change: Partial<Omit<NewAlias, "name">> & { readonly ifRevision?: string | undefined },
  ): Promise<Alias> {
    const { ifRevision, ...members } = change;
    const { record } = await this.#change(name, async (current, stamp) => {
      const before = requireAlias(current, alias);
      checkRevision(before.revisionId, ifRevision);
      const after: Alias = { ...before, ...members, revisionId: stamp.newRevision() };
      checkAlias(after);
      await this.#checkPointsSomewhere(current, after);
      return changeRecord(current, {
        aliases: current.aliases.map((other) => (other === before ? after : other)),
      });
    });
    return requireAlias(record, alias);
  }

  async removeAlias(name: FunctionName, alias: string): Promise<void> {
    await this.#change(name, (current) => {
      if (!findAlias(current, alias)) return undefined;
      return changeRecord(current, {
        aliases: current.aliases.filter((other) => other.name !== alias),
        urls: current.urls.filter(({ qualifier }) => qualifier !== alias),
        settings: withoutQualifier(current.settings, alias),
        eventInvokeConfigs: current.eventInvokeConfigs.filter(({ qualifier }) => qualifier !== alias),
      });
    });
  }

  async saveUrl(name: FunctionName, url: FunctionUrl): Promise<void> {
    await this.#change(name, (current) => {
      if (url.qualifier !== undefined) requireAlias(current, url.qualifier);
      const others = current.urls.filter(({ qualifier }) => qualifier !== url.qualifier);
      return changeRecord(current, { urls: [...others, url] });
    });
  }

  async removeUrl(name: FunctionName, qualifier: string | undefined): Promise<void> {
    await this.#change(name, (current) => {
      const urls = current.urls.filter((url) => url.qualifier !== qualifier);
      if (urls.length === current.urls.length) {
        throw new PlatformError(
          "ResourceNotFound",
          `"${name}" has no URL for ${qualifier ?? "$LATEST"}; create one first`,
        );
      }
      return changeRecord(current, { urls });
    });
  }

  findByUrlId(urlId: string): Promise<FunctionRecord | undefined> {
    return this.#registry.findFunctionByUrlId(urlId);
  }

  async setConcurrency(name: FunctionName, max: number | undefined): Promise<FunctionRecord> {
    return (await this.#change(name, (current) => changeRecord(current, { concurrencyMax: max }))).record;
  }

  async setEventInvokeConfig(name: FunctionName, config: EventInvokeConfig): Promise<FunctionRecord> {
    const { record } = await this.#change(name, async (current) => {
      await this.#checkQualifier(current, config.qualifier);
      const others = otherConfigs(current, config.qualifier);
      if (others.length >= EVENT_CONFIGS_MAX) {
        throw new PlatformError(
          "InvalidRequest",
          `"${name}" has ${EVENT_CONFIGS_MAX} event invoke configurations already; remove one first`,
        );
      }
      return changeRecord(current, { eventInvokeConfigs: [...others, config] });
    });
    return record;
  }

  async removeEventInvokeConfig(name: FunctionName, qualifier: string | undefined): Promise<void> {
    await this.#change(name, (current) => {
      const others = otherConfigs(current, qualifier);
      if (others.length === current.eventInvokeConfigs.length) {
        throw new PlatformError(
          "ResourceNotFound",
          `"${name}" has no event invoke configuration for ${qualifier ?? "$LATEST"}; create one first`,
        );
      }
      return changeRecord(current, { eventInvokeConfigs: others });
    });
  }

  async setTags(name: FunctionName, tags: Readonly<Record<string, string>>): Promise<FunctionRecord> {
    checkTags(tags);
    const { record } = await this.#change(name, (current) =>
      isDeepStrictEqual(current.tags, tags) ? undefined : changeRecord(current, { tags }),
    );
    return record;
  }

  async changeSettings(
    name: FunctionName,
    change: (record: FunctionRecord) => FunctionSettings,
  ): Promise<FunctionRecord> {
    const { record } = await this.#change(name, (current) => {
      const settings = change(current);
      return settings === current.settings ? undefined : changeRecord(current, { settings });
    });
    return record;
  }

  async #takeTurns(names: readonly FunctionName[], work: () => Promise<void>): Promise<void> {
    const [first, ...rest] = names;
    if (first === undefined) await work();
    else await this.#turns.take(first, () => this.#takeTurns(rest, work));
  }

  /** One step on the newest record, decided anew when somebody else has saved in between. */
  #change(name: FunctionName, decide: Decide<Step>): Promise<Step> {
    return this.#turns.take(name, () =>
      this.#retrying(async () => {
        const current = await this.get(name);
        const step = await decide(current, this.#stamp());
        return step ? await this.#save(step) : { record: current, published: undefined };
      }),
    );
  }

  /**
   * Saves, and makes it what calls run from here on. Calls that begin while the save is on its way run the old; that
   * is why the promise of a change resolves only after the routing has it.
   */
  async #save<S extends Step>(step: S): Promise<S> {
    const saving = this.#registry.saveFunction(step.record, step.published);
    await saving.catch((error: unknown) => this.#settle([step.record], error));
    this.#router.put(step.record, step.published);
    this.#changed(step.record.name);
    return step;
  }

  /** @throws `error` unless what was to be saved is there. */
  #settle(records: readonly FunctionRecord[], error: unknown): Promise<void> {
    for (const { name } of records) this.#router.remove(name);
    return requireSaved(this.#registry, records[0], error);
  }

  async #retrying<T>(attempt: () => Promise<T>, retried = CHANGE_RETRIED): Promise<T> {
    for (let attempts = 1; ; attempts++) {
      try {
        return await attempt();
      } catch (error) {
        if (attempts === ATTEMPTS_MAX || !isPlatformError(error) || !retried.includes(error.code))
          throw error;
      }
    }
  }

  /** The version that `$LATEST` would be published as once more. */
  async #lastIfUnchanged({
    name,
    nextVersion,
    latest,
    liveVersion,
  }: FunctionRecord): Promise<Version | undefined> {
    const last = await this.#registry.findVersion(name, nextVersion - 1);
    if (!last) return undefined;
    const isSame = liveVersion === nextVersion - 1 || changedMembers(last, latest).length === 0;
    return isSame ? last : undefined;
  }

  /** @throws PlatformError `VersionNotFound` for the first version that is not there. */
  async #checkPointsSomewhere(
    { name }: FunctionRecord,
    { version, split }: Pick<Alias, "version" | "split">,
  ): Promise<void> {
    for (const label of [version, split?.version]) {
      if (label === undefined || label === "$LATEST") continue;
      if (!(await this.#registry.findVersion(name, Number(label))))
        throw versionNotFound(name, Number(label));
    }
  }

  /** @throws PlatformError `AliasNotFound`, `VersionNotFound` for what is not there. */
  async #checkQualifier(record: FunctionRecord, qualifier: string | undefined): Promise<void> {
    if (qualifier === undefined) return;
    if (!/^\d+$/.test(qualifier)) requireAlias(record, qualifier);
    else if (!(await this.#registry.findVersion(record.name, Number(qualifier)))) {
      throw versionNotFound(record.name, Number(qualifier));
    }
  }

  #stamp(): Stamp {
    return { now: this.#clock.now(), newRevision: randomUUID };
  }
}

function otherConfigs(record: FunctionRecord, qualifier: string | undefined): EventInvokeConfig[] {
  return record.eventInvokeConfigs.filter((config) => config.qualifier !== qualifier);
}
