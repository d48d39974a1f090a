import type { FunctionRecord, Version } from "../core/function.ts";

/** What an invocation runs: a function, the version that name and qualifier led to, and how the caller named it. */
export interface Target {
  readonly record: FunctionRecord;
  readonly version: Version;
  /** As the caller gave it: an alias, a number, `$LATEST`; undefined if none. Part of the ARN the function sees. */
  readonly qualifier: string | undefined;
}
