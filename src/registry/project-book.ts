import { assert } from "../core/assert.ts";
import type { CanaryDecision } from "../core/canary.ts";
import { isPlatformError, PlatformError } from "../core/errors.ts";
import type { Version } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import type { ProjectName } from "../core/project.ts";
import type { ProjectRecord, Release } from "../core/release.ts";
import type { Projects } from "../store/projects.ts";
import type { Registry } from "../store/store.ts";
import type { Functions } from "./functions.ts";
import type { FunctionsTogether } from "./functions-together.ts";
import { type HookNews, NO_HOOKS } from "./hook-releases.ts";
import { functionNotFound } from "./not-found.ts";
import type {
  ProjectBook,
  ReleaseListener,
  ReleaseMade,
  ReleasePlan,
  ReleaseSwitched,
  WantedRelease,
} from "./projects.ts";
import {
  decisionOfSwitch,
  letGoOfTried,
  newReleaseCanary,
  noCanary,
  refuseWithoutLive,
  runningReleaseCanary,
  withCanary,
} from "./release-canaries.ts";
import { type DraftParts, draftRelease } from "./release-draft.ts";
import { compareReleases, goDormant, namesOf, recordsOf } from "./release-rules.ts";
import {
  type Draft,
  type Going,
  goingOf,
  nextProject,
  noRelease,
  refuseMoved,
  refuseRemoval,
  removedNames,
  stepOf,
} from "./release-steps.ts";
import type { RouteBook } from "./route-book.ts";
import { triggerChanges } from "./trigger-changes.ts";
import { Turns } from "./turns.ts";

interface Parts extends DraftParts {
  readonly projects: Projects;
  readonly registry: Pick<Registry, "findFunction" | "findVersion" | "listFunctions">;
  readonly functions: FunctionsTogether & Pick<Functions, "remove">;
  readonly routes: Pick<RouteBook, "planOf" | "applied">;
  readonly listener: ReleaseListener;
}

export function openProjectBook(parts: Parts): ProjectBook {
  return new Book(parts);
}

const PAGE = 500;
/** At a change that others keep getting ahead of. */
const ATTEMPTS_MAX = 10;
const NOTHING_ELSE = {
  release: undefined,
  schedules: { saved: [], removed: [] },
  routes: { saved: [], removed: [] },
  hooks: [],
  sources: [],
};

class Book implements ProjectBook {
  readonly #parts: Parts;
  /** By project. */
  readonly #turns = new Turns();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async get(project: ProjectName): Promise<ProjectRecord> {
    const found = await this.#parts.projects.find(project);
    if (found) return found;
    throw new PlatformError(
      "ResourceNotFound",
      `there is no project "${project}"; lambda deploy makes one of a folder with a lambda.yaml`,
    );
  }

  list(page: { readonly after: string | undefined; readonly limit: number }): Promise<ProjectRecord[]> {
    return this.#parts.projects.list(page);
  }

  async getRelease(project: ProjectName, number: number): Promise<Release> {
    const found = await this.#parts.projects.findRelease(project, number);
    if (found) return found;
    await this.get(project);
    throw noRelease(project, number);
  }

  async listReleases(
    project: ProjectName,
    page: { readonly before: number | undefined; readonly limit: number },
  ): Promise<Release[]> {
    await this.get(project);
    return await this.#parts.projects.listReleases(project, page);
  }

  async plan(wanted: WantedRelease): Promise<ReleasePlan> {
    const draft = await draftRelease(this.#parts, wanted);
    if (wanted.canary) refuseWithoutLive(wanted.project, draft.live);
    return draft;
  }

  make(
    wanted: WantedRelease,
    { mayRemove, start }: Parameters<ProjectBook["make"]>[1],
  ): Promise<ReleaseMade> {
    return this.#turns.take(wanted.project, async () => {
      const draft = await draftRelease(this.#parts, wanted);
      if (draft.isLive && !wanted.isPreview && !wanted.canary) await this.#staysLive(draft, wanted.by);
      if (draft.isMade && wanted.isPreview) return { ...draft, hookNews: [] };
      if (draft.isMade && draft.isLive) {
        return { ...draft, hookNews: await this.#parts.hooks.giveSecrets(draft.hooks) };
      }
      if (wanted.canary) refuseWithoutLive(wanted.project, draft.live);
      if (!wanted.isPreview && !mayRemove) refuseRemoval(draft);
      const { release, versions, records } = draft;
      try {
        const targets = release.functions.map(({ name }) => {
          const version = versions.get(name);
          const record = records.get(name);
          if (!version || !record) throw functionNotFound(name);
          return { record, version, qualifier: undefined, release, isPinned: true };
        });
        this.#parts.listener.releaseStarting(release);
        if (!wanted.isPreview) await this.#parts.sources.inspect(release.sources, draft.live);
        await start(draft, targets);
        const hookNews = await this.#apply(draft, goingOf(wanted));
        return { ...draft, hookNews };
      } catch (error) {
        if (draft.isMade) this.#parts.listener.releaseMade(release);
        else this.#parts.listener.releaseLetGo(release);
        throw error;
      }
    });
  }

  switchTo(project: ProjectName, to: number | undefined, by: string): Promise<ReleaseSwitched> {
    return this.#turns.take(project, async () => {
      const record = await this.get(project);
      const number = to ?? (await this.#before(record));
      const release = await this.getRelease(project, number);
      const from = record.liveRelease;
      const hookNews =
        from === number
          ? await this.#staysLive({ project: record, release }, by)
          : await this.#switch(record, release, { kind: "live", by });
      return { from, release, hookNews };
    });
  }

  async endCanary(
    project: ProjectName,
    number: number,
    decision: CanaryDecision,
    by: string,
  ): Promise<ProjectRecord> {
    // No turn: what fails must not wait for a deploy that is starting instances.
    if (decision.outcome !== "promoted") return await this.#letGo(project, number, decision);
    return await this.#turns.take(project, async () => {
      const record = await this.get(project);
      if (runningReleaseCanary(record)?.release !== number) throw noCanary(project, number);
      await this.#switch(record, await this.getRelease(project, number), { kind: "live", by, decision });
      return await this.get(project);
    });
  }

  compare(older: Release | undefined, newer: Release): ReturnType<ProjectBook["compare"]> {
    return compareReleases(this.#parts.registry.findVersion, older, newer);
  }

  remove(project: ProjectName): Promise<FunctionName[]> {
    return this.#turns.take(project, async () => {
      await this.get(project);
      const { functions, projects } = this.#parts;
      const names = await this.#members(project);
      for (const name of names) {
        await functions.remove(name, { ofProject: project }).catch((error: unknown) => {
          if (!isPlatformError(error, "FunctionNotFound")) throw error;
        });
      }
      await projects.remove(project);
      functions.forgetReleases(project);
      return names;
    });
  }

  async #switch(project: ProjectRecord, release: Release, going: Going): Promise<readonly HookNews[]> {
    const { liveRelease } = project;
    const live = liveRelease === undefined ? undefined : await this.getRelease(project.name, liveRelease);
    const versions = await this.#versionsOf(release);
    const difference = await compareReleases(this.#parts.registry.findVersion, live, release);
    const facts = { release, isMade: true, isLive: false, difference, newSecrets: [] };
    const stored = { project, live, versions, published: new Set<FunctionName>(), records: new Map() };
    const hooks = { ...NO_HOOKS, hooks: release.hooks };
    return await this.#apply({ ...facts, ...stored, hooks, adopts: false }, going);
  }

  /** Who makes live what is live wants nothing else to take calls. */
  async #staysLive({ project, release }: Pick<Draft, "project" | "release">, by: string): Promise<never[]> {
    const running = runningReleaseCanary(project);
    if (!running) return [];
    const decision = decisionOfSwitch(running, release.number, { at: this.#parts.clock.now(), by });
    await this.#letGo(release.project, running.release, decision);
    return [];
  }

  /** Routes nothing to a canary any more. @throws PlatformError `ResourceConflict` if it does not run. */
  async #letGo(project: ProjectName, number: number, decision: CanaryDecision): Promise<ProjectRecord> {
    const { projects, functions, listener } = this.#parts;
    for (let attempts = 1; ; attempts++) {
      let ended = await this.get(project);
      if (runningReleaseCanary(ended)?.release !== number) throw noCanary(project, number);
      try {
        await functions.changeTogether(await this.#triedNames(ended), {
          release: undefined,
          decide: async (records) => [...records.values()].flatMap(letGoOfTried),
          async save(steps) {
            ended = withCanary({ ...ended, generation: ended.generation + 1 }, undefined, decision);
            await projects.apply({ ...NOTHING_ELSE, project: ended, functions: steps });
          },
          alsoRouted: () => undefined,
        });
        listener.releaseLetGo({ project, number });
        return ended;
      } catch (error) {
        // Somebody has changed the project in between, and maybe ended it.
        if (attempts === ATTEMPTS_MAX || !isPlatformError(error, "ResourceConflict")) throw error;
      }
    }
  }

  /** The functions that know of a canary that runs. */
  async #triedNames(project: ProjectRecord | undefined): Promise<FunctionName[]> {
    const running = runningReleaseCanary(project);
    if (!project || !running) return [];
    const release = await this.#parts.projects.findRelease(project.name, running.release);
    return release ? namesOf(release.functions) : await this.#members(project.name);
  }

  async #versionsOf({ project, number, functions }: Release): Promise<Map<FunctionName, Version>> {
    const versions = new Map<FunctionName, Version>();
    for (const { name, version } of functions) {
      const found = await this.#parts.registry.findVersion(name, version);
      if (!found) {
        throw new PlatformError(
          "VersionNotFound",
          `release ${number} of "${project}" cannot go live: version ${version} of "${name}" was deleted; deploy again`,
        );
      }
      versions.set(name, found);
    }
    return versions;
  }

  /** One step of the store, and then one of the routing. */
  async #apply(draft: Draft, going: Going): Promise<readonly HookNews[]> {
    const { live, release } = draft;
    const touched = [...release.hooks, ...(live?.hooks ?? [])].map(({ id }) => id);
    return await this.#parts.hooks.inTurns(touched, () => this.#store(draft, going));
  }

  async #store(draft: Draft, going: Going): Promise<readonly HookNews[]> {
    const { live, release, isMade } = draft;
    const { functions, projects, listener, routes: book, sources } = this.#parts;
    const isLive = going.kind === "live";
    const removed = isLive ? removedNames(live, release) : [];
    const { hookNews, ...triggers } = await triggerChanges(this.#parts, draft, isLive);
    const before = await projects.find(release.project);
    const tried = going.kind === "preview" ? undefined : runningReleaseCanary(before);
    const named = [...namesOf(release.functions), ...removed];
    const letGo = tried ? (await this.#triedNames(before)).filter((name) => !named.includes(name)) : [];
    let project: ProjectRecord | undefined;
    await functions.changeTogether([...named, ...letGo], {
      release,
      decide: async (records, stamp) => {
        const current = await projects.find(release.project);
        refuseMoved(draft, current);
        const canary =
          going.kind === "canary"
            ? newReleaseCanary(release.number, going.plan, { from: live?.number, now: stamp.now })
            : undefined;
        project = nextProject(current, release, { at: stamp.now, going, canary, isMade });
        return [
          ...release.functions.flatMap((released) =>
            stepOf(draft, released, records, stamp, { isLive, canary }),
          ),
          ...recordsOf(records, removed).map((record) => goDormant(record, release.project, stamp)),
          ...recordsOf(records, letGo).flatMap(letGoOfTried),
        ];
      },
      async save(steps) {
        assert(project, "decided before it is saved");
        const made = isMade ? undefined : release;
        await projects.apply({ project, release: made, functions: steps, ...triggers });
      },
      alsoRouted: () => book.applied(triggers.routes),
    });
    sources.applied(triggers.sources);
    if (going.kind === "preview") {
      listener.releaseMade(release);
      return hookNews;
    }
    listener.releaseLive(release);
    if (isLive && live && live.number !== release.number) listener.releaseLetGo(live);
    if (tried && tried.release !== release.number) {
      listener.releaseLetGo({ project: release.project, number: tried.release });
    }
    return hookNews;
  }

  /** @throws PlatformError `VersionNotFound` */
  async #before({ name, liveRelease, switches }: ProjectRecord): Promise<number> {
    const wereLive = switches.map(({ to }) => to).filter((number) => number < (liveRelease ?? 0));
    const number = Math.max(0, ...wereLive);
    if (number > 0) return number;
    throw new PlatformError(
      "VersionNotFound",
      `project "${name}" has no release before ${liveRelease ?? "the first"} that was live; name one: lambda releases shows them`,
    );
  }

  async #members(project: ProjectName): Promise<FunctionName[]> {
    const names: FunctionName[] = [];
    let after: string | undefined;
    for (;;) {
      const page = await this.#parts.registry.listFunctions({ after, limit: PAGE });
      names.push(...namesOf(page.filter(({ membership }) => membership?.project === project)));
      if (page.length < PAGE) return names;
      after = page.at(-1)?.name;
    }
  }
}
