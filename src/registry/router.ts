import type { FunctionRecord, Version } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import type { ProjectName, ReleaseRef } from "../core/project.ts";
import type { Release } from "../core/release.ts";
import type { Projects } from "../store/projects.ts";
import type { Registry } from "../store/store.ts";
import { aliasNotFound, functionNotFound, notInRelease, notLive, versionNotFound } from "./not-found.ts";
import { labelsOf, RoutingTable, releaseOf } from "./routing-table.ts";
import type { Target } from "./target.ts";

/** Finds what a call runs: in the routing table, which it fills from the store. */
export class Router {
  readonly #registry: Registry;
  readonly #releases: Pick<Projects, "findRelease">;
  readonly #table: RoutingTable;
  /** Reads under way, by name and version. A change forgets those of its function: what they bring may be old. */
  readonly #loads = new Map<string, Promise<void>>();

  constructor(parts: {
    readonly registry: Registry;
    readonly releases: Pick<Projects, "findRelease">;
    readonly random: () => number;
    readonly max: number;
  }) {
    this.#registry = parts.registry;
    this.#releases = parts.releases;
    this.#table = new RoutingTable(parts);
  }

  resolveCached(name: FunctionName, qualifier: string | undefined): Target | undefined {
    return this.#table.find(name, qualifier);
  }

  /** @throws PlatformError `FunctionNotFound`, `VersionNotFound`, `AliasNotFound`. */
  async resolve(name: FunctionName, qualifier: string | undefined): Promise<Target> {
    for (;;) {
      const target = this.#table.find(name, qualifier);
      if (target) return target;
      // Each round brings in one thing that is missing; a change in between may take it out again.
      await this.#bringIn(name, qualifier);
    }
  }

  put(record: FunctionRecord, published: Version | undefined): void {
    this.#forgetLoads(record.name);
    this.#table.put(record);
    if (published) this.#table.putVersion(published);
  }

  /** A release that is about to be asked for. */
  putRelease(release: Release): void {
    this.#table.putRelease(release, versionsOf(release));
  }

  /** No release of that project is known any more. */
  removeReleases(project: ProjectName): void {
    this.#table.removeReleases(project);
  }

  remove(name: FunctionName): void {
    this.#forgetLoads(name);
    this.#table.remove(name);
  }

  removeVersion(name: FunctionName, number: number): void {
    this.#forgetLoads(name);
    this.#table.removeVersion(name, `${number}`);
  }

  async #bringIn(name: FunctionName, qualifier: string | undefined): Promise<void> {
    const record = this.#table.findRecord(name);
    if (!record) return await this.#load(name, "", () => this.#loadFunction(name));
    const release = qualifier === undefined ? undefined : releaseOf(record, qualifier);
    const labels = release
      ? [`${await this.#versionIn(release, name)}` as const]
      : labelsOf(record, qualifier);
    if (labels.length === 0) {
      if (qualifier === undefined || qualifier === "$LATEST") throw notLive(record);
      throw aliasNotFound(name, qualifier);
    }
    await Promise.all(
      labels
        .filter((label) => label !== "$LATEST")
        .map((label) => this.#load(name, label, () => this.#loadVersion(name, Number(label)))),
    );
  }

  /** @throws PlatformError `VersionNotFound` if that release is not there or does not have the function. */
  async #versionIn(ref: ReleaseRef, name: FunctionName): Promise<number> {
    let versions = this.#table.findRelease(ref);
    if (!versions) {
      const release = await this.#releases.findRelease(ref.project, ref.number);
      if (!release) throw notInRelease(name, ref, "which is not known");
      versions = versionsOf(release);
      this.#table.putRelease(ref, versions);
    }
    const number = versions.get(name);
    if (number === undefined) throw notInRelease(name, ref, "which does not have it");
    return number;
  }

  async #loadFunction(name: FunctionName): Promise<() => void> {
    const record = await this.#registry.findFunction(name);
    if (!record) throw functionNotFound(name);
    return () => this.#table.put(record);
  }

  async #loadVersion(name: FunctionName, number: number): Promise<() => void> {
    const version = await this.#registry.findVersion(name, number);
    if (!version) throw versionNotFound(name, number);
    return () => this.#table.putVersion(version);
  }

  /** Reads once for all who ask at the same time; what was read is kept unless a change has come in between. */
  #load(name: FunctionName, what: string, read: () => Promise<() => void>): Promise<void> {
    const key = `${name}:${what}`;
    const underWay = this.#loads.get(key);
    if (underWay !== undefined) return underWay;
    const isCurrent = () => this.#loads.get(key) === load;
    const load: Promise<void> = read()
      .then(
        (keep) => {
          if (isCurrent()) keep();
        },
        (error: unknown) => {
          // What was not there before a change may be there after it: the caller looks again.
          if (isCurrent()) throw error;
        },
      )
      .finally(() => {
        if (isCurrent()) this.#loads.delete(key);
      });
    this.#loads.set(key, load);
    return load;
  }

  #forgetLoads(name: FunctionName): void {
    for (const key of this.#loads.keys()) if (key.startsWith(`${name}:`)) this.#loads.delete(key);
  }
}

function versionsOf({ functions }: Release): ReadonlyMap<FunctionName, number> {
  return new Map(functions.map(({ name, version }) => [name, version]));
}
