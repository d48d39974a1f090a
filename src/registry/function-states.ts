/**
 * The states a function goes through: pure steps from one record to the next, each one generation on. The registry
 * reads, applies one of these, and saves.
 */
import { CANARIES_KEPT, type Canary, type CanaryDecision, type CanaryPlan, decided } from "../core/canary.ts";
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
  if (isSame) return changeRecord(record, { latest: next });
  return changeRecord(record, {
    latest: next,
    liveVersion: undefined,
    ...superseded(record, "$LATEST was changed", stamp),
  });
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
  const reason = `version ${record.nextVersion} was deployed`;
  const changed = changeRecord(record, {
    latest: latestOf(deployed, stamp),
    concurrencyMax,
    tags,
    ...superseded(record, reason, stamp),
  });
  return alsoPublished(changed, stamp);
}

/** Code and configuration of `version` become `$LATEST`, as they were. */
export function rollBackTo(record: FunctionRecord, version: Version, stamp: Stamp): Step {
  return changeRecord(record, {
    latest: latestOf({ name: record.name, code: version.code, config: version.config }, stamp),
    liveVersion: Number(version.label),
    ...superseded(record, `it was rolled back to version ${version.label}`, stamp),
  });
}

/** A published version begins to take a share of the calls; one that took some before takes none any more. */
export function startCanary(
  record: FunctionRecord,
  version: number,
  plan: CanaryPlan,
  { now }: Pick<Stamp, "now">,
): Step {
  const reason = `version ${version} is tried instead`;
  const before = decided(record.canaries, { outcome: "superseded", at: now, reason }) ?? [];
  const canary: Canary = {
    ...plan,
    version,
    ...(record.liveVersion !== undefined && { from: record.liveVersion }),
    startedAt: now,
    endsAt: now + plan.forMs,
  };
  return changeRecord(record, { canaries: [canary, ...before].slice(0, CANARIES_KEPT) });
}

/** `promoted` is what becomes live, of a canary that does. */
export function endCanary(
  record: FunctionRecord,
  promoted: Version | undefined,
  decision: CanaryDecision,
  stamp: Stamp,
): Step {
  const before = { ...record, canaries: decided(record.canaries, decision) };
  return promoted ? rollBackTo(before, promoted, stamp) : changeRecord(before, {});
}

/** What is tried is compared with what is live: when that changes, it is over. */
export function superseded(
  { canaries }: FunctionRecord,
  reason: string,
  { now }: Pick<Stamp, "now">,
): Pick<FunctionRecord, "canaries"> {
  return canaries ? { canaries: decided(canaries, { outcome: "superseded", at: now, reason }) } : {};
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
