import { isDeepStrictEqual } from "node:util";
import type { FunctionConfig, Version } from "../core/function.ts";

/** Code and configuration, as a version freezes them. */
type Snapshot = Pick<Version, "code" | "config">;

/** Members that can differ between two versions: `code`, or a member of the configuration. */
export type VersionMember = "code" | keyof FunctionConfig;

/** In the order in which they are shown. */
const CONFIG_MEMBERS = [
  "runtime",
  "entry",
  "memoryMib",
  "cpus",
  "timeoutMs",
  "tmpMib",
  "environment",
  "layers",
  "optTreeId",
  "logging",
  "network",
  "slotsPerInstance",
  "architecture",
  "role",
  "description",
  "mayInvoke",
  "kept",
] as const satisfies readonly (keyof FunctionConfig)[];

/** What `newer` has otherwise than `older`; empty if they do the same. Code is told apart by content. */
export function changedMembers(older: Snapshot, newer: Snapshot): VersionMember[] {
  const config = CONFIG_MEMBERS.filter(
    (member) => !isDeepStrictEqual(older.config[member], newer.config[member]),
  );
  return isSameCode(older, newer) ? config : ["code", ...config];
}

function isSameCode({ code: older }: Snapshot, { code: newer }: Snapshot): boolean {
  return (
    older.treeId === newer.treeId &&
    older.archiveSha256 === newer.archiveSha256 &&
    // The same folder on another base is another image.
    older.image?.id === newer.image?.id &&
    isDeepStrictEqual(older.image?.command, newer.image?.command)
  );
}
