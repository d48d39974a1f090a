/** The operations on layers. */
import { PlatformError } from "../../../core/errors.ts";
import type { LayerVersion } from "../../../core/function.ts";
import type { CodeLinks } from "../code-links.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, jsonReply, type Reply } from "../route.ts";
import {
  layerArn,
  layerVersionArn,
  noSuchResource,
  parseLayerName,
  parseLayerNumber,
  parseLayerVersionArn,
} from "./layer-names.ts";
import { decodeMarker, encodeMarker } from "./paging.ts";
import { layerVersionShape } from "./shapes.ts";
import { takeIn } from "./take-in.ts";
import { type LayerFilter, parseLayerFilter, parsePage, parsePublishLayer } from "./wire.ts";

/** AWS answers at most so many a page, whatever is asked for. */
const PER_PAGE = 50;

export async function publishLayerVersion(
  parts: ControlParts,
  links: CodeLinks,
  request: ControlRequest,
): Promise<Reply> {
  const layerName = nameOf(parts, request);
  const made = parsePublishLayer(request.json);
  const code = await takeIn(parts, made.zip, request.signal);
  const { zip: _, ...described } = made;
  const layer = { ...described, layerName, code, createdAt: parts.clock.now() };
  const number = await parts.layers.publish(layer);
  return wholeReply(parts, links, request, 201, { ...layer, number });
}

export async function getLayerVersion(
  parts: ControlParts,
  links: CodeLinks,
  request: ControlRequest,
): Promise<Reply> {
  const number = parseLayerNumber(request.params.VersionNumber ?? "");
  const found = await parts.layers.findVersion(nameOf(parts, request), number);
  if (!found) throw noSuchResource();
  return wholeReply(parts, links, request, 200, found);
}

export async function getLayerVersionByArn(
  parts: ControlParts,
  links: CodeLinks,
  request: ControlRequest,
): Promise<Reply> {
  const arn = request.query.get("Arn");
  if (arn === null) {
    throw new PlatformError(
      "ValidationFailed",
      "1 validation error detected: Value null at 'arn' failed to satisfy constraint: Member must not be null",
    );
  }
  const named = parseLayerVersionArn(arn, parts);
  const found = named && (await parts.layers.findVersion(named.layerName, named.number));
  if (!found) throw noSuchResource();
  return wholeReply(parts, links, request, 200, found);
}

export async function listLayerVersions(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const layerName = nameOf(parts, request);
  const filter = parseLayerFilter(request.query);
  const { marker, itemsMax } = parsePage(request.query);
  const before = numberIn(decodeMarker(marker));
  const limit = Math.min(itemsMax ?? PER_PAGE, PER_PAGE);
  const found: LayerVersion[] = [];
  // One more than the page, so that the last page is known to be the last.
  for await (const version of eachVersion(parts, layerName, before)) {
    if (fits(version, filter)) found.push(version);
    if (found.length > limit) break;
  }
  const shown = found.slice(0, limit);
  const last = shown.at(-1);
  return jsonReply(200, {
    LayerVersions: shown.map((version) => layerVersionShape(version, parts)),
    ...(found.length > limit && last && { NextMarker: encodeMarker(String(last.number)) }),
  });
}

export async function listLayers(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const filter = parseLayerFilter(request.query);
  const { marker, itemsMax } = parsePage(request.query);
  const limit = Math.min(itemsMax ?? PER_PAGE, PER_PAGE);
  const found: LayerVersion[] = [];
  for await (const layerName of eachName(parts, decodeMarker(marker))) {
    const newest = await newestThatFits(parts, layerName, filter);
    if (newest) found.push(newest);
    if (found.length > limit) break;
  }
  const shown = found.slice(0, limit);
  const last = shown.at(-1);
  return jsonReply(200, {
    Layers: shown.map((version) => ({
      LayerName: version.layerName,
      LayerArn: layerArn(parts, version.layerName),
      LatestMatchingVersion: layerVersionShape(version, parts),
    })),
    ...(found.length > limit && last && { NextMarker: encodeMarker(last.layerName) }),
  });
}

/** No error if that version is not there, as on AWS. Functions that use it keep it. */
export async function deleteLayerVersion(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const number = parseLayerNumber(request.params.VersionNumber ?? "");
  await parts.layers.deleteVersion(nameOf(parts, request), number);
  return emptyReply(204);
}

function nameOf(parts: ControlParts, request: ControlRequest): string {
  return parseLayerName(request.params.LayerName ?? "", parts);
}

function wholeReply(
  parts: ControlParts,
  links: CodeLinks,
  request: ControlRequest,
  status: number,
  layer: LayerVersion,
): Reply {
  const { code, layerName, number } = layer;
  return jsonReply(status, {
    Content: {
      Location: `${request.baseUrl}${links.issue(code.archiveSha256)}`,
      CodeSha256: code.archiveSha256,
      CodeSize: code.archiveBytes,
    },
    LayerArn: layerArn(parts, layerName),
    ...layerVersionShape(layer, parts),
    LayerVersionArn: layerVersionArn(parts, layerName, number),
  });
}

function fits(layer: LayerVersion, { runtime, architecture }: LayerFilter): boolean {
  return (
    (runtime === undefined || layer.compatibleRuntimes.includes(runtime)) &&
    (architecture === undefined || layer.compatibleArchitectures.includes(architecture))
  );
}

async function newestThatFits(
  parts: ControlParts,
  layerName: string,
  filter: LayerFilter,
): Promise<LayerVersion | undefined> {
  for await (const version of eachVersion(parts, layerName, undefined)) {
    if (fits(version, filter)) return version;
  }
  return undefined;
}

async function* eachVersion(
  parts: ControlParts,
  layerName: string,
  from: number | undefined,
): AsyncGenerator<LayerVersion> {
  let before = from;
  for (;;) {
    const page = await parts.layers.listVersions(layerName, { before, limit: PER_PAGE });
    yield* page;
    before = page.at(-1)?.number;
    if (page.length < PER_PAGE) return;
  }
}

async function* eachName(parts: ControlParts, from: string | undefined): AsyncGenerator<string> {
  let after = from;
  for (;;) {
    const page = await parts.layers.listNames({ after, limit: PER_PAGE });
    yield* page;
    after = page.at(-1);
    if (page.length < PER_PAGE) return;
  }
}

function numberIn(position: string | undefined): number | undefined {
  if (position === undefined) return undefined;
  if (!/^[0-9]{1,15}$/.test(position)) {
    throw new PlatformError("InvalidRequest", "Marker: expected one from an answer before");
  }
  return Number(position);
}
