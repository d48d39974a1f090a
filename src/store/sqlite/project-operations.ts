import { PlatformError } from "../../core/errors.ts";
import { RELEASES_MAX } from "../../core/release.ts";
import type { Connection } from "./connection.ts";
import type { Document } from "./documents.ts";
import { type HookRow, hookOperations } from "./hook-operations.ts";
import type { Performers } from "./performers.ts";
import { type FunctionRow, registryOperations } from "./registry-operations.ts";
import { type RouteRow, routeOperations } from "./route-operations.ts";
import { type ScheduleRow, scheduleOperations } from "./schedule-operations.ts";
import { type SourceRow, sourceOperations } from "./source-operations.ts";

/** What the writer does for the projects. */
export interface ProjectOperations {
  applyProject: { readonly args: ProjectChangeRow; readonly result: undefined };
  deleteProject: { readonly args: { readonly name: string }; readonly result: boolean };
}

export interface ProjectChangeRow {
  readonly project: ProjectRow;
  readonly release: ReleaseRow | undefined;
  readonly functions: readonly FunctionRow[];
  readonly schedules: readonly ScheduleRow[];
  readonly removedSchedules: readonly string[];
  readonly routes: readonly RouteRow[];
  readonly removedRoutes: readonly string[];
  readonly hooks: readonly HookRow[];
  readonly sources: readonly SourceRow[];
}

export interface ProjectRow extends Document {
  readonly name: string;
  readonly generation: number;
  readonly liveRelease: number | undefined;
}

export interface ReleaseRow extends Document {
  readonly number: number;
}

export const projectOperations: Performers<ProjectOperations> = {
  applyProject(connection, { project, release, functions, ...triggers }) {
    const { schedules, removedSchedules, routes, removedRoutes, hooks, sources } = triggers;
    if (project.generation === 1) insertProject(connection, project);
    else updateProject(connection, project);
    if (release) insertRelease(connection, project, release);
    for (const row of functions) registryOperations.saveFunction(connection, row);
    for (const id of removedSchedules) scheduleOperations.deleteSchedule(connection, { id });
    for (const row of schedules) scheduleOperations.saveSchedule(connection, row);
    // First those that go: another may take the place.
    for (const id of removedRoutes) routeOperations.deleteRoute(connection, { id });
    for (const row of routes) routeOperations.saveRoute(connection, row);
    for (const row of hooks) hookOperations.saveHook(connection, row);
    for (const row of sources) sourceOperations.saveSource(connection, row);
  },
  deleteProject: (connection, { name }) => connection.run("DELETE FROM project WHERE name = ?", name) > 0,
};

function insertProject(connection: Connection, row: ProjectRow): void {
  const inserted = connection.run(
    "INSERT INTO project (name, generation, document, checksum) VALUES (?, 1, ?, ?) ON CONFLICT DO NOTHING",
    row.name,
    row.text,
    row.checksum,
  );
  if (inserted === 0) throw changedMeanwhile(row);
}

function updateProject(connection: Connection, row: ProjectRow): void {
  const updated = connection.run(
    "UPDATE project SET generation = ?, document = ?, checksum = ? WHERE name = ? AND generation = ?",
    row.generation,
    row.text,
    row.checksum,
    row.name,
    row.generation - 1,
  );
  if (updated === 0) throw changedMeanwhile(row);
}

function insertRelease(connection: Connection, project: ProjectRow, row: ReleaseRow): void {
  connection.run(
    "INSERT INTO release (project, number, document, checksum) VALUES (?, ?, ?, ?)",
    project.name,
    row.number,
    row.text,
    row.checksum,
  );
  const { count } =
    connection.get("SELECT count(*) AS count FROM release WHERE project = ?", project.name) ?? {};
  if (Number(count) <= RELEASES_MAX) return;
  connection.run(
    "DELETE FROM release WHERE project = ? AND number = (SELECT min(number) FROM release WHERE project = ? AND number IS NOT ?)",
    project.name,
    project.name,
    project.liveRelease ?? null,
  );
}

function changedMeanwhile({ name }: ProjectRow): PlatformError {
  return new PlatformError(
    "ResourceConflict",
    `project "${name}" was changed meanwhile; look at its releases and deploy again`,
  );
}
