/** The operations on functions and their configuration. */
import { isPlatformError, PlatformError } from "../../../core/errors.ts";
import {
  type CodeRef,
  type Entry,
  type FunctionConfig,
  type FunctionRecord,
  TEXT_LOGGING,
  type Version,
} from "../../../core/function.ts";
import { type FunctionName, parseFunctionName } from "../../../core/ids.ts";
import { MEMORY_MIB_DEFAULT, TIMEOUT_MS_DEFAULT, TMP_MIB_DEFAULT } from "../../../core/limits.ts";
import type { CodeLinks } from "../code-links.ts";
import { type ControlParts, FUNCTION_DELETED } from "../parts.ts";
import { type ControlRequest, emptyReply, jsonReply, type Reply } from "../route.ts";
import { changedLogging, checkSizeWithLayers, layersConfig } from "./function-layers.ts";
import { changedKept } from "./kept-wire.ts";
import { namedBy, unqualified, versionOf } from "./lookup.ts";
import { decodeMarker, encodeMarker } from "./paging.ts";
import { unsupported } from "./refusals.ts";
import { functionConfiguration, handlerText, imageLocation, type Moment } from "./shapes.ts";
import { takeIn } from "./take-in.ts";
import {
  type ConfigurationChange,
  parseCreateFunction,
  parsePage,
  parseUpdateCode,
  parseUpdateConfiguration,
} from "./wire.ts";

/** AWS answers at most so many functions a page, whatever is asked for. */
const FUNCTIONS_PER_PAGE = 50;

export async function createFunction(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const made = parseCreateFunction(request.json, request.reference?.text ?? "", parts);
  const name = newFunctionName(request);
  await parts.runtimes.resolve(made.configuration.runtime);
  await refuseExisting(parts, name);
  const code = await takeIn(parts, made.zip, request.signal);
  const { configuration } = made;
  const config: FunctionConfig = {
    runtime: configuration.runtime,
    entry: { kind: "handler", handler: configuration.handler },
    network: "host",
    ...(await layersConfig(parts, configuration.layers ?? [], code, request.signal)),
    ...createdSettings(parts, configuration),
  };
  const record = await parts.functions.create(
    { name, code, config, concurrencyMax: undefined, tags: made.tags },
    { publish: made.publish },
  );
  const shown = made.publish ? await parts.functions.getVersion(record.name, 1) : record.latest;
  return configurationReply(parts, 201, shown, "creating");
}

/** What a new function has whatever its package is: the request's settings, and the defaults of those it leaves out. */
export function createdSettings(
  parts: Pick<ControlParts, "architecture">,
  configuration: ConfigurationChange & { readonly role: string },
): Omit<FunctionConfig, "runtime" | "entry" | "network" | "layers" | "optTreeId"> {
  return {
    description: configuration.description ?? "",
    memoryMib: configuration.memoryMib ?? MEMORY_MIB_DEFAULT,
    timeoutMs: configuration.timeoutMs ?? TIMEOUT_MS_DEFAULT,
    tmpMib: configuration.tmpMib ?? TMP_MIB_DEFAULT,
    environment: configuration.environment ?? {},
    slotsPerInstance: 1,
    architecture: parts.architecture,
    role: configuration.role,
    logging: changedLogging(TEXT_LOGGING, configuration.logging),
    kept: changedKept(undefined, configuration.kept),
  };
}

/** @throws PlatformError `InvalidName`, `InvalidRequest` for a qualifier. */
export function newFunctionName({ reference }: ControlRequest): FunctionName {
  if (!reference?.name) {
    throw new PlatformError(
      "InvalidName",
      `FunctionName: names must not begin with _ nor have dots, got ${reference?.text}`,
    );
  }
  if (reference.qualifier !== undefined) {
    throw new PlatformError(
      "InvalidRequest",
      `FunctionName: a new function has no qualifier, got ${reference.qualifier}`,
    );
  }
  return reference.name;
}

/** Before an archive of 50 MB is unpacked for nothing. */
export async function refuseExisting(parts: ControlParts, name: FunctionRecord["name"]): Promise<void> {
  const exists = await parts.functions.get(name).then(
    () => true,
    (error: unknown) => {
      if (isPlatformError(error, "FunctionNotFound")) return false;
      throw error;
    },
  );
  if (exists) throw new PlatformError("FunctionExists", `function ${name} exists already`);
}

export async function getFunction(
  parts: ControlParts,
  links: CodeLinks,
  request: ControlRequest,
): Promise<Reply> {
  const { name, qualifier } = namedBy(request);
  const record = await parts.functions.get(name);
  const version = await versionOf(parts.functions, record, qualifier);
  const { concurrencyMax, tags } = record;
  return jsonReply(200, {
    Configuration: functionConfiguration(version, parts, { qualifier, moment: "settled" }),
    Code: imageLocation(version) ?? {
      RepositoryType: "S3",
      Location: `${request.baseUrl}${links.issue(version.code.archiveSha256)}`,
    },
    ...(Object.keys(tags).length > 0 && { Tags: tags }),
    ...(concurrencyMax !== undefined && { Concurrency: { ReservedConcurrentExecutions: concurrencyMax } }),
  });
}

export async function getFunctionConfiguration(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, qualifier } = namedBy(request);
  const record = await parts.functions.get(name);
  const version = await versionOf(parts.functions, record, qualifier);
  return jsonReply(200, functionConfiguration(version, parts, { qualifier, moment: "settled" }));
}

export async function listFunctions(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { marker, itemsMax } = parsePage(request.query);
  const limit = Math.min(itemsMax ?? FUNCTIONS_PER_PAGE, FUNCTIONS_PER_PAGE);
  const wantsVersions = request.query.get("FunctionVersion") === "ALL";
  if (request.query.has("FunctionVersion") && !wantsVersions) {
    throw new PlatformError(
      "ValidationFailed",
      "1 validation error detected: Value at 'functionVersion' failed to satisfy constraint: Member must satisfy enum value set: [ALL]",
    );
  }
  if (request.query.has("MasterRegion")) throw unsupported("MasterRegion", "functions are not replicated");

  const found: { readonly version: Version; readonly position: string }[] = [];
  const start = startOf(decodeMarker(marker));
  // One more than the page, so that the last page is known to be the last.
  for await (const version of eachVersion(parts, request, start, wantsVersions)) {
    found.push({ version, position: `${version.functionName}:${version.label}` });
    if (found.length > limit) break;
  }
  const shown = found.slice(0, limit);
  const last = shown.at(-1);
  return jsonReply(200, {
    Functions: shown.map(({ version }) =>
      functionConfiguration(version, parts, {
        qualifier: wantsVersions ? version.label : undefined,
        moment: "listed",
      }),
    ),
    ...(found.length > limit && last && { NextMarker: encodeMarker(last.position) }),
  });
}

interface ListStart {
  readonly name: FunctionName | undefined;
  /** The last version shown; 0 is `$LATEST`. */
  readonly number: number;
}

function startOf(position: string | undefined): ListStart | undefined {
  if (position === undefined) return undefined;
  const [name = "", label = ""] = position.split(":");
  return { name: parseFunctionName(name), number: label === "$LATEST" ? 0 : Number(label) || 0 };
}

/** By function, `$LATEST` first, then ascending; only what the caller's key is good for. */
async function* eachVersion(
  parts: ControlParts,
  request: ControlRequest,
  start: ListStart | undefined,
  wantsVersions: boolean,
): AsyncGenerator<Version> {
  if (start?.name && wantsVersions) yield* numbered(parts, start.name, start.number);
  let after: string | undefined = start?.name;
  for (;;) {
    const page = await parts.functions.list({ after, limit: FUNCTIONS_PER_PAGE + 1 });
    for (const record of page) {
      after = record.name;
      if (!request.caller.mayUse(record.name)) continue;
      yield record.latest;
      if (wantsVersions) yield* numbered(parts, record.name, 0);
    }
    if (page.length <= FUNCTIONS_PER_PAGE) return;
  }
}

async function* numbered(parts: ControlParts, name: FunctionName, from: number): AsyncGenerator<Version> {
  let after = from;
  for (;;) {
    const page = await parts.functions
      .listVersions(name, { after, limit: FUNCTIONS_PER_PAGE })
      .catch((error: unknown) => {
        // Deleted between two pages: it has no versions any more.
        if (isPlatformError(error, "FunctionNotFound")) return [];
        throw error;
      });
    yield* page;
    const last = page.at(-1);
    if (!last || page.length < FUNCTIONS_PER_PAGE) return;
    after = Number(last.label);
  }
}

export async function updateFunctionCode(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, reference } = unqualified(request);
  const update = parseUpdateCode(request.json, reference.text, parts);
  const record = await parts.functions.get(name);
  checkRevision(record.latest, update.ifRevision);
  const code = await takeIn(parts, update.zip, request.signal);
  checkSizeWithLayers(code, record.latest.config.layers);
  if (update.isDryRun) {
    return configurationReply(parts, 200, { ...record.latest, code }, "settled");
  }
  const updated = await parts.functions.update(name, { code, ifRevision: update.ifRevision });
  const shown = update.publish ? await parts.functions.publish(name, {}) : updated.latest;
  return configurationReply(parts, 200, shown, "updating");
}

/** `image` is what an image function runs from now on. */
export async function updateFunctionConfiguration(
  parts: ControlParts,
  request: ControlRequest,
  image?: { readonly code: CodeRef; readonly entry: Entry; readonly ofRevision: string },
): Promise<Reply> {
  const { name, reference } = unqualified(request);
  const change = parseUpdateConfiguration(request.json, reference.text);
  const record = await parts.functions.get(name);
  checkRevision(record.latest, change.ifRevision);
  if (record.latest.code.image) refuseOfImage(change);
  const config = {
    ...changedConfig(record.latest.config, change),
    ...(change.layers && (await layersConfig(parts, change.layers, record.latest.code, request.signal))),
    ...(image && { entry: image.entry }),
  };
  if (change.runtime !== undefined) await parts.runtimes.resolve(change.runtime);
  const updated = await parts.functions.update(name, {
    ...(image && { code: image.code }),
    config,
    // What was read is what is changed: somebody else's change in between must not be undone.
    ifRevision: change.ifRevision ?? image?.ofRevision ?? record.latest.revisionId,
  });
  return configurationReply(parts, 200, updated.latest, "updating");
}

export async function deleteFunction(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, qualifier } = namedBy(request);
  if (qualifier === undefined) {
    await parts.functions.remove(name);
    await parts.ledger.cancelAll(name, FUNCTION_DELETED);
    await parts.records.forget(name);
    await parts.metrics.forget(name);
    return emptyReply(204);
  }
  if (qualifier === "$LATEST") {
    await parts.functions.get(name);
    throw new PlatformError(
      "InvalidRequest",
      "$LATEST version cannot be deleted without deleting the function.",
    );
  }
  if (!/^\d+$/.test(qualifier)) {
    throw new PlatformError("InvalidRequest", "Deletion of aliases is not currently supported.");
  }
  await parts.functions.removeVersion(name, Number(qualifier));
  return emptyReply(204);
}

function changedConfig(config: FunctionConfig, change: ConfigurationChange): FunctionConfig {
  return {
    ...config,
    entry: changedEntry(config.entry, change.handler),
    runtime: change.runtime ?? config.runtime,
    description: change.description ?? config.description,
    memoryMib: change.memoryMib ?? config.memoryMib,
    timeoutMs: change.timeoutMs ?? config.timeoutMs,
    tmpMib: change.tmpMib ?? config.tmpMib,
    environment: change.environment ?? config.environment,
    role: change.role ?? config.role,
    logging: changedLogging(config.logging, change.logging),
    kept: changedKept(config.kept, change.kept),
  };
}

function changedEntry(entry: Entry, handler: string | undefined): Entry {
  if (handler === undefined || handler === handlerText(entry)) return entry;
  if (entry.kind === "handler") return { kind: "handler", handler };
  throw unsupported("Handler", `this function is a ${entry.kind}; change it with lambda deploy`);
}

/** What an image brings itself. */
function refuseOfImage({ runtime, handler, layers }: ConfigurationChange): void {
  const given = Object.entries({
    Runtime: runtime,
    Handler: handler,
    Layers: layers?.length ? layers : undefined,
  })
    .filter(([, value]) => value !== undefined)
    .map(([name]) => name);
  if (given.length > 0) {
    throw new PlatformError(
      "InvalidRequest",
      `Please don't provide ${given.join(" or ")} when the intended function PackageType is Image.`,
    );
  }
}

export function checkRevision(latest: Version, ifRevision: string | undefined): void {
  if (ifRevision !== undefined && ifRevision !== latest.revisionId) {
    throw new PlatformError("RevisionChanged", `revision ${ifRevision} is not the current one`);
  }
}

export function configurationReply(
  parts: ControlParts,
  status: number,
  version: Version,
  moment: Moment,
): Reply {
  const qualifier = version.label === "$LATEST" ? undefined : version.label;
  return jsonReply(status, functionConfiguration(version, parts, { qualifier, moment }));
}
