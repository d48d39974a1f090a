/** Layers of our own API: archives for `/opt` in numbered versions, and how functions name them. */
import { PlatformError } from "../../../core/errors.ts";
import type { CodeRef, FunctionConfig, LayerVersion } from "../../../core/function.ts";
import { checkSizeWithLayers, layersConfig } from "../aws/function-layers.ts";
import { layerArn, layerVersionArn } from "../aws/layer-names.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, jsonReply, type Reply } from "../route.ts";
import { parsePage } from "./wire.ts";

const NAME = /^[a-zA-Z0-9-_]{1,64}$/;
const DESCRIPTION_LENGTH_MAX = 256;
const VERSIONS_PER_STEP = 500;

/** `GET /v1/layers`: the newest version of each. */
export async function listLayers(parts: ControlParts, { query }: ControlRequest): Promise<Reply> {
  const { after, limit } = parsePage(query);
  const names = await parts.layers.listNames({ after, limit: limit + 1 });
  const shown = names.slice(0, limit);
  const newest = await Promise.all(
    shown.map((name) => parts.layers.listVersions(name, { before: undefined, limit: 1 })),
  );
  return jsonReply(200, {
    layers: newest.flat().map((layer) => layerShape(layer, parts)),
    next: names.length > limit ? shown.at(-1) : undefined,
  });
}

/** `GET /v1/layers/LAYER`: all its versions, newest first. */
export async function getLayer(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const layerName = nameIn(request);
  const versions: LayerVersion[] = [];
  for (;;) {
    const page = await parts.layers.listVersions(layerName, {
      before: versions.at(-1)?.number,
      limit: VERSIONS_PER_STEP,
    });
    versions.push(...page);
    if (page.length < VERSIONS_PER_STEP) break;
  }
  if (versions.length === 0) throw missing(layerName);
  return jsonReply(200, {
    name: layerName,
    arn: layerArn(parts, layerName),
    versions: versions.map((layer) => layerShape(layer, parts)),
  });
}

/** `POST /v1/layers/LAYER`: takes an archive in as the next version. */
export async function publishLayer(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const layerName = nameIn(request);
  const description = request.query.get("description") ?? "";
  if (description.length > DESCRIPTION_LENGTH_MAX) {
    throw new PlatformError(
      "InvalidRequest",
      `description: expected at most ${DESCRIPTION_LENGTH_MAX} characters, got ${description.length}`,
    );
  }
  const { upload } = request;
  if (!upload || upload.bytes === 0) {
    throw new PlatformError("InvalidArchive", "the upload is empty: send a zip, tar or tar.gz as body");
  }
  const name = request.query.get("fileName") ?? undefined;
  const code = await parts.depot.takeIn({ file: upload.file, name }, { signal: request.signal });
  const layer = {
    layerName,
    description,
    license: undefined,
    compatibleRuntimes: [],
    compatibleArchitectures: [],
    code,
    createdAt: parts.clock.now(),
  };
  const number = await parts.layers.publish(layer);
  return jsonReply(201, layerShape({ ...layer, number }, parts));
}

/** `DELETE /v1/layers/LAYER/NUMBER`; functions that use it keep it. */
export async function deleteLayer(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const layerName = nameIn(request);
  const number = numberOf(request.params.number ?? "");
  if (!(await parts.layers.deleteVersion(layerName, number))) throw missing(`${layerName}:${number}`);
  return emptyReply(204);
}

/**
 * What a function has at `/opt`: the layers that are named (`NAME` for its newest version, `NAME:3`, an ARN), or those it
 * had.
 *
 * @throws PlatformError `ResourceNotFound`, `InvalidRequest` for too many, twice the same, too large with the code.
 */
export async function chooseLayers(
  parts: ControlParts,
  names: readonly string[] | undefined,
  before: FunctionConfig | undefined,
  code: CodeRef,
  signal: AbortSignal,
): Promise<Pick<FunctionConfig, "layers" | "optTreeId">> {
  if (names === undefined) {
    const { layers = [], optTreeId } = before ?? {};
    checkSizeWithLayers(code, layers);
    return { layers, optTreeId };
  }
  if (names.length > 0 && code.image) {
    throw new PlatformError("InvalidRequest", "layers: an image has its own files; put them into it");
  }
  const arns: string[] = [];
  for (const name of names) arns.push(await arnOf(parts, name));
  return await layersConfig(parts, arns, code, signal);
}

async function arnOf(parts: ControlParts, text: string): Promise<string> {
  if (text.startsWith("arn:")) return text;
  const [name = "", number, ...rest] = text.split(":");
  if (!NAME.test(name) || rest.length > 0) {
    throw new PlatformError(
      "InvalidRequest",
      `layers: expected NAME, NAME:NUMBER or an ARN, got ${JSON.stringify(text)}`,
    );
  }
  if (number !== undefined) {
    const found = await parts.layers.findVersion(name, numberOf(number));
    if (!found) throw missing(text);
    return layerVersionArn(parts, name, found.number);
  }
  const [newest] = await parts.layers.listVersions(name, { before: undefined, limit: 1 });
  if (!newest) throw missing(name);
  return layerVersionArn(parts, name, newest.number);
}

function layerShape(layer: LayerVersion, parts: ControlParts): Record<string, unknown> {
  const { layerName, number, description, createdAt, code } = layer;
  return {
    name: layerName,
    number,
    arn: layerVersionArn(parts, layerName, number),
    description,
    createdAt,
    archiveBytes: code.archiveBytes,
    treeBytes: code.treeBytes,
  };
}

function nameIn({ params }: ControlRequest): string {
  const name = params.layer ?? "";
  if (NAME.test(name)) return name;
  throw new PlatformError(
    "InvalidRequest",
    `layer: expected up to 64 letters, digits, - and _, got ${JSON.stringify(name)}`,
  );
}

function numberOf(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new PlatformError(
    "InvalidRequest",
    `layer version: expected a number from 1 up, got ${JSON.stringify(text)}`,
  );
}

function missing(what: string): PlatformError {
  return new PlatformError(
    "ResourceNotFound",
    `there is no layer ${what}; lambda layer list shows what there is`,
  );
}
