/** The operations on provisioned concurrency: instances that the invoker keeps started of a version or an alias. */
import { PlatformError } from "../../../core/errors.ts";
import type { FunctionRecord } from "../../../core/function.ts";
import type { FunctionSettings, Provisioned } from "../../../core/function-settings.ts";
import type { FunctionName } from "../../../core/ids.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, jsonReply, type Reply } from "../route.ts";
import { namedBy, unqualified, versionOf } from "./lookup.ts";
import { functionArn } from "./names.ts";
import { pageOf } from "./paging.ts";
import { parsePutProvisioned } from "./settings-wire.ts";
import { lastModified } from "./shapes.ts";
import { parsePage } from "./wire.ts";

const CONFIGS_PER_PAGE = 50;

export async function putProvisioned(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, qualifier } = qualified(request);
  const instances = parsePutProvisioned(request.json);
  if (qualifier === "$LATEST") {
    throw new PlatformError(
      "InvalidRequest",
      "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
    );
  }
  await versionOf(parts.functions, await parts.functions.get(name), qualifier);
  const made: Provisioned = { qualifier, instances, modifiedAt: parts.clock.now() };
  await parts.functions.changeSettings(name, (record) => {
    checkRoom(record, qualifier, instances, parts.quotas.concurrencyMax);
    checkOverlap(record, qualifier);
    return withProvisioned(record.settings, qualifier, made);
  });
  // AWS answers with what is there at that moment: nothing yet.
  return jsonReply(202, configShape(made, { available: 0, problem: undefined }));
}

export async function getProvisioned(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, qualifier } = qualified(request);
  const record = await parts.functions.get(name);
  await versionOf(parts.functions, record, qualifier);
  const config = record.settings.provisioned.find((known) => known.qualifier === qualifier);
  if (!config || qualifier === "$LATEST") throw notConfigured();
  return jsonReply(200, shownConfig(parts, name, config));
}

export async function deleteProvisioned(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, qualifier } = qualified(request);
  await versionOf(parts.functions, await parts.functions.get(name), qualifier);
  await parts.functions.changeSettings(name, ({ settings }) =>
    withProvisioned(settings, qualifier, undefined),
  );
  return emptyReply(204);
}

export async function listProvisioned(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name } = unqualified(request);
  const { marker, itemsMax } = parsePage(request.query);
  const { settings } = await parts.functions.get(name);
  const page = { marker, itemsMax: Math.min(itemsMax ?? CONFIGS_PER_PAGE, CONFIGS_PER_PAGE) };
  const published = settings.provisioned.filter(({ qualifier }) => qualifier !== "$LATEST");
  const { items, next } = pageOf(published, page, ({ qualifier }) => qualifier);
  const configs = items.map((config) => ({
    FunctionArn: functionArn(parts, name, config.qualifier),
    ...shownConfig(parts, name, config),
  }));
  return jsonReply(200, { ProvisionedConcurrencyConfigs: configs, ...next });
}

/** Settings with so many instances kept of a qualifier; with undefined, with none. */
export function withProvisioned(
  settings: FunctionSettings,
  qualifier: string,
  made: Provisioned | undefined,
): FunctionSettings {
  const others = settings.provisioned.filter((known) => known.qualifier !== qualifier);
  if (!made && others.length === settings.provisioned.length) return settings;
  return { ...settings, provisioned: made ? [...others, made] : others };
}

function qualified(request: ControlRequest): { readonly name: FunctionName; readonly qualifier: string } {
  const { name, qualifier } = namedBy(request);
  if (qualifier !== undefined) return { name, qualifier };
  throw new PlatformError(
    "ValidationFailed",
    "1 validation error detected: Value null at 'qualifier' failed to satisfy constraint: Member must not be null",
  );
}

/** What is kept started counts against the function's own limit and the account's. */
function checkRoom(
  record: FunctionRecord,
  qualifier: string,
  instances: number,
  accountMax: number | undefined,
): void {
  const others = record.settings.provisioned.filter((known) => known.qualifier !== qualifier);
  const wanted = others.reduce((sum, other) => sum + other.instances, instances);
  if (record.concurrencyMax !== undefined && wanted > record.concurrencyMax) {
    throw new PlatformError(
      "InvalidRequest",
      "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function",
    );
  }
  if (accountMax !== undefined && wanted > accountMax) {
    throw new PlatformError(
      "InvalidRequest",
      `Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [${accountMax}].`,
    );
  }
}

/** One version's instances cannot be asked for twice, by its number and by an alias. */
function checkOverlap({ aliases, settings }: FunctionRecord, qualifier: string): void {
  const isKept = (wanted: string) => settings.provisioned.some((known) => known.qualifier === wanted);
  const alias = aliases.find(({ name }) => name === qualifier);
  if (alias && isKept(alias.version)) {
    throw new PlatformError(
      "ResourceConflict",
      "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version",
    );
  }
  if (!alias && aliases.some(({ name, version }) => version === qualifier && isKept(name))) {
    throw new PlatformError("ResourceConflict", "Version is pointed by a Provisioned Concurrency alias");
  }
}

function notConfigured(): PlatformError {
  return new PlatformError(
    "ProvisionedNotFound",
    "No Provisioned Concurrency Config found for this function",
  );
}

interface Progress {
  /** Instances that are up. */
  readonly available: number;
  /** Why it cannot be more. */
  readonly problem: string | undefined;
}

function shownConfig(parts: ControlParts, name: FunctionName, config: Provisioned): Record<string, unknown> {
  return configShape(config, parts.provisioned(name, config.qualifier));
}

function configShape(config: Provisioned, { available, problem }: Progress): Record<string, unknown> {
  const { instances, modifiedAt } = config;
  const isReady = available >= instances;
  return {
    RequestedProvisionedConcurrentExecutions: instances,
    AvailableProvisionedConcurrentExecutions: Math.min(available, instances),
    AllocatedProvisionedConcurrentExecutions: Math.min(available, instances),
    Status: isReady ? "READY" : problem === undefined ? "IN_PROGRESS" : "FAILED",
    ...(!isReady && problem !== undefined && { StatusReason: problem }),
    LastModified: lastModified(modifiedAt),
  };
}
