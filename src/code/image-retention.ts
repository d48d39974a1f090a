import type { FunctionRecord, Version } from "../core/function.ts";

/**
 * The versions of a function that are images and that nothing needs: not live, no alias' or its split's, and not the one
 * that a rollback goes to. Oldest first.
 */
export function unneededVersions(record: FunctionRecord, versions: readonly Version[]): readonly Version[] {
  // Those of a project are kept by its releases.
  if (record.membership !== undefined) return [];
  const images = versions.filter(({ code }) => code.image !== undefined);
  const needed = new Set<string>(
    record.aliases.flatMap(({ version, split }) => [version, split?.version ?? ""]),
  );
  const live = record.liveVersion ?? record.nextVersion;
  needed.add(String(live));
  needed.add(versions.findLast(({ label }) => Number(label) < live)?.label ?? "");
  return images.filter(({ label }) => !needed.has(label));
}

/** Of those, the ones beyond the newest `keep` images; a `keep` of 0 keeps all. */
export function beyondRetention(
  record: FunctionRecord,
  versions: readonly Version[],
  keep: number,
): readonly Version[] {
  if (keep === 0) return [];
  const newest = new Set(versions.filter(({ code }) => code.image !== undefined).slice(-keep));
  return unneededVersions(record, versions).filter((version) => !newest.has(version));
}
