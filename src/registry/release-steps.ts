/** The steps of which a change of a project consists, and what is refused. Pure. */
import { randomUUID } from "node:crypto";
import type { CanaryDecision, CanaryPlan, ReleaseCanary } from "../core/canary.ts";
import { PlatformError } from "../core/errors.ts";
import type { FunctionRecord, Version } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import type { ProjectName } from "../core/project.ts";
import {
  FUNCTIONS_PER_PROJECT_MAX,
  type ProjectRecord,
  type Release,
  type ReleasedFunction,
  SWITCHES_KEPT_MAX,
} from "../core/release.ts";
import { routeText } from "../core/route.ts";
import { createFunction, type Stamp, type Step, superseded } from "./function-states.ts";
import type { HookDraft } from "./hook-releases.ts";
import { functionNotFound } from "./not-found.ts";
import type { ReleasePlan, WantedRelease } from "./projects.ts";
import { decisionOfSwitch, runningReleaseCanary, triedRelease, withCanary } from "./release-canaries.ts";
import { goLive, namesOf, type ReleaseContent } from "./release-rules.ts";

/** A plan, with what it takes to carry it out. */
export interface Draft extends ReleasePlan {
  readonly project: ProjectRecord | undefined;
  readonly live: Release | undefined;
  /** By function: the version that the release has, published by it or before. */
  readonly versions: ReadonlyMap<FunctionName, Version>;
  readonly published: ReadonlySet<FunctionName>;
  readonly records: ReadonlyMap<FunctionName, FunctionRecord>;
  readonly hooks: HookDraft;
  /** Whether hooks and sources of nobody become the project's. */
  readonly adopts: boolean;
}

/** What a release becomes. */
export type Going =
  | { readonly kind: "live"; readonly by: string; readonly decision?: CanaryDecision }
  | { readonly kind: "preview" }
  | { readonly kind: "canary"; readonly plan: CanaryPlan };

export function goingOf({ isPreview, canary, by }: WantedRelease): Going {
  if (isPreview) return { kind: "preview" };
  return canary ? { kind: "canary", plan: canary } : { kind: "live", by };
}

/** `canary` is what the release is from then on, if that. */
export function stepOf(
  { versions, published, release }: Draft,
  released: ReleasedFunction,
  records: ReadonlyMap<FunctionName, FunctionRecord>,
  stamp: Stamp,
  { isLive, canary }: { readonly isLive: boolean; readonly canary: ReleaseCanary | undefined },
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
  if (isLive) {
    const { project, number } = release;
    const { record: live } = goLive(record, { version, released, project, release: number }, stamp);
    return [{ record: live, published: publish }];
  }
  if (!publish && !canary) return [];
  const own = record.membership ?? { project: release.project, release: undefined };
  const membership = canary ? { ...own, tried: triedRelease(canary, released) } : own;
  const nextVersion = publish ? released.version + 1 : record.nextVersion;
  return [
    { record: { ...record, generation: record.generation + 1, nextVersion, membership }, published: publish },
  ];
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
    going,
    canary,
    isMade,
  }: {
    readonly at: number;
    readonly going: Going;
    /** What the release is from now on, if that. */
    readonly canary: ReleaseCanary | undefined;
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
  if (going.kind === "preview") return made;
  if (going.kind === "canary") {
    const reason = `release ${number} is tried instead`;
    return withCanary(made, canary, { outcome: "superseded", at, reason });
  }
  const { by } = going;
  const running = runningReleaseCanary(made);
  const ended =
    running && withCanary(made, undefined, going.decision ?? decisionOfSwitch(running, number, { at, by }));
  const switches = [...before.switches, { at, by, from: before.liveRelease, to: number }];
  return { ...(ended ?? made), liveRelease: number, switches: switches.slice(-SWITCHES_KEPT_MAX) };
}

/** What was drafted holds still, though a canary may have ended by itself meanwhile. @throws PlatformError `ResourceConflict` */
export function refuseMoved(
  { release, project }: Pick<Draft, "release" | "project">,
  now: ProjectRecord | undefined,
): void {
  if (now?.liveRelease === project?.liveRelease && now?.nextRelease === project?.nextRelease) return;
  throw conflict(`project "${release.project}" was changed meanwhile; look at its releases and deploy again`);
}

export function removedNames(live: Release | undefined, release: Release): FunctionName[] {
  const kept = new Set(namesOf(release.functions));
  return namesOf(live?.functions ?? []).filter((name) => !kept.has(name));
}

type Named = readonly { readonly name: string }[];

function removedTriggers(live: Named | undefined, wanted: Named): string[] {
  return (live ?? []).map(({ name }) => name).filter((name) => !wanted.some((each) => each.name === name));
}

/** @throws PlatformError `InvalidRequest` for a trigger of a function that the release does not have. */
export function refuseUnknown({ functions, schedules, routes, hooks, sources }: ReleaseContent): void {
  const names = new Set(namesOf(functions));
  const called = [
    ...schedules.map((each) => [`schedule ${each.name}`, each.functionName] as const),
    ...hooks.map((each) => [`hook ${each.name}`, each.functionName] as const),
    ...sources.map((each) => [`source ${each.name}`, each.functionName] as const),
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
  const names = [
    ...removedNames(live, release).map((name) => `"${name}"`),
    ...removedTriggers(live?.hooks, release.hooks).map((name) => `hook "${name}"`),
    ...removedTriggers(live?.sources, release.sources).map((name) => `source "${name}"`),
  ];
  if (names.length === 0) return;
  throw conflict(
    `the release no longer has ${names.join(", ")}, which release ${live?.number} has; confirm with --prune`,
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
