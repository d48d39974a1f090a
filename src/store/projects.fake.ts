import { PlatformError } from "../core/errors.ts";
import type { ProjectName } from "../core/project.ts";
import { type ProjectRecord, RELEASES_MAX, type Release } from "../core/release.ts";
import type { Hooks } from "./hooks.ts";
import type { Projects } from "./projects.ts";
import type { Routes } from "./routes.ts";
import type { Schedules } from "./schedules.ts";
import type { Sources } from "./sources.ts";
import type { Registry } from "./store.ts";

/** Projects in memory, for tests. What is refused is found before anything is done, as far as that can be. */
export function fakeProjects(
  registry: Pick<Registry, "findFunction" | "saveFunction">,
  schedules: Pick<Schedules, "save" | "remove">,
  routes: Pick<Routes, "save" | "remove">,
  hooks: Pick<Hooks, "save">,
  sources: Pick<Sources, "save">,
): Projects {
  const projects = new Map<ProjectName, ProjectRecord>();
  const releases = new Map<ProjectName, Release[]>();

  return {
    async find(name) {
      return structuredClone(projects.get(name));
    },
    async list({ after, limit }) {
      const sorted = [...projects.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
      return structuredClone(sorted.filter(({ name }) => name > (after ?? "")).slice(0, limit));
    },
    async findRelease(project, number) {
      return structuredClone(releases.get(project)?.find((release) => release.number === number));
    },
    async listReleases(project, { before = Number.POSITIVE_INFINITY, limit }) {
      const found = (releases.get(project) ?? []).filter(({ number }) => number < before);
      return structuredClone(found.sort((a, b) => b.number - a.number).slice(0, limit));
    },
    async apply({ project, release, functions, schedules: changed, routes: routed, ...triggers }) {
      const stored = projects.get(project.name)?.generation ?? 0;
      if (stored !== project.generation - 1) throw conflict(`project ${project.name}`);
      for (const { record } of functions) {
        const known = await registry.findFunction(record.name);
        if ((known?.generation ?? 0) !== record.generation - 1) throw conflict(`function ${record.name}`);
      }
      for (const { record, published } of functions) await registry.saveFunction(record, published);
      for (const name of changed.removed) await schedules.remove(name);
      for (const schedule of changed.saved) await schedules.save(schedule);
      for (const id of routed.removed) await routes.remove(id);
      for (const route of routed.saved) await routes.save(route);
      for (const hook of triggers.hooks) await hooks.save(hook);
      for (const source of triggers.sources) await sources.save(source);
      if (release) {
        const all = [...(releases.get(project.name) ?? []), structuredClone(release)];
        const oldest = all.find(({ number }) => number !== project.liveRelease);
        releases.set(project.name, all.length > RELEASES_MAX ? all.filter((each) => each !== oldest) : all);
      }
      projects.set(project.name, structuredClone(project));
    },
    async remove(name) {
      releases.delete(name);
      return projects.delete(name);
    },
  };
}

function conflict(what: string): PlatformError {
  return new PlatformError("ResourceConflict", `${what} was changed meanwhile`);
}
