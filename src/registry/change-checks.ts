/** What the registry refuses, whoever asks. */
import { PlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import { runningTrial } from "../core/tried.ts";
import { pointsAt } from "./alias-rules.ts";

/** Lambda's limit. */
const TAGS_MAX = 50;

/** @throws PlatformError `ResourceConflict` for a function that changes with its project only. */
export function refuseMember({ name, membership }: FunctionRecord): void {
  if (!membership) return;
  throw conflict(
    `"${name}" belongs to project "${membership.project}" and changes with that: edit its lambda.yaml and run lambda deploy there`,
  );
}

/** @throws PlatformError `ResourceConflict` for a version that an alias points at, or that is tried. */
export function refuseUsed(record: FunctionRecord, number: number): void {
  const { name } = record;
  const aliases = record.aliases.filter((candidate) => pointsAt(candidate, number));
  if (aliases.length > 0) {
    const names = aliases.map((alias) => alias.name).join(", ");
    // The first half is AWS's text, which tools look for.
    throw conflict(
      `Unable to delete version because the following aliases reference it: [${names}]; move the aliases away from version ${number} of "${name}" first`,
    );
  }
  const tried = runningTrial(record);
  if (tried?.version !== number) return;
  throw conflict(
    tried.shadow
      ? `version ${number} of "${name}" is a shadow and is given copies of calls; end it first: lambda shadow ${name} --stop`
      : `version ${number} of "${name}" is a canary and takes calls; end it first: lambda canary ${name} --abort`,
  );
}

export function checkRevision(current: string, expected: string | undefined): void {
  if (expected === undefined || expected === current) return;
  throw new PlatformError(
    "RevisionChanged",
    `expected revision ${expected}, it is ${current} now; read it again and retry`,
  );
}

export function checkArchive({ latest }: FunctionRecord, expected: string | undefined): void {
  const current = latest.code.archiveSha256;
  if (expected === undefined || expected === current) return;
  throw new PlatformError(
    "InvalidRequest",
    `CodeSHA256 (${expected}) is different from current CodeSHA256 in $LATEST (${current}). Please try again with the CodeSHA256 in $LATEST.`,
  );
}

export function checkTags(tags: Readonly<Record<string, string>>): void {
  const count = Object.keys(tags).length;
  if (count > TAGS_MAX)
    throw new PlatformError("InvalidRequest", `expected at most ${TAGS_MAX} tags, got ${count}`);
}

export function nothingBefore({ name, liveVersion }: FunctionRecord): PlatformError {
  const where = liveVersion === undefined ? "a published version" : `a version before ${liveVersion}`;
  return new PlatformError("VersionNotFound", `"${name}" does not have ${where} to roll back to`);
}

export function conflict(message: string): PlatformError {
  return new PlatformError("ResourceConflict", message);
}
