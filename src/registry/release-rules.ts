/** What a release consists of, and how two differ. Pure but for reading versions. */
import { isDeepStrictEqual } from "node:util";
import type { FunctionRecord, Version } from "../core/function.ts";
import type { FunctionSettings } from "../core/function-settings.ts";
import type { FunctionName } from "../core/ids.ts";
import type { ProjectName } from "../core/project.ts";
import type { ReleasedRecording } from "../core/recording.ts";
import type { Release, ReleasedFunction, ReleasedRoute } from "../core/release.ts";
import { routeText } from "../core/route.ts";
import type { Registry } from "../store/store.ts";
import { changeRecord, type Stamp, type Step } from "./function-states.ts";
import type { ReleaseDifference } from "./projects.ts";
import { changedMembers } from "./version-diff.ts";

/** Whether both have the same in all that can be told from outside. */
export function isSameRelease(a: ReleaseContent, b: ReleaseContent): boolean {
  return isSame(contentOf(a), contentOf(b));
}

function contentOf({ functions, schedules, routes, hooks, sources }: ReleaseContent): readonly unknown[] {
  return [functions, schedules, routes, hooks, sources];
}

export type ReleaseContent = Pick<Release, "functions" | "schedules" | "routes" | "hooks" | "sources">;

/** As stored: what is undefined is not there. */
function isSame(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(a, b) || isDeepStrictEqual(plain(a), plain(b));
}

function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

export async function compareReleases(
  findVersion: Registry["findVersion"],
  older: Release | undefined,
  newer: ReleaseContent,
): Promise<ReleaseDifference> {
  const before = new Map(older?.functions.map((each) => [each.name, each]));
  const after = new Map(newer.functions.map((each) => [each.name, each]));
  const names = [...new Set([...before.keys(), ...after.keys()])].sort();
  const functions: ReleaseDifference["functions"][number][] = [];
  for (const name of names) {
    const [from, to] = [before.get(name), after.get(name)];
    const common = { name, from: from?.version, to: to?.version };
    if (!from || !to) {
      functions.push({ ...common, change: from ? "removed" : "added", members: [] });
      continue;
    }
    const versions =
      from.version === to.version
        ? []
        : await Promise.all([findVersion(name, from.version), findVersion(name, to.version)]);
    const [old, young] = versions;
    const members = [
      ...(old && young ? changedMembers(old, young) : []),
      ...(isDeepStrictEqual(concurrencyOf(from), concurrencyOf(to)) ? [] : (["concurrency"] as const)),
      ...(isDeepStrictEqual(from.recording, to.recording) ? [] : (["recording"] as const)),
    ];
    if (members.length > 0 || from.version !== to.version)
      functions.push({ ...common, change: "changed", members });
  }
  return {
    functions,
    schedules: compareNamed(older?.schedules ?? [], newer.schedules),
    routes: compareNamed((older?.routes ?? []).map(named), newer.routes.map(named)),
    hooks: compareNamed(older?.hooks ?? [], newer.hooks),
    sources: compareNamed(older?.sources ?? [], newer.sources),
  };
}

function named(route: ReleasedRoute): ReleasedRoute & { readonly name: string } {
  return { ...route, name: routeText(route) };
}

function compareNamed<T extends { readonly name: string }>(
  older: readonly T[],
  newer: readonly T[],
): ReleaseDifference["schedules"] {
  const before = new Map(older.map((each) => [each.name, each]));
  const after = new Map(newer.map((each) => [each.name, each]));
  return [...new Set([...before.keys(), ...after.keys()])]
    .sort()
    .filter((name) => !isSame(before.get(name), after.get(name)))
    .map((name) => ({
      name,
      change: before.has(name) ? (after.has(name) ? "changed" : "removed") : "added",
    }));
}

function concurrencyOf({ concurrencyMax, concurrencyMin }: ReleasedFunction): readonly unknown[] {
  return [concurrencyMax, concurrencyMin];
}

/** A function as it is once the release is live. */
export function goLive(
  record: FunctionRecord,
  {
    version,
    released,
    project,
    release,
  }: {
    readonly version: Version;
    readonly released: ReleasedFunction;
    readonly project: ProjectName;
    readonly release: number;
  },
  stamp: Stamp,
): Step {
  const { concurrencyMax, concurrencyMin, recording } = released;
  const settings = withInstancesMin(record.settings, concurrencyMin, stamp.now);
  return changeRecord(record, {
    latest: { ...version, label: "$LATEST", revisionId: stamp.newRevision(), modifiedAt: stamp.now },
    liveVersion: released.version,
    nextVersion: Math.max(record.nextVersion, released.version + 1),
    concurrencyMax,
    settings: withRecording(settings, recording),
    membership: { project, release },
  });
}

/** A function that the live release does not have (any more): it can be called in other releases only. */
export function goDormant(record: FunctionRecord, project: ProjectName, stamp: Stamp): Step {
  return changeRecord(record, {
    liveVersion: undefined,
    settings: withRecording(withInstancesMin(record.settings, 0, stamp.now), undefined),
    membership: { project, release: undefined },
  });
}

/** Only the instances of what is live are the release's; those of aliases stay as they are. */
function withInstancesMin(settings: FunctionSettings, instances: number, now: number): FunctionSettings {
  const known = settings.provisioned.find(({ qualifier }) => qualifier === "$LATEST");
  if ((known?.instances ?? 0) === instances) return settings;
  const others = settings.provisioned.filter((each) => each !== known);
  const wanted = instances > 0 ? [{ qualifier: "$LATEST", instances, modifiedAt: now }] : [];
  return { ...settings, provisioned: [...others, ...wanted] };
}

/** What was switched by hand stays as it is where a release does not say. */
function withRecording(settings: FunctionSettings, wanted: ReleasedRecording | undefined): FunctionSettings {
  if (wanted) return { ...settings, recording: { ...wanted, isOn: true, isOfRelease: true } };
  const { recording } = settings;
  return recording?.isOfRelease ? { ...settings, recording: { ...recording, isOn: false } } : settings;
}

export function byName<T extends { readonly name: string }>(list: readonly T[]): T[] {
  return [...list].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Those of the names that there are. */
export function recordsOf(
  records: ReadonlyMap<FunctionName, FunctionRecord>,
  names: readonly FunctionName[],
): FunctionRecord[] {
  return names.flatMap((name) => records.get(name) ?? []);
}

export function namesOf(list: readonly { readonly name: FunctionName }[]): FunctionName[] {
  return list.map(({ name }) => name);
}
