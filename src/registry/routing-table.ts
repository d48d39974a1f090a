import { canarySeries } from "../core/canary.ts";
import type { FunctionRecord, Version, VersionLabel } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import { formatRelease, parseRelease, parseReleaseLabel, type ReleaseRef } from "../core/project.ts";
import type { Membership } from "../core/release.ts";
import { SHADOW_AT_ONCE_MAX } from "../core/shadow.ts";
import { type Tried, triedOf } from "../core/tried.ts";
import { drawsSecond } from "./alias-draw.ts";
import type { Target } from "./target.ts";

/**
 * What calls run, in memory: at most `max` functions, with the versions that were asked for. Finding the target of a
 * plain name is one look into a Map.
 *
 * Out goes a function that has not been called since the hand of the clock last passed it (the "clock" approximation
 * of least recently used): a hit only sets a flag, where true LRU would re-order on each call.
 */
export class RoutingTable {
  readonly #entries = new Map<FunctionName, Entry>();
  /** By `PROJECT@NUMBER`; they never change. */
  readonly #releases = new Map<string, ReleaseVersions>();
  readonly #max: number;
  readonly #random: () => number;

  constructor(options: { readonly max: number; readonly random: () => number }) {
    this.#max = Math.max(1, options.max);
    this.#random = options.random;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Undefined if the function, or a version that the qualifier can lead to, is not in the table. */
  find(name: FunctionName, qualifier: string | undefined): Target | undefined {
    const entry = this.#entries.get(name);
    if (!entry) return undefined;
    entry.wasUsed = true;
    if (qualifier === undefined) return entry.plain ?? entry.drawPlain(this.#random);
    const release = releaseOf(entry.record, qualifier);
    if (!release) return entry.find(qualifier, this.#random);
    const number = this.findRelease(release)?.get(name);
    return number === undefined ? undefined : entry.findReleased(release, number);
  }

  findRecord(name: FunctionName): FunctionRecord | undefined {
    return this.#entries.get(name)?.record;
  }

  /** Replaces what is known of a function. Its numbered versions stay, since they never change. */
  put(record: FunctionRecord): void {
    const known = this.#entries.get(record.name);
    if (!known) this.#makeRoom();
    const entry = new Entry(record, known?.versions ?? new Map());
    entry.wasUsed = known?.wasUsed ?? false;
    this.#entries.set(record.name, entry);
  }

  /** Adds a numbered version, if its function is in the table. */
  putVersion(version: Version): void {
    this.#entries.get(version.functionName)?.addVersion(version);
  }

  removeVersion(name: FunctionName, label: VersionLabel): void {
    this.#entries.get(name)?.removeVersion(label);
  }

  remove(name: FunctionName): void {
    this.#entries.delete(name);
  }

  /** Makes a release known: which version of each of its functions it has. */
  putRelease(release: ReleaseRef, versions: ReleaseVersions): void {
    if (this.#releases.size >= RELEASES_IN_MEMORY_MAX) this.#releases.clear();
    this.#releases.set(formatRelease(release), versions);
  }

  findRelease(release: ReleaseRef): ReleaseVersions | undefined {
    return this.#releases.get(formatRelease(release));
  }

  removeReleases(project: string): void {
    for (const key of this.#releases.keys()) if (key.startsWith(`${project}@`)) this.#releases.delete(key);
  }

  #makeRoom(): void {
    if (this.#entries.size < this.#max) return;
    for (const [name, entry] of this.#entries) {
      this.#entries.delete(name);
      if (!entry.wasUsed) return;
      entry.wasUsed = false;
      this.#entries.set(name, entry);
    }
  }
}

/** The number of its version, for each function of a release. */
export type ReleaseVersions = ReadonlyMap<FunctionName, number>;

const RELEASES_IN_MEMORY_MAX = 1_000;

/** The release that a qualifier names: `shop@12` does, and of a function of a project `r12`, unless an alias is called that. */
export function releaseOf(record: FunctionRecord, qualifier: string): ReleaseRef | undefined {
  const { membership, aliases } = record;
  const release = parseRelease(qualifier);
  if (release || !membership) return release;
  const number = parseReleaseLabel(qualifier);
  if (number === undefined || aliases.some(({ name }) => name === qualifier)) return undefined;
  return { project: membership.project, number };
}

/** Of a function of a project, the live release; undefined for one that is not in it, or in no project. */
function liveReleaseOf(membership: Membership | undefined): ReleaseRef | undefined {
  if (membership?.release === undefined) return undefined;
  return { project: membership.project, number: membership.release };
}

/**
 * The versions a qualifier can lead to, one or two (a split alias, a canary, a shadow); none if no alias has that name and it is no version either. In a
 * project, what is live runs as the version that it is, so that every release has instances of its own.
 */
export function labelsOf(record: FunctionRecord, qualifier: string | undefined): readonly VersionLabel[] {
  if (qualifier === undefined || qualifier === "$LATEST") {
    const live = liveLabelOf(record);
    if (live === undefined) return [];
    const tried = qualifier === undefined ? triedOf(record) : undefined;
    return tried ? [live, `${tried.version}`] : [live];
  }
  if (isNumber(qualifier)) return [qualifier];
  const alias = record.aliases.find(({ name }) => name === qualifier);
  if (!alias) return [];
  return alias.split ? [alias.version, alias.split.version] : [alias.version];
}

function liveLabelOf({ membership, liveVersion }: FunctionRecord): VersionLabel | undefined {
  if (!membership) return "$LATEST";
  return liveVersion === undefined ? undefined : `${liveVersion}`;
}

/** Numbered versions kept per function; the one kept longest goes first. */
const VERSIONS_PER_FUNCTION_MAX = 64;

/** Where a qualifier leads; the second target is taken by that share of calls. */
interface Route {
  readonly first: Target;
  readonly second: Target | undefined;
  readonly weight: number;
}

class Entry {
  readonly record: FunctionRecord;
  readonly versions: Map<VersionLabel, Version>;
  /** Undefined while a version is not here that it leads to, and while there is a canary, which is drawn by each call. */
  plain: Target | undefined;
  #canary: Route | undefined;
  /** Called since the hand last passed. */
  wasUsed = false;
  /** Made on demand; a call then finds its target ready. */
  readonly #routes = new Map<string, Route>();

  constructor(record: FunctionRecord, versions: Map<VersionLabel, Version>) {
    this.record = record;
    this.versions = versions;
    this.plain = this.#findPlain();
  }

  #findPlain(): Target | undefined {
    const [label, tried] = labelsOf(this.record, undefined);
    if (!label) return undefined;
    const live = this.#target(undefined, label);
    return live && tried ? this.#findShadowed(live) : live;
  }

  /** What is live, with where its copies go. */
  #findShadowed(live: Target): Target | undefined {
    const shadow = triedOf(this.record);
    const tried = shadow?.shadow && this.#triedTarget(shadow);
    if (!shadow?.shadow || !tried) return undefined;
    const { name, membership } = this.record;
    const { share, startedAt } = shadow;
    return {
      ...live,
      shadow: {
        // It needs no more instances than copies that run at once.
        tried: { ...tried, record: { ...this.record, concurrencyMax: SHADOW_AT_ONCE_MAX }, isCopy: true },
        share,
        plan: shadow.shadow,
        report: { key: membership ? `@${membership.project}` : name, startedAt },
      },
    };
  }

  /** Of a function with a canary; undefined without one, or while its version is not here. */
  drawPlain(random: () => number): Target | undefined {
    this.#canary ??= this.#findCanary();
    if (!this.#canary) return undefined;
    const { first, second, weight } = this.#canary;
    return drawsSecond(weight, random) ? second : first;
  }

  #findCanary(): Route | undefined {
    const canary = triedOf(this.record);
    const label = liveLabelOf(this.record);
    const live = label && this.#target(undefined, label);
    const tried = canary && this.#triedTarget(canary);
    if (!canary || canary.shadow || !live || !tried) return undefined;
    const { sticky, share, startedAt } = canary;
    if (!sticky) return { first: live, second: tried, weight: share };
    const sides = { sticky, share, startedAt, live, tried };
    return { first: { ...live, canary: sides }, second: { ...tried, canary: sides }, weight: share };
  }

  /** In a project the call is part of the release that is tried, as is all that it calls. */
  #triedTarget({ version: number, release }: Tried): Target | undefined {
    const { record } = this;
    const version = this.versions.get(`${number}`);
    if (!version) return undefined;
    const target = { record, version, qualifier: undefined };
    return release ? { ...target, release, ...this.#countedIn(release) } : target;
  }

  findReleased(release: ReleaseRef, number: number): Target | undefined {
    const key = formatRelease(release);
    const known = this.#routes.get(key);
    if (known) return known.first;
    const version = this.versions.get(`${number}`);
    if (!version) return undefined;
    const first = {
      record: this.record,
      version,
      qualifier: undefined,
      release,
      isPinned: true,
      ...this.#countedIn(release),
    };
    this.#routes.set(key, { first, second: undefined, weight: 0 });
    return first;
  }

  /** A release that is tried is judged by all calls in it, also of versions that the live one has too. */
  #countedIn(release: ReleaseRef): Pick<Target, "countedAs"> {
    const { project, tried } = this.record.membership ?? {};
    if (!tried || tried.shadow || project !== release.project || tried.release !== release.number) return {};
    return { countedAs: canarySeries(release, tried.startedAt) };
  }

  find(qualifier: string, random: () => number): Target | undefined {
    const route = this.#routes.get(qualifier) ?? this.#addRoute(qualifier);
    if (!route?.second) return route?.first;
    return drawsSecond(route.weight, random) ? route.second : route.first;
  }

  addVersion(version: Version): void {
    this.versions.set(version.label, version);
    this.plain ??= this.#findPlain();
    for (const label of this.versions.keys()) {
      if (this.versions.size <= VERSIONS_PER_FUNCTION_MAX) break;
      if (label !== `${this.record.liveVersion}`) this.removeVersion(label);
    }
  }

  removeVersion(label: VersionLabel): void {
    this.versions.delete(label);
    this.#canary = undefined;
    this.#routes.clear();
  }

  #addRoute(qualifier: string): Route | undefined {
    const [first, second] = labelsOf(this.record, qualifier).map((label) => this.#target(qualifier, label));
    const isSplit = labelsOf(this.record, qualifier).length === 2;
    if (!first || (isSplit && !second)) return undefined;
    const alias = this.record.aliases.find(({ name }) => name === qualifier);
    const route = { first, second, weight: alias?.split?.weight ?? 0 };
    this.#routes.set(qualifier, route);
    return route;
  }

  #target(qualifier: string | undefined, label: VersionLabel): Target | undefined {
    const { record } = this;
    const version = label === "$LATEST" ? record.latest : this.versions.get(label);
    if (!version) return undefined;
    const isLive = qualifier === undefined || qualifier === "$LATEST";
    const release = isLive ? liveReleaseOf(record.membership) : undefined;
    return release ? { record, version, qualifier, release } : { record, version, qualifier };
  }
}

function isNumber(text: string): text is `${number}` {
  return /^[1-9]\d{0,8}$/.test(text);
}
