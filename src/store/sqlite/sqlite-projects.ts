import type { Projects } from "../projects.ts";
import type { Access } from "./access.ts";
import {
  PROJECT_ROW,
  parseProject,
  parseRelease,
  projectDocument,
  RELEASE_ROW,
  releaseDocument,
} from "./documents.ts";
import { hookRow } from "./sqlite-hooks.ts";
import { functionRow } from "./sqlite-registry.ts";
import { routeRow } from "./sqlite-routes.ts";
import { scheduleRow } from "./sqlite-schedules.ts";
import { sourceRow } from "./sqlite-sources.ts";

/** The projects in SQLite: reads here, writes by the writer. */
export function openProjects({ read, write }: Access): Projects {
  return {
    async find(name) {
      const row = read((db) => db.get(`SELECT ${PROJECT_ROW} FROM project WHERE name = ?`, name));
      return row && parseProject(row);
    },
    async list({ after, limit }) {
      const sql = `SELECT ${PROJECT_ROW} FROM project WHERE name > ? ORDER BY name LIMIT ?`;
      return read((db) => db.all(sql, after ?? "", limit)).map(parseProject);
    },
    async findRelease(project, number) {
      const sql = `SELECT ${RELEASE_ROW} FROM release WHERE project = ? AND number = ?`;
      const row = read((db) => db.get(sql, project, number));
      return row && parseRelease(row);
    },
    async listReleases(project, { before, limit }) {
      const sql = `SELECT ${RELEASE_ROW} FROM release WHERE project = ? AND number < ? ORDER BY number DESC LIMIT ?`;
      return read((db) => db.all(sql, project, before ?? Number.MAX_SAFE_INTEGER, limit)).map(parseRelease);
    },
    async apply({ project, release, functions, schedules, routes, hooks, sources }) {
      const { name, generation, liveRelease } = project;
      await write("applyProject", {
        project: { name, generation, liveRelease, ...projectDocument(project) },
        release: release && { number: release.number, ...releaseDocument(release) },
        functions: functions.map(({ record, published }) => functionRow(record, published)),
        schedules: schedules.saved.map(scheduleRow),
        removedSchedules: schedules.removed,
        routes: routes.saved.map(routeRow),
        removedRoutes: routes.removed,
        hooks: hooks.map(hookRow),
        sources: sources.map(sourceRow),
      });
    },
    remove: (name) => write("deleteProject", { name }),
  };
}
