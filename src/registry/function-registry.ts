import { isDeepStrictEqual } from "node:util";
import type { CanaryDecision, CanaryPlan } from "../core/canary.ts";
import type { Clock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import type { EventInvokeConfig } from "../core/event.ts";
import type { Alias, FunctionRecord, FunctionUrl, Version } from "../core/function.ts";
import { type FunctionSettings, withoutQualifier } from "../core/function-settings.ts";
import type { FunctionName } from "../core/ids.ts";
import type { ProjectName } from "../core/project.ts";
import type { Projects } from "../store/projects.ts";
import type { Registry } from "../store/store.ts";
import { checkAlias, requireAlias } from "./alias-rules.ts";
import {
  withAlias,
  withAliasChanged,
  withEventConfig,
  withoutAlias,
  withoutEventConfig,
  withoutUrl,
  withUrl,
} from "./alias-steps.ts";
import { fromCanary, toCanary } from "./canary-steps.ts";
import {
  checkArchive,
  checkRevision,
  checkTags,
  nothingBefore,
  refuseMember,
  refuseUsed,
} from "./change-checks.ts";
import { FunctionChanges } from "./function-changes.ts";
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
} from "./function-states.ts";
import type {
  AliasChange,
  FunctionChange,
  Functions,
  NewAlias,
  NewFunction,
  PublishOptions,
} from "./functions.ts";
import type { ChangeTogether, FunctionsTogether } from "./functions-together.ts";
import { functionNotFound, versionNotFound } from "./not-found.ts";
import { findVersionBefore } from "./rollback-choice.ts";
import { Router } from "./router.ts";
import type { Target } from "./target.ts";
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

type Parts = Parameters<typeof openFunctions>[0];

class FunctionRegistry implements Functions, FunctionsTogether {
  readonly #registry: Registry;
  readonly #removed: (name: FunctionName) => void;
  readonly #router: Router;
  readonly #changes: FunctionChanges;

  constructor(parts: Parts) {
    const { registry, releases, clock, changed, random = Math.random, cacheMax = CACHE_MAX_DEFAULT } = parts;
    this.#registry = registry;
    this.#removed = parts.removed ?? (() => undefined);
    this.#router = new Router({ registry, releases, random, max: cacheMax });
    this.#changes = new FunctionChanges({ registry, router: this.#router, clock, changed });
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
    const { record } = await this.#changes.create(made.name, (stamp) => {
      const created = createFunction(made, stamp);
      return options.publish ? alsoPublished(created, stamp) : created;
    });
    return record;
  }

  async update(name: FunctionName, change: FunctionChange): Promise<FunctionRecord> {
    const { record } = await this.#changes.change(name, (current, stamp) => {
      refuseMember(current);
      checkRevision(current.latest.revisionId, change.ifRevision);
      return changeLatest(current, change, stamp);
    });
    return record;
  }

  async publish(name: FunctionName, options: PublishOptions): Promise<Version> {
    let unchanged: Version | undefined;
    const { published } = await this.#changes.change(name, async (current, stamp) => {
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
    const { published } = await this.#changes.change(name, (current, stamp) =>
      publishAside(current, made, stamp),
    );
    if (!published) throw new PlatformError("Internal", `publishing "${name}" gave no version`);
    return published;
  }

  async deploy(
    deployed: NewFunction,
  ): Promise<{ readonly record: FunctionRecord; readonly version: Version }> {
    checkTags(deployed.tags);
    const { record, published } = await this.#changes.put(deployed.name, (current, stamp): PublishedStep => {
      if (!current) return alsoPublished(createFunction(deployed, stamp), stamp);
      refuseMember(current);
      return deployOver(current, deployed, stamp);
    });
    return { record, version: published };
  }

  async rollback(
    name: FunctionName,
    to: number | undefined,
  ): Promise<{ readonly record: FunctionRecord; readonly version: Version }> {
    let version: Version | undefined;
    const { record } = await this.#changes.change(name, async (current, stamp) => {
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
    return (await this.#changes.change(name, toCanary(this.#registry, version, plan))).record;
  }

  async endCanary(name: FunctionName, version: number, decision: CanaryDecision): Promise<FunctionRecord> {
    return (await this.#changes.change(name, fromCanary(this.#registry, version, decision))).record;
  }

  remove(name: FunctionName, options?: { readonly ofProject: ProjectName }): Promise<void> {
    const refuse = (current: FunctionRecord) => {
      const { project, release, tried } = current.membership ?? {};
      const isCalled = release !== undefined || tried !== undefined;
      if (isCalled && project !== options?.ofProject) refuseMember(current);
    };
    return this.#changes.remove(name, refuse, () => this.#removed(name));
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
    await this.#changes.change(name, (current) => {
      refuseMember(current);
      refuseUsed(current, number);
      // `$LATEST` goes on as it is; it merely equals no number any more.
      const liveVersion = current.liveVersion === number ? undefined : current.liveVersion;
      const settings = withoutQualifier(current.settings, String(number));
      const isSame = liveVersion === current.liveVersion && settings === current.settings;
      return isSame ? undefined : changeRecord(current, { liveVersion, settings });
    });
    await this.#changes.removeVersion(name, number);
  }

  changeTogether(names: readonly FunctionName[], change: ChangeTogether): Promise<void> {
    return this.#changes.changeTogether(names, change);
  }

  forgetReleases(project: ProjectName): void {
    this.#router.removeReleases(project);
  }

  async createAlias(name: FunctionName, alias: NewAlias): Promise<Alias> {
    checkAlias(alias);
    const { record } = await this.#changes.change(name, withAlias(this.#registry, alias));
    return requireAlias(record, alias.name);
  }

  async updateAlias(name: FunctionName, alias: string, change: AliasChange): Promise<Alias> {
    const { record } = await this.#changes.change(name, withAliasChanged(this.#registry, alias, change));
    return requireAlias(record, alias);
  }

  async removeAlias(name: FunctionName, alias: string): Promise<void> {
    await this.#changes.change(name, withoutAlias(alias));
  }

  async saveUrl(name: FunctionName, url: FunctionUrl): Promise<void> {
    await this.#changes.change(name, withUrl(url));
  }

  async removeUrl(name: FunctionName, qualifier: string | undefined): Promise<void> {
    await this.#changes.change(name, withoutUrl(qualifier));
  }

  findByUrlId(urlId: string): Promise<FunctionRecord | undefined> {
    return this.#registry.findFunctionByUrlId(urlId);
  }

  async setConcurrency(name: FunctionName, max: number | undefined): Promise<FunctionRecord> {
    return (await this.#changes.change(name, (current) => changeRecord(current, { concurrencyMax: max })))
      .record;
  }

  async setEventInvokeConfig(name: FunctionName, config: EventInvokeConfig): Promise<FunctionRecord> {
    return (await this.#changes.change(name, withEventConfig(this.#registry, config))).record;
  }

  async removeEventInvokeConfig(name: FunctionName, qualifier: string | undefined): Promise<void> {
    await this.#changes.change(name, withoutEventConfig(qualifier));
  }

  async setTags(name: FunctionName, tags: Readonly<Record<string, string>>): Promise<FunctionRecord> {
    checkTags(tags);
    const { record } = await this.#changes.change(name, (current) =>
      isDeepStrictEqual(current.tags, tags) ? undefined : changeRecord(current, { tags }),
    );
    return record;
  }

  async changeSettings(
    name: FunctionName,
    change: (record: FunctionRecord) => FunctionSettings,
  ): Promise<FunctionRecord> {
    const { record } = await this.#changes.change(name, (current) => {
      const settings = change(current);
      return settings === current.settings ? undefined : changeRecord(current, { settings });
    });
    return record;
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
}
