/** What AWS clients send about functions whose code is an image, turned into our words. */
import * as z from "zod";
import { PlatformError } from "../../../core/errors.ts";
import type { ImageOverrides } from "../../../core/function.ts";
import { refuseCodeSource, refuseUnsupported } from "./refusals.ts";
import { oneOf, optional, parse, text } from "./validation.ts";
import {
  Architectures,
  type ConfigurationChange,
  CreateFunctionRequest,
  checkArchitecture,
  checkTags,
  configurationOf,
  type Host,
} from "./wire.ts";

const Words = optional(z.array(z.string()).max(1_500, "Member must have length less than or equal to 1500"));

const CreateImageRequest = CreateFunctionRequest.extend({
  Code: z.object({ ImageUri: text({ min: 1 }) }),
  PackageType: optional(oneOf(["Image"])),
  ImageConfig: optional(
    z.object({
      EntryPoint: Words,
      Command: Words,
      WorkingDirectory: optional(text({ max: 1_000 })),
    }),
  ),
});

export interface ImageCreation {
  readonly configuration: ConfigurationChange & { readonly role: string };
  readonly imageUri: string;
  readonly overrides: ImageOverrides | undefined;
  readonly publish: boolean;
  readonly tags: Readonly<Record<string, string>>;
}

/** Whether a request to create a function means an image; both members ask for it, and AWS wants both. */
export function wantsImage(body: unknown): boolean {
  const request = Object(body);
  return request.PackageType === "Image" || Object(request.Code).ImageUri !== undefined;
}

/** @throws PlatformError `InvalidRequest` for members that images do not have, `ValidationFailed`, `UnsupportedMember`. */
export function parseCreateImage(body: unknown, functionName: string, host: Host): ImageCreation {
  const { Code, PackageType, ImageConfig: _image, ...rest } = Object(body);
  const request = parse(CreateImageRequest, body);
  refuseUnsupported(rest, functionName);
  const { ImageUri: _uri, ...source } = Object(Code);
  refuseCodeSource(source);
  checkArchitecture(request.Architectures, host);
  if (PackageType === undefined)
    throw new PlatformError("InvalidRequest", "PackageType: give Image together with ImageUri");
  refuseArchiveMembers(request, source);
  return {
    configuration: { ...configurationOf(request), role: request.Role },
    imageUri: request.Code.ImageUri,
    overrides: overridesOf(request.ImageConfig),
    publish: request.Publish ?? false,
    tags: checkTags(request.Tags ?? {}),
  };
}

const ImageConfigRequest = z.object({ ImageConfig: CreateImageRequest.shape.ImageConfig });

/** Of a change of configuration; `{}` takes all away. @throws PlatformError `ValidationFailed`, `InvalidRequest`. */
export function parseImageConfig(body: unknown): ImageOverrides | undefined {
  return overridesOf(parse(ImageConfigRequest, body).ImageConfig);
}

const UpdateImageRequest = z.object({
  ImageUri: optional(text({ min: 1 })),
  ZipFile: optional(z.string()),
  Architectures,
  Publish: optional(z.boolean()),
  DryRun: optional(z.boolean()),
  RevisionId: optional(z.string()),
});

export interface ImageUpdate {
  readonly imageUri: string;
  readonly publish: boolean;
  readonly isDryRun: boolean;
  readonly ifRevision: string | undefined;
}

export function parseUpdateImage(body: unknown, functionName: string, host: Host): ImageUpdate {
  const request = parse(UpdateImageRequest, body);
  const { ImageUri: _uri, ZipFile: _zip, ...rest } = Object(body);
  refuseUnsupported(rest, functionName);
  if (request.ZipFile !== undefined) {
    throw new PlatformError(
      "InvalidRequest",
      "Please don't provide ZipFile when updating a function with packageType Image.",
    );
  }
  refuseCodeSource(rest);
  checkArchitecture(request.Architectures, host);
  if (request.ImageUri === undefined)
    throw new PlatformError(
      "InvalidRequest",
      "Please provide ImageUri when updating a function with packageType Image.",
    );
  return {
    imageUri: request.ImageUri,
    publish: request.Publish ?? false,
    isDryRun: request.DryRun ?? false,
    ifRevision: request.RevisionId,
  };
}

function refuseArchiveMembers(
  request: z.output<typeof CreateImageRequest>,
  source: Readonly<Record<string, unknown>>,
): void {
  if (source.ZipFile !== undefined)
    throw new PlatformError("InvalidRequest", "Please do not provide both ZipFile and ImageUri.");
  const given = (["Runtime", "Handler", "Layers"] as const).filter((name) => request[name] !== undefined);
  if (given.length > 0) {
    throw new PlatformError(
      "InvalidRequest",
      `Please don't provide ${given.join(" or ")} when the intended function PackageType is Image.`,
    );
  }
}

/** AWS takes an empty list for none. */
function overridesOf(given: z.output<typeof CreateImageRequest>["ImageConfig"]): ImageOverrides | undefined {
  const entryPoint = given?.EntryPoint?.length ? given.EntryPoint : undefined;
  const command = given?.Command?.length ? given.Command : undefined;
  const workingDir = given?.WorkingDirectory || undefined;
  if (workingDir !== undefined && !workingDir.startsWith("/"))
    throw new PlatformError(
      "InvalidRequest",
      `WorkingDirectory: expected an absolute path, got ${workingDir}`,
    );
  return entryPoint || command || workingDir ? { entryPoint, command, workingDir } : undefined;
}
