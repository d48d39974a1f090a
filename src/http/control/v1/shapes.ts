/** What our own API answers. Members that are undefined are left out of the JSON. */
import type { Alias, FunctionRecord, Version } from "../../../core/function.ts";
import { changedMembers } from "../../../registry/version-diff.ts";
import type { KeyRecord } from "../../../store/store.ts";
import type { ControlParts } from "../parts.ts";
import { canaryShape } from "./canaries.ts";
import { keptInstances } from "./min-instances.ts";
import { shadowShape } from "./shadows.ts";

export function functionShape(record: FunctionRecord, parts: ControlParts): Record<string, unknown> {
  const { latest, canaries = [] } = record;
  const canary = canaries.find(({ shadow }) => !shadow);
  const shadow = canaries.find(({ shadow }) => shadow);
  return {
    name: record.name,
    url: parts.urls.ofFunction(record.name),
    liveVersion: record.liveVersion,
    latest: {
      revisionId: latest.revisionId,
      modifiedAt: latest.modifiedAt,
      code: codeShape(latest),
      config: latest.config,
    },
    versions: record.nextVersion - 1,
    aliases: record.aliases.map(aliasShape),
    concurrencyMax: record.concurrencyMax,
    concurrencyMin: keptInstances(record),
    canary: canary && canaryShape(canary),
    shadow: shadow && shadowShape(shadow),
    recording: record.settings.recording,
    tags: record.tags,
    project: record.membership?.project,
    release: record.membership?.release,
    createdAt: record.createdAt,
    instances: parts.instances(record.name),
  };
}

/** `before` is the version published before it, if there is one left. */
export function versionShape(
  version: Version,
  before: Version | undefined,
  record: FunctionRecord,
): Record<string, unknown> {
  return {
    number: Number(version.label),
    publishedAt: version.modifiedAt,
    description: version.config.description,
    isLive: record.liveVersion === Number(version.label),
    aliases: record.aliases
      .filter((alias) => alias.version === version.label || alias.split?.version === version.label)
      .map((alias) => alias.name),
    changed: before ? changedMembers(before, version) : [],
    code: codeShape(version),
    config: version.config,
  };
}

export function aliasShape(alias: Alias): Record<string, unknown> {
  return {
    name: alias.name,
    version: alias.version,
    description: alias.description,
    split: alias.split,
    revisionId: alias.revisionId,
  };
}

/** Never a secret, not even a sealed one. */
export function keyShape(key: KeyRecord): Record<string, unknown> {
  return {
    id: key.id,
    description: key.description,
    scopes: key.scopes,
    functions: key.functions,
    createdAt: key.createdAt,
    expiresAt: key.expiresAt,
    revokedAt: key.revokedAt,
    isImported: key.importedSecret !== undefined,
  };
}

function codeShape({ code }: Version): Record<string, unknown> {
  return {
    archiveSha256: code.archiveSha256,
    archiveBytes: code.archiveBytes,
    treeBytes: code.treeBytes,
    image: code.image,
    source: code.source,
  };
}
