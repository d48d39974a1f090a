/**
 * Code that has been made runnable for a release that is about to be made. Kept in memory: whoever has built it releases
 * it within the hour or builds it again.
 */
import { randomBytes } from "node:crypto";
import type { PreparedCode } from "../../../code/prepare.ts";
import { PlatformError } from "../../../core/errors.ts";
import type { FunctionName } from "../../../core/ids.ts";
import type { ProjectName } from "../../../core/project.ts";

export interface ProjectBuilds {
  keep(build: Build): string;
  /** @throws PlatformError `InvalidRequest` for one that is no longer kept, or was for another function. */
  get(id: string, project: ProjectName, name: FunctionName): PreparedCode;
}

interface Build {
  readonly project: ProjectName;
  readonly name: FunctionName;
  readonly prepared: PreparedCode;
}

/** Less than what the depot keeps of code that nothing refers to. */
const KEPT_MS = 45 * 60_000;
const BUILDS_MAX = 1_000;

export function newProjectBuilds(now: () => number): ProjectBuilds {
  const builds = new Map<string, Build & { readonly endsAt: number }>();
  return {
    keep(build) {
      const id = `bld_${randomBytes(12).toString("hex")}`;
      for (const [known, { endsAt }] of builds) {
        if (endsAt <= now() || builds.size >= BUILDS_MAX) builds.delete(known);
        else break;
      }
      builds.set(id, { ...build, endsAt: now() + KEPT_MS });
      return id;
    },
    get(id, project, name) {
      const build = builds.get(id);
      if (build && build.endsAt > now() && build.project === project && build.name === name) {
        return build.prepared;
      }
      throw new PlatformError(
        "InvalidRequest",
        `functions.${name}.build: ${JSON.stringify(id)} is not kept any more; deploy again`,
      );
    },
  };
}
