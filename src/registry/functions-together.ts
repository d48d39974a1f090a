import type { FunctionRecord } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import type { ProjectName } from "../core/project.ts";
import type { Release } from "../core/release.ts";
import type { Stamp, Step } from "./function-states.ts";

export interface ChangeTogether {
  /** What else is routed anew, in the same step. Must not throw. */
  alsoRouted(): void;
  readonly release: Release | undefined;
  decide(records: ReadonlyMap<FunctionName, FunctionRecord>, stamp: Stamp): Promise<readonly Step[]>;
  save(steps: readonly Step[]): Promise<void>;
}

/** What `openProjectBook` needs of the functions besides. */
export interface FunctionsTogether {
  /**
   * Changes several functions, none of which changes otherwise meanwhile: `decide` is given those that are there, `save`
   * is one step in the store, and routing goes over to all of them, and to `release`, in one step as well.
   */
  changeTogether(names: readonly FunctionName[], change: ChangeTogether): Promise<void>;
  /** Forgets what is known of the releases of a project that is no more. */
  forgetReleases(project: ProjectName): void;
}
