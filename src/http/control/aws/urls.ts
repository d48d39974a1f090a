/** The operations on function URLs: addresses of their own that the gateway serves. */
import { randomBytes } from "node:crypto";
import { PlatformError } from "../../../core/errors.ts";
import type { FunctionRecord, FunctionUrl } from "../../../core/function.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, jsonReply, type Reply } from "../route.ts";
import { namedBy } from "./lookup.ts";
import { functionArn } from "./names.ts";
import { pageOf } from "./paging.ts";
import { urlShape } from "./shapes.ts";
import { parseCreateUrl, parsePage, parseUpdateUrl } from "./wire.ts";

const URLS_PER_PAGE = 50;
const ID_LETTERS = "abcdefghijklmnopqrstuvwxyz234567";
const ID_LENGTH = 32;

export async function createFunctionUrlConfig(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { record, qualifier } = await owner(parts, request);
  const made = parseCreateUrl(request.json);
  if (record.urls.some((url) => url.qualifier === qualifier)) {
    const arn = functionArn(parts, record.name, qualifier);
    throw new PlatformError(
      "ResourceConflict",
      `Failed to create function url config for [functionArn = ${arn}]. Error message:  FunctionUrlConfig exists for this Lambda function`,
    );
  }
  const now = parts.clock.now();
  const url: FunctionUrl = {
    qualifier,
    urlId: newUrlId(),
    authType: made.authType,
    invokeMode: made.invokeMode ?? "BUFFERED",
    cors: made.cors,
    createdAt: now,
    modifiedAt: now,
  };
  await parts.functions.saveUrl(record.name, url);
  const { LastModifiedTime, InvokeMode, ...shown } = shapeOf(parts, record, url);
  // Recorded: a create answers without the time of the last change, and with a mode only if it was given.
  return jsonReply(201, { ...shown, ...(made.invokeMode !== undefined && { InvokeMode }) });
}

export async function getFunctionUrlConfig(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { record, qualifier } = await owner(parts, request);
  return jsonReply(200, shapeOf(parts, record, urlOf(record, qualifier)));
}

export async function updateFunctionUrlConfig(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { record, qualifier } = await owner(parts, request);
  const change = parseUpdateUrl(request.json);
  const known = urlOf(record, qualifier);
  const url: FunctionUrl = {
    ...known,
    authType: change.authType ?? known.authType,
    invokeMode: change.invokeMode ?? known.invokeMode,
    cors: change.cors ?? known.cors,
    modifiedAt: parts.clock.now(),
  };
  await parts.functions.saveUrl(record.name, url);
  return jsonReply(200, shapeOf(parts, record, url));
}

export async function deleteFunctionUrlConfig(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { record, qualifier } = await owner(parts, request);
  urlOf(record, qualifier);
  await parts.functions.removeUrl(record.name, qualifier);
  return emptyReply(204);
}

export async function listFunctionUrlConfigs(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name } = namedBy(request);
  const { marker, itemsMax } = parsePage(request.query);
  const record = await parts.functions.get(name);
  const page = { marker, itemsMax: Math.min(itemsMax ?? URLS_PER_PAGE, URLS_PER_PAGE) };
  const { items, next } = pageOf(record.urls, page, (url) => url.urlId);
  return jsonReply(200, { FunctionUrlConfigs: items.map((url) => shapeOf(parts, record, url)), ...next });
}

/** The function, and the alias if one is named. A URL belongs to one of those, never to a number. */
async function owner(
  parts: ControlParts,
  request: ControlRequest,
): Promise<{ readonly record: FunctionRecord; readonly qualifier: string | undefined }> {
  const { name, qualifier } = namedBy(request);
  if (qualifier !== undefined && (qualifier === "$LATEST" || /^\d+$/.test(qualifier))) {
    throw new PlatformError(
      "ValidationFailed",
      `1 validation error detected: Value '${qualifier}' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: ((?!^\\d+$)^[0-9a-zA-Z-_]+$)`,
    );
  }
  const record = await parts.functions.get(name);
  if (qualifier !== undefined && !record.aliases.some((alias) => alias.name === qualifier)) {
    throw new PlatformError("AliasNotFound", `function ${name} has no alias ${qualifier}`);
  }
  return { record, qualifier };
}

function urlOf(record: FunctionRecord, qualifier: string | undefined): FunctionUrl {
  const url = record.urls.find((known) => known.qualifier === qualifier);
  if (!url) throw new PlatformError("ResourceNotFound", "The resource you requested does not exist.");
  return url;
}

function shapeOf(parts: ControlParts, record: FunctionRecord, url: FunctionUrl): Record<string, unknown> {
  return urlShape(url, record, parts, parts.urls.ofUrlId(url.urlId));
}

/** As AWS's: 32 letters that may stand in a host name. */
function newUrlId(): string {
  let id = "";
  for (const byte of randomBytes(ID_LENGTH)) id += ID_LETTERS[byte % ID_LETTERS.length];
  return id;
}
