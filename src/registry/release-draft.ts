/** What a wanted release comes to, before anything of it is stored: what is new in it, and what is refused. */
import type { FunctionRecord, Version } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import type { Release, ReleasedFunction } from "../core/release.ts";
import { routeText } from "../core/route.ts";
import type { Projects } from "../store/projects.ts";
import type { Registry } from "../store/store.ts";
import type { ProjectBook, WantedRelease } from "./projects.ts";
import { byName, compareReleases, isSameRelease } from "./release-rules.ts";
import {
  conflict,
  type Draft,
  newRecord,
  newVersion,
  refuseTooMany,
  refuseUnknown,
} from "./release-steps.ts";
import { scheduleChange, type TriggerParts } from "./trigger-changes.ts";
import { changedMembers } from "./version-diff.ts";

export interface DraftParts extends TriggerParts {
  readonly projects: Pick<Projects, "find" | "findRelease" | "listReleases">;
  readonly registry: Pick<Registry, "findFunction" | "findVersion">;
}

type Versions = Pick<Registry, "findVersion">;

/**
 * A release that is wanted as it would be made; the one that there is where it would be the same.
 *
 * @throws PlatformError `ResourceConflict`, `InvalidRequest` for what cannot be.
 */
export async function draftRelease(parts: DraftParts, wanted: WantedRelease): Promise<Draft> {
  refuseTooMany(wanted);
  const { project, live, newest } = await whatIsThere(parts, wanted);
  const { functions, versions, records, published } = await draftFunctions(parts, wanted, [live, newest]);
  const releases = [live, newest].filter((release) => release !== undefined);
  const adopts = wanted.adopts && !wanted.isPreview && !wanted.canary;
  const context = { project: wanted.project, releases, adopts };
  const hooks = await parts.hooks.draft(byName(wanted.hooks), context);
  const content = {
    functions,
    schedules: byName(wanted.schedules),
    routes: [...wanted.routes].sort((a, b) => (routeText(a) < routeText(b) ? -1 : 1)),
    hooks: hooks.hooks,
    sources: await parts.sources.draft(byName(wanted.sources), context),
  };
  await scheduleChange(parts, wanted.project, live, content.schedules);
  refuseUnknown(content);
  await parts.routes.planOf(wanted.project, content.routes);
  const made = [live, newest].find((release) => release && isSameRelease(release, content));
  const release: Release = made ?? {
    ...content,
    project: wanted.project,
    number: project?.nextRelease ?? 1,
    madeOver: project?.liveRelease,
    createdAt: parts.clock.now(),
    createdBy: wanted.by,
    commit: wanted.commit,
    description: wanted.description,
  };
  const isLive = made !== undefined && made === live;
  const difference = await differences(parts.registry, live, release, versions);
  const isMade = made !== undefined;
  const newSecrets = hooks.rotated;
  const facts = { release, isMade, isLive, difference, newSecrets };
  return { ...facts, project, live, versions, published, records, hooks, adopts };
}

async function whatIsThere({ projects }: DraftParts, wanted: WantedRelease) {
  const project = await projects.find(wanted.project);
  const liveNumber = project?.liveRelease;
  const live = liveNumber === undefined ? undefined : await projects.findRelease(wanted.project, liveNumber);
  const [newest] = project
    ? await projects.listReleases(wanted.project, { before: undefined, limit: 1 })
    : [];
  return { project, live, newest };
}

/** The functions of a release: a version that one of `releases` has goes on being used where it would be the same. */
async function draftFunctions(
  { registry, clock }: DraftParts,
  wanted: WantedRelease,
  releases: readonly (Release | undefined)[],
): Promise<
  Pick<Draft, "versions" | "records" | "published"> & { readonly functions: readonly ReleasedFunction[] }
> {
  const versions = new Map<FunctionName, Version>();
  const records = new Map<FunctionName, FunctionRecord>();
  const published = new Set<FunctionName>();
  const functions: ReleasedFunction[] = [];
  for (const each of byName(wanted.functions)) {
    const { name, inputs, concurrencyMax, concurrencyMin, recording } = each;
    const record = await findOwn(registry, wanted, name);
    const known = await sameVersion(registry, name, each, releases);
    const version = known ?? newVersion(each, record?.nextVersion ?? 1, clock.now());
    if (!known) published.add(name);
    records.set(name, record ?? newRecord(each, clock.now()));
    versions.set(name, version);
    functions.push({
      name,
      version: Number(version.label),
      inputs,
      concurrencyMax,
      concurrencyMin,
      ...(recording && { recording }),
    });
  }
  return { functions, versions, records, published };
}

/** New versions are not in the store yet. */
function differences(
  registry: Versions,
  live: Release | undefined,
  release: Release,
  versions: ReadonlyMap<FunctionName, Version>,
): ReturnType<ProjectBook["compare"]> {
  const find = async (name: FunctionName, number: number) => {
    const version = versions.get(name);
    return version?.label === `${number}` ? version : await registry.findVersion(name, number);
  };
  return compareReleases(find, live, release);
}

/** Undefined if there is no such function yet. @throws PlatformError `ResourceConflict` if it is not the project's. */
async function findOwn(
  registry: DraftParts["registry"],
  { project, adopts, isPreview, canary }: WantedRelease,
  name: FunctionName,
): Promise<FunctionRecord | undefined> {
  const record = await registry.findFunction(name);
  if (!record || record.membership?.project === project) return record;
  if (record.membership) {
    throw conflict(
      `function "${name}" belongs to project "${record.membership.project}"; give one of them another name`,
    );
  }
  // It is live, and what does not go live must not change that.
  if (adopts && !isPreview && !canary) return record;
  throw conflict(
    `function "${name}" exists and is not of project "${project}"; give one of them another name, or make it part of the project with --adopt, which is not for previews and canaries`,
  );
}

async function sameVersion(
  registry: Versions,
  name: FunctionName,
  wanted: Pick<Version, "code" | "config">,
  releases: readonly (Release | undefined)[],
): Promise<Version | undefined> {
  for (const release of releases) {
    const released = release?.functions.find((each) => each.name === name);
    const version = released && (await registry.findVersion(name, released.version));
    if (version && changedMembers(version, wanted).length === 0) return version;
  }
  return undefined;
}
