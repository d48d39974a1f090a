/** The steps of which a change of a project consists, and what is refused. Pure. */
import { randomUUID } from "node:crypto";
import { PlatformError } from "../core/errors.ts";
import type { FunctionRecord, Version } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import {
  FUNCTIONS_PER_PROJECT_MAX,
  type ProjectName,
  type ProjectRecord,
  type Release,
  type ReleasedFunction,
  SWITCHES_KEPT_MAX,
} from "../core/release.ts";
import { routeText } from "../core/route.ts";
import { createFunction, type Stamp, type Step, superseded } from "./function-states.ts";
import { functionNotFound } from "./not-found.ts";
import type { ReleasePlan, WantedRelease } from "./projects.ts";
import { goLive, namesOf, type ReleaseContent } from "./release-rules.ts";

/** A plan, with what it takes to carry it out. */
export interface Draft extends ReleasePlan {
  readonly project: ProjectRecord | undefined;
  readonly live: Release | undefined;
  /** By function: the version that the release has, published by it or before. */
  readonly versions: ReadonlyMap<FunctionName, Version>;
  readonly published: ReadonlySet<FunctionName>;
  readonly records: ReadonlyMap<FunctionName, FunctionRecord>;
}

export function stepOf(
  { versions, published, release }: Draft,
  released: ReleasedFunction,
  records: ReadonlyMap<FunctionName, FunctionRecord>,
  stamp: Stamp,
  isPreview: boolean,
): Step[] {
  const { name } = released;
  const version = versions.get(name);
  if (!version) throw functionNotFound(name);
  const publish = published.has(name) ? version : undefined;
  const known = records.get(name);
  if (publish && (known?.nextVersion ?? 1) !== released.version) {
    throw conflict(`"${name}" was changed meanwhile; deploy again`);
  }
  // Its first step is generation 1 of what then goes live or not.
  const record = known
    ? { ...known, ...superseded(known, `it was taken into project ${release.project}`, stamp) }
    : { ...newRecord({ ...version, ...released }, stamp.now), generation: 0 };
  if (!isPreview) {
    const { project, number } = release;
    const { record: live } = goLive(record, { version, released, project, release: number }, stamp);
    return [{ record: live, published: publish }];
  }
  if (!publish) return [];
  const membership = record.membership ?? { project: release.project, release: undefined };
  const generation = record.generation + 1;
  const next = { ...record, generation, nextVersion: released.version + 1, membership };
  return [{ record: next, published: publish }];
}

export function newVersion(
  { name, code, config }: WantedRelease["functions"][number],
  number: number,
  now: number,
): Version {
  return {
    functionName: name,
    label: `${number}`,
    revisionId: randomUUID(),
    code,
    config,
    modifiedAt: now,
  };
}

export function newRecord(
  made: Pick<WantedRelease["functions"][number], "name" | "code" | "config" | "concurrencyMax">,
  now: number,
): FunctionRecord {
  return createFunction({ ...made, tags: {} }, { now, newRevision: randomUUID }).record;
}

export function nextProject(
  project: ProjectRecord | undefined,
  { project: name, number }: Release,
  {
    at,
    by,
    isPreview,
    isMade,
  }: {
    readonly at: number;
    readonly by: string;
    readonly isPreview: boolean;
    readonly isMade: boolean;
  },
): ProjectRecord {
  const before: ProjectRecord = project ?? {
    name,
    generation: 0,
    createdAt: at,
    liveRelease: undefined,
    nextRelease: 1,
    switches: [],
  };
  const made = {
    ...before,
    generation: before.generation + 1,
    nextRelease: isMade ? before.nextRelease : number + 1,
  };
  if (isPreview) return made;
  const switches = [...before.switches, { at, by, from: before.liveRelease, to: number }];
  return { ...made, liveRelease: number, switches: switches.slice(-SWITCHES_KEPT_MAX) };
}

export function removedNames(live: Release | undefined, release: Release): FunctionName[] {
  const kept = new Set(namesOf(release.functions));
  return namesOf(live?.functions ?? []).filter((name) => !kept.has(name));
}

/** @throws PlatformError `InvalidRequest` for a trigger of a function that the release does not have. */
export function refuseUnknown({ functions, schedules, routes }: ReleaseContent): void {
  const names = new Set(namesOf(functions));
  const called = [
    ...schedules.map((each) => [`schedule ${each.name}`, each.functionName] as const),
    ...routes.flatMap((each) =>
      each.action.kind === "function" ? [[routeText(each), each.action.functionName] as const] : [],
    ),
  ];
  for (const [what, name] of called) {
    if (names.has(name)) continue;
    throw new PlatformError("InvalidRequest", `${what}: the release has no function "${name}"`);
  }
}

export function refuseRemoval({ live, release }: Draft): void {
  const names = removedNames(live, release);
  if (names.length === 0) return;
  throw conflict(
    `the release no longer has ${names.map((name) => `"${name}"`).join(", ")}, which release ${live?.number} has; confirm with --prune`,
  );
}

export function refuseTooMany({ functions }: WantedRelease): void {
  if (functions.length === 0)
    throw new PlatformError("InvalidRequest", "functions: a release has at least one");
  if (functions.length <= FUNCTIONS_PER_PROJECT_MAX) return;
  throw new PlatformError(
    "InvalidRequest",
    `functions: expected at most ${FUNCTIONS_PER_PROJECT_MAX}, got ${functions.length}`,
  );
}

export function noRelease(project: ProjectName, number: number): PlatformError {
  return new PlatformError(
    "ResourceNotFound",
    `project "${project}" has no release ${number}; lambda releases shows them`,
  );
}

export function conflict(message: string): PlatformError {
  return new PlatformError("ResourceConflict", message);
}
