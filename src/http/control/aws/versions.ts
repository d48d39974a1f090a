/** The operations on published versions and aliases. */

import { PlatformError } from "../../../core/errors.ts";
import type { Version } from "../../../core/function.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, jsonReply, type Reply } from "../route.ts";
import { namedBy, unqualified } from "./lookup.ts";
import { decodeMarker, encodeMarker, pageOf } from "./paging.ts";
import { aliasShape, functionConfiguration } from "./shapes.ts";
import {
  parseCreateAlias,
  parsePage,
  parsePublishVersion,
  parseUpdateAlias,
  parseVersionFilter,
} from "./wire.ts";

const VERSIONS_PER_PAGE = 50;
const ALIASES_PER_PAGE = 50;

export async function publishVersion(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name } = unqualified(request);
  const options = parsePublishVersion(request.json);
  const { latest } = await parts.functions.get(name);
  const { ifArchiveSha256 } = options;
  if (ifArchiveSha256 !== undefined && ifArchiveSha256 !== latest.code.archiveSha256) {
    throw new PlatformError(
      "InvalidRequest",
      `CodeSHA256 (${ifArchiveSha256}) is different from current CodeSHA256 in $LATEST (${latest.code.archiveSha256}). Please try again with the CodeSHA256 in $LATEST.`,
    );
  }
  const version = await parts.functions.publish(name, options);
  return jsonReply(
    201,
    functionConfiguration(version, parts, { qualifier: version.label, moment: "settled" }),
  );
}

export async function listVersionsByFunction(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name } = unqualified(request);
  const { marker, itemsMax } = parsePage(request.query);
  const limit = itemsMax ?? VERSIONS_PER_PAGE;
  const { latest } = await parts.functions.get(name);
  const position = decodeMarker(marker);
  const after = position === undefined ? -1 : Number(position) || 0;

  // `$LATEST` is the first of the list; one more than the page is read, to know whether this is the last.
  const listed: Version[] = after < 0 ? [latest] : [];
  listed.push(
    ...(await parts.functions.listVersions(name, {
      after: Math.max(after, 0),
      limit: limit + 1 - listed.length,
    })),
  );
  const shown = listed.slice(0, limit);
  const last = shown.at(-1);
  return jsonReply(200, {
    Versions: shown.map((version) =>
      functionConfiguration(version, parts, { qualifier: version.label, moment: "listed" }),
    ),
    ...(listed.length > limit &&
      last && {
        NextMarker: encodeMarker(last.label === "$LATEST" ? "0" : last.label),
      }),
  });
}

export async function createAlias(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name } = unqualified(request);
  const alias = await parts.functions.createAlias(name, parseCreateAlias(request.json));
  return jsonReply(201, aliasShape(alias, await parts.functions.get(name), parts));
}

export async function getAlias(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name } = unqualified(request);
  const record = await parts.functions.get(name);
  const alias = record.aliases.find((known) => known.name === request.params.Name);
  if (!alias)
    throw new PlatformError("AliasNotFound", `function ${name} has no alias ${request.params.Name}`);
  return jsonReply(200, aliasShape(alias, record, parts));
}

export async function listAliases(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name } = unqualified(request);
  const { marker, itemsMax } = parsePage(request.query);
  const version = parseVersionFilter(request.query.get("FunctionVersion"));
  const record = await parts.functions.get(name);
  const { items, next } = pageOf(
    record.aliases.filter((alias) => version === undefined || alias.version === version),
    { marker, itemsMax: itemsMax ?? ALIASES_PER_PAGE },
    (alias) => alias.name,
  );
  return jsonReply(200, { Aliases: items.map((alias) => aliasShape(alias, record, parts)), ...next });
}

export async function updateAlias(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name } = unqualified(request);
  const change = parseUpdateAlias(request.json);
  const alias = await parts.functions.updateAlias(name, request.params.Name ?? "", change);
  return jsonReply(200, aliasShape(alias, await parts.functions.get(name), parts));
}

export async function deleteAlias(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name } = namedBy(request);
  await parts.functions.removeAlias(name, request.params.Name ?? "");
  return emptyReply(204);
}
