import type { CanaryDecision, CanaryPlan } from "../core/canary.ts";
import type { EventInvokeConfig } from "../core/event.ts";
import type {
  Alias,
  CodeRef,
  FunctionConfig,
  FunctionRecord,
  FunctionUrl,
  Version,
  VersionLabel,
} from "../core/function.ts";
import type { FunctionSettings } from "../core/function-settings.ts";
import type { FunctionName } from "../core/ids.ts";
import type { ProjectName } from "../core/project.ts";
import type { Target } from "./target.ts";

/**
 * The rules by which functions, versions, aliases and URLs change, whoever asks (AWS API, our own API, releases).
 * Every change is one step in the store; when its promise resolves, `resolve` gives nothing older.
 *
 * What a function of a project runs changes with a release only: `update`, `deploy` and `rollback` throw `ResourceConflict`.
 *
 * All throw PlatformError `FunctionNotFound` (`VersionNotFound`, `AliasNotFound`) for what is not there, and
 * `RevisionChanged` where `ifRevision` is given and is no longer the current one.
 */
export interface Functions {
  get(name: FunctionName): Promise<FunctionRecord>;
  list(page: { readonly after: string | undefined; readonly limit: number }): Promise<FunctionRecord[]>;
  /**
   * What a call to `name` with `qualifier` (alias, number, `$LATEST`, undefined) runs now; a split alias is drawn
   * anew by each call. From memory once a function has been asked for; bounded, least recently used out first.
   */
  resolve(name: FunctionName, qualifier: string | undefined): Promise<Target>;
  /** The same, without waiting, if it is in memory already. */
  resolveCached(name: FunctionName, qualifier: string | undefined): Target | undefined;
  /** @throws `FunctionExists`. With `publish`, also version 1, which is then live. */
  create(made: NewFunction, options: { readonly publish: boolean }): Promise<FunctionRecord>;
  /** Changes `$LATEST`. */
  update(name: FunctionName, change: FunctionChange): Promise<FunctionRecord>;
  /**
   * Freezes `$LATEST` as the next number; answers the last one again if nothing has changed since it was published.
   *
   * @throws `InvalidRequest` if `ifArchiveSha256` is not that of `$LATEST`.
   */
  publish(name: FunctionName, options: PublishOptions): Promise<Version>;
  /** Freezes code and configuration as the next number beside what is live, which stays. */
  publishAside(name: FunctionName, made: Pick<NewFunction, "code" | "config">): Promise<Version>;
  /** Creates or updates, publishes, and makes that live, in one step: what `lambda deploy` does. Always a new number. */
  deploy(deployed: NewFunction): Promise<{ readonly record: FunctionRecord; readonly version: Version }>;
  /**
   * Makes code and configuration of a published version `$LATEST` and live again; without `to`, of the one before
   * the live one. @throws `VersionNotFound` if there is none.
   */
  rollback(
    name: FunctionName,
    to: number | undefined,
  ): Promise<{ readonly record: FunctionRecord; readonly version: Version }>;
  /**
   * Lets a published version take a share of the calls without a qualifier. A canary that runs is superseded by it, as it is
   * by whatever changes what is live. @throws `ResourceConflict` for a function of a project.
   */
  startCanary(name: FunctionName, version: number, plan: CanaryPlan): Promise<FunctionRecord>;
  /**
   * Ends the canary of that version, if it runs: its version goes live if it is promoted. @throws `ResourceConflict` if it
   * does not run (any more).
   */
  endCanary(name: FunctionName, version: number, decision: CanaryDecision): Promise<FunctionRecord>;
  /** @throws `ResourceConflict` for a function in a release of a project that is live, or tried, unless that is `ofProject`. */
  remove(name: FunctionName, options?: { readonly ofProject: ProjectName }): Promise<void>;
  getVersion(name: FunctionName, number: number): Promise<Version>;
  /** Ascending. */
  listVersions(
    name: FunctionName,
    page: { readonly after: number; readonly limit: number },
  ): Promise<Version[]>;
  /** No error if that version is not there. What is live goes on running. @throws `ResourceConflict` if an alias points at it, or it is a canary. */
  removeVersion(name: FunctionName, number: number): Promise<void>;
  /** @throws `AliasExists`, `InvalidRequest` for a bad name or weight, `VersionNotFound` for what it points at. */
  createAlias(name: FunctionName, alias: NewAlias): Promise<Alias>;
  updateAlias(name: FunctionName, alias: string, change: AliasChange): Promise<Alias>;
  /** No error if that alias is not there. */
  removeAlias(name: FunctionName, alias: string): Promise<void>;
  /** Creates or replaces the URL of that qualifier. */
  saveUrl(name: FunctionName, url: FunctionUrl): Promise<void>;
  removeUrl(name: FunctionName, qualifier: string | undefined): Promise<void>;
  findByUrlId(urlId: string): Promise<FunctionRecord | undefined>;
  setConcurrency(name: FunctionName, max: number | undefined): Promise<FunctionRecord>;
  /** Creates or replaces what is asked for the qualifier. @throws `AliasNotFound`, `VersionNotFound` for that. */
  setEventInvokeConfig(name: FunctionName, config: EventInvokeConfig): Promise<FunctionRecord>;
  /** @throws `ResourceNotFound` if there is none for that qualifier. */
  removeEventInvokeConfig(name: FunctionName, qualifier: string | undefined): Promise<void>;
  setTags(name: FunctionName, tags: Readonly<Record<string, string>>): Promise<FunctionRecord>;
  /**
   * Changes settings in one step. `change` decides on the newest record, maybe more than once; what it throws is thrown,
   * and settings that it gives back as they were are not saved.
   */
  changeSettings(
    name: FunctionName,
    change: (record: FunctionRecord) => FunctionSettings,
  ): Promise<FunctionRecord>;
}

export interface NewFunction {
  readonly name: FunctionName;
  readonly code: CodeRef;
  readonly config: FunctionConfig;
  readonly concurrencyMax: number | undefined;
  readonly tags: Readonly<Record<string, string>>;
  /** Of `$LATEST`, where it was tried out as a candidate (candidate.ts); else a new one. */
  readonly revisionId?: string | undefined;
}

export interface FunctionChange {
  readonly code?: CodeRef;
  readonly config?: FunctionConfig;
  readonly ifRevision?: string | undefined;
}

export interface PublishOptions {
  /** Of the version only. */
  readonly description?: string | undefined;
  readonly ifRevision?: string | undefined;
  readonly ifArchiveSha256?: string | undefined;
}

export interface NewAlias {
  readonly name: string;
  readonly version: VersionLabel;
  readonly description: string;
  readonly split: Alias["split"];
}

export interface AliasChange extends Partial<Omit<NewAlias, "name">> {
  readonly ifRevision?: string | undefined;
}
