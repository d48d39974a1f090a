/** CreateFunction and UpdateFunctionCode for functions whose code is an image; on AWS those are always handlers. */

import type { PreparedCode } from "../../../code/prepare.ts";
import type { EntryKind, FunctionConfig, ImageOverrides, Version } from "../../../core/function.ts";
import type { ControlParts, PrepareImage } from "../parts.ts";
import type { ControlRequest, Reply } from "../route.ts";
import {
  checkRevision,
  configurationReply,
  createdSettings,
  createFunction,
  newFunctionName,
  refuseExisting,
  updateFunctionCode,
  updateFunctionConfiguration,
} from "./functions.ts";
import { parseCreateImage, parseImageConfig, parseUpdateImage, wantsImage } from "./image-wire.ts";
import { unqualified } from "./lookup.ts";

/** Either kind of package; where the daemon runs no images, the operation for archives refuses them by name. */
export async function createAnyFunction(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  if (!parts.prepareImage || !wantsImage(request.json)) return await createFunction(parts, request);
  const made = parseCreateImage(request.json, request.reference?.text ?? "", parts);
  const name = newFunctionName(request);
  await refuseExisting(parts, name);
  const { configuration, overrides } = made;
  const { code, entry, runtime } = await prepare(parts.prepareImage, made.imageUri, overrides, request);
  const config: FunctionConfig = {
    runtime,
    entry,
    network: "public",
    layers: [],
    optTreeId: undefined,
    ...createdSettings(parts, configuration),
  };
  const record = await parts.functions.create(
    { name, code, config, concurrencyMax: undefined, tags: made.tags },
    { publish: made.publish },
  );
  const shown = made.publish ? await parts.functions.getVersion(record.name, 1) : record.latest;
  return configurationReply(parts, 201, shown, "creating");
}

/** Of the sort that the function's code is; AWS lets nobody change that. */
export async function updateAnyFunctionCode(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, reference } = unqualified(request);
  const { latest } = await parts.functions.get(name);
  if (!parts.prepareImage || !latest.code.image) return await updateFunctionCode(parts, request);
  const update = parseUpdateImage(request.json, reference.text, parts);
  checkRevision(latest, update.ifRevision);
  const { code, entry } = await prepare(
    parts.prepareImage,
    update.imageUri,
    latest.code.image.overrides,
    request,
  );
  const changed: Version = { ...latest, code, config: { ...latest.config, entry } };
  if (update.isDryRun) return configurationReply(parts, 200, changed, "settled");
  const updated = await parts.functions.update(name, {
    code,
    config: changed.config,
    ifRevision: update.ifRevision ?? latest.revisionId,
  });
  const shown = update.publish ? await parts.functions.publish(name, {}) : updated.latest;
  return configurationReply(parts, 200, shown, "updating");
}

/** With `ImageConfig` the same image is read again, since what it runs depends on both. */
export async function updateAnyFunctionConfiguration(
  parts: ControlParts,
  request: ControlRequest,
): Promise<Reply> {
  const { ImageConfig, ...rest } = Object(request.json);
  const { name } = unqualified(request);
  const { latest } = await parts.functions.get(name);
  const { image } = latest.code;
  if (ImageConfig === undefined || ImageConfig === null || !parts.prepareImage || !image)
    return await updateFunctionConfiguration(parts, request);
  const overrides = parseImageConfig(request.json);
  const made = await prepare(parts.prepareImage, image.id, overrides, request, latest.config.entry.kind);
  // How it came to be stays what it was.
  const { source, dockerfile, base, otherBases, buildArgs, buildSecrets } = image;
  const code = {
    ...latest.code,
    ...(made.code.image && {
      image: { ...made.code.image, source, dockerfile, base, otherBases, buildArgs, buildSecrets },
    }),
  };
  const change = { code, entry: made.entry, ofRevision: latest.revisionId };
  return await updateFunctionConfiguration(parts, { ...request, json: rest }, change);
}

async function prepare(
  prepareImage: PrepareImage,
  imageUri: string,
  overrides: ImageOverrides | undefined,
  { signal }: ControlRequest,
  kind: EntryKind = "handler",
): Promise<PreparedCode> {
  const settings = {
    runtime: undefined,
    kind,
    handler: undefined,
    module: undefined,
    command: undefined,
    overrides,
    build: true,
    allowScripts: false,
  };
  return await prepareImage(imageUri, settings, { signal, output: () => undefined, step: () => undefined });
}
