/**
 * The states a function goes through: pure steps from one record to the next, each one generation on. The registry
 * reads, applies one of these, and saves.
 */
import type { FunctionRecord, Version } from "../core/function.ts";
import { SETTINGS_DEFAULT } from "../core/function-settings.ts";
import type { FunctionChange, NewFunction } from "./functions.ts";
import { changedMembers } from "./version-diff.ts";

/** What the steps take from outside, so that tests own it. */
export interface Stamp {
  readonly now: number;
  newRevision(): string;
}

/** A record to save and, with it, the version that it publishes. */
export interface Step {
  readonly record: FunctionRecord;
  readonly published: Version | undefined;
}

export type PublishedStep = Step & { readonly published: Version };

export function createFunction(made: NewFunction, stamp: Stamp): Step {
  const record: FunctionRecord = {
    name: made.name,
    generation: 1,
    createdAt: stamp.now,
    latest: latestOf(made, stamp),
    liveVersion: undefined,
    nextVersion: 1,
    aliases: [],
    urls: [],
    eventInvokeConfigs: [],
    concurrencyMax: made.concurrencyMax,
    tags: made.tags,
    settings: SETTINGS_DEFAULT,
  };
  return { record, published: undefined };
}

/** The step with `$LATEST` also frozen as the next number, still as one step. */
export function alsoPublished(
  { record }: Step,
  stamp: Stamp,
  description = record.latest.config.description,
): PublishedStep {
  const published: Version = {
    ...record.latest,
    label: `${record.nextVersion}`,
    revisionId: stamp.newRevision(),
    config: { ...record.latest.config, description },
    modifiedAt: stamp.now,
  };
  return {
    record: { ...record, liveVersion: record.nextVersion, nextVersion: record.nextVersion + 1 },
    published,
  };
}

/** Code and configuration as the next number, while `$LATEST` and what is live stay as they are. */
export function publishAside(
  record: FunctionRecord,
  made: Pick<NewFunction, "code" | "config">,
  stamp: Stamp,
): PublishedStep {
  const published: Version = {
    ...latestOf({ name: record.name, ...made }, stamp),
    label: `${record.nextVersion}`,
  };
  return { ...changeRecord(record, { nextVersion: record.nextVersion + 1 }), published };
}

/** What a change to the function itself, not to what it runs, does to its record. */
export function changeRecord(record: FunctionRecord, change: Partial<FunctionRecord>): Step {
  return { record: { ...record, ...change, generation: record.generation + 1 }, published: undefined };
}

/** `$LATEST` stays live if the change changes nothing. */
export function changeLatest(record: FunctionRecord, change: FunctionChange, stamp: Stamp): Step {
  const { name, latest } = record;
  const next = latestOf(
    { name, code: change.code ?? latest.code, config: change.config ?? latest.config },
    stamp,
  );
  const isSame = changedMembers(latest, next).length === 0;
  return changeRecord(record, { latest: next, liveVersion: isSame ? record.liveVersion : undefined });
}

/** Lambda gives `$LATEST` a new revision when it is published. */
export function publishLatest(
  record: FunctionRecord,
  stamp: Stamp,
  description: string | undefined,
): PublishedStep {
  const latest = { ...record.latest, revisionId: stamp.newRevision() };
  return alsoPublished(changeRecord(record, { latest }), stamp, description);
}

export function deployOver(record: FunctionRecord, deployed: NewFunction, stamp: Stamp): PublishedStep {
  const { concurrencyMax, tags } = deployed;
  const changed = changeRecord(record, { latest: latestOf(deployed, stamp), concurrencyMax, tags });
  return alsoPublished(changed, stamp);
}

/** Code and configuration of `version` become `$LATEST`, as they were. */
export function rollBackTo(record: FunctionRecord, version: Version, stamp: Stamp): Step {
  return changeRecord(record, {
    latest: latestOf({ name: record.name, code: version.code, config: version.config }, stamp),
    liveVersion: Number(version.label),
  });
}

function latestOf(
  snapshot: Pick<NewFunction, "name" | "code" | "config" | "revisionId">,
  stamp: Stamp,
): Version {
  return {
    functionName: snapshot.name,
    label: "$LATEST",
    revisionId: snapshot.revisionId ?? stamp.newRevision(),
    code: snapshot.code,
    config: snapshot.config,
    modifiedAt: stamp.now,
  };
}
