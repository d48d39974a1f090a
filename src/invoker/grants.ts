import type { Version } from "../core/function.ts";
import type { ReleaseRef } from "../core/project.ts";

/** Gives an instance what it needs to call this server, if its function may. */
export interface Grants {
  /** Undefined if it may not. `release`: what the instance calls stays in it. */
  issue(version: Version, release: ReleaseRef | undefined): Promise<Grant | undefined>;
}

export interface Grant {
  /** Variables for the instance. */
  readonly environment: Readonly<Record<string, string>>;
  /** Lines for its `/etc/hosts`. */
  readonly hosts?: string | undefined;
  /** What was given is worth nothing from now on. Safe to call twice. */
  revoke(): void;
}
