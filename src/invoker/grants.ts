import type { Version } from "../core/function.ts";

/** Gives an instance what it needs to call this server, if its function may. */
export interface Grants {
  /** Undefined if it may not. */
  issue(version: Version): Promise<Grant | undefined>;
}

export interface Grant {
  /** Variables for the instance. */
  readonly environment: Readonly<Record<string, string>>;
  /** What was given is worth nothing from now on. Safe to call twice. */
  revoke(): void;
}
