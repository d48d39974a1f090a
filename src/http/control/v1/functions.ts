/** Functions, versions and aliases of our own API. */

import type { CodeSettings } from "../../../code/prepare.ts";
import { isPlatformError, PlatformError } from "../../../core/errors.ts";
import type { FunctionRecord, Version } from "../../../core/function.ts";
import type { FunctionName } from "../../../core/ids.ts";
import { checkEnvironment } from "../environment-rules.ts";
import { type ControlParts, FUNCTION_DELETED } from "../parts.ts";
import { type ControlRequest, emptyReply, jsonReply, type Reply } from "../route.ts";
import { changedEntry, configOf } from "./config.ts";
import { chooseLayers } from "./layers.ts";
import { checkMayInvoke } from "./may-invoke.ts";
import { keepInstances } from "./min-instances.ts";
import { nameOf } from "./named-function.ts";
import { aliasShape, functionShape, versionShape } from "./shapes.ts";
import {
  type ChangeSettings,
  parseChange,
  parsePage,
  parsePutAlias,
  parseRollback,
  wholeNumber,
} from "./wire.ts";

export async function listFunctions(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { after, limit } = parsePage(request.query);
  const found: FunctionRecord[] = [];
  let position = after;
  // One more than asked for tells whether there is a next page.
  while (found.length <= limit) {
    const page = await parts.functions.list({ after: position, limit: limit + 1 });
    found.push(...page.filter((record) => request.caller.mayUse(record.name)));
    position = page.at(-1)?.name;
    if (page.length <= limit) break;
  }
  const shown = found.slice(0, limit);
  return jsonReply(200, {
    functions: shown.map((record) => functionShape(record, parts)),
    next: found.length > limit ? shown.at(-1)?.name : undefined,
  });
}

export async function getFunction(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  return jsonReply(200, functionShape(await parts.functions.get(nameOf(request)), parts));
}

export async function changeFunction(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const name = nameOf(request);
  const change = parseChange(request.json);
  const before = await parts.functions.get(name);
  const { code, config } = before.latest;
  const { prepare, concurrencyMax } = change;
  if (code.image) refuseEntryOfImage(prepare);
  if (prepare.runtime !== undefined) await parts.runtimes.resolve(prepare.runtime);
  const changed = configOf(
    change,
    config,
    {
      runtime: prepare.runtime ?? config.runtime,
      entry: changedEntry(config.entry, prepare),
      environment: changedEnvironment(config.environment, change),
      opt: await chooseLayers(parts, change.layers, config, code, request.signal),
    },
    parts,
  );
  checkMayInvoke(request.caller, config.mayInvoke, changed);
  const { record: deployed, version } = await parts.functions.deploy({
    name,
    code,
    config: changed,
    concurrencyMax: concurrencyMax === undefined ? before.concurrencyMax : (concurrencyMax ?? undefined),
    tags: before.tags,
  });
  const record = await keepInstances(parts, name, deployed, change.concurrencyMin);
  const said = change.warnings.length > 0 ? { warnings: change.warnings } : {};
  return jsonReply(200, { function: functionShape(record, parts), version: Number(version.label), ...said });
}

/** What an image runs is read from it when it is deployed. */
function refuseEntryOfImage(given: CodeSettings): void {
  const member = (["runtime", "kind", "handler", "module", "command"] as const).find(
    (name) => given[name] !== undefined,
  );
  if (member !== undefined) {
    throw new PlatformError(
      "InvalidRequest",
      `${member}: the code of this function is an image; deploy the image again to run it otherwise`,
    );
  }
}

function changedEnvironment(
  before: Readonly<Record<string, string>>,
  { environment }: ChangeSettings,
): Readonly<Record<string, string>> {
  if (!environment) return before;
  const unset = new Set(environment.unset);
  const kept = Object.entries(before).filter(([name]) => !unset.has(name));
  return checkEnvironment(Object.fromEntries([...kept, ...Object.entries(environment.set)]));
}

export async function deleteFunction(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const name = nameOf(request);
  await parts.functions.remove(name);
  await parts.ledger.cancelAll(name, FUNCTION_DELETED);
  await parts.records.forget(name);
  await parts.metrics.forget(name);
  return emptyReply(204);
}

export async function rollbackFunction(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const name = nameOf(request);
  const to = parseRollback(request.json);
  const { liveVersion } = await parts.functions.get(name);
  const { record, version } = await parts.functions.rollback(name, to);
  return jsonReply(200, {
    from: liveVersion,
    to: Number(version.label),
    function: functionShape(record, parts),
  });
}

export async function listVersions(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const name = nameOf(request);
  const { limit } = parsePage(request.query);
  const after = wholeNumber(request.query, "after", 0, Number.MAX_SAFE_INTEGER) ?? 0;
  const record = await parts.functions.get(name);
  const versions = await parts.functions.listVersions(name, { after, limit: limit + 1 });
  const shown = versions.slice(0, limit);
  let before = after === 0 ? undefined : await findVersion(parts, name, after);
  const shapes: Record<string, unknown>[] = [];
  for (const version of shown) {
    shapes.push(versionShape(version, before, record));
    before = version;
  }
  return jsonReply(200, {
    versions: shapes,
    next: versions.length > limit ? Number(shown.at(-1)?.label) : undefined,
  });
}

async function findVersion(
  parts: ControlParts,
  name: FunctionName,
  number: number,
): Promise<Version | undefined> {
  try {
    return await parts.functions.getVersion(name, number);
  } catch (error) {
    if (isPlatformError(error, "VersionNotFound")) return undefined;
    throw error;
  }
}

export async function deleteVersion(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const name = nameOf(request);
  const text = request.params.number ?? "";
  if (!/^[1-9]\d{0,14}$/.test(text)) {
    throw new PlatformError("InvalidRequest", `version: expected a number, got ${JSON.stringify(text)}`);
  }
  await parts.functions.removeVersion(name, Number(text));
  return emptyReply(204);
}

export async function listAliases(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { aliases } = await parts.functions.get(nameOf(request));
  const sorted = [...aliases].sort((a, b) => (a.name < b.name ? -1 : 1));
  return jsonReply(200, { aliases: sorted.map(aliasShape) });
}

export async function putAlias(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const name = nameOf(request);
  const given = parsePutAlias(request.json);
  const alias = request.params.alias ?? "";
  const known = (await parts.functions.get(name)).aliases.find((candidate) => candidate.name === alias);
  const description = given.description ?? known?.description ?? "";
  const { version, split } = given;
  const saved = known
    ? await parts.functions.updateAlias(name, alias, { version, split, description })
    : await parts.functions.createAlias(name, { name: alias, version, split, description });
  return jsonReply(200, aliasShape(saved));
}

export async function deleteAlias(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  await parts.functions.removeAlias(nameOf(request), request.params.alias ?? "");
  return emptyReply(204);
}
